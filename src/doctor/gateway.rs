//! The gateway and the way in: version, datasource, and whether the login is let in.
//!
//! A list of folders is asked for first. Only where that is refused is more asked, one question after the other, until it
//! shows what is missing; a password that was refused once is not sent again.

use std::time::Duration;

use url::Url;

use crate::auth::{AuthError, AuthKind, Authorization, TokenClaims, TokenSource};
use crate::daemon::connect::Account;
use crate::http::HttpClient;
use crate::model::Datasource;
use crate::remote::wsg::probe::{GatewaySeen, PageSeen, Seen, Sort, WsgProbe};
use crate::remote::wsg::{WsgAddress, is_projectwise};

use super::access::{self, Evidence, PlatformSeen, Proof, ScopeSeen};
use super::check::{Chart, Check, Id, Kind};
use super::signin::SignedIn;
use super::verdict::{self, said};
use super::{platform, remedy};

/// What is looked at.
pub(super) struct Door<'a> {
    pub(super) probe: &'a WsgProbe,
    pub(super) address: &'a WsgAddress,
    /// With the doctor's own short waits.
    pub(super) http: &'a HttpClient,
    /// The profile and its tokens, where there is one.
    pub(super) account: Option<(&'a Account, &'a TokenSource)>,
}

/// What was found behind the door.
#[derive(Default)]
pub(super) struct Entered {
    pub(super) gateway: Option<GatewaySeen>,
    /// The first folders, where the gateway let the login in.
    pub(super) folders: Option<PageSeen>,
    /// What requests carry from here on.
    pub(super) authorization: Option<Authorization>,
    /// Requests that the probe did not send.
    pub(super) requests: u32,
}

const ACCESS: [Id; 4] = [
    Id::AccessAccount,
    Id::AccessScope,
    Id::AccessApp,
    Id::AccessPermission,
];

/// As long as `signin` waits for one.
const TOKEN_PATIENCE: Duration = Duration::from_secs(15);

/// A renewal is a discovery and a question to the token endpoint.
const RENEWAL: u32 = 2;

/// Makes the checks of access.
pub(super) async fn examine(door: &Door<'_>, chart: &mut Chart, signed_in: &SignedIn) -> Entered {
    let mut entered = Entered::default();
    let waiting = |chart: &mut Chart, ids: &[Id], other: Id| {
        chart.extend(ids.iter().map(|id| Check::waits(*id, other)));
    };
    let (seen, (open, listed)) = tokio::join!(
        async {
            let seen = door.probe.gateway(None).await;
            match &signed_in.authorization {
                // Some hosted servers open no door at all without a login.
                Some(authorization)
                    if seen.api.is_none() && is_refusal(&seen.seen) && !has_password(door) =>
                {
                    door.probe.gateway(Some(authorization)).await
                }
                Some(_) | None => seen,
            }
        },
        door.probe.repositories(None)
    );
    let check = gateway(&seen, door);
    let is_one = check.kind.is_none();
    chart.add(check);
    entered.gateway = Some(seen);
    if !is_one {
        waiting(chart, &[Id::AccessRepository], Id::AccessGateway);
        waiting(chart, &ACCESS, Id::AccessGateway);
        return entered;
    }
    let login = signed_in.authorization.clone().zip(door.account);
    let Some((authorization, (account, tokens))) = login else {
        let trouble = chart
            .first_trouble(&[Id::ConfigFile, Id::ConfigProfile, Id::ConfigKeys, Id::LoginToken])
            .unwrap_or(Id::LoginToken);
        chart.add(if open.sort == Sort::Answered {
            repository(door, &listed, None)
        } else {
            Check::waits(Id::AccessRepository, trouble)
        });
        waiting(chart, &ACCESS, trouble);
        return entered;
    };
    let mut visit = Visit {
        door,
        account,
        tokens,
        authorization,
        is_new: signed_in.is_new,
        platform: PlatformSeen::Unknown,
        requests: 0,
    };
    // A list that is closed to strangers is asked for with the login; a password is not spent on that.
    let (with_login, listed) = if is_refusal(&open) && !has_password(door) {
        let (seen, listed) = door.probe.repositories(Some(&visit.authorization)).await;
        (Some(seen), listed)
    } else {
        (None, listed)
    };
    let chosen = repository(door, &listed, with_login.as_ref().or(Some(&open)));
    let is_chosen = chosen.kind.is_none();
    if door.address.repository.is_none() && !is_chosen {
        chart.add(chosen);
        waiting(chart, &ACCESS, Id::AccessRepository);
        return entered;
    }
    let mut folders = door.probe.folders(&visit.authorization).await;
    if let Some(lost) = visit.renew_if_dead(&folders.seen, signed_in).await {
        entered.requests += visit.requests;
        chart.add(chosen);
        chart.put(lost);
        chart.put(Check::waits(Id::LoginScopes, Id::LoginToken));
        waiting(chart, &ACCESS, Id::LoginToken);
        return entered;
    }
    if visit.is_new && !signed_in.is_new {
        folders = door.probe.folders(&visit.authorization).await;
        chart.put(Check::pass(
            Id::LoginToken,
            "the server refused the token before its end; it has been renewed",
        ));
    }
    let evidence = visit.gather(open, with_login, &folders, signed_in).await;
    entered.requests += visit.requests;
    visit.tell(&evidence);
    if let Some(check) = out_of_order(&evidence) {
        chart.add(chosen);
        chart.put(check);
        waiting(chart, &ACCESS, Id::AccessGateway);
        return entered;
    }
    let is_wrong = is_unknown_datasource(&evidence);
    // What is not listed may be there all the same: a list may be of some only.
    chart.add(if folders.seen.is_accepted() && !is_chosen {
        Check::pass(Id::AccessRepository, "it is not listed, and answers")
    } else if is_wrong && is_chosen {
        no_such_datasource(&listed, &said(&evidence.folders))
    } else {
        chosen
    });
    if chart.trouble(Id::AccessRepository).is_some() {
        waiting(chart, &ACCESS, Id::AccessRepository);
        return entered;
    }
    let user = visit.user(&evidence).await;
    let verdict = access::judge(&evidence);
    chart.extend(verdict::checks(
        verdict,
        &evidence,
        &verdict::About {
            profile: &account.name,
            is_alive: visit.is_new || evidence.platform == PlatformSeen::Accepted,
            user: user.as_deref(),
        },
    ));
    // Somebody without rights at the top may still have folders to name.
    let is_let_in =
        evidence.folders.is_accepted() || evidence.no_class.as_ref().is_some_and(Seen::is_accepted);
    if is_let_in && chart.first_trouble(&[Id::AccessScope, Id::AccessApp]).is_none() {
        entered.authorization = Some(visit.authorization);
        entered.folders = Some(folders);
    }
    entered
}

fn is_refusal(seen: &Seen) -> bool {
    matches!(seen.sort, Sort::LoginRefused | Sort::RightsRefused)
}

fn has_password(door: &Door<'_>) -> bool {
    door.account
        .is_some_and(|(account, _)| account.profile.auth.has_password())
}

fn gateway(found: &GatewaySeen, door: &Door<'_>) -> Check {
    let (id, address) = (Id::AccessGateway, door.address);
    if let Some(api) = &found.api {
        return Check::pass(id, format!("{} answers, spoken to by {api}", address.server()))
            .detail("api", api.as_str());
    }
    let words = said(&found.seen);
    match found.seen.sort {
        Sort::Failed | Sort::Throttled => {
            Check::fail(id, Kind::TryAgain, format!("the gateway is out of order ({words})"))
                .remedy("try again in a few minutes; if it stays, tell the ProjectWise administrator")
        }
        Sort::Unreached => Check::fail(id, Kind::Unreachable, format!("the gateway does not answer ({words})"))
            .remedy(remedy::NOT_REACHABLE),
        Sort::LoginRefused | Sort::RightsRefused | Sort::LockedOut | Sort::NoLicence => {
            let check = Check::fail(
                id,
                Kind::Login,
                format!("the gateway does not even tell its version to this login ({words})"),
            );
            let with_app = door.account.filter(|(account, _)| account.profile.auth.has_app());
            match with_app {
                Some((account, _)) => check
                    .remedy(remedy::sign_in_again(&account.name))
                    .remedy(remedy::whitelist(&account.profile.client_id)),
                None => check.remedy("sign in first, or ask the ProjectWise administrator which login it takes"),
            }
        }
        Sort::Answered | Sort::UnknownQuery | Sort::NoDatasource | Sort::NoObject | Sort::Strange => Check::fail(
            id,
            Kind::Failure,
            format!(
                "{} does not answer like a ProjectWise Web Services Gateway ({words})",
                address.server()
            ),
        )
        .remedy("check the datasource URL: it looks like https://example-pw-ws.bentley.com/ws/v2.8/Repositories/<id>")
        .remedy("a proxy or a login page may have answered in the server's place"),
    }
}

/// Whether the datasource is there; chooses it, where the address names none. `list` is how the list was answered.
fn repository(door: &Door<'_>, listed: &[Datasource], list: Option<&Seen>) -> Check {
    let id = Id::AccessRepository;
    let projectwise: Vec<&Datasource> = listed.iter().filter(|found| is_projectwise(found)).collect();
    let there: Vec<_> = projectwise
        .iter()
        .map(|found| {
            let url = door.address.with_repository(&found.id).to_string();
            serde_json::json!({ "id": found.id, "label": found.label, "url": url })
        })
        .collect();
    let check = match &door.address.repository {
        Some(wanted) => match projectwise
            .iter()
            .find(|found| found.id.eq_ignore_ascii_case(wanted))
        {
            Some(found) => Check::pass(id, format!("{} ({wanted})", found.label)),
            None if list.is_some_and(|seen| seen.sort != Sort::Answered) => Check::pass(
                id,
                format!("{wanted}, as the address says; the list of datasources is not shown"),
            ),
            None => no_such_datasource(listed, &format!("{wanted} is not listed")),
        },
        None => match projectwise.as_slice() {
            [only] => {
                door.probe.choose(&only.id);
                Check::pass(id, format!("{}, the only one ({})", only.label, only.id))
            }
            [] => Check::fail(id, Kind::Login, "the server shows no ProjectWise datasource")
                .remedy(remedy::grant_permission(None))
                .remedy("or the address is one of another server"),
            several => Check::fail(
                id,
                Kind::Config,
                format!(
                    "the server has {} ProjectWise datasources; name one of them",
                    several.len()
                ),
            )
            .remedies(urls(door.address, several)),
        },
    };
    check.detail("datasources", there)
}

fn urls<'a>(address: &'a WsgAddress, datasources: &'a [&Datasource]) -> impl Iterator<Item = String> + 'a {
    datasources.iter().map(|found| {
        format!(
            "--datasource {} ({})",
            address.with_repository(&found.id),
            found.label
        )
    })
}

fn no_such_datasource(listed: &[Datasource], words: &str) -> Check {
    let names: Vec<_> = listed
        .iter()
        .filter(|found| is_projectwise(found))
        .map(|found| format!("{} ({})", found.id, found.label))
        .collect();
    let check = Check::fail(
        Id::AccessRepository,
        Kind::Config,
        format!("the server does not have the datasource ({words})"),
    );
    if names.is_empty() {
        check.remedy("compare the id in the datasource URL with the one the ProjectWise administrator gave")
    } else {
        check.remedy(format!("take one of those it has: {}", names.join(", ")))
    }
}

/// A server that calls an unknown datasource by its own name.
fn is_unknown_datasource(evidence: &Evidence) -> bool {
    evidence.folders.error_id.as_deref() == Some("RepositoryNotFound")
}

/// The gateway told its version and fails at questions.
fn out_of_order(evidence: &Evidence) -> Option<Check> {
    let id = Id::AccessGateway;
    let words = said(&evidence.folders);
    match evidence.folders.sort {
        Sort::Failed | Sort::Throttled => Some(
            Check::fail(id, Kind::TryAgain, format!("the gateway tells its version and fails at questions ({words})"))
                .remedy("try again in a few minutes; if it stays, give the request id to the ProjectWise administrator"),
        ),
        Sort::Unreached => Some(
            Check::fail(id, Kind::TryAgain, format!("the gateway tells its version and is silent at questions ({words})"))
                .remedy("try again in a few minutes; if it stays, tell the ProjectWise administrator"),
        ),
        Sort::Strange => Some(
            Check::fail(
                id,
                Kind::Failure,
                format!("the gateway tells its version and answers questions with something else than data ({words})"),
            )
            .remedy("a proxy may answer in the server's place: ask IT")
            .remedy("check the datasource URL"),
        ),
        Sort::Answered
        | Sort::UnknownQuery
        | Sort::LoginRefused
        | Sort::RightsRefused
        | Sort::NoDatasource
        | Sort::NoObject
        | Sort::LockedOut
        | Sort::NoLicence => None,
    }
}

/// One way in, with one login.
struct Visit<'a> {
    door: &'a Door<'a>,
    account: &'a Account,
    tokens: &'a TokenSource,
    authorization: Authorization,
    /// The token was renewed in this run.
    is_new: bool,
    platform: PlatformSeen,
    /// Requests that the probe did not send.
    requests: u32,
}

impl Visit<'_> {
    fn proof(&self) -> Proof {
        match self.account.profile.auth {
            AuthKind::Web | AuthKind::Native | AuthKind::Spa | AuthKind::Service => Proof::App,
            AuthKind::Basic | AuthKind::Windows => Proof::Password,
            AuthKind::Saml | AuthKind::Bearer => Proof::File,
        }
    }

    /// Tells the login's source what the server made of it: a password that was refused is not sent again, by no process.
    fn tell(&self, evidence: &Evidence) {
        let words = said(&evidence.folders);
        if evidence.folders.sort == Sort::Answered {
            self.tokens.accepted(&self.authorization);
        } else if evidence.folders.sort == Sort::LockedOut {
            drop(self.tokens.locked_out(&self.authorization, &words));
        } else if evidence.folders.sort == Sort::LoginRefused && self.proof() != Proof::App {
            // An app's token may be refused for many reasons; what became of it is looked at below.
            drop(self.tokens.refused(&self.authorization, &words));
        }
    }

    /// A server that refuses a token may do so because the token is dead: then the login is renewed once, as every
    /// command does. `Some` where that shows that the login is lost.
    async fn renew_if_dead(&mut self, seen: &Seen, signed_in: &SignedIn) -> Option<Check> {
        // Some say "no such datasource" for an ended login (projectwise-api 1.8).
        let may_be_dead = seen.sort == Sort::LoginRefused
            || (seen.sort == Sort::NoDatasource && seen.error_id.as_deref() == Some("DatasourceNotFound"));
        if !may_be_dead || self.proof() != Proof::App || self.is_new {
            return None;
        }
        if let Ok(issuer) = Url::parse(&self.account.profile.issuer)
            && let Some(question) = platform::question(&issuer)
        {
            self.requests += 1;
            self.platform = platform::ask(self.door.http, question, &self.authorization).await;
        }
        let can_renew = signed_in.renews || self.account.profile.auth == AuthKind::Service;
        if self.platform == PlatformSeen::Accepted || !can_renew {
            return None;
        }
        self.requests += RENEWAL;
        self.tokens.reject(&self.authorization);
        match tokio::time::timeout(TOKEN_PATIENCE, self.tokens.authorization()).await {
            Ok(Ok(authorization)) => {
                self.is_new = !authorization.is(&self.authorization);
                self.authorization = authorization;
                None
            }
            Ok(Err(error)) => Some(self.lost(seen, &error)),
            // Whether the login is lost is not known then; the refusal is judged as it is.
            Err(_) => None,
        }
    }

    fn lost(&self, seen: &Seen, error: &AuthError) -> Check {
        let id = Id::LoginToken;
        let words = format!(
            "the server refuses the token ({}), and no new one can be had: {error}",
            said(seen)
        );
        match error {
            AuthError::SecretRequired(_) => {
                Check::fail(id, Kind::Login, words).remedy(remedy::new_secret(&self.account.name))
            }
            AuthError::LockedOut(_) => Check::fail(id, Kind::Login, words).remedy(remedy::UNLOCK),
            AuthError::LoginRequired(_) | AuthError::Protocol(_) | AuthError::Refused { .. } => {
                Check::fail(id, Kind::Login, words).remedy(remedy::sign_in_again(&self.account.name))
            }
            AuthError::Unreachable(_) => {
                Check::fail(id, Kind::TryAgain, words).remedy("try again in a few minutes")
            }
            AuthError::Store(_) => Check::fail(id, Kind::Failure, words)
                .remedy("unlock the keyring, or make room on the disk; then try again"),
        }
    }

    /// Asks what is still needed to judge a refusal.
    async fn gather(
        &self,
        open: Seen,
        with_login: Option<Seen>,
        folders: &PageSeen,
        signed_in: &SignedIn,
    ) -> Evidence {
        let proof = self.proof();
        let claims = if self.is_new {
            TokenClaims::of(&self.authorization)
        } else {
            signed_in.claims.clone()
        };
        let scope = match claims.as_ref().and_then(|claims| claims.carries(remedy::SCOPE)) {
            Some(true) => ScopeSeen::Carried,
            Some(false) => ScopeSeen::Lacking,
            None => ScopeSeen::Unknown,
        };
        // One try of a password is enough; a refusal of rights came after it was accepted.
        let is_spent = proof == Proof::Password && folders.seen.sort != Sort::RightsRefused;
        let is_judged = folders.seen.sort == Sort::Answered || !may_tell_more(&folders.seen) || is_spent;
        let no_class = if is_judged {
            None
        } else {
            Some(self.door.probe.no_class(&self.authorization).await)
        };
        Evidence {
            proof,
            scope,
            repositories_open: open,
            repositories: with_login,
            folders: folders.seen.clone(),
            rows: folders.entries.len(),
            no_class,
            user: None,
            platform: self.platform,
            client_id: if proof == Proof::App {
                self.account.profile.client_id.clone()
            } else {
                String::new()
            },
            account: signed_in
                .who
                .clone()
                .or_else(|| self.account.profile.username.clone()),
        }
    }

    /// Who the datasource takes the login for, where it lets it in.
    async fn user(&self, evidence: &Evidence) -> Option<String> {
        if evidence.folders.sort != Sort::Answered {
            return None;
        }
        self.door.probe.user(&self.authorization).await.1
    }
}

/// True for refusals that another question may explain.
const fn may_tell_more(seen: &Seen) -> bool {
    matches!(
        seen.sort,
        Sort::LoginRefused | Sort::RightsRefused | Sort::NoDatasource | Sort::NoObject | Sort::UnknownQuery
    )
}

#[cfg(test)]
mod tests;

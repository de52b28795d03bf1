//! The four checks of access, from the verdict of the table.

use serde_json::{Value, json};

use crate::remote::wsg::probe::{Seen, Sort};

use super::access::{AccountFault, Evidence, PlatformSeen, Proof, Standing, Verdict};
use super::check::{Check, Id, Kind};
use super::remedy;

/// What the sentences need beside the evidence.
pub(super) struct About<'a> {
    /// The profile's name.
    pub(super) profile: &'a str,
    /// True where the token is proved to be alive: renewed just now, or accepted elsewhere.
    pub(super) is_alive: bool,
    /// The user the datasource takes the login for.
    pub(super) user: Option<&'a str>,
}

/// `access.account`, `access.scope`, `access.app` and `access.permission`.
pub(super) fn checks(verdict: Verdict, evidence: &Evidence, about: &About<'_>) -> Vec<Check> {
    let mut checks = vec![account(verdict, evidence, about)];
    let mut first = checks[0].kind.map(|_| Id::AccessAccount);
    let rows = [
        (Id::AccessScope, verdict.scope),
        (Id::AccessApp, verdict.app),
        (Id::AccessPermission, verdict.permission),
    ];
    for (id, standing) in rows {
        let check = if evidence.proof != Proof::App && id != Id::AccessPermission {
            Check::not_needed(id, "this profile signs in without an iTwin app")
        } else {
            standing_of(id, standing, first, evidence, about)
        };
        if check.kind.is_some() && first.is_none() {
            first = Some(id);
        }
        checks.push(check.detail("standing", word(standing)));
    }
    checks
}

const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Holds => "holds",
        Standing::Missing => "missing",
        Standing::Suspected => "suspected",
        Standing::Unknown => "unknown",
    }
}

fn account(verdict: Verdict, evidence: &Evidence, about: &About<'_>) -> Check {
    let id = Id::AccessAccount;
    let failed = |words: String| Check::fail(id, Kind::Login, words);
    let said = said(refusal(evidence));
    let check = match verdict.account {
        None => match about.user {
            Some(user) => Check::pass(id, format!("the datasource takes the login for user {user}")),
            None => Check::pass(id, "it is neither locked nor without a licence"),
        },
        Some(AccountFault::Locked) => failed(format!(
            "the account is locked after too many bad logins ({said})"
        ))
        .remedy("ask the ProjectWise administrator to unlock the account")
        .remedy("end programs that go on trying with an old password; pwfs tries none again"),
        Some(AccountFault::Licence) => failed(format!(
            "there is no ProjectWise licence for the account ({said})"
        ))
        .remedy("ask the ProjectWise administrator for a licence"),
        Some(AccountFault::Password) => {
            failed(format!("the server does not accept name and password ({said})"))
                .remedy(format!("give the right ones: {}", remedy::login(about.profile)))
                .remedy("a wrong password is not tried again: servers lock accounts for that")
        }
        Some(AccountFault::File) => failed(format!(
            "the server does not accept the token in the file ({said})"
        ))
        .remedy("have whoever makes the token write a new one, made for this server")
        .remedy(remedy::grant_permission(evidence.account.as_deref())),
    };
    check
        .detail("answers", answers(evidence))
        .detail("user", about.user)
}

fn standing_of(
    id: Id,
    standing: Standing,
    first: Option<Id>,
    evidence: &Evidence,
    about: &About<'_>,
) -> Check {
    let of = said(refusal(evidence));
    match (standing, first) {
        (Standing::Holds, _) => Check::pass(id, holds(id, evidence)),
        (Standing::Unknown, Some(first)) => Check::waits(id, first),
        (Standing::Unknown, None) => Check::not_needed(id, "the server's answers tell nothing of it"),
        // Nothing was refused.
        (Standing::Suspected, None) if refusal(evidence).sort == Sort::Answered => Check::warn(
            id,
            "the datasource shows this account no folder at all: it is empty, or the account has no permission yet",
        )
        .remedy(remedy::grant_permission(evidence.account.as_deref())),
        (Standing::Suspected, Some(first)) => Check::warn(
            id,
            format!("{} ({of}): the server does not tell this apart from {}", suspicion(id), first.text()),
        )
        .remedies(steps(id, evidence, about)),
        (Standing::Suspected, None) => Check::fail(
            id,
            Kind::Login,
            format!("{} ({of}); the server does not say what it misses", suspicion(id)),
        )
        .remedies(steps(id, evidence, about)),
        (Standing::Missing, _) => Check::fail(id, Kind::Login, format!("{} ({of})", certainty(id, evidence)))
            .remedies(steps(id, evidence, about)),
    }
}

fn holds(id: Id, evidence: &Evidence) -> String {
    match id {
        Id::AccessScope => "the gateway is content with the token's scopes".to_owned(),
        Id::AccessApp => format!("the gateway accepts the app {}", evidence.client_id),
        _ => "the datasource shows folders".to_owned(),
    }
}

const fn suspicion(id: Id) -> &'static str {
    match id {
        Id::AccessScope => "the token may lack the scope the gateway wants",
        Id::AccessApp => {
            "the gateway refuses a login that its identity provider is content with: the app may not be whitelisted yet"
        }
        _ => "the account may have no permission in the datasource",
    }
}

fn certainty(id: Id, evidence: &Evidence) -> String {
    match id {
        Id::AccessScope => format!(
            "the token was not given for the scope {}, and the gateway refuses it",
            remedy::SCOPE
        ),
        Id::AccessApp => format!(
            "the app {} is not whitelisted on the datasource yet",
            evidence.client_id
        ),
        _ => match &evidence.account {
            Some(account) => format!("{account} has no permission in the datasource"),
            None => "the account has no permission in the datasource".to_owned(),
        },
    }
}

/// The guide's rows.
fn steps(id: Id, evidence: &Evidence, about: &About<'_>) -> Vec<String> {
    match id {
        Id::AccessScope => vec![remedy::enable_scope(), remedy::sign_in_again(about.profile)],
        Id::AccessApp => {
            let mut steps = vec![remedy::whitelist(&evidence.client_id)];
            if !about.is_alive {
                steps.push(format!(
                    "if it worked before, the login may have been ended: {}",
                    remedy::login(about.profile)
                ));
            }
            steps
        }
        _ => vec![remedy::grant_permission(evidence.account.as_deref())],
    }
}

/// The answer that tells most.
fn refusal(evidence: &Evidence) -> &Seen {
    match &evidence.no_class {
        Some(seen) if !seen.is_accepted() => seen,
        Some(_) | None => &evidence.folders,
    }
}

/// An answer in brackets: its words hold status, errorId and request id.
pub(super) fn said(seen: &Seen) -> String {
    match (&seen.words, seen.status) {
        (words, _) if !words.is_empty() => words.clone(),
        (_, 0) => "no answer".to_owned(),
        (_, status) => format!("status {status}"),
    }
}

fn answers(evidence: &Evidence) -> Value {
    let of = |seen: &Seen| json!({ "status": seen.status, "errorId": seen.error_id, "words": seen.words });
    json!({
        "repositories_without_login": of(&evidence.repositories_open),
        "repositories_with_login": evidence.repositories.as_ref().map(of),
        "folders": of(&evidence.folders),
        "class_that_is_not_there": evidence.no_class.as_ref().map(of),
        "current_user": evidence.user.as_ref().map(of),
        "itwin_platform": match evidence.platform {
            PlatformSeen::Accepted => "accepts the token",
            PlatformSeen::UnknownClient => "does not know the app",
            PlatformSeen::Refused => "refuses the token",
            PlatformSeen::Unknown => "not asked, or no telling answer",
        },
    })
}

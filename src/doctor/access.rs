//! *App not whitelisted*, *missing scope* or *missing datasource permission*: one table over what the servers answered.
//!
//! Nothing public says which refusal a gateway gives for which of the three (projectwise-api 7.1 to 7.3, 7.11), so the table
//! rests on what each answer excludes:
//! 1. an answer about the *query* (`ClassNotFound`, rows) comes after token, app and account were accepted;
//! 2. a refusal of folders by a gateway that accepts the login is about the account's rights;
//! 3. a refusal of everything is about the token or the app, or about an account nobody mapped to the identity;
//! 4. a token that does not carry the guide's scope is a fault of its own, whatever else is missing;
//! 5. a server that names the app, the scope or the account in its words is believed.
//!
//! Where two remain, both are told, with both remedies; nothing is guessed into a certainty.

use crate::remote::wsg::probe::{Seen, Sort};

/// How the profile proves who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A token given to an iTwin app.
    App,
    /// A name and a password.
    Password,
    /// A token or an assertion from a file.
    File,
}

/// Whether the token was given for the scope of the guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeSeen {
    /// It says so.
    Carried,
    /// It says for which ones it was given, and that is not among them.
    Lacking,
    /// It does not tell.
    Unknown,
}

/// What the iTwin Platform made of the same token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlatformSeen {
    /// It accepted it: the token is alive.
    Accepted,
    /// It does not know the Client ID (`UnknownClient`).
    UnknownClient,
    /// It refused it, too.
    Refused,
    /// It was not asked, or did not answer.
    Unknown,
}

/// What is known of a refusal.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// How the profile proves who asks.
    pub proof: Proof,
    /// What the token says of its scopes.
    pub scope: ScopeSeen,
    /// The list of datasources without a login.
    pub repositories_open: Seen,
    /// The list of datasources with the login; `None` where it is open to all.
    pub repositories: Option<Seen>,
    /// A list of folders.
    pub folders: Seen,
    /// How many it held.
    pub rows: usize,
    /// A class that no schema has; `None` where it was not asked for.
    pub no_class: Option<Seen>,
    /// The current user of the datasource; `None` where it was not asked for.
    pub user: Option<Seen>,
    /// What the platform made of the token.
    pub platform: PlatformSeen,
    /// The Client ID, to be found in the server's words.
    pub client_id: String,
    /// The account, to be found in the server's words.
    pub account: Option<String>,
}

/// How one of the questions stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is as it should be.
    Holds,
    /// It is what is missing.
    Missing,
    /// It may be what is missing: the answers fit that, and something else, too.
    Suspected,
    /// The answers tell nothing of it.
    Unknown,
}

/// What a refusal of the account itself is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountFault {
    /// Too many bad logins.
    Locked,
    /// No licence for it, or none left.
    Licence,
    /// Its password is not accepted.
    Password,
    /// The file's token or assertion is not accepted.
    File,
}

/// How the three stand, and what else there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// A fault of the account or its proof; then the three are not known.
    pub account: Option<AccountFault>,
    /// The token's scopes.
    pub scope: Standing,
    /// The app on the datasource's list.
    pub app: Standing,
    /// The account in the datasource.
    pub permission: Standing,
}

impl Verdict {
    const fn all(scope: Standing, app: Standing, permission: Standing) -> Self {
        Self {
            account: None,
            scope,
            app,
            permission,
        }
    }

    const fn account(fault: AccountFault) -> Self {
        Self {
            account: Some(fault),
            ..Self::all(Standing::Unknown, Standing::Unknown, Standing::Unknown)
        }
    }

    const UNKNOWN: Self = Self::all(Standing::Unknown, Standing::Unknown, Standing::Unknown);
}

/// The decision table.
pub fn judge(evidence: &Evidence) -> Verdict {
    use Standing::{Holds, Missing, Suspected, Unknown};
    let answers = [
        Some(&evidence.folders),
        evidence.no_class.as_ref(),
        evidence.user.as_ref(),
        evidence.repositories.as_ref(),
    ];
    let any = |sort: Sort| answers.iter().flatten().any(|seen| seen.sort == sort);
    // These are about the account, whoever asks for what.
    if any(Sort::LockedOut) {
        return Verdict::account(AccountFault::Locked);
    }
    if any(Sort::NoLicence) {
        return Verdict::account(AccountFault::Licence);
    }
    let scope_so_far = match evidence.scope {
        ScopeSeen::Carried => Holds,
        // An on-premises account has none, and needs none.
        ScopeSeen::Unknown if evidence.proof != Proof::App => Holds,
        ScopeSeen::Lacking | ScopeSeen::Unknown => Unknown,
    };
    let is_accepted = evidence.folders.is_accepted()
        || evidence.no_class.as_ref().is_some_and(Seen::is_accepted)
        || evidence.user.as_ref().is_some_and(Seen::is_accepted);
    if is_accepted {
        return match evidence.folders.sort {
            // The gateway does not ask for the scope the token lacks.
            Sort::Answered if evidence.rows > 0 => Verdict::all(Holds, Holds, Holds),
            // Nothing was refused: an empty datasource looks the same.
            Sort::Answered => Verdict::all(Holds, Holds, Suspected),
            Sort::RightsRefused | Sort::LoginRefused | Sort::NoObject => match evidence.scope {
                ScopeSeen::Lacking => Verdict::all(Suspected, Holds, Suspected),
                ScopeSeen::Carried | ScopeSeen::Unknown => Verdict::all(scope_so_far, Holds, Missing),
            },
            Sort::UnknownQuery
            | Sort::NoDatasource
            | Sort::LockedOut
            | Sort::NoLicence
            | Sort::Throttled
            | Sort::Failed
            | Sort::Strange
            | Sort::Unreached => Verdict::all(scope_so_far, Holds, Unknown),
        };
    }
    // Everything is refused. The cheap question tells it best: no right to any object enters into it.
    let refusal = evidence.no_class.as_ref().unwrap_or(&evidence.folders);
    let is_refusal = matches!(
        refusal.sort,
        Sort::LoginRefused | Sort::RightsRefused | Sort::NoDatasource
    );
    if !is_refusal {
        return Verdict::UNKNOWN;
    }
    match evidence.proof {
        Proof::Password => match refusal.sort {
            Sort::RightsRefused => Verdict::all(Holds, Holds, Missing),
            _ => Verdict::account(AccountFault::Password),
        },
        Proof::File => match refusal.sort {
            Sort::RightsRefused => Verdict::all(Unknown, Suspected, Suspected),
            _ => Verdict::account(AccountFault::File),
        },
        Proof::App => refused_app(evidence, refusal, scope_so_far),
    }
}

/// A token that is alive, and is refused whatever is asked.
fn refused_app(evidence: &Evidence, refusal: &Seen, scope_so_far: Standing) -> Verdict {
    use Standing::{Missing, Suspected, Unknown};
    let words = refusal.words.to_lowercase();
    let says = |text: &str| !text.is_empty() && words.contains(&text.to_lowercase());
    let names_account = evidence.account.as_deref().is_some_and(says);
    if says(&evidence.client_id) {
        return Verdict::all(scope_so_far, Missing, Unknown);
    }
    if names_account {
        return Verdict::all(scope_so_far, Unknown, Missing);
    }
    if says("scope") {
        return Verdict::all(Missing, Unknown, Unknown);
    }
    // A wrong audience is a wrong scope, most often (projectwise-api 2.1).
    if says("audience") {
        return Verdict::all(Suspected, Suspected, Unknown);
    }
    if evidence.scope == ScopeSeen::Lacking {
        // Missing by the guide; what else is, shows when it is there.
        return Verdict::all(Missing, Unknown, Unknown);
    }
    if evidence.platform == PlatformSeen::UnknownClient {
        return Verdict::all(scope_so_far, Missing, Unknown);
    }
    // The server takes the token for its own list and refuses it inside the datasource.
    let is_known_to_the_server = evidence
        .repositories
        .as_ref()
        .is_some_and(|seen| seen.sort == Sort::Answered)
        && evidence.repositories_open.sort != Sort::Answered;
    let scope = match evidence.scope {
        ScopeSeen::Unknown => Suspected,
        ScopeSeen::Carried | ScopeSeen::Lacking => scope_so_far,
    };
    if is_known_to_the_server {
        return Verdict::all(scope_so_far, Suspected, Suspected);
    }
    Verdict::all(scope, Suspected, Suspected)
}

#[cfg(test)]
mod tests {
    use super::Standing::{Holds, Missing, Suspected, Unknown};
    use super::*;

    const CLIENT: &str = "native-example";

    fn seen(sort: Sort, status: u16, words: &str) -> Seen {
        Seen {
            sort,
            words: words.to_owned(),
            ..Seen::answered(status)
        }
    }

    fn refused(sort: Sort, status: u16, words: &str) -> Evidence {
        Evidence {
            folders: seen(sort, status, words),
            rows: 0,
            no_class: Some(seen(sort, status, words)),
            ..well()
        }
    }

    fn well() -> Evidence {
        Evidence {
            proof: Proof::App,
            scope: ScopeSeen::Carried,
            repositories_open: Seen::answered(200),
            repositories: None,
            folders: Seen::answered(200),
            rows: 2,
            no_class: None,
            user: None,
            platform: PlatformSeen::Unknown,
            client_id: CLIENT.to_owned(),
            account: Some("ann@example.com".to_owned()),
        }
    }

    #[track_caller]
    fn is(evidence: &Evidence, scope: Standing, app: Standing, permission: Standing) {
        assert_eq!(
            judge(evidence),
            Verdict::all(scope, app, permission),
            "{evidence:?}"
        );
    }

    #[test]
    fn folders_prove_all_three_whatever_the_token_says() {
        is(&well(), Holds, Holds, Holds);
        is(
            &Evidence {
                scope: ScopeSeen::Lacking,
                ..well()
            },
            Holds,
            Holds,
            Holds,
        );
        is(
            &Evidence {
                proof: Proof::Password,
                scope: ScopeSeen::Unknown,
                ..well()
            },
            Holds,
            Holds,
            Holds,
        );
    }

    #[test]
    fn an_empty_list_is_no_refusal_and_no_proof_of_permission() {
        is(&Evidence { rows: 0, ..well() }, Holds, Holds, Suspected);
    }

    #[test]
    fn folders_refused_by_a_gateway_that_accepts_the_login_are_about_rights() {
        let accepted = |sort, status| Evidence {
            no_class: Some(seen(Sort::UnknownQuery, 404, "")),
            ..refused(sort, status, "")
        };
        is(&accepted(Sort::RightsRefused, 403), Holds, Holds, Missing);
        is(&accepted(Sort::NoObject, 404), Holds, Holds, Missing);
        is(
            &Evidence {
                scope: ScopeSeen::Lacking,
                ..accepted(Sort::RightsRefused, 403)
            },
            Suspected,
            Holds,
            Suspected,
        );
        is(
            &Evidence {
                scope: ScopeSeen::Unknown,
                ..accepted(Sort::RightsRefused, 403)
            },
            Unknown,
            Holds,
            Missing,
        );
        // A server that fails says nothing of rights.
        is(&accepted(Sort::Failed, 503), Holds, Holds, Unknown);
    }

    #[test]
    fn a_refusal_of_everything_is_the_app_or_the_account() {
        for (sort, status) in [
            (Sort::LoginRefused, 401),
            (Sort::LoginRefused, 302),
            (Sort::RightsRefused, 403),
            (Sort::NoDatasource, 404),
        ] {
            is(&refused(sort, status, ""), Holds, Suspected, Suspected);
            is(
                &Evidence {
                    scope: ScopeSeen::Unknown,
                    ..refused(sort, status, "")
                },
                Suspected,
                Suspected,
                Suspected,
            );
        }
    }

    #[test]
    fn a_scope_the_token_lacks_is_missing_and_the_rest_shows_later() {
        for (sort, status) in [
            (Sort::LoginRefused, 401),
            (Sort::RightsRefused, 403),
            (Sort::NoDatasource, 404),
        ] {
            is(
                &Evidence {
                    scope: ScopeSeen::Lacking,
                    ..refused(sort, status, "")
                },
                Missing,
                Unknown,
                Unknown,
            );
        }
    }

    #[test]
    fn a_server_that_names_what_is_missing_is_believed() {
        let said = |words: &str| refused(Sort::LoginRefused, 401, words);
        is(
            &said("the application NATIVE-EXAMPLE is not allowed"),
            Holds,
            Missing,
            Unknown,
        );
        is(
            &said("the identity ann@example.com is not mapped"),
            Holds,
            Unknown,
            Missing,
        );
        is(
            &said("the token does not carry the scope x"),
            Missing,
            Unknown,
            Unknown,
        );
        is(&said("its audience lacks y"), Suspected, Suspected, Unknown);
        let nobody = Evidence {
            client_id: String::new(),
            account: None,
            ..said("the login failed")
        };
        is(&nobody, Holds, Suspected, Suspected);
    }

    #[test]
    fn a_platform_that_does_not_know_the_client_settles_it() {
        let with = |platform| Evidence {
            platform,
            ..refused(Sort::LoginRefused, 401, "")
        };
        is(&with(PlatformSeen::UnknownClient), Holds, Missing, Unknown);
        is(&with(PlatformSeen::Accepted), Holds, Suspected, Suspected);
    }

    #[test]
    fn a_hosted_server_that_lists_its_datasources_knows_the_token() {
        let evidence = Evidence {
            scope: ScopeSeen::Unknown,
            repositories_open: seen(Sort::LoginRefused, 401, ""),
            repositories: Some(Seen::answered(200)),
            ..refused(Sort::RightsRefused, 403, "")
        };
        is(&evidence, Unknown, Suspected, Suspected);
    }

    #[test]
    fn faults_of_the_account_come_before_everything() {
        let fault = |evidence: &Evidence| judge(evidence).account;
        assert_eq!(
            fault(&refused(Sort::LockedOut, 401, "")),
            Some(AccountFault::Locked)
        );
        assert_eq!(
            fault(&refused(Sort::NoLicence, 500, "")),
            Some(AccountFault::Licence)
        );
        let by = |proof, sort| Evidence {
            proof,
            scope: ScopeSeen::Unknown,
            ..refused(sort, 401, "")
        };
        assert_eq!(
            fault(&by(Proof::Password, Sort::LoginRefused)),
            Some(AccountFault::Password)
        );
        assert_eq!(
            fault(&by(Proof::File, Sort::LoginRefused)),
            Some(AccountFault::File)
        );
        is(&by(Proof::Password, Sort::RightsRefused), Holds, Holds, Missing);
    }

    #[test]
    fn what_is_no_refusal_tells_nothing() {
        for sort in [Sort::Failed, Sort::Strange, Sort::Unreached, Sort::Throttled] {
            is(&refused(sort, 503, ""), Unknown, Unknown, Unknown);
        }
    }
}

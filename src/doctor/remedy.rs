//! What mends what: the guide's own words, for every check that needs them.

use crate::auth::login::{DEFAULT_REDIRECT_URI, PORTAL};

/// The scope the guide has people enable.
pub(super) const SCOPE: &str = "projectwise:read";

/// *Insufficient permissions*, the app's half.
pub(super) fn enable_scope() -> String {
    format!("enable the {SCOPE} scope on the iTwin app ({PORTAL})")
}

/// *Insufficient permissions*, the server's half.
pub(super) fn grant_permission(account: Option<&str>) -> String {
    match account {
        Some(account) => format!(
            "the server's administrator must grant datasource-level permission: ask for a ProjectWise account for {account} \
             in this datasource"
        ),
        None => "the server's administrator must grant datasource-level permission: ask for a ProjectWise account in this \
                 datasource"
            .to_owned(),
    }
}

/// *On-premises server not reachable*.
pub(super) const NOT_REACHABLE: &str =
    "firewall rules must let this machine's outbound address through; contact IT";

/// *Account does not have developer portal access*.
pub(super) const PORTAL_ACCESS: &str = "the developer portal is free and needs no Bentley subscription: where an account has \
                                        no access to it, register a personal account and create the app there";

/// *The app is not whitelisted yet*. One line to copy into a mail.
pub(super) fn whitelist(client_id: &str) -> String {
    format!(
        "send this to your ProjectWise administrator: please allow the iTwin app with the Client ID {client_id} on the \
         datasource"
    )
}

/// What the guide's first step makes.
pub(super) fn register() -> String {
    format!(
        "register an iTwin app: {PORTAL}, Register new, application type Web App, scope {SCOPE}, redirect URI \
         {DEFAULT_REDIRECT_URI}; copy the Client ID, and the Client Secret if the portal offers one"
    )
}

/// The guide's third step, before which there is no login.
pub(super) const SIGN_IN_FIRST: &str =
    "run `pwfs setup`, which asks for all of it, or `pwfs login --client-id YOUR_CLIENT_ID`";

/// After something changed at the identity provider.
pub(super) fn sign_in_again(profile: &str) -> String {
    format!("sign in again: {}", login(profile))
}

/// The login command of a profile.
pub(super) fn login(profile: &str) -> String {
    command(profile, "login")
}

/// A command for a profile.
pub(super) fn command(profile: &str, verb: &str) -> String {
    if profile == crate::config::DEFAULT_PROFILE {
        format!("pwfs {verb}")
    } else {
        format!("pwfs --profile {profile} {verb}")
    }
}

/// A secret that was renewed, or may have leaked.
pub(super) fn new_secret(profile: &str) -> String {
    format!(
        "copy the present Client Secret from {PORTAL} and give it: {} --client-secret-file FILE (no browser is needed)",
        login(profile)
    )
}

/// Another program answers in a server's place.
pub(super) const PORTAL_PAGE: &str =
    "sign in to the network itself: open any http:// address in a browser, then try again";
/// … or always will.
pub(super) const PROXY_PAGE: &str = "if a proxy of your organisation answers, ask IT to let this address through, or name \
                                     the right proxy: key `proxy` of the profile, or HTTPS_PROXY";

/// The server has locked the account.
pub(super) const UNLOCK: &str = "ask the ProjectWise administrator to unlock the account, then run `pwfs login`: until then \
                                 nothing more is sent";

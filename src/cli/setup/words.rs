//! What `setup` tells: the guide's steps in the guide's order and terms.

use crate::auth::AuthKind;
use crate::auth::login::PORTAL;

/// The kinds of sign-in, as they are offered.
pub(super) const KINDS: [(AuthKind, &str); 8] = [
    (
        AuthKind::Web,
        "Web App             the guide's choice: you sign in with your browser; maybe a Client Secret",
    ),
    (
        AuthKind::Native,
        "Desktop/Mobile      you sign in with your browser; no Client Secret",
    ),
    (
        AuthKind::Spa,
        "SPA                 you sign in with your browser; no Client Secret",
    ),
    (
        AuthKind::Service,
        "Service             nobody signs in: for servers and pipelines; Client ID and Secret",
    ),
    (
        AuthKind::Basic,
        "On-premises account a ProjectWise user name and password",
    ),
    (
        AuthKind::Windows,
        "Windows account     on-premises: a Windows user name and password",
    ),
    (
        AuthKind::Saml,
        "SAML file           on-premises: a Bentley STS token that something else keeps in a file",
    ),
    (
        AuthKind::Bearer,
        "Token file          an access token that something else keeps fresh in a file",
    ),
];

/// The type as the portal names it.
pub(super) const fn portal_type(kind: AuthKind) -> &'static str {
    match kind {
        AuthKind::Native => "Desktop/Mobile (Native)",
        AuthKind::Spa => "SPA",
        AuthKind::Service => "Service",
        AuthKind::Web | AuthKind::Basic | AuthKind::Windows | AuthKind::Saml | AuthKind::Bearer => "Web App",
    }
}

/// Step 1 of the guide: what to register.
pub(super) fn registration(kind: AuthKind, redirect_uri: &str) -> String {
    let redirect = if kind.has_browser() {
        format!("    Redirect URI  {redirect_uri}\n")
    } else {
        String::new()
    };
    let mut text = format!(
        "Sign in to the iTwin Developer Portal (free; no Bentley subscription is needed), and under My Apps choose\n\
         Register new:\n\
         \n\
         \x20   {PORTAL}\n\
         \n\
         \x20   Name          any, such as: pwfs (internal)\n\
         \x20   Type          {}\n\
         \x20   Scope         projectwise:read\n\
         {redirect}\n",
        portal_type(kind)
    );
    if kind == AuthKind::Web {
        text.push_str(
            "If the app of the guide exists already, use it: add this redirect URI to the ones it has. Nothing else\n\
             changes for whoever uses it now.\n",
        );
    }
    text.push_str(match kind {
        AuthKind::Web => "Save, and copy the Client ID, and the Client Secret if the portal offers one.\n",
        AuthKind::Service => "Save, and copy the Client ID and the Client Secret.\n",
        _ => "Save, and copy the Client ID.\n",
    });
    text
}

/// Step 2 of the guide: the line for the administrator.
pub(in crate::cli) fn for_the_administrator(client_id: &str) -> String {
    format!(
        "The app must be allowed on your ProjectWise environment. Send this to your ProjectWise administrator:\n\
         \n\
         \x20   Please allow the iTwin application with the Client ID\n\
         \x20   {client_id}\n\
         \x20   to read our ProjectWise datasource (scope projectwise:read, read-only): whitelist it in the Connection\n\
         \x20   Server's settings, or for ProjectWise 365 in the iTwin organisation's settings.\n\
         \n\
         Only the Client ID is needed. The Client Secret stays with you.\n"
    )
}

/// What an on-premises server needs first.
pub(super) const ON_PREMISES: &str = "\
An on-premises ProjectWise needs nothing of the developer portal. Ask your ProjectWise administrator for the address of
the Web Services Gateway (https://…/ws) with API access on, and for an account that may read the folders.
";

/// What is told where nobody can be asked.
pub(super) const WITHOUT_A_TERMINAL: &str = "\
setup asks questions, and there is no terminal to ask them at; give the answers as flags, or use the commands it is \
made of:";

/// The commands `setup` is made of, for scripts.
pub(super) const COMMANDS: [&str; 4] = [
    "pwfs setup --service --client-id ID --client-secret-file FILE --datasource URL --folder PATH=ALIAS",
    "pwfs login --client-id ID: sign in (--help shows the flags of every kind of app and account)",
    "pwfs datasources, pwfs folders: find the datasource's URL and the folders",
    "pwfs doctor: look whether all is well",
];

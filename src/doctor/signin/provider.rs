//! What the identity provider says of the app, without a person.

use url::Url;

use crate::auth::AuthError;
use crate::auth::callback::Callback;
use crate::auth::login::{LoginError, PORTAL};
use crate::auth::oauth::{App, Endpoints, Provider};
use crate::http::{HttpError, Lane, Request};

use super::super::check::{Chart, Check, Id, Kind};
use super::super::remedy;
use super::Subject;

/// What the identity provider says of the app.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) checks: Vec<Check>,
    /// Where it is asked for more, and its issuer.
    pub(super) endpoints: Option<(Endpoints, Url)>,
    /// The provider's words about the redirect URI, where it refuses it.
    pub(super) redirect: Option<String>,
    /// The provider's words about the scopes, where it refuses them.
    pub(super) scopes: Option<String>,
    pub(super) requests: u32,
}

/// Asks for its endpoints, and for the app.
pub(super) async fn ask(subject: &Subject<'_>, chart: &Chart) -> Asked {
    let mut asked = Asked::default();
    let ids = [Id::LoginDiscovery, Id::LoginClient];
    if !subject.auth().has_app() {
        let why = "this profile signs in without an identity provider";
        asked.checks.extend(ids.map(|id| Check::not_needed(id, why)));
        return asked;
    }
    if let Some(trouble) = chart.first_trouble(&[
        Id::ConfigKeys,
        Id::IdpDns,
        Id::IdpProxy,
        Id::IdpTcp,
        Id::IdpTls,
        Id::IdpHttp,
    ]) {
        asked.checks.extend(ids.map(|id| Check::waits(id, trouble)));
        return asked;
    }
    let Ok(issuer) = Url::parse(&subject.account.profile.issuer) else {
        asked
            .checks
            .extend(ids.map(|id| Check::waits(id, Id::ConfigKeys)));
        return asked;
    };
    asked.requests += 1;
    let endpoints = match Endpoints::find(subject.http, &issuer).await {
        Ok(endpoints) => endpoints,
        Err(error) => {
            asked.checks.push(no_discovery(&error));
            asked
                .checks
                .push(Check::waits(Id::LoginClient, Id::LoginDiscovery));
            return asked;
        }
    };
    asked.checks.push(Check::pass(
        Id::LoginDiscovery,
        format!("{} tells its endpoints", subject.account.profile.issuer),
    ));
    if subject.auth().has_browser() {
        asked.requests += 1;
        let told = knock(subject, endpoints.clone(), &issuer).await;
        asked.checks.push(client(subject, &told));
        match told {
            Told::Redirect(words) => asked.redirect = Some(words),
            Told::Scope(words) => asked.scopes = Some(words),
            Told::Known | Told::Unknown(_) | Told::Type(_) | Told::Nothing(_) => {}
        }
    } else {
        asked.checks.push(Check::not_needed(
            Id::LoginClient,
            "a Service app shows itself by its token (login.token)",
        ));
    }
    asked.endpoints = Some((endpoints, issuer));
    asked
}

fn no_discovery(error: &AuthError) -> Check {
    let kind = match error {
        AuthError::Unreachable(HttpError::TimedOut(_)) => Kind::TryAgain,
        AuthError::Unreachable(_) => Kind::Unreachable,
        AuthError::LoginRequired(_)
        | AuthError::SecretRequired(_)
        | AuthError::LockedOut(_)
        | AuthError::Protocol(_)
        | AuthError::Refused { .. }
        | AuthError::Store(_) => Kind::Config,
    };
    Check::fail(Id::LoginDiscovery, kind, error.to_string())
        .remedy("check the issuer's address (key issuer); Bentley's own is https://ims.bentley.com")
        .remedy("if it is right, try again in a few minutes")
}

/// What a knock at the authorize endpoint told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    /// The app, its redirect URI and its scopes are known.
    Known,
    /// The app is not known.
    Unknown(String),
    /// The app may not sign in like this.
    Type(String),
    /// The redirect URI is not registered.
    Redirect(String),
    /// The scopes may not be asked for.
    Scope(String),
    /// Nothing that could be told.
    Nothing(String),
}

/// Opens the sign-in page as a browser would in which nobody is signed in, and asks to be shown no page.
async fn knock(subject: &Subject<'_>, endpoints: Endpoints, issuer: &Url) -> Told {
    let profile = &subject.account.profile;
    let app = App {
        issuer: issuer.clone(),
        client_id: profile.client_id.clone(),
        client_secret: None,
        redirect_uri: profile.redirect_uri.clone(),
    };
    let mut url = match Provider::new(subject.http, endpoints, app) {
        Ok(provider) => provider.begin(&profile.scopes.join(" ")).url,
        Err(error) => return Told::Nothing(error.to_string()),
    };
    // A login asks for consent; a look must not.
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != "prompt")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .append_pair("prompt", "none");
    match subject
        .http
        .send_once(Request::get(Lane::Login, url.clone()))
        .await
    {
        Ok(answer) => {
            let target = answer
                .header("Location")
                .and_then(|location| url.join(location).ok());
            told(
                answer.status,
                target.as_ref(),
                &answer.body,
                &profile.redirect_uri,
            )
        }
        Err(error) => Told::Nothing(error.to_string()),
    }
}

/// Reads the answer of the authorize endpoint (RFC 6749, 4.1.2.1; OpenID Connect Core, 3.1.2.6).
fn told(status: u16, target: Option<&Url>, body: &[u8], redirect_uri: &str) -> Told {
    let comes_back = target.filter(|target| {
        Url::parse(redirect_uri).is_ok_and(|own| {
            (own.host_str(), own.port_or_known_default(), own.path())
                == (target.host_str(), target.port_or_known_default(), target.path())
        })
    });
    if let Some(back) = comes_back {
        let value = |name: &str| {
            back.query_pairs()
                .find(|(key, _)| key == name)
                .map(|(_, value)| bounded(&value))
        };
        let Some(error) = value("error") else {
            // A code: somebody is signed in who has agreed. It is left to end by itself.
            return Told::Known;
        };
        let words = match value("error_description") {
            Some(words) if !words.is_empty() => format!("{error}: {words}"),
            Some(_) | None => error.clone(),
        };
        let is_of_scope = words.to_lowercase().contains("scope");
        return match error.as_str() {
            "login_required" | "interaction_required" | "consent_required" | "account_selection_required" => {
                Told::Known
            }
            "invalid_scope" => Told::Scope(words),
            "unauthorized_client" if is_of_scope => Told::Scope(words),
            "unauthorized_client" | "unsupported_response_type" | "invalid_client" => Told::Type(words),
            _ => Told::Nothing(words),
        };
    }
    if (400..500).contains(&status) {
        // A page: nothing may be sent to an address that is not registered. Its words are all there is.
        let text = String::from_utf8_lossy(body).to_lowercase();
        return if text.contains("redirect_uri") || text.contains("redirect uri") {
            Told::Redirect(format!("status {status}, about the redirect URI"))
        } else if text.contains("client") {
            Told::Unknown(format!("status {status}, about the client"))
        } else {
            Told::Nothing(format!("status {status} and a page"))
        };
    }
    Told::Nothing(format!("status {status}"))
}

fn bounded(text: &str) -> String {
    /// Enough for any description seen.
    const LONGEST: usize = 200;
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(LONGEST)
        .collect()
}

fn client(subject: &Subject<'_>, told: &Told) -> Check {
    let id = Id::LoginClient;
    let client_id = &subject.account.profile.client_id;
    match told {
        Told::Known | Told::Scope(_) | Told::Redirect(_) => {
            Check::pass(id, format!("the Client ID {client_id} is known"))
        }
        Told::Unknown(words) => Check::fail(
            id,
            Kind::Login,
            format!("the identity provider does not know the Client ID {client_id} ({words})"),
        )
        .remedy(format!(
            "compare it with the one at {PORTAL}; give the right one: {} --client-id ID",
            remedy::login(subject.name())
        ))
        .remedy(remedy::PORTAL_ACCESS),
        Told::Type(words) => Check::fail(
            id,
            Kind::Login,
            format!("the identity provider does not let this app sign in with a browser ({words})"),
        )
        .remedy(format!(
            "compare the app's type at {PORTAL} with the profile's: auth = \"{}\"",
            subject.auth()
        )),
        Told::Nothing(words) => Check::pass(
            id,
            format!("whether the Client ID is known shows at the next login only ({words})"),
        )
        .detail("told", false),
    }
    .detail("client_id", client_id.as_str())
}

/// Whether the browser finds back.
pub(super) async fn redirect(subject: &Subject<'_>, refused: Option<String>) -> Check {
    let id = Id::LoginRedirect;
    if !subject.auth().has_browser() {
        return Check::not_needed(id, "this profile signs in without a browser");
    }
    let uri = subject.account.profile.redirect_uri.as_str();
    let add = format!("add the redirect URI {uri} to the app at {PORTAL}, character for character");
    if let Some(words) = refused {
        return Check::fail(
            id,
            Kind::Login,
            format!("the redirect URI {uri} is not registered for the app ({words})"),
        )
        .remedy(add)
        .detail("redirect_uri", uri);
    }
    let check = if Url::parse(uri).is_ok_and(|url| url.scheme() == "https") {
        Check::warn(
            id,
            format!("{uri} does not lead back to this machine: a login ends by pasting the address of its last page"),
        )
        .remedy(format!(
            "add http://localhost:3301/signin-callback to the app at {PORTAL} and sign in with --redirect-uri"
        ))
    } else {
        // Taken for a moment, as a login would, and given back.
        match Callback::bind(uri).await {
            Ok(_) => Check::pass(id, format!("{uri} leads to this machine, and its port is free")),
            Err(error @ LoginError::PortInUse { .. }) => {
                Check::warn(id, error.to_string()).remedy("end the other program before the next login")
            }
            Err(error) => Check::fail(id, Kind::Config, error.to_string()).remedy(add),
        }
    };
    check.detail("redirect_uri", uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "http://localhost:3301/signin-callback";

    #[track_caller]
    fn is(status: u16, target: &str, body: &str, expected: &Told) {
        let target = Url::parse(target).ok();
        assert_eq!(&told(status, target.as_ref(), body.as_bytes(), OWN), expected);
    }

    #[test]
    fn what_a_knock_tells() {
        let back = |query: &str| format!("{OWN}?{query}&state=s");
        for query in ["error=login_required", "error=interaction_required", "code=c"] {
            is(302, &back(query), "", &Told::Known);
        }
        is(
            302,
            &back("error=invalid_scope&error_description=exceeds"),
            "",
            &Told::Scope("invalid_scope: exceeds".to_owned()),
        );
        is(
            302,
            &back("error=unauthorized_client&error_description=Invalid+scope+for+client"),
            "",
            &Told::Scope("unauthorized_client: Invalid scope for client".to_owned()),
        );
        is(
            302,
            &back("error=unauthorized_client"),
            "",
            &Told::Type("unauthorized_client".to_owned()),
        );
        is(
            302,
            &back("error=server_error"),
            "",
            &Told::Nothing("server_error".to_owned()),
        );
    }

    #[test]
    fn a_page_in_place_of_the_way_back_is_read_for_its_words() {
        let found = |told| match told {
            Told::Redirect(_) => "redirect",
            Told::Unknown(_) => "unknown",
            Told::Nothing(_) => "nothing",
            Told::Known | Told::Type(_) | Told::Scope(_) => "other",
        };
        let page = |status, body: &str| found(told(status, None, body.as_bytes(), OWN));
        assert_eq!(
            page(400, "<h1>Invalid redirect_uri</h1> for the client"),
            "redirect"
        );
        assert_eq!(page(400, "<h1>Unknown client</h1>"), "unknown");
        assert_eq!(page(400, "<h1>Bad Request</h1>"), "nothing");
        // A provider that knows no prompt=none shows its sign-in page.
        assert_eq!(page(200, "<h1>Sign in</h1> client redirect_uri"), "nothing");
        let elsewhere = Url::parse("https://ims.example/login?error=invalid_scope").unwrap();
        assert_eq!(found(told(302, Some(&elsewhere), b"", OWN)), "nothing");
    }
}

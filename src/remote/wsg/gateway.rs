//! One gateway: its version, and requests that carry the login.
//!
//! The one place that repeats a request with another token, once (projectwise-api 1.8): `http` repeats what failed
//! for other reasons. A password or the token of a file has no other one, and is never repeated. What the server says of
//! the login is told to its [`TokenSource`], which hands out nothing more where that locks an account.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;

use crate::auth::{Authorization, TokenSource};
use crate::http::{HttpClient, Lane, Link, Redirects, Request, Response, Streaming};
use crate::remote::RemoteError;

use super::account::Whose;
use super::address::{ApiVersion, VersionPath, VersionScheme, WsgAddress};
use super::error::{Answer, Failure, Refusal, request_id};
use super::problem::Problem;

/// The newest Web API Bentley's own client was tested with (projectwise-api 1.1).
const NEWEST: ApiVersion = ApiVersion { major: 2, minor: 8 };
/// The oldest this client speaks; also what a server of any version answers a probe on.
pub(super) const OLDEST: ApiVersion = ApiVersion { major: 2, minor: 0 };

/// The answer to an `If-None-Match` whose tag is still right; it has no body.
pub(super) const NOT_MODIFIED: u16 = 304;

/// A server of one WSG deployment.
pub(super) struct Gateway {
    http: HttpClient,
    pub(super) tokens: TokenSource,
    server: String,
    /// What the user or the URL says of the version.
    asked: Option<VersionPath>,
    /// True where the user fixed the version, so that none is probed.
    fixed: bool,
    version: OnceCell<Version>,
    /// A token that was fetched because of a 403 and met one again: rights, not the token, are missing.
    proved_token: Mutex<Option<Authorization>>,
    /// A token fetched because of a refused login, which was refused as well.
    refused_token: Mutex<Option<RefusedToken>>,
    /// Whose login this is, once the server was asked.
    pub(super) whose: Mutex<Option<Whose>>,
}

/// A token that is as good as the login has, and is not accepted here: a wrong audience, an app the server does not
/// know.
struct RefusedToken {
    token: Authorization,
    failure: Failure,
    at: Instant,
}

/// For so long a refused token is not tried again: servers lock accounts that are refused again and again
/// (`TooManyBadLoginAttempts`), and a person who mends the server's settings sees it work soon.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// How the server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    /// The segment in URLs.
    pub(super) path: VersionPath,
    /// The Web API behind it: decides on features.
    pub(super) api: ApiVersion,
}

impl Gateway {
    pub(super) fn new(
        http: HttpClient,
        tokens: TokenSource,
        address: &WsgAddress,
        fixed: Option<ApiVersion>,
    ) -> Self {
        let fixed_path = fixed.map(|version| VersionPath {
            scheme: VersionScheme::Api,
            version,
        });
        Self {
            http,
            tokens,
            server: address.server().to_owned(),
            asked: fixed_path.or(address.version),
            fixed: fixed.is_some(),
            version: OnceCell::new(),
            proved_token: Mutex::new(None),
            refused_token: Mutex::new(None),
            whose: Mutex::new(None),
        }
    }

    /// The server's version, probed once.
    pub(super) async fn version(&self) -> Result<Version, Failure> {
        self.version
            .get_or_try_init(|| self.probe_version())
            .await
            .copied()
    }

    /// The URL of `path` below the version segment.
    pub(super) async fn url(&self, path: &str) -> Result<Url, Failure> {
        let version = self.version().await?;
        self.url_at(version.path, path)
    }

    fn url_at(&self, version: VersionPath, path: &str) -> Result<Url, Failure> {
        let text = format!("{}/{version}/{path}", self.server);
        Url::parse(&text)
            .map_err(|error| Failure::protocol(format!("no URL can be made for this server: {error}")))
    }

    /// The version, where it was probed; else what the URL or the user says of it, or the newest.
    pub(super) fn likely_version(&self) -> Version {
        self.version.get().copied().unwrap_or_else(|| {
            let path = self.asked.unwrap_or(VersionPath {
                scheme: VersionScheme::Api,
                version: NEWEST,
            });
            let api = match path.scheme {
                VersionScheme::Api => path.version,
                VersionScheme::Service => NEWEST,
            };
            Version { path, api }
        })
    }

    /// The URL of `path` below the version segment as it is sent, without asking for the version.
    pub(super) fn likely_url(&self, path: &str) -> String {
        let path = format!("{}/{path}", self.likely_version().path);
        let plain = || format!("{}/{path}", self.server);
        Url::parse(&plain()).map_or_else(|_| plain(), String::from)
    }

    /// The whole answer to a GET for JSON; any failure is sorted. "Not modified" is an answer to a question that has an
    /// `If-None-Match`, and to no other.
    pub(super) async fn get(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        what: &str,
    ) -> Result<Response, Failure> {
        self.with_login(Door::of(url), |authorization| async move {
            self.answer(url, headers, &authorization, what).await
        })
        .await
    }

    /// As [`Gateway::get`], with a token whose owner is in doubt.
    pub(super) async fn ask_as(
        &self,
        url: &Url,
        bearer: &Authorization,
        what: &str,
    ) -> Result<Response, Failure> {
        let outcome = self.answer(url, &[], bearer, what).await;
        let outcome = self.told(Door::of(url), bearer, outcome);
        outcome.map_err(|failure| self.give_up(Door::of(url), bearer, failure))
    }

    async fn answer(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        authorization: &Authorization,
        what: &str,
    ) -> Result<Response, Failure> {
        let response = self.send(url, headers, Some(authorization)).await?;
        let conditional = || headers.iter().any(|(name, _)| *name == "If-None-Match");
        if response.status == 200 && !looks_like_a_page(&response)
            || response.status == NOT_MODIFIED && conditional()
        {
            Ok(response)
        } else {
            Err(failure_of(&response, what))
        }
    }

    /// The head of the answer to a GET of a file, whatever its status; `judge` sorts it.
    pub(super) async fn open<T, F, P>(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        redirects: Redirects,
        judge: F,
    ) -> Result<T, Failure>
    where
        F: Fn(Streaming) -> P + Sync,
        P: Future<Output = Result<T, Failure>> + Send,
    {
        let judge = &judge;
        self.with_login(Door::File, |authorization| async move {
            let streaming = self
                .http
                .open_following(
                    Request {
                        headers: with_connection(headers, &authorization),
                        authorization: Some(authorization.header()),
                        ..Request::get(Lane::Content, url.clone())
                    },
                    redirects,
                )
                .await?;
            judge(streaming).await
        })
        .await
    }

    /// The head of the answer to a GET along a link that this gateway gave, whatever its status. No login goes along.
    /// `None` where it must wait for its turn here.
    pub(super) async fn open_link(
        &self,
        link: &Link,
        headers: &[(&'static str, String)],
    ) -> Result<Option<Streaming>, Failure> {
        Ok(self.http.open_link(link, headers).await?)
    }

    /// The account the token names itself.
    pub(super) async fn token_account(&self) -> Result<Option<String>, Failure> {
        Ok(self.tokens.account().await?)
    }

    async fn send(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        authorization: Option<&Authorization>,
    ) -> Result<Response, Failure> {
        let mut headers = match authorization {
            Some(authorization) => with_connection(headers, authorization),
            None => headers.to_vec(),
        };
        headers.push(("Accept", "application/json".to_owned()));
        Ok(self
            .http
            .send(Request {
                headers,
                authorization: authorization.map(Authorization::header),
                ..Request::get(Lane::Metadata, url.clone())
            })
            .await?)
    }

    /// Runs `attempt` with a token, and once more with another one where that may help.
    async fn with_login<T, F, P>(&self, door: Door, attempt: F) -> Result<T, Failure>
    where
        F: Fn(Authorization) -> P,
        P: Future<Output = Result<T, Failure>>,
    {
        let bearer = self.tokens.authorization().await?;
        self.check_refused(&bearer)?;
        self.vouch(&bearer).await?;
        let refused = match self.told(door, &bearer, attempt(bearer.clone()).await) {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        if !self.tokens.renews() {
            return Err(self.give_up(door, &bearer, refused));
        }
        if !self.wants_another_token(refused.refusal, &bearer) {
            return Err(refused);
        }
        tracing::debug!(
            status = refused.status,
            "the server refuses the token; asking for another one"
        );
        self.tokens.reject(&bearer);
        let bearer = match self.tokens.authorization().await {
            Ok(bearer) => bearer,
            // The server knows this caller: that no new token can be had now does not change its answer.
            Err(_) if refused.refusal == Refusal::Rights => return Err(refused),
            Err(error) => return Err(error.into()),
        };
        // Somebody else may have tried this one meanwhile.
        self.check_refused(&bearer)?;
        let outcome = self.told(door, &bearer, attempt(bearer.clone()).await);
        if let Err(failure) = &outcome {
            if failure.refusal == Refusal::Rights {
                *self.proved_token.lock() = Some(bearer.clone());
            } else if refuses_login(failure) {
                self.tokens.refused(&bearer, words(&failure.error));
                self.rest(&bearer, failure);
            }
        }
        outcome
    }

    /// Tells the login's source what the server made of it.
    fn told<T>(&self, door: Door, bearer: &Authorization, outcome: Result<T, Failure>) -> Result<T, Failure> {
        match &outcome {
            Err(Failure {
                error: RemoteError::LockedOut(words),
                ..
            }) => {
                tracing::debug!(
                    "the server has locked the account after too many bad logins; nothing more is sent"
                );
                self.tokens.locked_out(bearer, words);
            }
            Ok(_) if door != Door::Open => self.tokens.accepted(bearer),
            // A server that says in its own words what is wrong with a question has looked at the login before.
            Err(failure)
                if door != Door::Open && failure.kind.is_some() && failure.refusal != Refusal::Login =>
            {
                self.tokens.accepted(bearer);
            }
            Ok(_) | Err(_) => {}
        }
        outcome
    }

    /// What becomes of a login that has no other token to try. A server that does not take it is not shown it again.
    fn give_up(&self, door: Door, bearer: &Authorization, failure: Failure) -> Failure {
        if failure.refusal != Refusal::Login {
            return failure;
        }
        // A file may be a page that speaks of logging in; a list never is.
        let is_file = door == Door::File && failure.status < 300;
        if is_file && self.tokens.was_accepted(bearer) {
            return failure;
        }
        if matches!(failure.error, RemoteError::LoginRequired(_)) {
            return self.tokens.refused(bearer, words(&failure.error)).into();
        }
        // A page, or a datasource that is not known: it may be about the login. Where the login was taken before, it is
        // worth a pause; where it never was, it may be wrong, and to repeat it may lock the account.
        if self.tokens.was_accepted(bearer) {
            self.rest(bearer, &failure);
        } else {
            self.tokens.refused(bearer, &failure.error.to_string());
        }
        failure
    }

    fn rest(&self, bearer: &Authorization, failure: &Failure) {
        *self.refused_token.lock() = Some(RefusedToken {
            token: bearer.clone(),
            failure: failure.clone(),
            at: Instant::now(),
        });
    }

    fn check_refused(&self, bearer: &Authorization) -> Result<(), Failure> {
        match self.refused_token.lock().as_ref() {
            Some(refused) if refused.at.elapsed() < REFUSED_PAUSE && refused.token.is(bearer) => {
                Err(refused.failure.clone())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn wants_another_token(&self, refusal: Refusal, bearer: &Authorization) -> bool {
        match refusal {
            Refusal::None => false,
            Refusal::Login => true,
            // Without this, each folder somebody may not see would cost a refresh at the identity provider.
            Refusal::Rights => self
                .proved_token
                .lock()
                .as_ref()
                .is_none_or(|proved| !proved.is(bearer)),
        }
    }

    /// The version a server tells with the list of plug-ins; `None` where it tells none.
    async fn probe(&self, url: &Url) -> Result<Option<ApiVersion>, Failure> {
        let sort = |response: Response| match server_version(&response) {
            Some(api) => Ok(Some(api)),
            None if response.status == 200 && !looks_like_a_page(&response) => Ok(None),
            None => Err(failure_of(&response, "the list of plug-ins")),
        };
        if !self.tokens.renews() {
            // The version comes with a refusal, too: a password that may be wrong is not spent on it.
            let answer = sort(self.send(url, &[], None).await?);
            match answer {
                Err(failure) if failure.refusal != Refusal::None => {}
                answer => return answer,
            }
        }
        self.with_login(Door::Open, |authorization| async move {
            sort(self.send(url, &[], Some(&authorization)).await?)
        })
        .await
    }

    /// Asks for the plug-ins, whose answer carries the version in a header whatever its status.
    async fn probe_version(&self) -> Result<Version, Failure> {
        if let (true, Some(path)) = (self.fixed, self.asked) {
            return Ok(Version {
                path,
                api: path.version,
            });
        }
        let probes = match self.asked {
            Some(path) => vec![path],
            None => [VersionScheme::Api, VersionScheme::Service]
                .map(|scheme| VersionPath {
                    scheme,
                    version: OLDEST,
                })
                .to_vec(),
        };
        let mut last = None;
        for path in probes {
            match self.probe(&self.url_at(path, "Plugins")?).await {
                Ok(Some(api)) => return settle(path, api),
                // A proxy may drop headers it does not know; then the URL's own word counts.
                Ok(None) if path.version > OLDEST && path.scheme == VersionScheme::Api => {
                    return settle(path, path.version);
                }
                Ok(None) => last = None,
                Err(failure) if failure.status == 404 => last = Some(failure),
                Err(failure) => return Err(failure),
            }
        }
        let detail = match last {
            Some(failure) => format!(" ({})", failure.error.detail()),
            None => String::new(),
        };
        let words = format!("{}{detail}", self.server);
        Err(Failure::no_gateway(Problem::NotAGateway, words))
    }
}

/// Whether an answer proves that the server has looked at the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Everything inside of a datasource.
    Guarded,
    /// The same, where the answer is a file and may look like anything.
    File,
    /// The plug-ins, and the list of datasources: many servers show them to everybody.
    Open,
}

impl Door {
    fn of(url: &Url) -> Self {
        let mut segments = url.path_segments().into_iter().flatten();
        let inside = segments.any(|segment| segment.eq_ignore_ascii_case("Repositories"))
            && segments.filter(|segment| !segment.is_empty()).count() > 1;
        if inside { Self::Guarded } else { Self::Open }
    }
}

/// True where a failure says that the login is not taken. A page under a good status may be about this one object only,
/// and locks no account.
fn refuses_login(failure: &Failure) -> bool {
    matches!(failure.error, RemoteError::LoginRequired(_)) && failure.status >= 300
}

/// The server's own words.
fn words(error: &RemoteError) -> &str {
    match error {
        RemoteError::LoginRequired(words) => words,
        _ => "",
    }
}

/// The headers of a request, and what the gateway must know of the account.
pub(super) fn with_connection(
    headers: &[(&'static str, String)],
    authorization: &Authorization,
) -> Vec<(&'static str, String)> {
    let info = authorization
        .connection_info()
        .map(|info| ("Mas-Connection-Info", info.to_owned()));
    headers.iter().cloned().chain(info).collect()
}

pub(super) fn settle(path: VersionPath, api: ApiVersion) -> Result<Version, Failure> {
    if api < OLDEST {
        let words =
            format!("it speaks version {api} of the Web Services Gateway; {OLDEST} is the oldest supported");
        return Err(Failure::no_gateway(Problem::TooOld, words));
    }
    let path = match path.scheme {
        VersionScheme::Api => VersionPath {
            version: api.min(NEWEST),
            ..path
        },
        // A service version says nothing of the API behind it and is the server's own choice.
        VersionScheme::Service => path,
    };
    Ok(Version {
        path,
        api: api.min(NEWEST),
    })
}

/// `Bentley-WebAPI/2.8` in the first of the headers that has it.
pub(super) fn server_version(response: &Response) -> Option<ApiVersion> {
    ["Mas-Server", "WsgServer", "Server"]
        .iter()
        .find_map(|name| response.header(name).and_then(api_version))
}

fn api_version(products: &str) -> Option<ApiVersion> {
    products.split([',', ' ']).find_map(|product| {
        let (name, version) = product.trim().split_once('/')?;
        if !name.eq_ignore_ascii_case("Bentley-WebAPI") {
            return None;
        }
        let mut numbers = version.split('.');
        format!("{}.{}", numbers.next()?, numbers.next()?).parse().ok()
    })
}

/// A success that is no JSON: a login page, most often.
pub(super) fn looks_like_a_page(response: &Response) -> bool {
    let typed_html = response
        .header("Content-Type")
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    let starts_with_a_tag = response.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<');
    typed_html || starts_with_a_tag
}

pub(super) fn failure_of(response: &Response, what: &str) -> Failure {
    let header = |name: &str| response.header(name).map(str::to_owned);
    tracing::debug!(
        status = response.status,
        request_id = request_id(&header),
        what,
        "the server refuses"
    );
    Failure::of(&Answer {
        status: response.status,
        url: &response.url,
        header: &header,
        retry_after: response.retry_after(),
        body: &response.body,
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_web_api_version_is_found_among_the_products() {
        for (header, expected) in [
            (
                "Bentley-WSG/2.6.8.9,Bentley-WebAPI/2.8,Bentley.PW/3.4.5.6",
                Some("2.8"),
            ),
            ("Bentley-WSG/2.6.8.9, bentley-webapi/2.5.0.1", Some("2.5")),
            ("Microsoft-IIS/10.0", None),
            ("Bentley-WebAPI/x", None),
            ("", None),
        ] {
            assert_eq!(
                api_version(header).map(|version| version.to_string()).as_deref(),
                expected
            );
        }
    }

    #[test]
    fn the_path_follows_the_server_up_to_the_newest_known_version() {
        let path = |text: &str| {
            WsgAddress::parse(&format!("https://h/{text}"))
                .unwrap()
                .version
                .unwrap()
        };
        let settled = |text: &str, api: &str| {
            settle(path(text), api.parse().unwrap())
                .map(|version| version.path.to_string())
                .map_err(|_| ())
        };
        assert_eq!(settled("v2.0", "2.6"), Ok("v2.6".to_owned()));
        assert_eq!(settled("v2.8", "2.10"), Ok("v2.8".to_owned()));
        assert_eq!(settled("sv1.1", "2.7"), Ok("sv1.1".to_owned()));
        assert_eq!(settled("v2.0", "1.3"), Err(()));
    }
}

//! The iTwin Platform (`api.bentley.com`): somebody's iTwins, and the ProjectWise work areas they are connected to.
//!
//! What of it matters here is small: it knows which datasource belongs to a project, so that nobody need paste an address.
//! Facts: projectwise-api 2.1 to 2.3. The envelope of connections is not proven (7.13), so `wire` accepts every casing and
//! each of the names seen; `error` sorts refusals. That an app may ask at all is not certain, and a refusal is an error,
//! never an empty list.

use std::collections::HashSet;

use url::{Url, form_urlencoded};

use crate::auth::TokenSource;
use crate::http::{HttpClient, Lane, Request, Response};
use crate::remote::RemoteError;

use super::wsg::WsgAddress;
use super::wsg::error::{without_answer, without_token};

mod error;
#[cfg(test)]
mod tests;
mod wire;

pub use error::PlatformError;

use error::failure_of;

/// A project of the iTwin Platform that the caller is a member of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ITwin {
    /// Its id, a GUID on every platform seen.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The organisation's own number, often empty.
    pub number: String,
}

/// The answer to [`Platform::my_itwins`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ITwins {
    /// Those found.
    pub found: Vec<ITwin>,
    /// False where the platform stops telling: it names the first 10 000 at most.
    pub complete: bool,
}

/// A ProjectWise work area that an iTwin is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Free text, often empty.
    pub description: String,
    /// The work area's name, often empty.
    pub work_area: String,
    /// What kind of connection the platform calls it.
    pub kind: String,
    /// True for the one that matters most to the iTwin.
    pub primary: bool,
    /// The folder in its datasource; `None` where the platform gives no address that pwfs understands.
    pub address: Option<WsgAddress>,
}

/// The platform, asked as whoever is logged in.
pub struct Platform {
    http: HttpClient,
    tokens: TokenSource,
    /// Scheme, host and port.
    base: Url,
}

/// The media type of the iTwins API; with another one it is as if the address were wrong (projectwise-api 2.1).
const VENDOR: &str = "application/vnd.bentley.itwin-platform.v1+json";

/// Rows of a page: the platform's own links ask for so many.
const PAGE: usize = 100;

/// The most iTwins the platform tells of (`X-Max-Return`, projectwise-api 2.2). Beyond it paging silently stops.
const MOST_ITWINS: usize = 10_000;

/// The most pages of connections that are followed. Pages of one row and a hundred connections would be many already.
const MOST_PAGES: usize = 1000;

impl Platform {
    /// The platform that takes the tokens of `issuer`.
    pub fn of_issuer(http: HttpClient, tokens: TokenSource, issuer: &str) -> Result<Self, PlatformError> {
        let base = base_of(issuer).ok_or_else(|| PlatformError::NoPlatform(issuer.to_owned()))?;
        Ok(Self { http, tokens, base })
    }

    /// The projects the caller is a member of; with `search` those whose name or number holds it.
    pub async fn my_itwins(&self, search: Option<&str>) -> Result<ITwins, PlatformError> {
        const WHAT: &str = "the list of your iTwins";
        let search = search.map_or_else(String::new, |text| {
            let text: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            format!("&$search={text}")
        });
        let headers = [
            ("Accept", VENDOR.to_owned()),
            ("X-Max-Return", MOST_ITWINS.to_string()),
        ];
        let (mut found, mut seen): (Vec<ITwin>, HashSet<String>) = (Vec::new(), HashSet::new());
        let (mut skip, mut most) = (0, MOST_ITWINS);
        loop {
            let mut url = self.url(&["itwins", ""]);
            url.set_query(Some(&format!(
                "subClass=Project&$top={PAGE}&$skip={skip}{search}"
            )));
            let response = self.get(&url, &headers, WHAT).await?;
            // It repeats what it obeys, which may be less.
            let obeyed = response
                .header("X-Max-Return")
                .and_then(|text| text.trim().parse().ok());
            most = obeyed.map_or(most, |obeyed| most.min(obeyed));
            let page = wire::itwins(&response.body).map_err(protocol(WHAT))?;
            let rows = page.rows.len();
            let before = found.len();
            found.extend(
                page.rows
                    .into_iter()
                    .filter(|itwin| seen.insert(itwin.id.clone())),
            );
            if rows > 0 && found.len() == before {
                // It does not page. What is missing cannot be known.
                return Err(protocol(WHAT)("the same page comes again".to_owned()));
            }
            skip += rows;
            if rows == 0 || (rows < PAGE && !page.has_next) || skip >= most {
                break;
            }
        }
        Ok(ITwins {
            complete: skip < most,
            found,
        })
    }

    /// The work areas that an iTwin is connected to; the primary one first.
    pub async fn connections(&self, itwin: &ITwin) -> Result<Vec<Connection>, PlatformError> {
        let what = format!("the work areas of the iTwin {:?}", itwin.name);
        let headers = [("Accept", "application/json".to_owned())];
        let first = self.url(&["workarea", "v1", "projects", &itwin.id, "connections"]);
        let (mut found, mut asked) = (Vec::new(), HashSet::new());
        let mut url = first.clone();
        while asked.insert(url.clone()) {
            if asked.len() > MOST_PAGES {
                return Err(protocol(&what)(format!("it has more than {MOST_PAGES} pages")));
            }
            let page =
                wire::connections(&self.get(&url, &headers, &what).await?.body).map_err(protocol(&what))?;
            found.extend(page.rows);
            url = match page.next {
                None => {
                    found.sort_by_key(|connection| !connection.primary);
                    return Ok(found);
                }
                Some(wire::Next::Token(token)) => {
                    let mut url = first.clone();
                    url.query_pairs_mut().append_pair("continuationToken", &token);
                    url
                }
                // The token goes nowhere else.
                Some(wire::Next::Link(link)) => url
                    .join(&link)
                    .ok()
                    .filter(|next| next.origin() == self.base.origin())
                    .ok_or_else(|| protocol(&what)("its next page is elsewhere".to_owned()))?,
            };
        }
        Err(protocol(&what)("the same page comes again".to_owned()))
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// The answer to a GET. A token that is refused is replaced once.
    async fn get(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        what: &str,
    ) -> Result<Response, PlatformError> {
        match self.attempt(url, headers, what).await {
            Err((PlatformError::Remote(RemoteError::LoginRequired(_)), Some(used))) => {
                self.tokens.reject(&used);
                self.attempt(url, headers, what).await.map_err(|(error, _)| error)
            }
            outcome => outcome.map_err(|(error, _)| error),
        }
    }

    /// One request; of one that was refused, the token it carried as well.
    async fn attempt(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        what: &str,
    ) -> Result<Response, (PlatformError, Option<crate::auth::Authorization>)> {
        let authorization = self
            .tokens
            .authorization()
            .await
            .map_err(|error| (PlatformError::from(without_token(error)), None))?;
        let header = authorization.header();
        if !header.expose().starts_with("Bearer ") {
            // A ProjectWise account's password is nobody's business here.
            return Err((PlatformError::NoApp, None));
        }
        let request = Request {
            headers: headers.to_vec(),
            authorization: Some(header),
            ..Request::get(Lane::Metadata, url.clone())
        };
        match self.http.send(request).await {
            Ok(response) if response.status == 200 => Ok(response),
            Ok(response) => Err((failure_of(&response, what), Some(authorization))),
            Err(error) => Err((PlatformError::from(without_answer(error)), None)),
        }
    }
}

/// The address of the platform beside an identity provider (projectwise-api 2.1). A provider on this machine is the
/// simulator's, whose platform is at the same place.
fn base_of(issuer: &str) -> Option<Url> {
    let issuer = Url::parse(issuer).ok()?;
    let base = match issuer.host_str()? {
        "ims.bentley.com" | "imsoidc.bentley.com" => "https://api.bentley.com/",
        "qa-ims.bentley.com" | "qa-imsoidc.bentley.com" => "https://qa-api.bentley.com/",
        _ if crate::http::is_loopback(&issuer) => {
            return Url::parse(&format!("{}/", issuer.origin().ascii_serialization())).ok();
        }
        _ => return None,
    };
    Url::parse(base).ok()
}

/// Makes the error of an answer that cannot be right.
fn protocol(what: &str) -> impl Fn(String) -> PlatformError {
    move |reason| PlatformError::Remote(RemoteError::Protocol(format!("{what}: {reason}").into()))
}

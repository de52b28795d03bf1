//! WSG addresses: server, API version, repository, maybe a folder or document.
//!
//! Facts: projectwise-api 1.1 and 1.2. `{server}/v2.8/Repositories/{id}/PW_WSG/Project/{guid}`, where `{server}`
//! may have any path prefix, `/v` may be `/sv`, and the fixed words come in any case. What else people paste is read
//! in `remote/link.rs`.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::http::Network;
use crate::model::{DocumentId, FolderId, Guid, ObjectId};

/// A parsed datasource URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WsgAddress {
    /// Scheme, host, port and path prefix; never ends in `/`.
    server: String,
    /// The API version the URL names.
    pub version: Option<VersionPath>,
    /// The repository id, tilde-encoded as the server wants it.
    pub repository: Option<String>,
    /// The folder or document a deeper URL leads to.
    pub object: Option<ObjectId>,
}

/// The path segment that selects the Web API: `v2.8` or `sv1.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionPath {
    /// Plain (`v`) or service (`sv`) version.
    pub scheme: VersionScheme,
    /// The version itself.
    pub version: ApiVersion,
}

/// How a server names its versions in URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionScheme {
    /// `/v2.8/`: the Web API's own version.
    Api,
    /// `/sv1.1/`: a deployment with versions of its own (WSG 2.5 and later).
    Service,
}

/// A Web API version, such as 2.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// 2, for every server pwfs can talk to.
    pub major: u16,
    /// 0 to 8 are known.
    pub minor: u16,
}

/// Why a text is not a datasource URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL at all.
    #[error("{text:?} is not a URL ({reason})")]
    NotAUrl {
        /// What was given, without what may be secret.
        text: String,
        /// What the parser says.
        reason: String,
    },
    /// It is neither https nor http.
    #[error("{0:?} is not an https URL")]
    Scheme(String),
    /// It would carry the login in the clear, and the network's settings do not permit that.
    #[error(
        "{0:?} would send the login unencrypted, for everyone on the way to read and use; use https, or permit it with \
             --allow-plain-http"
    )]
    Insecure(String),
    /// It holds a user name or password.
    #[error("the URL holds a user name or password; remove it, the login is kept elsewhere")]
    Credentials,
    /// The path after `Repositories` has no id pwfs understands.
    #[error("{0:?} is not a repository id (expected <plug-in>--<location>)")]
    Repository(String),
    /// What follows `Project` or `Document` is no GUID: the URL was cut short, perhaps. Leaving it out would lead elsewhere.
    #[error("{0:?} is not the GUID of a folder or document; the URL may have been cut short")]
    Object(String),
}

impl WsgAddress {
    /// Reads a URL in any of the forms above; `https://` is implied where no scheme is given. Whether a login may be sent
    /// there is [`WsgAddress::permitted`]'s to say.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let url = Url::parse(&with_scheme).map_err(|error| AddressError::NotAUrl {
            text: shown(text),
            reason: error.to_string(),
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        if !matches!(url.scheme(), "https" | "http") {
            return Err(AddressError::Scheme(shown(text)));
        }

        let segments: Vec<&str> = url
            .path()
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect();
        let repositories = segments
            .iter()
            .rposition(|segment| segment.eq_ignore_ascii_case(REPOSITORIES));
        if repositories.is_none() && has_escaped_repositories(url.path()) {
            // The path went through an encoder that took its slashes for text.
            let path = decoded(url.path());
            return Self::parse(&format!("{}://{}{path}", url.scheme(), url.authority()));
        }
        // The version stands right before `Repositories`; without one, the last segment that looks like a version
        // does, as a prefix may hold another (`/v1.0/ws/v2.8`), if nothing but its plug-ins follows.
        let version_at = match repositories {
            Some(at) => at
                .checked_sub(1)
                .filter(|before| VersionPath::parse(segments[*before]).is_some()),
            None => segments
                .iter()
                .rposition(|segment| VersionPath::parse(segment).is_some())
                .filter(|at| match segments.get(at + 1) {
                    None => true,
                    Some(next) => next.eq_ignore_ascii_case("Plugins"),
                }),
        };
        let version = version_at.and_then(|at| VersionPath::parse(segments[at]));
        let prefix_len = version_at.or(repositories).unwrap_or(segments.len());
        let deeper = repositories.map_or(&segments[..0], |at| &segments[at + 1..]);

        let mut server = format!("{}://{}", url.scheme(), url.authority());
        for segment in &segments[..prefix_len] {
            server.push('/');
            server.push_str(segment);
        }
        let repository = match deeper.first() {
            Some(segment) => Some(repository_id(segment)?),
            None => None,
        };
        Ok(Self {
            server,
            version,
            repository,
            object: object_of(deeper)?,
        })
    }

    /// The address, if a login may be sent to it over `network`.
    pub fn permitted(self, network: &Network) -> Result<Self, AddressError> {
        match Url::parse(&self.server) {
            Ok(url) if network.permits(&url) => Ok(self),
            Ok(_) | Err(_) => Err(AddressError::Insecure(self.server)),
        }
    }

    /// The address of the same server with this repository, and nothing deeper.
    #[must_use]
    pub fn with_repository(&self, id: &str) -> Self {
        Self {
            repository: Some(id.to_owned()),
            object: None,
            ..self.clone()
        }
    }

    /// True for a host alone, without path, version and repository: where its gateway is, is still to be found.
    pub fn is_bare(&self) -> bool {
        let after_scheme = self.server.split_once("://").map_or("", |(_, rest)| rest);
        self.version.is_none() && self.repository.is_none() && !after_scheme.contains('/')
    }

    /// Scheme, host, port and path prefix, without a `/` at the end.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// `server:datasource` of the repository, decoded.
    pub fn location(&self) -> Option<String> {
        let (_, location) = self.repository.as_deref()?.split_once("--")?;
        Some(tilde_decode(location))
    }
}

impl fmt::Display for WsgAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server)?;
        if let Some(version) = self.version {
            write!(f, "/{version}")?;
        }
        if let Some(repository) = &self.repository {
            write!(f, "/Repositories/{repository}")?;
        }
        match self.object {
            Some(ObjectId::Folder(folder)) => write!(f, "/PW_WSG/Project/{folder}"),
            Some(ObjectId::Document(document)) => write!(f, "/PW_WSG/Document/{document}"),
            None => Ok(()),
        }
    }
}

impl FromStr for WsgAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl VersionPath {
    fn parse(segment: &str) -> Option<Self> {
        let lower = segment.to_ascii_lowercase();
        let (scheme, digits) = match lower.strip_prefix("sv") {
            Some(digits) => (VersionScheme::Service, digits),
            None => (VersionScheme::Api, lower.strip_prefix('v')?),
        };
        Some(Self {
            scheme,
            version: digits.parse().ok()?,
        })
    }
}

impl fmt::Display for VersionPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            VersionScheme::Api => write!(f, "v{}", self.version),
            VersionScheme::Service => write!(f, "sv{}", self.version),
        }
    }
}

/// The text is not `major.minor`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version (expected, for example, 2.8)")]
pub struct InvalidVersion(String);

impl FromStr for ApiVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let number = |digits: &str| {
            // `parse` alone would take a sign.
            if digits.bytes().all(|byte| byte.is_ascii_digit()) {
                digits.parse().ok()
            } else {
                None
            }
        };
        text.split_once('.')
            .and_then(|(major, minor)| {
                Some(Self {
                    major: number(major)?,
                    minor: number(minor)?,
                })
            })
            .ok_or_else(|| InvalidVersion(text.to_owned()))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Decodes a repository's location: percent-encoding with `~` for `%`; what is no escape stays as it is.
pub(super) fn tilde_decode(text: &str) -> String {
    unescape(text, b'~')
}

/// Decodes `mark` and two hex digits each into a byte.
fn unescape(text: &str, mark: u8) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == mark)
            .then(|| bytes.get(at + 1..at + 3).and_then(hex_byte))
            .flatten();
        if let Some(byte) = escaped {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Encodes a location as part of a repository id.
pub(super) fn tilde_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            encoded.push(char::from(byte));
        } else {
            escape(b'~', byte, &mut encoded);
        }
    }
    encoded
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let &[high, low] = digits else { return None };
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The fixed word before a repository's id.
const REPOSITORIES: &str = "Repositories";

/// True where `/Repositories/` hides behind percent-encoded slashes.
fn has_escaped_repositories(path: &str) -> bool {
    let whole = decoded(path).to_ascii_lowercase();
    // One slash at least must have come to light, or decoding would change nothing.
    whole.contains("/repositories") && whole.matches('/').count() > path.matches('/').count()
}

/// `text` without percent-encoding, however often it was encoded: for text that holds no `%` of its own, as ids, which
/// write `~25`.
pub(in crate::remote) fn decoded(text: &str) -> String {
    /// Encoded by a browser, a mail program and a chat in turn; more is nothing a person pasted.
    const MOST: usize = 4;
    let mut text = text.to_owned();
    for _ in 0..MOST {
        let plainer = unescape(&text, b'%');
        if plainer == text {
            break;
        }
        text = plainer;
    }
    text
}

/// The id in a URL's segment, with what a browser or a person left unescaped escaped again.
fn repository_id(segment: &str) -> Result<String, AddressError> {
    let text = decoded(segment);
    let Some((plugin, location)) = text.split_once("--") else {
        return Err(AddressError::Repository(shown(&text)));
    };
    if plugin.is_empty() || location.is_empty() {
        return Err(AddressError::Repository(shown(&text)));
    }
    // Only what cannot stand in an id is touched: the id is the server's, and its `~3A` stays `~3A`.
    let escaped = |part: &str| {
        let mut id = String::with_capacity(part.len());
        for character in part.chars() {
            if character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~') {
                id.push(character);
            } else {
                id.push_str(&tilde_encode(character.encode_utf8(&mut [0; 4])));
            }
        }
        id
    };
    Ok(format!("{}--{}", escaped(plugin), escaped(location)))
}

/// The last `Project/{guid}` or `Document/{guid}` after the repository, with or without schema and `!poly`.
fn object_of(deeper: &[&str]) -> Result<Option<ObjectId>, AddressError> {
    let mut object = None;
    for pair in deeper.windows(2) {
        let is_folder = is_class(pair[0], "Project");
        let id = decoded(pair[1]);
        // `$query`, `$count`: operations on all of them.
        if id.starts_with('$') || !(is_folder || is_class(pair[0], "Document")) {
            continue;
        }
        let guid: Guid = id.parse().map_err(|_| AddressError::Object(shown(&id)))?;
        object = Some(if is_folder {
            ObjectId::Folder(FolderId(guid))
        } else {
            ObjectId::Document(DocumentId(guid))
        });
    }
    Ok(object)
}

/// True for `Project`, `PW_WSG.Project` and either with `!poly`, in any case.
fn is_class(segment: &str, class: &str) -> bool {
    let lower = decoded(segment).to_ascii_lowercase();
    let bare = lower.strip_suffix("!poly").unwrap_or(&lower);
    bare.strip_prefix("pw_wsg.")
        .unwrap_or(bare)
        .eq_ignore_ascii_case(class)
}

/// Writes `byte` as `mark` and two hex digits.
pub(in crate::remote) fn escape(mark: u8, byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push(char::from(mark));
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// What was given, as far as it may be shown: a pasted URL may hold a password, or a token in its query.
pub(in crate::remote) fn shown(text: &str) -> String {
    // An encoder hides the marks that secrets stand behind.
    let text = decoded(text);
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match text.rsplit_once('@') {
        Some((secret, rest)) => {
            let scheme = secret.find("://").map_or("", |end| &secret[..end + 3]);
            format!("{scheme}…@{rest}")
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        text: &str,
        server: &str,
        version: Option<&str>,
        repository: Option<&str>,
        folder: Option<&str>,
    ) {
        let address = WsgAddress::parse(text).unwrap();
        assert_eq!(address.server(), server);
        assert_eq!(
            address.version.map(|version| version.to_string()).as_deref(),
            version
        );
        assert_eq!(address.repository.as_deref(), repository);
        let found = address.object.map(|object| match object {
            ObjectId::Folder(folder) => folder.to_string(),
            ObjectId::Document(document) => format!("document {document}"),
        });
        assert_eq!(found.as_deref(), folder);
    }

    const ID: &str = "Bentley.PW--acme-pw.bentley.com~3Aacme-pw-01";
    const GUID: &str = "60e9dda5-5297-4916-9739-0e40fd00a4b8";

    #[test]
    fn every_form_people_paste_is_read() {
        let server = "https://acme-pw-ws.bentley.com/ws";
        check(server, server, None, None, None);
        check(&format!("{server}/"), server, None, None, None);
        check("acme-pw-ws.bentley.com/ws", server, None, None, None);
        check(&format!("{server}/v2.8"), server, Some("v2.8"), None, None);
        check(
            &format!("{server}/V2.8/Repositories/"),
            server,
            Some("v2.8"),
            None,
            None,
        );
        check(
            &format!("{server}/v2.8/repositories/{ID}"),
            server,
            Some("v2.8"),
            Some(ID),
            None,
        );
        check(
            &format!("{server}/SV1.1/REPOSITORIES/{ID}/"),
            server,
            Some("sv1.1"),
            Some(ID),
            None,
        );
        check(
            &format!("{server}/v2.8/repositories/{ID}/PW_WSG/Project/{GUID}?$select=*#x"),
            server,
            Some("v2.8"),
            Some(ID),
            Some(GUID),
        );
        check(
            &format!("{server}/v2.8/repositories/{ID}/PW_WSG/Project/%7B{GUID}%7D/Document"),
            server,
            Some("v2.8"),
            Some(ID),
            Some(GUID),
        );
        check(
            "http://localhost:8080/deep/v1.0/bwsg/v2.5/Repositories/pw--a~3Ab",
            "http://localhost:8080/deep/v1.0/bwsg",
            Some("v2.5"),
            Some("pw--a~3Ab"),
            None,
        );
        check(
            &format!("{server}/Repositories/{ID}"),
            server,
            None,
            Some(ID),
            None,
        );
    }

    #[test]
    fn an_id_with_unescaped_characters_is_escaped_and_the_rest_kept() {
        let parsed = |id: &str| {
            WsgAddress::parse(&format!("https://h/ws/v2.8/Repositories/{id}"))
                .unwrap()
                .repository
                .unwrap()
        };
        assert_eq!(parsed("Bentley.PW--h%3Ads"), "Bentley.PW--h~3Ads");
        assert_eq!(parsed("Bentley.PW--h:ds%20x"), "Bentley.PW--h~3Ads~20x");
        assert_eq!(parsed("Bentley.PW--h%7E3Ads"), "Bentley.PW--h~3Ads");
        assert_eq!(parsed("A--Boo--Foo.com~3AFoo"), "A--Boo--Foo.com~3AFoo");
    }

    #[test]
    fn a_location_is_decoded_and_encoded() {
        for (id, location) in [
            ("A--Boo--Foo.com~3AFoo", "Boo--Foo.com:Foo"),
            ("A--http~3A~2F~2Fpw_edge", "http://pw_edge"),
            ("A--50~25~20off", "50% off"),
            ("A--not~ZZan~", "not~ZZan~"),
            ("A--~C3~A4", "ä"),
        ] {
            let address = WsgAddress::parse(&format!("https://h/v2.8/Repositories/{id}")).unwrap();
            assert_eq!(address.location().as_deref(), Some(location), "{id}");
            assert_eq!(tilde_decode(&tilde_encode(location)), location);
        }
        assert_eq!(
            tilde_encode("acme-pw.bentley.com:acme pw/1%"),
            "acme-pw.bentley.com~3Aacme~20pw~2F1~25"
        );
    }

    #[test]
    fn what_is_no_datasource_url_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "is not a URL"),
            ("ftp://h/ws", "is not an https URL"),
            ("https://user:pw@h/ws", "user name or password"),
            (
                "https://h/ws/v2.8/Repositories/nonsense",
                "is not a repository id",
            ),
            ("https://h/ws/v2.8/Repositories/--x", "is not a repository id"),
        ] {
            let error = WsgAddress::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_login_goes_unencrypted_to_this_machine_only_unless_that_is_permitted() {
        let permitted = |text: &str, allow_plain_http| {
            let network = Network {
                allow_plain_http,
                ..Network::default()
            };
            WsgAddress::parse(text).unwrap().permitted(&network)
        };
        let error = permitted("http://server.example/ws/v2.8", false)
            .unwrap_err()
            .to_string();
        for words in ["unencrypted", "--allow-plain-http", "http://server.example/ws"] {
            assert!(error.contains(words), "{error}");
        }
        permitted("http://server.example/ws", true).unwrap();
        for text in ["https://server.example/ws", "http://127.0.0.1:80/ws"] {
            assert_eq!(permitted(text, false), WsgAddress::parse(text));
        }
    }

    #[test]
    fn an_address_prints_as_it_is_read() {
        let text = format!("https://h:8443/ws/sv2.8/Repositories/{ID}/PW_WSG/Project/{GUID}");
        let address = WsgAddress::parse(&text).unwrap();
        assert_eq!(address.to_string(), text);
        assert_eq!(WsgAddress::parse(&address.to_string()), Ok(address));
    }

    #[test]
    fn what_cannot_be_read_is_shown_without_its_secrets() {
        for text in [
            "https://me:s3cret@ho st/ws",
            "https://me:s3/cr@s3cret@host:port/ws",
            "gopher://example.com/ws?token=s3cret",
            "ftp://example.com/ws#s3cret",
            "me:s3cret@ho st",
        ] {
            let error = WsgAddress::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
        let address = WsgAddress::parse("http://example.com/ws?token=s3cret").unwrap();
        let error = address.permitted(&Network::default()).unwrap_err();
        assert!(error.to_string().contains("example.com/ws"), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
}

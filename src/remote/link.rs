//! What people paste to name a datasource: gateway addresses, ProjectWise links, and both as mails and chats mangle them.
//!
//! Reads only; asks nobody. Where a link leads is found out in `daemon/resolve.rs`. Facts: projectwise-api 1.1, 1.2 and 4
//! ("Links"); docs/datasource.md lists the forms for users.

use std::fmt;

use url::Host;

use crate::model::{DocumentId, FolderId, Guid, ObjectId};

use super::wsg::address::{decoded, escape, shown};
use super::wsg::{AddressError, DatasourceName, WsgAddress};

mod paste;
#[cfg(test)]
mod tests;

/// A datasource as somebody named it. Its text form is read back as the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatasourceLink {
    /// By the address of its gateway, at any depth.
    Wsg(WsgAddress),
    /// By the name of its ProjectWise server; which gateway serves it is not said.
    Pw(PwLink),
}

/// A `pw:` link, or `server:datasource` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PwLink {
    /// The ProjectWise server. Not the gateway: that may be another host.
    pub server: String,
    /// The datasource's name.
    pub datasource: String,
    /// Where in it the link leads.
    pub place: Place,
}

/// A place in a datasource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Its root.
    Root,
    /// A folder.
    Folder(FolderId),
    /// A document.
    Document(DocumentId),
    /// A folder, or a document in the last of the folders, by raw names from the root.
    Path(Vec<String>),
}

/// Why a text names no datasource. The texts are shown without what may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Nothing was given.
    #[error("the datasource is empty")]
    Empty,
    /// It goes on in another line, and where the link ends is anybody's guess.
    #[error("the text has several lines; give the link alone, or between < and >")]
    SeveralLines,
    /// It is no address of a gateway.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A `pw:` link without a datasource.
    #[error("{0:?} names no datasource (expected pw://server:datasource/…)")]
    NoDatasource(String),
    /// A `pw:` link to something that is no host.
    #[error("{0:?} is not the name of a server")]
    Server(String),
    /// A saved search, a custom folder.
    #[error("the link leads to {0:?}; pwfs shows folders and documents below Documents")]
    NotDocuments(String),
    /// A GUID with names behind it.
    #[error("the link goes on after a GUID; end it there")]
    BeyondGuid,
}

impl DatasourceLink {
    /// Reads any of the forms; what surrounds the link in a mail is left out.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let text = paste::link_in(text)?;
        if let Some(rest) = paste::strip_word(&text, "pw:")
            && rest.starts_with(['/', '\\', '%'])
        {
            return PwLink::parse(rest).map(Self::Pw);
        }
        if let Some(text) = paste::web(&text) {
            return address(&text);
        }
        if let Some(location) = location_of_id(&text) {
            return PwLink::parse(&location).map(Self::Pw);
        }
        if names_a_datasource(&text) {
            return PwLink::parse(&text).map(Self::Pw);
        }
        address(&text)
    }

    /// Where in the datasource it leads.
    pub fn place(&self) -> Place {
        match self {
            Self::Wsg(address) => match address.object {
                Some(ObjectId::Folder(id)) => Place::Folder(id),
                Some(ObjectId::Document(id)) => Place::Document(id),
                None => Place::Root,
            },
            Self::Pw(link) => link.place.clone(),
        }
    }

    /// True where it leads into the datasource of this name, as far as can be said without asking: by its location, and
    /// by the gateway where the link says no more.
    pub fn leads_into(&self, name: &DatasourceName) -> bool {
        let is = |location: &str| name.location.to_lowercase() == location.to_lowercase();
        let address = match self {
            Self::Pw(link) => return is(&link.location()),
            Self::Wsg(address) => address,
        };
        match (address.location(), &address.repository) {
            (Some(location), _) => is(&location),
            (None, Some(id)) => is(id),
            (None, None) => {
                let serves = |server: &str| server.eq_ignore_ascii_case(&name.gateway);
                let usual = address.is_bare().then(|| usual_gateway(address).ok()).flatten();
                serves(address.server()) || usual.is_some_and(|usual| serves(usual.server()))
            }
        }
    }
}

impl fmt::Display for DatasourceLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wsg(address) => address.fmt(f),
            Self::Pw(link) => link.fmt(f),
        }
    }
}

impl PwLink {
    /// Reads what follows `pw:`, with or without slashes of either kind before the server.
    fn parse(rest: &str) -> Result<Self, LinkError> {
        let hidden = ["%5c", "%2f"];
        let rest = if hidden.iter().any(|mark| paste::strip_word(rest, mark).is_some()) {
            decoded_once(rest)
        } else {
            rest.to_owned()
        };
        let rest = rest.trim_start_matches(['/', '\\']);
        let ends = rest.find(['/', '\\']).unwrap_or(rest.len());
        let is_native = rest[ends..].starts_with('\\');
        // Behind a `?` is nothing known, and maybe a secret. Native links are not encoded: all of one is names.
        let rest = if is_native {
            rest
        } else {
            rest.split('?').next().unwrap_or_default()
        };
        let ends = ends.min(rest.len());
        let (server, datasource) = authority(&rest[..ends])?;
        let names: Vec<String> = if is_native {
            rest[ends..].split('\\').map(str::to_owned).collect()
        } else {
            rest[ends..].split('/').map(decoded_once).collect()
        };
        Ok(Self {
            server,
            datasource,
            place: place_of(names)?,
        })
    }

    /// The link to a place in the datasource at a `server:datasource`, as a gateway lists it; `None` where it is no such
    /// text, and so nothing to make a link of.
    pub fn to(location: &str, place: Place) -> Option<Self> {
        // The colons of an IPv6 address are its own.
        let ends = match (location.strip_prefix('['), location.find(']')) {
            (Some(_), Some(end)) => end + 1,
            _ => location.find(':')?,
        };
        let (server, datasource) = location.split_at_checked(ends)?;
        let datasource = datasource.strip_prefix(':')?;
        let is_whole = Host::parse(server).is_ok() && !datasource.is_empty();
        is_whole.then(|| Self {
            server: server.to_owned(),
            datasource: datasource.to_owned(),
            place,
        })
    }

    /// `server:datasource`, as a gateway lists it.
    pub fn location(&self) -> String {
        format!("{}:{}", self.server, self.datasource)
    }

    /// Where the gateway of this server usually is; Bentley's own hosts have a scheme of their own
    /// (projectwise-api 1.1).
    pub fn usual_gateway(&self) -> Result<WsgAddress, AddressError> {
        WsgAddress::parse(&format!("https://{}/ws", gateway_host(&self.server)))
    }
}

impl fmt::Display for PwLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = if self.server.starts_with('[') {
            self.server.clone()
        } else {
            encoded(&self.server)
        };
        write!(f, "pw://{server}:{}/Documents/", encoded(&self.datasource))?;
        match &self.place {
            Place::Root => Ok(()),
            Place::Folder(id) => write!(f, "P{{{id}}}/"),
            Place::Document(id) => write!(f, "D{{{id}}}"),
            Place::Path(names) => {
                let names: Vec<String> = names.iter().map(|name| encoded(name)).collect();
                f.write_str(&names.join("/"))
            }
        }
    }
}

impl Place {
    /// True for anything below the root.
    pub fn is_below_root(&self) -> bool {
        *self != Self::Root
    }
}

/// The address of a gateway, without the marks of the sentence it stood in: no address ends in one.
fn address(text: &str) -> Result<DatasourceLink, LinkError> {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let lower = path.to_ascii_lowercase();
    let server = lower.split("repositories").next().unwrap_or_default();
    if server.contains(char::is_whitespace) {
        return Err(LinkError::Address(AddressError::NotAUrl {
            text: shown(text),
            reason: "there is a blank in it".to_owned(),
        }));
    }
    let mut address = WsgAddress::parse(text)?;
    loop {
        let whole = address.to_string();
        let bare = whole.trim_end_matches(['.', ',', ';']);
        if bare == whole {
            return Ok(DatasourceLink::Wsg(address));
        }
        address = WsgAddress::parse(bare)?;
    }
}

/// Where the gateway of a bare host usually is: `/ws` there, or at its `-ws` twin among Bentley's hosts.
pub fn usual_gateway(bare: &WsgAddress) -> Result<WsgAddress, AddressError> {
    let (scheme, host) = bare
        .server()
        .split_once("://")
        .unwrap_or(("https", bare.server()));
    WsgAddress::parse(&format!("{scheme}://{}/ws", gateway_host(host)))
}

/// `X-pw.bentley.com` is the ProjectWise server, `X-pw-ws.bentley.com` its gateway; elsewhere both are one host.
fn gateway_host(server: &str) -> String {
    let lower = server.to_ascii_lowercase();
    match lower.strip_suffix("-pw.bentley.com") {
        Some(hub) if !hub.is_empty() => format!("{hub}-pw-ws.bentley.com"),
        Some(_) | None => server.to_owned(),
    }
}

/// Splits `server:datasource`.
fn authority(text: &str) -> Result<(String, String), LinkError> {
    let mut plain = decoded_once(text);
    if !plain.contains(':') {
        plain = decoded(&plain);
    }
    if plain.contains('@') {
        return Err(AddressError::Credentials.into());
    }
    // The colons of an IPv6 address are its own.
    let server_ends = match (plain.strip_prefix('['), plain.find(']')) {
        (Some(_), Some(end)) => end + 1,
        _ => plain.find(':').unwrap_or(plain.len()),
    };
    let (server, datasource) = plain.split_at(server_ends);
    let datasource = datasource.strip_prefix(':').unwrap_or_default().trim();
    if server.trim().is_empty() || datasource.is_empty() {
        return Err(LinkError::NoDatasource(shown(text)));
    }
    if Host::parse(server).is_err() {
        return Err(LinkError::Server(shown(server)));
    }
    Ok((server.to_owned(), datasource.to_owned()))
}

/// The place that the names after the datasource lead to.
fn place_of(names: Vec<String>) -> Result<Place, LinkError> {
    let mut names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    let Some(last) = names.last() else {
        return Ok(Place::Root);
    };
    if let Some(place) = by_guid(last) {
        return Ok(place);
    }
    if names.iter().any(|name| by_guid(name).is_some()) {
        return Err(LinkError::BeyondGuid);
    }
    let first = names.remove(0);
    if !first.eq_ignore_ascii_case("Documents") {
        return Err(LinkError::NotDocuments(first));
    }
    Ok(if names.is_empty() {
        Place::Root
    } else {
        Place::Path(names)
    })
}

/// `P{guid}` is a folder, `D{guid}` a document.
fn by_guid(name: &str) -> Option<Place> {
    let name = decoded_once(name);
    let mut characters = name.chars();
    let kind = characters.next()?;
    let guid: Guid = characters.as_str().parse().ok()?;
    match kind {
        'P' | 'p' => Some(Place::Folder(FolderId(guid))),
        'D' | 'd' => Some(Place::Document(DocumentId(guid))),
        _ => None,
    }
}

/// The location in a repository's id that stands alone, `Bentley.PW--server~3Adatasource`.
fn location_of_id(text: &str) -> Option<String> {
    let (plugin, _) = text.split_once("--")?;
    let known = ["Bentley.PW", "pw"];
    if text.contains('/') || !known.iter().any(|name| name.eq_ignore_ascii_case(plugin)) {
        return None;
    }
    // Whether its marks are written as a URL has them is left to the one who knows.
    let address = WsgAddress::parse(&format!("https://localhost/Repositories/{text}")).ok()?;
    let location = address.location()?;
    let (server, datasource) = location.split_once(':')?;
    Some(format!("{}:{}", encoded(server), encoded(datasource)))
}

/// True for `server:datasource…`; `host:8443/ws` is a port.
fn names_a_datasource(text: &str) -> bool {
    let Some((server, rest)) = text.split_once(':') else {
        return false;
    };
    let is_host = !server.is_empty() && Host::parse(server).is_ok();
    let name = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let is_port = name.bytes().all(|byte| byte.is_ascii_digit());
    is_host && !is_port && !text.contains('@') && !rest.starts_with("//")
}

/// Text with each run of `%HH` decoded once: as UTF-8, or byte by byte where it is none, as old clients wrote it
/// (projectwise-api 4).
pub fn decoded_once(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let mut bytes = Vec::new();
        while let Some(byte) = escape_at_start(rest) {
            bytes.push(byte);
            rest = &rest[3..];
        }
        if bytes.is_empty() {
            plain.push('%');
            rest = &rest[1..];
        } else {
            match std::str::from_utf8(&bytes) {
                Ok(run) => plain.push_str(run),
                Err(_) => plain.extend(bytes.iter().copied().map(char::from)),
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn escape_at_start(text: &str) -> Option<u8> {
    let digits = text.strip_prefix('%')?.get(..2)?;
    if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        u8::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

/// Text with all but unreserved characters (RFC 3986) percent-encoded.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            escape(b'%', byte, &mut encoded);
        }
    }
    encoded
}

//! One profile: an app registration, a login and a datasource.

use std::path::PathBuf;

use toml_edit::{Item, TableLike};

use crate::auth::login::{DEFAULT_ISSUER, DEFAULT_REDIRECT_URI, DEFAULT_SCOPES, SERVICE_SCOPES};
use crate::auth::{AuthKind, StoreKind};
use crate::http::Network;
use crate::http::pace::Pace;
use crate::remote::wsg::{ApiVersion, BlobRedirect, PageMode, QueryStyle, RangeMode, WsgOptions};

use super::Field;
use super::freshness::Freshness;
use super::reading::Reading;
use super::schema::{self, folder_tables};
use super::size::Size;

/// What a desktop has; `login` decides anew where there is none.
const DEFAULT_STORE: StoreKind = StoreKind::Keyring;
/// Pages smaller than this only cost requests; larger ones time out at the server (projectwise-api 1.7, 4).
const PAGE_SIZES: std::ops::RangeInclusive<i64> = 2..=10_000;

/// A folder to show at the top of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderChoice {
    /// A path of raw names separated by `/`, or a GUID.
    pub folder: String,
    /// The name to show instead of the folder's own.
    pub alias: Option<String>,
    /// What stands behind it in the file, for people: the path of a folder that is chosen by GUID.
    pub comment: Option<String>,
}

/// One profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// How it signs in.
    pub auth: AuthKind,
    /// The identity provider's address.
    pub issuer: String,
    /// The app's Client ID; empty until the first login.
    pub client_id: String,
    /// The scopes asked for; the working set is kept after a login.
    pub scopes: Vec<String>,
    /// Where the browser comes back to.
    pub redirect_uri: String,
    /// The account's name, where a password is sent.
    pub username: Option<String>,
    /// The file that holds the proof, where one is read from a file.
    pub token_file: Option<PathBuf>,
    /// Where the login is kept. Decided at login; nothing falls back to the other by itself.
    pub credentials: StoreKind,
    /// The datasource URL.
    pub datasource: Option<String>,
    /// The folders to mount; none means all root folders.
    pub folders: Vec<FolderChoice>,
    /// What is fixed of the server's ways.
    pub wsg: WsgOptions,
    /// How the servers are reached.
    pub network: Network,
    /// How fresh its mounts are.
    pub freshness: Freshness,
    /// How its mounts are read.
    pub reading: Reading,
    /// What cached documents may take on the disk in all.
    pub max_cache_size: Option<Size>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            auth: AuthKind::default(),
            issuer: DEFAULT_ISSUER.to_owned(),
            client_id: String::new(),
            scopes: default_scopes(AuthKind::default()),
            redirect_uri: DEFAULT_REDIRECT_URI.to_owned(),
            username: None,
            token_file: None,
            credentials: DEFAULT_STORE,
            datasource: None,
            folders: Vec::new(),
            wsg: WsgOptions::default(),
            network: Network::default(),
            freshness: Freshness::default(),
            reading: Reading::default(),
            max_cache_size: None,
        }
    }
}

/// The scopes of the guide, with a refresh token where one is of use.
fn default_scopes(auth: AuthKind) -> Vec<String> {
    let scopes = match auth {
        AuthKind::Service => SERVICE_SCOPES,
        AuthKind::Web
        | AuthKind::Native
        | AuthKind::Spa
        | AuthKind::Basic
        | AuthKind::Windows
        | AuthKind::Saml
        | AuthKind::Bearer => DEFAULT_SCOPES,
    };
    scopes.split(' ').map(str::to_owned).collect()
}

/// Spellings in the file, one table for reading and writing each.
const STORES: [(&str, StoreKind); 2] = [("keyring", StoreKind::Keyring), ("file", StoreKind::File)];
const STYLES: [(&str, QueryStyle); 3] = [
    ("relationship", QueryStyle::Relationship),
    ("path", QueryStyle::Path),
    ("parentguid", QueryStyle::ParentGuid),
];
const MODES: [(&str, PageMode); 3] = [
    ("auto", PageMode::Auto),
    ("skiptoken", PageMode::SkipToken),
    ("skip", PageMode::Skip),
];
const RANGES: [(&str, RangeMode); 2] = [("ask", RangeMode::Ask), ("whole-files", RangeMode::WholeFiles)];
const REDIRECTS: [(&str, BlobRedirect); 2] =
    [("refuse", BlobRedirect::Refuse), ("allow", BlobRedirect::Allow)];

impl Profile {
    /// Reads a profile's table; its keys are known to be known. `Err` names the key and what it should hold.
    pub(super) fn read(table: &dyn TableLike) -> Result<Self, String> {
        let fallback = Self::default();
        let page_size = match table.get("page_size") {
            None => fallback.wsg.page_size,
            Some(item) => item
                .as_integer()
                .filter(|size| PAGE_SIZES.contains(size))
                .and_then(|size| usize::try_from(size).ok())
                .ok_or_else(|| {
                    format!(
                        "page_size must be a number from {} to {}",
                        PAGE_SIZES.start(),
                        PAGE_SIZES.end()
                    )
                })?,
        };
        let api_version = match text(table, "api_version")? {
            None => None,
            Some(version) => Some(
                version
                    .parse::<ApiVersion>()
                    .map_err(|error| format!("api_version: {error}"))?,
            ),
        };
        let auth = word(table, "auth", &AuthKind::ALL)?.unwrap_or_default();
        let path = |key| Ok::<_, String>(text(table, key)?.map(PathBuf::from));
        Ok(Self {
            auth,
            issuer: text(table, "issuer")?.unwrap_or(fallback.issuer),
            client_id: text(table, "client_id")?.unwrap_or_default(),
            scopes: scopes(table)?.unwrap_or_else(|| default_scopes(auth)),
            redirect_uri: text(table, "redirect_uri")?.unwrap_or(fallback.redirect_uri),
            username: text(table, "username")?,
            token_file: path("token_file")?,
            credentials: word(table, "credentials", &STORES)?.unwrap_or(DEFAULT_STORE),
            datasource: text(table, "datasource")?,
            folders: folders(table)?,
            wsg: WsgOptions {
                query_style: word(table, "query_style", &STYLES)?.unwrap_or_default(),
                page_mode: word(table, "page_mode", &MODES)?.unwrap_or_default(),
                page_size,
                ranges: word(table, "ranges", &RANGES)?.unwrap_or_default(),
                blob_redirect: word(table, "blob_redirect", &REDIRECTS)?.unwrap_or_default(),
                api_version,
            },
            network: Network {
                ca_bundle: path("ca_bundle")?,
                client_certificate: path("client_certificate")?,
                client_key: path("client_key")?,
                proxy: text(table, "proxy")?,
                no_proxy: text(table, "no_proxy")?,
                allow_plain_http: switch(table, "allow_plain_http")?.unwrap_or_default(),
                pace: word(table, "pace", &Pace::ALL)?,
            },
            freshness: Freshness::read(table)?,
            reading: Reading::read(table)?,
            max_cache_size: size(table, "max_cache_size")?,
        })
    }

    /// Every key with its value, in the order they are written. Defaults are left out, except what a login is
    /// bound to: a later default must not move it. Keys of other ways to sign in are left out, too.
    pub(super) fn fields(&self) -> Vec<(&'static str, Field)> {
        let fallback = WsgOptions::default();
        let optional = |text: Option<&str>| text.map_or(Field::Absent, |text| Field::Text(text.to_owned()));
        let wsg = &self.wsg;
        let path = |path: &Option<PathBuf>| optional(path.as_deref().and_then(std::path::Path::to_str));
        let only = |applies: bool, field: Field| if applies { field } else { Field::Absent };
        let (auth, network) = (self.auth, &self.network);
        let [never_download, read_ahead, exec, sha256] = self.reading.fields();
        let [preset, how, metadata_ttl, on_outage, max_stale, refresh_interval] = self.freshness.fields();
        let values = [
            Field::Text(auth.to_string()),
            only(auth.has_app(), Field::Text(self.issuer.clone())),
            only(auth.has_app(), Field::Text(self.client_id.clone())),
            only(auth.has_app(), Field::List(self.scopes.clone())),
            only(auth.has_browser(), Field::Text(self.redirect_uri.clone())),
            only(auth.has_password(), optional(self.username.as_deref())),
            only(auth.has_token_file(), path(&self.token_file)),
            only(
                !auth.has_token_file(),
                Field::Text(spelling(&STORES, self.credentials)),
            ),
            optional(self.datasource.as_deref()),
            unless_default(&STYLES, wsg.query_style),
            unless_default(&MODES, wsg.page_mode),
            match i64::try_from(wsg.page_size) {
                Ok(size) if wsg.page_size != fallback.page_size => Field::Number(size),
                _ => Field::Absent,
            },
            unless_default(&RANGES, wsg.ranges),
            unless_default(&REDIRECTS, wsg.blob_redirect),
            optional(wsg.api_version.map(|version| version.to_string()).as_deref()),
            path(&network.ca_bundle),
            path(&network.client_certificate),
            path(&network.client_key),
            optional(network.proxy.as_deref()),
            optional(network.no_proxy.as_deref()),
            only(network.allow_plain_http, Field::Switch(true)),
            preset,
            how,
            metadata_ttl,
            on_outage,
            max_stale,
            refresh_interval,
            optional(network.pace.map(|pace| pace.to_string()).as_deref()),
            never_download,
            read_ahead,
            exec,
            sha256,
            optional(self.max_cache_size.map(|size| size.to_string()).as_deref()),
            Field::Folders(self.folders.clone()),
        ];
        schema::PROFILE.into_iter().zip(values).collect()
    }
}

pub(super) fn spelling<T: PartialEq + Copy>(words: &[(&str, T)], value: T) -> String {
    words
        .iter()
        .find(|(_, known)| *known == value)
        .map(|(word, _)| (*word).to_owned())
        .expect("each table of words names every variant; a test reads all of them back")
}

fn unless_default<T: PartialEq + Copy + Default>(words: &[(&str, T)], value: T) -> Field {
    if value == T::default() {
        Field::Absent
    } else {
        Field::Text(spelling(words, value))
    }
}

pub(super) fn text(table: &dyn TableLike, key: &str) -> Result<Option<String>, String> {
    match table.get(key) {
        None => Ok(None),
        Some(item) => match item.as_str() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(format!("{key} must be a text")),
        },
    }
}

fn size(table: &dyn TableLike, key: &str) -> Result<Option<Size>, String> {
    match text(table, key)? {
        None => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|error| format!("{key} is {text:?}; {error}")),
    }
}

pub(super) fn switch(table: &dyn TableLike, key: &str) -> Result<Option<bool>, String> {
    match table.get(key) {
        None => Ok(None),
        Some(item) => match item.as_bool() {
            Some(on) => Ok(Some(on)),
            None => Err(format!("{key} must be true or false")),
        },
    }
}

pub(super) fn word<T: Copy>(
    table: &dyn TableLike,
    key: &str,
    words: &[(&str, T)],
) -> Result<Option<T>, String> {
    let Some(text) = text(table, key)? else {
        return Ok(None);
    };
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(Some(*value));
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    Err(format!("{key} is {text:?}; it can be {}", known.join(", ")))
}

/// A list of texts.
pub(super) fn list(table: &dyn TableLike, key: &str) -> Result<Option<Vec<String>>, String> {
    let Some(item) = table.get(key) else {
        return Ok(None);
    };
    item.as_array()
        .and_then(|items| {
            items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect()
        })
        .map(Some)
        .ok_or_else(|| format!("{key} must be a list of texts"))
}

/// A list of texts, or one text as OAuth writes it, with spaces between.
fn scopes(table: &dyn TableLike) -> Result<Option<Vec<String>>, String> {
    let text = table.get("scopes").and_then(Item::as_str);
    let scopes: Vec<String> = match text {
        Some(text) => text.split_whitespace().map(str::to_owned).collect(),
        None => match list(table, "scopes")? {
            None => return Ok(None),
            Some(scopes) => scopes,
        },
    };
    if scopes.is_empty() {
        return Err("scopes must not be empty; leave it out for the usual ones".to_owned());
    }
    Ok(Some(scopes))
}

/// The comment behind a value.
fn comment(item: Option<&Item>) -> Option<String> {
    let behind = item?.as_value()?.decor().suffix()?.as_str()?;
    let text = behind.trim().strip_prefix('#')?.trim();
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn folders(table: &dyn TableLike) -> Result<Vec<FolderChoice>, String> {
    let item = table.get("folders");
    let tables = folder_tables(item);
    let length = match item {
        None => 0,
        Some(Item::ArrayOfTables(tables)) => tables.len(),
        Some(other) => other
            .as_array()
            .ok_or("folders must be a list of tables ([[profiles.NAME.folders]])")?
            .len(),
    };
    if tables.len() != length {
        return Err("each of folders must be a table with the key folder, and perhaps alias".to_owned());
    }
    tables
        .into_iter()
        .map(|choice| {
            Ok(FolderChoice {
                folder: text(choice, "folder")?
                    .filter(|folder| !folder.is_empty())
                    .ok_or("each of folders needs the key folder")?,
                alias: text(choice, "alias")?,
                comment: comment(choice.get("folder")),
            })
        })
        .collect()
}

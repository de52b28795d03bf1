//! What the configuration says, and whether it is enough to sign in and to find a datasource.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use url::Url;

use crate::auth::AuthKind;
use crate::config::{ConfigError, ConfigFile, Profile, is_profile_name};
use crate::http::Network;
use crate::remote::link::{DatasourceLink, LinkError};
use crate::remote::wsg::WsgAddress;

use super::check::{Check, Id, Kind};
use super::remedy;

/// What was said on the command line and in the environment.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The configuration file.
    pub config: PathBuf,
    /// The profile; the file's own choice where absent.
    pub profile: Option<String>,
    /// The datasource, before the profile's.
    pub datasource: Option<String>,
    /// Names of the environment variables that change what pwfs does. Values may be secret, and are not here.
    pub variables: Vec<String>,
    /// Lays flags and environment over the profile's network.
    pub network: Lay,
}

type Laying = dyn Fn(&Network) -> Result<Network, String> + Send + Sync;

/// Makes the network to use of the one a profile has; `Err` says why it cannot be used.
#[derive(Clone)]
pub struct Lay(Arc<Laying>);

impl Lay {
    /// By this rule.
    pub fn by(rule: impl Fn(&Network) -> Result<Network, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(rule))
    }
}

impl Default for Lay {
    fn default() -> Self {
        Self::by(|written| Ok(written.clone()))
    }
}

impl fmt::Debug for Lay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lay")
    }
}

/// What the configuration came to.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) checks: Vec<Check>,
    /// The profile and its name, where there is one.
    pub(super) profile: Option<(String, Profile)>,
    /// Where the datasource is.
    pub(super) address: Option<WsgAddress>,
}

/// Reads the file. Blocks.
pub(super) fn examine(asked: &Asked) -> Settings {
    let mut settings = Settings::default();
    let (file, check) = match ConfigFile::load(&asked.config) {
        Ok(file) => (Some(file), readable(&asked.config)),
        Err(error) => (None, unusable(&asked.config, &error)),
    };
    let can_be_used = check.kind.is_none();
    settings.checks.push(check);
    match file.filter(|_| can_be_used) {
        Some(file) => settings.profile(&file, asked.profile.as_deref(), &asked.network),
        None => settings
            .checks
            .extend([Id::ConfigProfile, Id::ConfigKeys].map(|id| Check::waits(id, Id::ConfigFile))),
    }
    settings.datasource(asked.datasource.as_deref());
    settings.checks.push(environment(&asked.variables));
    settings
}

/// The file was read: is it there, and whose to change?
fn readable(path: &Path) -> Check {
    let id = Id::ConfigFile;
    let shown = path.display();
    let mode = match std::fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o7777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::fail(
                id,
                Kind::Config,
                format!("there is no configuration yet: {shown} does not exist"),
            )
            .remedy(remedy::register())
            .remedy(remedy::PORTAL_ACCESS)
            .remedy(remedy::SIGN_IN_FIRST);
        }
        Err(error) => {
            return Check::fail(id, Kind::Config, format!("{shown} cannot be looked at: {error}"))
                .remedy("make the file and the directories above it readable for this user");
        }
    };
    let octal = format!("{mode:04o}");
    // It holds no secret, but says where the login is sent.
    if mode & 0o022 != 0 {
        return Check::warn(
            id,
            format!("{shown} can be changed by others (its mode is {octal})"),
        )
        .remedy(format!("chmod go-w '{shown}'"))
        .detail("mode", octal);
    }
    Check::pass(id, format!("{shown} (its mode is {octal})")).detail("mode", octal)
}

fn unusable(path: &Path, error: &ConfigError) -> Check {
    let shown = path.display();
    let failed = |words: String| Check::fail(Id::ConfigFile, Kind::Config, words);
    match error {
        ConfigError::Read { source, .. } => failed(format!("{error}: {source}"))
            .remedy(format!("make it readable for this user: chmod u+r '{shown}'")),
        ConfigError::UnknownKey { line, nearest, .. } => {
            let check = failed(error.to_string());
            match nearest {
                Some(known) => check.remedy(format!("write {known} in line {line} of {shown}")),
                None => check.remedy(format!("remove the key in line {line} of {shown}")),
            }
        }
        ConfigError::Invalid { .. } => {
            failed(error.to_string()).remedy(format!("correct what is named here in {shown}"))
        }
        ConfigError::NoHome
        | ConfigError::Write { .. }
        | ConfigError::NoProfile { .. }
        | ConfigError::ChangedMeanwhile(_) => {
            failed(error.to_string()).remedy("name the file with --config FILE")
        }
    }
}

impl Settings {
    fn profile(&mut self, file: &ConfigFile, asked: Option<&str>, lay: &Lay) {
        let name = asked.map_or_else(|| file.default_profile(), str::to_owned);
        let failed = |words: String| Check::fail(Id::ConfigProfile, Kind::Config, words);
        let profile = if is_profile_name(&name) {
            file.profile(&name).map_err(|error| match &error {
                ConfigError::NoProfile { known, .. } if known.is_empty() => failed(error.to_string())
                    .remedy(remedy::register())
                    .remedy(remedy::PORTAL_ACCESS)
                    .remedy(remedy::SIGN_IN_FIRST),
                ConfigError::NoProfile { known, .. } => failed(error.to_string()).remedy(format!(
                    "there are: {}; choose one with --profile, or make it: pwfs --profile {name} login",
                    known.join(", ")
                )),
                _ => failed(error.to_string()).remedy("correct what is named here"),
            })
        } else {
            let words = format!("{name:?} cannot name a profile; use letters, digits, '-', '_' and '.'");
            Err(failed(words).remedy("choose another one with --profile"))
        };
        match profile {
            Ok(profile) => {
                self.checks.push(
                    Check::pass(
                        Id::ConfigProfile,
                        format!("profile {name:?} signs in as {}", profile.auth),
                    )
                    .detail("profile", name.as_str())
                    .detail("auth", profile.auth.to_string()),
                );
                let mut profile = profile;
                self.checks.push(match (lay.0)(&profile.network) {
                    Ok(network) => {
                        profile.network = network;
                        keys(&name, &profile)
                    }
                    Err(words) => Check::fail(Id::ConfigKeys, Kind::Config, words)
                        .remedy("correct what is named here; docs/network.md has the rules"),
                });
                self.profile = Some((name, profile));
            }
            Err(check) => {
                self.checks.push(check);
                self.checks.push(Check::waits(Id::ConfigKeys, Id::ConfigProfile));
            }
        }
    }

    fn datasource(&mut self, asked: Option<&str>) {
        let kept = self
            .profile
            .as_ref()
            .and_then(|(_, profile)| profile.datasource.as_deref());
        let id = Id::ConfigDatasource;
        let Some(text) = asked.or(kept) else {
            let waits = self.profile.is_none().then(|| {
                let first = self.checks.iter().find(|check| check.kind.is_some());
                first.map_or(Id::ConfigProfile, |check| check.id)
            });
            self.checks.push(match waits {
                Some(other) => Check::waits(id, other),
                None => Check::fail(
                    id,
                    Kind::Config,
                    "neither the profile nor the command line names a datasource",
                )
                .remedy(
                    "ask your ProjectWise administrator for the datasource URL, such as \
                         https://example-pw-ws.bentley.com/ws",
                )
                .remedy("see which datasources the server has: pwfs datasources --datasource URL")
                .remedy("keep its URL in the profile (config.toml): datasource = \"URL\""),
            });
            return;
        };
        let network = self.profile.as_ref().map(|(_, profile)| profile.network.clone());
        match address_of(text, &network.unwrap_or_default()) {
            Ok(address) => {
                self.checks.push(
                    Check::pass(id, address.to_string())
                        .detail("url", address.to_string())
                        .detail("server", address.server()),
                );
                self.address = Some(address);
            }
            Err(error) => self.checks.push(
                Check::fail(id, Kind::Config, error.to_string()).remedy(
                    "a datasource URL looks like https://example-pw-ws.bentley.com/ws/v2.8/Repositories/<id>; the part \
                     up to /ws is enough where the server has one datasource",
                ),
            ),
        }
    }
}

/// The gateway's address. That of a ProjectWise link is where its gateway usually is, without the datasource: its id is
/// the gateway's to tell.
fn address_of(text: &str, network: &Network) -> Result<WsgAddress, LinkError> {
    match DatasourceLink::parse(text)? {
        DatasourceLink::Wsg(address) => Ok(address.permitted(network)?),
        DatasourceLink::Pw(link) => Ok(link.usual_gateway()?),
    }
}

/// Whether the profile has what its way of signing in needs.
fn keys(name: &str, profile: &Profile) -> Check {
    let id = Id::ConfigKeys;
    let failed = |words: String| Check::fail(id, Kind::Config, words);
    let auth = profile.auth;
    if auth.has_app() && profile.client_id.is_empty() {
        return failed(format!("profile {name:?} names no Client ID (key client_id)"))
            .remedy(remedy::register())
            .remedy(remedy::PORTAL_ACCESS)
            .remedy(format!(
                "run `{} --client-id YOUR_CLIENT_ID`",
                remedy::login(name)
            ));
    }
    if auth.has_app() {
        match Url::parse(&profile.issuer) {
            Ok(url) if profile.network.permits(&url) => {}
            Ok(_) => {
                return failed(format!(
                    "the issuer {} would get the login unencrypted",
                    profile.issuer
                ))
                .remedy("name an https address (key issuer), or leave the key out for Bentley's own");
            }
            Err(error) => {
                return failed(format!("the issuer {:?} is no address: {error}", profile.issuer))
                    .remedy("correct the key issuer, or leave it out for Bentley's own");
            }
        }
    }
    if auth.has_password() && profile.username.as_deref().is_none_or(str::is_empty) {
        return failed(format!(
            "profile {name:?} names no account (key username), which `auth = \"{auth}\"` needs"
        ))
        .remedy(format!(
            "write username = \"…\" into the profile, or run `{}`",
            remedy::login(name)
        ));
    }
    if auth.has_token_file() {
        match &profile.token_file {
            None => {
                return failed(format!(
                    "profile {name:?} names no file (key token_file), which `auth = \"{auth}\"` needs"
                ))
                .remedy("write token_file = \"/path/to/the/file\" into the profile");
            }
            Some(path) => {
                if let Err(error) = std::fs::File::open(path) {
                    return failed(format!(
                        "the file of key token_file, {}, cannot be read: {error}",
                        path.display()
                    ))
                    .remedy("have whoever makes the token write it there, readable for this user");
                }
            }
        }
    }
    let network = &profile.network;
    let files = [
        ("ca_bundle", &network.ca_bundle),
        ("client_certificate", &network.client_certificate),
        ("client_key", &network.client_key),
    ];
    for (key, path) in files {
        if let Some(path) = path
            && let Err(error) = std::fs::File::open(path)
        {
            return failed(format!(
                "the file of key {key}, {}, cannot be read: {error}",
                path.display()
            ))
            .remedy(format!("put the file there, or correct the key {key}"));
        }
    }
    if network.client_key.is_some() && network.client_certificate.is_none() {
        return failed("the profile has a client_key and no client_certificate".to_owned())
            .remedy("name the certificate the key belongs to: client_certificate");
    }
    if let Some(choice) = profile
        .folders
        .iter()
        .find(|choice| choice.folder.trim_matches('/').is_empty())
    {
        return failed(format!("{:?} in folders names no folder", choice.folder))
            .remedy("write a path of folder names with / between them, or a GUID");
    }
    let check = Check::pass(id, complete(profile));
    if auth.has_app() {
        check
            .detail("client_id", profile.client_id.as_str())
            .detail("issuer", profile.issuer.as_str())
    } else {
        check
    }
}

fn complete(profile: &Profile) -> String {
    match profile.auth {
        AuthKind::Web | AuthKind::Native | AuthKind::Spa | AuthKind::Service => {
            format!("Client ID {} at {}", profile.client_id, profile.issuer)
        }
        AuthKind::Basic | AuthKind::Windows => {
            format!("account {}", profile.username.as_deref().unwrap_or_default())
        }
        AuthKind::Saml | AuthKind::Bearer => format!(
            "token file {}",
            profile
                .token_file
                .as_deref()
                .unwrap_or_else(|| Path::new(""))
                .display()
        ),
    }
}

fn environment(variables: &[String]) -> Check {
    let id = Id::ConfigEnvironment;
    let check = if variables.is_empty() {
        Check::pass(id, "none")
    } else {
        Check::pass(id, variables.join(", "))
    };
    check.detail("variables", variables)
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;
    use std::fs;

    struct Home(tempfile::TempDir);

    impl Home {
        fn with(text: &str) -> Self {
            let home = Self(tempfile::tempdir().unwrap());
            fs::write(home.file(), text).unwrap();
            fs::set_permissions(home.file(), fs::Permissions::from_mode(0o600)).unwrap();
            home
        }

        fn file(&self) -> PathBuf {
            self.0.path().join("config.toml")
        }

        fn asked(&self) -> Asked {
            Asked {
                config: self.file(),
                ..Asked::default()
            }
        }

        fn examine(&self) -> Settings {
            examine(&self.asked())
        }
    }

    fn of(settings: &Settings, id: Id) -> &Check {
        settings.checks.iter().find(|check| check.id == id).unwrap()
    }

    #[track_caller]
    fn fails(settings: &Settings, id: Id, words: &str) {
        let check = of(settings, id);
        assert_eq!(
            (check.outcome, check.kind),
            (Outcome::Fail, Some(Kind::Config)),
            "{check:?}"
        );
        let text = format!("{} {}", check.finding, check.remedy.join(" "));
        assert!(text.contains(words), "{text}");
        assert!(!check.remedy.is_empty(), "{check:?}");
    }

    const APP: &str = "[profiles.default]\nclient_id = \"c\"\n";

    #[test]
    fn a_whole_profile_passes_and_its_datasource_is_read() {
        let home = Home::with(&format!("{APP}datasource = \"https://h.example/ws\"\n"));
        let settings = home.examine();
        assert!(
            settings.checks.iter().all(|check| check.outcome == Outcome::Pass),
            "{:?}",
            settings.checks
        );
        assert_eq!(settings.address.unwrap().server(), "https://h.example/ws");
        let settings = examine(&Asked {
            datasource: Some("https://other.example/ws".to_owned()),
            ..home.asked()
        });
        assert_eq!(
            settings.address.unwrap().server(),
            "https://other.example/ws",
            "the command line goes first"
        );
    }

    #[test]
    fn nothing_configured_leads_to_the_portal_and_the_login() {
        let dir = tempfile::tempdir().unwrap();
        let settings = examine(&Asked {
            config: dir.path().join("config.toml"),
            ..Asked::default()
        });
        fails(&settings, Id::ConfigFile, "needs no Bentley subscription");
        fails(&settings, Id::ConfigFile, "pwfs login --client-id");
        for id in [Id::ConfigProfile, Id::ConfigKeys, Id::ConfigDatasource] {
            assert_eq!(of(&settings, id).waits_for, Some(Id::ConfigFile), "{id:?}");
        }
    }

    #[test]
    fn a_slip_in_a_key_is_told_with_its_line() {
        let settings = Home::with("[profiles.default]\nclientid = \"c\"\n").examine();
        fails(&settings, Id::ConfigFile, "write client_id in line 2");
        let settings = Home::with("[profiles.default\n").examine();
        fails(&settings, Id::ConfigFile, "line 1");
        let settings = Home::with("[profiles.default]\npage_size = 1\n").examine();
        fails(&settings, Id::ConfigFile, "page_size");
    }

    #[test]
    fn a_file_that_others_may_change_is_a_warning() {
        let home = Home::with(APP);
        fs::set_permissions(home.file(), fs::Permissions::from_mode(0o666)).unwrap();
        let settings = home.examine();
        let check = of(&settings, Id::ConfigFile);
        assert_eq!(check.outcome, Outcome::Warn);
        assert!(check.remedy[0].starts_with("chmod go-w"), "{check:?}");
        assert!(settings.profile.is_some(), "and is used all the same");
    }

    #[test]
    fn a_profile_that_is_not_there_is_told_with_those_that_are() {
        let home = Home::with("[profiles.work]\nclient_id = \"c\"\n");
        let named = |name: &str| {
            examine(&Asked {
                profile: Some(name.to_owned()),
                ..home.asked()
            })
        };
        fails(&named("home"), Id::ConfigProfile, "there are: work");
        fails(&named("no good"), Id::ConfigProfile, "cannot name a profile");
        fails(&Home::with("").examine(), Id::ConfigProfile, "Register new");
    }

    #[test]
    fn each_way_to_sign_in_has_keys_of_its_own() {
        for (text, words) in [
            ("", "client_id"),
            ("client_id = \"c\"\nissuer = \"nowhere\"", "issuer"),
            (
                "client_id = \"c\"\nissuer = \"http://ims.example\"",
                "unencrypted",
            ),
            ("auth = \"service\"", "client_id"),
            ("auth = \"basic\"", "username"),
            ("auth = \"windows\"", "username"),
            ("auth = \"saml\"", "token_file"),
            ("auth = \"bearer\"\ntoken_file = \"/not/there\"", "/not/there"),
            ("client_id = \"c\"\nca_bundle = \"/not/there\"", "ca_bundle"),
            (
                "client_id = \"c\"\nclient_key = \"/dev/null\"",
                "client_certificate",
            ),
        ] {
            let settings = Home::with(&format!("[profiles.default]\n{text}\n")).examine();
            fails(&settings, Id::ConfigKeys, words);
        }
        let settings = Home::with("[profiles.default]\nauth = \"basic\"\nusername = \"ann\"\n").examine();
        assert_eq!(of(&settings, Id::ConfigKeys).outcome, Outcome::Pass);
    }

    #[test]
    fn a_datasource_is_needed_and_must_be_an_address() {
        fails(
            &Home::with(APP).examine(),
            Id::ConfigDatasource,
            "pwfs datasources",
        );
        let settings = Home::with(&format!("{APP}datasource = \"http://h.example/ws\"\n")).examine();
        fails(&settings, Id::ConfigDatasource, "unencrypted");
    }

    #[test]
    fn of_the_environment_only_names_are_told() {
        let check = environment(&["PWFS_PROFILE".to_owned(), "HTTPS_PROXY".to_owned()]);
        assert_eq!(check.finding, "PWFS_PROFILE, HTTPS_PROXY");
    }
}

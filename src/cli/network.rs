//! The flags that say how servers are reached, over what the profile says.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::parser::ValueSource;

use crate::http::network::names_login;
use crate::http::pace::Pace;
use crate::http::{Network, Secret};

use super::failure::{CliError, ErrorKind};

const CA_BUNDLE: &str = "ca_bundle";
const CLIENT_CERT: &str = "client_cert";
const CLIENT_KEY: &str = "client_key";
const PROXY: &str = "proxy";
const NO_PROXY: &str = "no_proxy";
const ALLOW_PLAIN_HTTP: &str = "allow_plain_http";
const PACE: &str = "pace";

/// The arguments, as the parser knows them.
const NAMES: [&str; 7] = [
    CA_BUNDLE,
    CLIENT_CERT,
    CLIENT_KEY,
    PROXY,
    NO_PROXY,
    ALLOW_PLAIN_HTTP,
    PACE,
];

/// How servers are reached.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Network options")]
pub struct NetworkArgs {
    /// Certificates (PEM) to trust besides the system's, such as those of a proxy that opens TLS
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "FILE",
        env = "PWFS_CA_BUNDLE"
    )]
    pub ca_bundle: Option<PathBuf>,
    /// Certificate (PEM) to show to servers that ask for one
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "FILE",
        env = "PWFS_CLIENT_CERT"
    )]
    pub client_cert: Option<PathBuf>,
    /// Its private key (PEM), where it does not stand in the same file
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "FILE",
        env = "PWFS_CLIENT_KEY"
    )]
    pub client_key: Option<PathBuf>,
    /// Proxy for all servers, or "none"; a user and password only in the environment
    // Shown nowhere: the environment's may hold a password.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "URL",
        env = "PWFS_PROXY",
        hide_env_values = true,
        value_parser = secret
    )]
    pub proxy: Option<Secret>,
    /// Hosts, domains and networks to reach without the proxy, separated by commas
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "LIST",
        env = "PWFS_NO_PROXY"
    )]
    pub no_proxy: Option<String>,
    /// Let the login go unencrypted to servers that have no https; everyone on the way can read and use it
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "PWFS_ALLOW_PLAIN_HTTP",
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub allow_plain_http: bool,
    /// How fast to ask each server, together with your other mounts and commands: gentle (100 requests a minute), normal
    /// (600), or fast (no limit until the server asks for less) [default: normal]
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "HOW",
        env = "PWFS_PACE",
        value_parser = paces(),
        hide_possible_values = true
    )]
    pub pace: Option<Pace>,
    /// Which of them stand on the command line itself, and not in the environment.
    #[arg(skip)]
    said: Vec<&'static str>,
}

/// The words of a pace. An empty variable is one that is not set, which the parser takes for a word of its own.
fn paces() -> impl clap::builder::TypedValueParser<Value = Pace> {
    PossibleValuesParser::new(Pace::ALL.map(|(word, _)| word)).try_map(|word| word.parse::<Pace>())
}

// An error would show the text.
#[expect(clippy::unnecessary_wraps, reason = "clap calls it")]
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

impl NetworkArgs {
    /// Learns from `matches` which of the values stand on the command line.
    pub fn note_sources(&mut self, matches: &ArgMatches) {
        self.said = NAMES
            .into_iter()
            .filter(|name| matches.value_source(name) == Some(ValueSource::CommandLine))
            .collect();
    }

    /// Refuses a password where everybody of this machine can see it.
    pub fn check(&self) -> Result<(), CliError> {
        let shown = self.said.contains(&PROXY)
            && self
                .proxy
                .as_ref()
                .is_some_and(|proxy| names_login(proxy.expose()));
        if shown {
            let text = "--proxy holds a user or a password, and a command line is for all users of this machine to see";
            return Err(
                CliError::new(ErrorKind::Usage, text).hint("set PWFS_PROXY in the environment instead")
            );
        }
        Ok(())
    }

    /// `file` with what flags and environment say.
    pub fn over(&self, file: &Network) -> Network {
        self.laid_over(file, |_| true)
    }

    /// `file` with what the command line says: what a login that works keeps.
    pub fn to_keep(&self, file: &Network) -> Network {
        self.laid_over(file, |name| self.said.contains(&name))
    }

    fn laid_over(&self, file: &Network, wanted: impl Fn(&'static str) -> bool) -> Network {
        let path = |name, value: &Option<PathBuf>| {
            // An empty variable is one that is not set.
            let path = value
                .as_ref()
                .filter(|path| wanted(name) && !path.as_os_str().is_empty())?;
            // What is kept must mean the same in another directory.
            Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
        };
        let text = |name, value: Option<&str>| {
            let text = value.filter(|text| wanted(name) && !text.is_empty());
            text.map(str::to_owned)
        };
        let mut network = file.clone();
        if let Some(file) = path(CA_BUNDLE, &self.ca_bundle) {
            network.ca_bundle = Some(file);
        }
        if let Some(file) = path(CLIENT_CERT, &self.client_cert) {
            network.client_certificate = Some(file);
            // The key in the profile is that of the certificate in the profile.
            network.client_key = None;
        }
        if let Some(file) = path(CLIENT_KEY, &self.client_key) {
            network.client_key = Some(file);
        }
        if let Some(proxy) = text(PROXY, self.proxy.as_ref().map(Secret::expose)) {
            network.proxy = Some(proxy);
        }
        if let Some(list) = text(NO_PROXY, self.no_proxy.as_deref()) {
            network.no_proxy = Some(list);
        }
        network.allow_plain_http |= self.allow_plain_http && wanted(ALLOW_PLAIN_HTTP);
        if let Some(pace) = self.pace.filter(|_| wanted(PACE)) {
            network.pace = Some(pace);
        }
        network
    }
}

/// The profile's network as it can be used: a path of the file means a place beside the file.
pub fn of_profile(written: &Network, config: &Path) -> Result<Network, CliError> {
    if let Some(proxy) = &written.proxy
        && names_login(proxy)
    {
        let text = format!(
            "proxy in {} holds a user or a password; config.toml holds no secrets",
            config.display()
        );
        return Err(CliError::new(ErrorKind::Config, text)
            .hint("remove it there, and set PWFS_PROXY in the environment"));
    }
    let beside = |path: &Option<PathBuf>| {
        let dir = config.parent().unwrap_or_else(|| Path::new(""));
        path.as_ref().map(|path| dir.join(path))
    };
    Ok(Network {
        ca_bundle: beside(&written.ca_bundle),
        client_certificate: beside(&written.client_certificate),
        client_key: beside(&written.client_key),
        ..written.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use super::*;

    fn parsed(line: &str) -> NetworkArgs {
        let arguments = line.split(' ').map(Into::into);
        Cli::parse_noting_sources(arguments).unwrap().global.network
    }

    fn written() -> Network {
        Network {
            client_certificate: Some("me.pem".into()),
            client_key: Some("me.key".into()),
            proxy: Some("http://p.example".to_owned()),
            ..Network::default()
        }
    }

    #[test]
    fn flags_lie_over_the_profile_before_and_after_the_command() {
        for line in [
            "pwfs --proxy none --allow-plain-http --ca-bundle /ca folders",
            "pwfs folders --proxy none --allow-plain-http --ca-bundle /ca",
            "pwfs --proxy none folders --allow-plain-http --ca-bundle /ca",
        ] {
            let args = parsed(line);
            let network = args.over(&written());
            let expected = Network {
                ca_bundle: Some("/ca".into()),
                proxy: Some("none".to_owned()),
                allow_plain_http: true,
                ..written()
            };
            assert_eq!(network, expected, "{line}");
            assert_eq!(args.to_keep(&written()), expected, "{line}");
        }
        assert_eq!(parsed("pwfs folders").over(&written()), written());
    }

    #[test]
    fn the_key_of_another_certificate_is_not_used() {
        let network = parsed("pwfs folders --client-cert /other.pem").over(&written());
        assert_eq!(network.client_certificate, Some("/other.pem".into()));
        assert_eq!(network.client_key, None);
        let network = parsed("pwfs folders --client-key /new.key").over(&written());
        assert_eq!(network.client_certificate, Some("me.pem".into()));
        assert_eq!(network.client_key, Some("/new.key".into()));
    }

    #[test]
    fn a_path_of_the_file_is_one_beside_the_file() {
        let network = of_profile(&written(), Path::new("/etc/pwfs/config.toml")).unwrap();
        assert_eq!(network.client_key, Some("/etc/pwfs/me.key".into()));
        let network = Network {
            client_key: Some("/keys/me.key".into()),
            ..written()
        };
        let network = of_profile(&network, Path::new("/etc/pwfs/config.toml")).unwrap();
        assert_eq!(network.client_key, Some("/keys/me.key".into()));
    }

    #[test]
    fn a_proxys_password_is_refused_where_it_can_be_seen() {
        let args = parsed("pwfs folders --proxy http://me:s3cret@p.example");
        let error = args.check().unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(!format!("{error:?} {args:?}").contains("s3cret"), "{error:?}");
        let network = Network {
            proxy: Some("http://me:s3cret@p.example".to_owned()),
            ..written()
        };
        let error = of_profile(&network, Path::new("/x/config.toml")).unwrap_err();
        assert_eq!(error.exit_code(), 78);
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}

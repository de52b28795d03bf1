//! A check, what may come of it, and all of them in order.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

/// Declares every check once: its name in the program, its stable id, and its title.
macro_rules! catalogue {
    ($($name:ident = $id:literal, $title:literal;)+) => {
        /// The name of a check. In the order in which they are told.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Id {
            $(#[doc = concat!("`", $id, "`: ", $title)] $name,)+
        }

        impl Id {
            /// Every check, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable name, as `--json` and the manual have it.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// What it finds out, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

catalogue! {
    FuseDevice = "fuse.device", "The FUSE device can be opened";
    FuseHelper = "fuse.helper", "fusermount3 can mount for this user";
    FuseAllowOther = "fuse.allow-other", "Other users can be let in";
    FuseApparmor = "fuse.apparmor", "AppArmor lets fusermount3 mount";
    FuseMountpoint = "fuse.mountpoint", "The directory can be mounted on";
    ConfigFile = "config.file", "The configuration can be read";
    ConfigProfile = "config.profile", "The profile exists";
    ConfigKeys = "config.keys", "The profile has what signing in needs";
    ConfigDatasource = "config.datasource", "A datasource is named";
    ConfigEnvironment = "config.environment", "Environment variables in force";
    IdpDns = "network.idp.dns", "The identity provider's name is known";
    IdpProxy = "network.idp.proxy", "The proxy to the identity provider";
    IdpTcp = "network.idp.tcp", "The identity provider can be connected to";
    IdpTls = "network.idp.tls", "The identity provider's certificate is good";
    IdpHttp = "network.idp.http", "The identity provider itself answers";
    IdpClock = "network.idp.clock", "The clock agrees with the identity provider's";
    WsgDns = "network.wsg.dns", "The server's name is known";
    WsgProxy = "network.wsg.proxy", "The proxy to the server";
    WsgTcp = "network.wsg.tcp", "The server can be connected to";
    WsgTls = "network.wsg.tls", "The server's certificate is good";
    WsgHttp = "network.wsg.http", "The server itself answers";
    WsgClock = "network.wsg.clock", "The clock agrees with the server's";
    LoginDiscovery = "login.discovery", "The identity provider tells its endpoints";
    LoginClient = "login.client", "The identity provider knows the app";
    LoginRedirect = "login.redirect", "The browser can come back to this machine";
    LoginStore = "login.store", "The credential store works and is private";
    LoginRecord = "login.record", "Somebody has signed in";
    LoginSecret = "login.secret", "The secret is accepted";
    LoginToken = "login.token", "The login is good";
    LoginScopes = "login.scopes", "The scopes asked for are granted";
    AccessGateway = "access.gateway", "A Web Services Gateway answers";
    AccessRepository = "access.repository", "The gateway has the datasource";
    AccessAccount = "access.account", "The account is neither locked nor refused";
    AccessScope = "access.scope", "The token's scopes are enough for the datasource";
    AccessApp = "access.app", "The app is whitelisted on the datasource";
    AccessPermission = "access.permission", "The account has permission in the datasource";
    WsgVersion = "wsg.version", "The gateway's version";
    WsgPaging = "wsg.paging", "How long lists are paged";
    WsgPageSize = "wsg.page-size", "The page size is honoured";
    WsgRange = "wsg.range", "Parts of files are given out";
    WsgRedirect = "wsg.redirect", "Where files come from";
    WsgCompression = "wsg.compression", "Lists come compressed";
    WsgProperties = "wsg.properties", "The properties a mount needs are there";
    FoldersChosen = "folders.chosen", "A chosen folder can be read";
    CacheDirectory = "cache.directory", "The cache directory can be used";
    CacheSpace = "cache.space", "There is room for the cache";
    MountsOthers = "mounts.others", "Every mount of pwfs answers";
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// Works, and may not for long, or not for everything.
    Warn,
    /// Must be mended.
    Fail,
    /// Not looked at: something else must be mended first, or nothing of it is wanted.
    Skipped,
}

/// What kind of failure it is; decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything else.
    Failure,
    /// A server cannot be reached.
    Unreachable,
    /// It may work later, unchanged.
    TryAgain,
    /// The login, or what it may do.
    Login,
    /// The configuration.
    Config,
}

/// One check and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Its name.
    pub id: Id,
    /// What it finds out.
    pub title: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// What was found, in a sentence. May hold a server's words.
    pub finding: String,
    /// What to do, one step each; empty where there is nothing to do.
    pub remedy: Vec<String>,
    /// The check that must pass before this one can be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<Id>,
    /// The facts behind the finding, for programs.
    pub details: Map<String, Value>,
    /// Of a failure.
    #[serde(skip)]
    pub kind: Option<Kind>,
}

impl Check {
    fn new(id: Id, outcome: Outcome, finding: impl Into<String>) -> Self {
        Self {
            id,
            title: id.title(),
            outcome,
            finding: finding.into(),
            remedy: Vec::new(),
            waits_for: None,
            details: Map::new(),
            kind: None,
        }
    }

    /// All is well.
    pub fn pass(id: Id, finding: impl Into<String>) -> Self {
        Self::new(id, Outcome::Pass, finding)
    }

    /// It works, and something should be known.
    pub fn warn(id: Id, finding: impl Into<String>) -> Self {
        Self::new(id, Outcome::Warn, finding)
    }

    /// It does not work.
    pub fn fail(id: Id, kind: Kind, finding: impl Into<String>) -> Self {
        Self {
            kind: Some(kind),
            ..Self::new(id, Outcome::Fail, finding)
        }
    }

    /// It cannot be looked at before another check passes.
    pub fn waits(id: Id, other: Id) -> Self {
        Self {
            waits_for: Some(other),
            ..Self::new(id, Outcome::Skipped, format!("waits for {}", other.text()))
        }
    }

    /// There is nothing to look at.
    pub fn not_needed(id: Id, why: impl Into<String>) -> Self {
        Self::new(id, Outcome::Skipped, why)
    }

    /// Adds a step that mends it.
    #[must_use]
    pub fn remedy(mut self, step: impl Into<String>) -> Self {
        self.remedy.push(step.into());
        self
    }

    /// Adds steps that mend it.
    #[must_use]
    pub fn remedies(mut self, steps: impl IntoIterator<Item = String>) -> Self {
        self.remedy.extend(steps);
        self
    }

    /// Adds a fact for programs. Never a secret: everything here is printed.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}

/// The checks made so far, in any order.
#[derive(Debug, Default)]
pub(super) struct Chart(Vec<Check>);

impl Chart {
    pub(super) fn add(&mut self, check: Check) {
        self.0.push(check);
    }

    /// Takes the place of what was found before: more is known now.
    pub(super) fn put(&mut self, check: Check) {
        self.0.retain(|old| old.id != check.id);
        self.0.push(check);
    }

    pub(super) fn extend(&mut self, checks: impl IntoIterator<Item = Check>) {
        self.0.extend(checks);
    }

    /// What stands in the way of whoever needs `id`: that check where it failed, or what it waits for itself.
    pub(super) fn trouble(&self, id: Id) -> Option<Id> {
        let found = self.0.iter().find(|check| check.id == id)?;
        match found.outcome {
            Outcome::Fail => Some(id),
            Outcome::Skipped => found.waits_for,
            Outcome::Pass | Outcome::Warn => None,
        }
    }

    /// The first trouble among `ids`.
    pub(super) fn first_trouble(&self, ids: &[Id]) -> Option<Id> {
        ids.iter().find_map(|id| self.trouble(*id))
    }

    pub(super) fn has(&self, id: Id) -> bool {
        self.0.iter().any(|check| check.id == id)
    }

    /// Closes the chart: what was not looked at is told as such.
    pub(super) fn finish(mut self, requests: u32) -> Report {
        for id in Id::ALL {
            if !self.has(*id) {
                self.add(Check::not_needed(*id, "not looked at: the time was up"));
            }
        }
        // Stable: checks of one name stay in the order they were made in.
        self.0.sort_by_key(|check| check.id);
        Report {
            checks: self.0,
            requests,
        }
    }
}

/// All checks, in order.
#[derive(Debug)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
    /// How many requests they cost.
    pub requests: u32,
}

impl Report {
    /// How many checks came to each outcome.
    pub fn summary(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::from([("fail", 0), ("pass", 0), ("skipped", 0), ("warn", 0)]);
        for check in &self.checks {
            let word = match check.outcome {
                Outcome::Pass => "pass",
                Outcome::Warn => "warn",
                Outcome::Fail => "fail",
                Outcome::Skipped => "skipped",
            };
            *counts.entry(word).or_default() += 1;
        }
        counts
    }

    /// The first check that failed, and of what kind its failure is.
    pub fn first_failure(&self) -> Option<(&Check, Kind)> {
        self.checks
            .iter()
            .find_map(|check| check.kind.map(|kind| (check, kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_written_alike() {
        let mut texts: Vec<_> = Id::ALL.iter().map(|id| id.text()).collect();
        for text in &texts {
            assert!(
                text.contains('.') && text.bytes().all(|b| b.is_ascii_lowercase() || b".-".contains(&b)),
                "{text}"
            );
        }
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Id::ALL.len());
    }

    #[test]
    fn who_waits_waits_for_the_root_of_the_trouble() {
        let mut chart = Chart::default();
        chart.add(Check::fail(Id::WsgDns, Kind::Unreachable, "no such name"));
        let root = chart.trouble(Id::WsgDns).unwrap();
        chart.add(Check::waits(Id::WsgTcp, root));
        chart.add(Check::not_needed(Id::WsgProxy, "none"));
        assert_eq!(chart.trouble(Id::WsgTcp), Some(Id::WsgDns));
        assert_eq!(chart.first_trouble(&[Id::WsgProxy, Id::WsgTcp]), Some(Id::WsgDns));
        assert_eq!(
            chart.trouble(Id::WsgProxy),
            None,
            "what is not needed hinders nobody"
        );
    }

    #[test]
    fn the_report_is_in_order_whole_and_ends_as_its_first_failure() {
        let mut chart = Chart::default();
        chart.add(Check::fail(Id::AccessApp, Kind::Login, "refused"));
        chart.add(Check::fail(Id::ConfigKeys, Kind::Config, "a key is missing"));
        chart.add(Check::warn(Id::CacheSpace, "little room"));
        let report = chart.finish(3);
        assert_eq!(report.checks.len(), Id::ALL.len());
        let (first, kind) = report.first_failure().unwrap();
        assert_eq!((first.id, kind), (Id::ConfigKeys, Kind::Config));
        let summary = report.summary();
        assert_eq!((summary["fail"], summary["warn"], summary["pass"]), (2, 1, 0));
    }
}

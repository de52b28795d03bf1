//! `pwfs doctor`: named checks of everything between this machine and a mounted folder, each with what mends it.
//!
//! Looking for a fault is simple until you consider that:
//! 1. one fault makes ten things fail, and only the first is worth telling: what waits for another check says for which one;
//! 2. whoever looks must not make it worse: nothing is changed, no refresh token is used up without need, and a password
//!    that was refused is not tried again;
//! 3. a network without an answer must not hold up the diagnosis of it: every wait is bounded, and so is their sum;
//! 4. servers do not say what they miss: `access` decides by what their answers exclude, and tells both where two remain.
//!
//! Each file makes its checks from plain facts, so that tests need no server; the facts are gathered beside them. At most
//! [`MOST_REQUESTS`] requests are sent, all of them reads.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::auth::TokenSource;
use crate::config::AppDirs;
use crate::daemon::choose::{FolderChoice, FolderPlace};
use crate::daemon::connect::Account;
use crate::http::{HttpClient, HttpError, Options};
use crate::model::ObjectId;
use crate::remote::wsg::probe::{PageSeen, Seen, Sort, WsgProbe};
use crate::remote::wsg::{WsgAddress, WsgOptions};

pub mod access;
mod caches;
mod capabilities;
pub mod check;
mod folders;
pub mod fuse;
mod gateway;
pub mod network;
mod platform;
mod reach;
mod remedy;
pub mod settings;
mod signin;
mod verdict;

pub use check::{Check, Id, Kind, Outcome, Report};

use check::Chart;
use network::Whose;
use signin::SignedIn;

/// Requests of one run, at most; folders that would exceed it are told as not looked at.
pub const MOST_REQUESTS: u32 = 20;

/// All checks together, at most. A renewal that is under way then has ten seconds more before the program ends, so that a
/// run ends within a minute.
const MOST_TIME: Duration = Duration::from_secs(45);

/// What is to be looked at.
pub struct Patient {
    /// Where pwfs keeps its files.
    pub dirs: AppDirs,
    /// What the command line says.
    pub asked: settings::Asked,
    /// The folders of the command line, before the profile's.
    pub folders: Vec<FolderChoice>,
    /// What is wanted of a mount.
    pub mount: fuse::Wanted,
    /// Where this machine keeps what FUSE needs.
    pub places: fuse::Places,
}

/// Makes every check. `tell` hears what is looked at next.
pub async fn examine(patient: Patient, tell: &(dyn Fn(&str) + Sync)) -> Report {
    let deadline = Instant::now() + MOST_TIME;
    let mut run = Run {
        chart: Chart::default(),
        requests: 0,
        tell,
    };
    // What is found until then is told; what was cut off is told as such.
    let outcome = timeout_at(deadline, run.all(patient)).await;
    if outcome.is_err() {
        tracing::warn!("the time was up before all was looked at");
    }
    run.chart.finish(run.requests)
}

/// One run.
struct Run<'a> {
    chart: Chart,
    requests: u32,
    tell: &'a (dyn Fn(&str) + Sync),
}

/// The client of the doctor: one try, and no long waits, so that a silent server is told as silent.
fn short_client(account: Option<&Account>) -> Result<HttpClient, HttpError> {
    HttpClient::with_options(Options {
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(8),
        total_timeout: Duration::from_secs(12),
        attempts: 1,
        body_limit: 16 << 20,
        network: account
            .map(|account| account.profile.network.clone())
            .unwrap_or_default(),
        pace_dir: account.and_then(|account| account.pace_dir.clone()),
        ..Options::default()
    })
}

impl Run<'_> {
    async fn all(&mut self, patient: Patient) {
        let Patient {
            dirs,
            asked,
            folders,
            mount,
            places,
        } = patient;
        (self.tell)("this machine");
        let cache = dirs.cache.clone();
        let (on_machine, settings) = tokio::join!(
            blocking(move || {
                let mut checks = fuse::checks(&places, &mount);
                checks.extend(caches::checks(&cache));
                checks
            }),
            blocking(move || settings::examine(&asked))
        );
        self.chart.extend(on_machine);
        let settings::Settings {
            checks,
            profile,
            address,
        } = settings;
        self.chart.extend(checks);
        let account = profile.map(|(name, profile)| Account {
            name,
            profile,
            state_dir: dirs.state.clone(),
            pace_dir: Some(dirs.runtime.clone()),
        });
        let clients = short_client(account.as_ref()).and_then(|short| {
            let patient = account.as_ref().map(Account::http).transpose()?;
            Ok((short, patient))
        });
        let (http, patient) = match clients {
            Ok(clients) => clients,
            Err(error) => {
                self.chart.put(no_client(&error));
                self.wait_for(Id::ConfigKeys);
                return;
            }
        };
        let tokens = account
            .as_ref()
            .zip(patient.as_ref())
            .map(|(account, patient)| account.tokens(patient));
        let options = account
            .as_ref()
            .map_or_else(WsgOptions::default, |account| account.profile.wsg.clone());
        let probe = address
            .as_ref()
            .map(|address| WsgProbe::new(http.clone(), address, &options));
        (self.tell)("the network");
        self.network(&http, account.as_ref(), probe.as_ref()).await;
        (self.tell)("the login");
        let signed_in = match (&account, &tokens) {
            (Some(account), Some(tokens)) => {
                let subject = signin::Subject {
                    account,
                    http: &http,
                    tokens,
                };
                signin::examine(&subject, &mut self.chart).await
            }
            _ => {
                let trouble = self.chart.first_trouble(&[Id::ConfigFile, Id::ConfigProfile]);
                let other = trouble.unwrap_or(Id::ConfigProfile);
                self.chart.extend(LOGIN.map(|id| Check::waits(id, other)));
                SignedIn::default()
            }
        };
        self.requests += signed_in.requests;
        (self.tell)("the datasource");
        let (Some(address), Some(probe)) = (&address, &probe) else {
            self.wait_for(Id::ConfigDatasource);
            return;
        };
        let own = account.as_ref().zip(tokens.as_ref());
        let choices = choices(folders, account.as_ref(), address);
        self.server(address, probe, &http, own, &signed_in, &choices)
            .await;
        self.requests += probe.requests();
    }

    /// The ways to both servers, side by side.
    async fn network(&mut self, http: &HttpClient, account: Option<&Account>, probe: Option<&WsgProbe>) {
        let issuer = account
            .filter(|account| account.profile.auth.has_app())
            .and_then(|account| Url::parse(&account.profile.issuer).ok());
        let idp = issuer.as_ref().and_then(discovery);
        // Where a gateway sends whom it does not know (projectwise-api 1.8).
        let own: Vec<String> = ["ims.bentley.com", "qa-ims.bentley.com"]
            .into_iter()
            .chain(issuer.as_ref().and_then(Url::host_str))
            .map(str::to_owned)
            .collect();
        let door = probe.and_then(WsgProbe::door);
        let no_idp = match account {
            Some(account) if !account.profile.auth.has_app() => {
                Err("this profile signs in without an identity provider")
            }
            Some(_) => Ok(Id::ConfigKeys),
            None => Ok(self
                .chart
                .first_trouble(&[Id::ConfigFile, Id::ConfigProfile])
                .unwrap_or(Id::ConfigProfile)),
        };
        let no_door = self
            .chart
            .trouble(Id::ConfigDatasource)
            .unwrap_or(Id::ConfigDatasource);
        let (idp, wsg) = tokio::join!(
            way(http, Whose::Idp, idp.as_ref(), &[], no_idp),
            way(http, Whose::Wsg, door.as_ref(), &own, Ok(no_door))
        );
        for (checks, requests) in [idp, wsg] {
            self.chart.extend(checks);
            self.requests += requests;
        }
    }

    /// The gateway, what it can do, and the folders.
    async fn server(
        &mut self,
        address: &WsgAddress,
        probe: &WsgProbe,
        http: &HttpClient,
        account: Option<(&Account, &TokenSource)>,
        signed_in: &SignedIn,
        choices: &[FolderChoice],
    ) {
        let way = [
            Id::ConfigDatasource,
            Id::WsgDns,
            Id::WsgProxy,
            Id::WsgTcp,
            Id::WsgTls,
            Id::WsgHttp,
        ];
        if let Some(trouble) = self.chart.first_trouble(&way) {
            self.wait_for(trouble);
            return;
        }
        let door = gateway::Door {
            probe,
            address,
            http,
            account,
        };
        let entered = gateway::examine(&door, &mut self.chart, signed_in).await;
        self.requests += entered.requests;
        let (Some(gateway), Some(authorization), Some(first)) =
            (&entered.gateway, &entered.authorization, &entered.folders)
        else {
            let ids = [
                Id::AccessGateway,
                Id::AccessRepository,
                Id::AccessAccount,
                Id::AccessScope,
                Id::AccessApp,
                Id::AccessPermission,
            ];
            let trouble = self.chart.first_trouble(&ids).unwrap_or(Id::AccessGateway);
            if let Some(found) = &entered.gateway
                && found.api.is_some()
            {
                self.chart.add(capabilities::version(found));
            }
            self.wait_for(trouble);
            return;
        };
        (self.tell)("the folders");
        let documents = if self.may_ask(probe, 1 + FILES) {
            probe.documents(authorization).await
        } else {
            unasked()
        };
        let look = folders::Look {
            probe,
            authorization,
            allowance: MOST_REQUESTS.saturating_sub(self.requests + FILES),
            account: signed_in.who.as_deref(),
        };
        let (checks, pages) = folders::examine(&look, choices).await;
        self.chart.extend(checks);
        let all: Vec<&PageSeen> = std::iter::once(&documents).chain(&pages).collect();
        let small = capabilities::smallest(all.iter().copied());
        let files = capabilities::files(probe, small, authorization).await;
        self.chart
            .extend(capabilities::checks(gateway, first, &documents, &all, &files));
    }

    fn may_ask(&self, probe: &WsgProbe, requests: u32) -> bool {
        self.requests + probe.requests() + requests <= MOST_REQUESTS
    }

    /// What was not made yet of the servers waits for `other`, or for what that waits for itself.
    fn wait_for(&mut self, other: Id) {
        let other = self.chart.trouble(other).unwrap_or(other);
        let rest = Id::ALL.iter().filter(|id| is_of_a_server(**id));
        for id in rest {
            if !self.chart.has(*id) {
                self.chart.add(Check::waits(*id, other));
            }
        }
    }
}

/// What a look at a file costs at most.
const FILES: u32 = 2;

const LOGIN: [Id; 8] = [
    Id::LoginDiscovery,
    Id::LoginClient,
    Id::LoginRedirect,
    Id::LoginStore,
    Id::LoginRecord,
    Id::LoginSecret,
    Id::LoginToken,
    Id::LoginScopes,
];

fn is_of_a_server(id: Id) -> bool {
    ["network.", "login.", "access.", "wsg.", "folders."]
        .iter()
        .any(|group| id.text().starts_with(group))
}

/// A page that was not asked for.
fn unasked() -> PageSeen {
    PageSeen {
        seen: Seen {
            sort: Sort::Unreached,
            words: "not asked for, to keep the requests few".to_owned(),
            ..Seen::answered(0)
        },
        entries: Vec::new(),
        top: 0,
        token: None,
        properties: std::collections::BTreeSet::new(),
        compressed: false,
    }
}

fn no_client(error: &HttpError) -> Check {
    Check::fail(
        Id::ConfigKeys,
        Kind::Config,
        format!("no connection can be set up at all: {error}"),
    )
    .remedy("check the keys ca_bundle, client_certificate, client_key and proxy of the profile")
    .remedy("if the system has no certificates, install them (package ca-certificates)")
}

/// Where an identity provider tells its endpoints to everybody.
fn discovery(issuer: &Url) -> Option<Url> {
    let text = issuer.as_str().trim_end_matches('/');
    Url::parse(&format!("{text}/.well-known/openid-configuration")).ok()
}

/// One way and how many requests it cost. `otherwise` is why there is none: the check it waits for, or a reason.
async fn way(
    http: &HttpClient,
    whose: Whose,
    url: Option<&Url>,
    own: &[String],
    otherwise: Result<Id, &str>,
) -> (Vec<Check>, u32) {
    match url {
        Some(url) => {
            let reached = reach::reach(http, url, own).await;
            (network::checks(whose, &reached), 1)
        }
        None => {
            let check = |id| match otherwise {
                Ok(other) => Check::waits(id, other),
                Err(why) => Check::not_needed(id, why),
            };
            (whose.all().map(check).into(), 0)
        }
    }
}

/// The folders to look at: of the command line, else the one the address leads to, else the profile's.
fn choices(asked: Vec<FolderChoice>, account: Option<&Account>, address: &WsgAddress) -> Vec<FolderChoice> {
    if !asked.is_empty() {
        return asked;
    }
    if let Some(ObjectId::Folder(id)) = address.object {
        return vec![FolderChoice {
            place: FolderPlace::Id(id),
            alias: None,
        }];
    }
    let kept = account
        .map(|account| account.profile.folders.as_slice())
        .unwrap_or_default();
    kept.iter()
        // What names no folder was told by config.keys.
        .filter_map(|choice| {
            Some(FolderChoice {
                place: FolderPlace::parse(&choice.folder).ok()?,
                alias: choice.alias.clone(),
            })
        })
        .collect()
}

/// Disk work, where it holds up nobody; a panic in it goes on here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    crate::daemon::blocking(work).await
}

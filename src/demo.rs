//! An embedded ProjectWise: sample project, identity service, Web Services Gateway, and faults on request.
//!
//! Real HTTP on 127.0.0.1. Written from the fact sheet of the protocol alone: it shares no wire type with the
//! client and reads none of its code, so a misreading cannot cancel itself out. It serves `pwfs demo` and the tests:
//!
//! * [`DemoServer`] starts, stops, and says where it is and what was asked of it;
//! * [`World`] is the datasource: what a truthful client should see, and every way it may change meanwhile;
//! * [`Fault`] scripts what goes wrong.
//!
//! Where things are, under [`DemoServer::base_url`]: the identity service at the root (`/connect/…`), the gateway
//! at `/ws`, the admin API at `/admin`.

mod accounts;
mod admin;
mod awkward;
mod bridge;
mod dispatch;
mod fault;
mod files;
mod ims;
pub mod knobs;
mod listener;
pub mod oracle;
mod payload;
mod platform;
mod reply;
mod seed;
mod traffic;
mod world;
mod wsg;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::dispatch::Demo;
use self::fault::FaultTable;
use self::ims::Ims;
use self::ims::grants::{App, Grants};
use self::knobs::{Knobs, Panel};
use self::listener::{CuttableListener, Scissors};
use self::traffic::Traffic;
use self::wsg::Gateway;
use self::wsg::paging::SkipTokens;
use self::wsg::results::Results;

pub use self::accounts::{ACCOUNTS, Account, DEFAULT_EMAIL};
pub use self::fault::{Effect, Fault, FaultId};
pub use self::traffic::{Counters, LoggedRequest, RequestKind};
pub use self::world::{Access, ExpectedDocument, ExpectedFolder, InPlace, World, WorldError};

/// `server:datasource` of the demo; a host that cannot exist outside.
const LOCATION: &str = "pwfs-demo.invalid:leven-estuary";
const NATIVE_CLIENT: &str = "native-pwfs-demo";
const WEB_CLIENT: &str = "webapp-pwfs-demo";
const WEB_SECRET: &str = "demo+secret/with:marks=";
/// What the apps are registered with; the path is the default of Bentley's own libraries.
const REDIRECT_URIS: [&str; 2] = [
    "http://localhost:3301/signin-callback",
    "http://127.0.0.1:3301/signin-callback",
];

/// How the demo behaves.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Active documents; some more are superseded versions. The skeleton needs about 110.
    pub documents: usize,
    /// Folders. The skeleton needs about 60.
    pub folders: usize,
    /// The same seed gives the same world.
    pub seed: u64,
    /// Signs in without showing a page.
    pub auto_consent: bool,
    /// How it settles what the fact sheet leaves open.
    pub knobs: Knobs,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self {
            port: 0,
            documents: 400,
            folders: 60,
            seed: 1,
            auto_consent: true,
            knobs: Knobs::default(),
        }
    }
}

/// A running demo; dropping it stops it.
pub struct DemoServer {
    demo: Arc<Demo>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<io::Result<()>>>,
}

impl DemoServer {
    /// Starts on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// The port cannot be bound.
    pub async fn start(options: DemoOptions) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        let demo = Arc::new(assemble(&options, address));
        let (stop, stopped) = watch::channel(false);
        let mut ended = stopped.clone();
        let app = Router::new()
            .fallback(dispatch::handle)
            .with_state(Arc::clone(&demo))
            .into_make_service_with_connect_info::<Scissors>();
        let listener = CuttableListener::new(listener, stopped);
        let task = Handle::current().spawn(async move {
            tokio::select! {
                result = async { axum::serve(listener, app).await } => result,
                // The sender going away means the same as a stop.
                _ = ended.wait_for(|ended| *ended) => Ok(()),
            }
        });
        Ok(Self {
            demo,
            address,
            stop,
            task: Some(task),
        })
    }

    /// Stops, cuts every connection, and returns when the port is free.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            // It ended by itself or was torn down with its runtime: stopped either way.
            let _stopped = task.await;
        }
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The OAuth issuer: the same as [`DemoServer::base_url`].
    pub fn issuer(&self) -> String {
        self.base_url()
    }

    /// The gateway, `…/ws`.
    pub fn wsg_url(&self) -> String {
        format!("{}{}", self.base_url(), wsg::ROOT)
    }

    /// The id of the one ProjectWise repository.
    pub fn repository_id(&self) -> String {
        self.demo.gateway.repository.clone()
    }

    /// The datasource, `…/ws/v2.8/Repositories/<id>`.
    pub fn datasource_url(&self) -> String {
        let repository = &self.demo.gateway.repository;
        format!("{}/v2.8/Repositories/{repository}", self.wsg_url())
    }

    /// The native app's client id; it has no secret and needs PKCE.
    pub fn native_client_id(&self) -> String {
        NATIVE_CLIENT.to_owned()
    }

    /// The web app's client id and its present secret.
    pub fn web_client(&self) -> (String, String) {
        let app = self.demo.ims.grants.app(WEB_CLIENT);
        let secret = app.and_then(|app| app.secret).unwrap_or_default();
        (WEB_CLIENT.to_owned(), secret)
    }

    /// Registers a redirect URI with both apps; `http://localhost:3301/signin-callback` is registered already.
    pub fn register_redirect_uri(&self, uri: &str) {
        self.demo.ims.grants.register_redirect_uri(uri);
    }

    /// Gives the web app another secret, as an administrator does who rotates it.
    pub fn rotate_web_secret(&self, secret: &str) {
        self.demo.ims.grants.rotate_secret(secret);
    }

    /// Ends every token and code, refresh tokens too: only a new login helps.
    pub fn revoke_all_tokens(&self) {
        self.demo.ims.grants.revoke_all();
    }

    /// Ends every access token; refreshing helps.
    pub fn expire_access_tokens(&self) {
        self.demo.ims.grants.expire_access_tokens();
    }

    /// Scripts a fault; of several that match a request the oldest happens (latencies all do).
    pub fn inject(&self, fault: Fault) -> FaultId {
        self.demo.faults.inject(fault)
    }

    /// Ends one fault and lets go what hangs on it; false if it was not there.
    pub fn clear_fault(&self, id: FaultId) -> bool {
        self.demo.faults.clear(id)
    }

    /// Ends all faults and lets go what hangs on them.
    pub fn clear_faults(&self) {
        self.demo.faults.clear_all();
    }

    /// What was asked since the start or the last reset.
    pub fn requests(&self) -> Counters {
        self.demo.traffic.counters()
    }

    /// The last requests (at most 10 000), oldest first.
    pub fn request_log(&self) -> Vec<LoggedRequest> {
        self.demo.traffic.log()
    }

    /// Forgets counters and log.
    pub fn reset_counters(&self) {
        self.demo.traffic.reset();
    }

    /// Waits until `count` requests of a kind have arrived since the last reset.
    pub async fn wait_for(&self, kind: RequestKind, count: u64) {
        self.demo.traffic.wait_for(kind, count).await;
    }

    /// How the server settles what the fact sheet leaves open, at present.
    pub fn knobs(&self) -> Arc<Knobs> {
        self.demo.knobs.now()
    }

    /// Turns knobs while it runs; the next request sees them.
    pub fn turn(&self, change: impl FnOnce(&mut Knobs)) {
        let turned = self.demo.knobs.turn(|knobs| {
            change(knobs);
            Ok::<_, std::convert::Infallible>(())
        });
        match turned {
            Ok(()) => {}
        }
    }

    /// The datasource.
    pub fn world(&self) -> Arc<World> {
        Arc::clone(self.demo.world())
    }
}

impl Drop for DemoServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn assemble(options: &DemoOptions, address: SocketAddr) -> Demo {
    let issuer = format!("http://{address}");
    let redirect_uris: BTreeSet<_> = REDIRECT_URIS.map(str::to_owned).into();
    let knobs = Arc::new(Panel::new(options.knobs.clone()));
    let app = |client_id: &str, secret: Option<&str>| App {
        client_id: client_id.to_owned(),
        secret: secret.map(str::to_owned),
        redirect_uris: redirect_uris.clone(),
    };
    let apps = vec![app(NATIVE_CLIENT, None), app(WEB_CLIENT, Some(WEB_SECRET))];
    Demo {
        ims: Ims {
            grants: Grants::new(apps, options.knobs.token_lifetime, issuer.clone()),
            issuer,
            auto_consent: options.auto_consent,
        },
        gateway: Gateway {
            world: World::build(options, Arc::clone(&knobs)),
            tokens: SkipTokens::new(),
            results: Results::new(),
            // Tilde encoding: `:` is `~3A` (fact sheet 1.2).
            repository: format!("Bentley.PW--{}", LOCATION.replace(':', "~3A")),
            location: LOCATION.to_owned(),
        },
        faults: FaultTable::new(),
        traffic: Traffic::new(),
        knobs,
        salt: AtomicU64::new(0),
    }
}

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
mod blob;
mod bridge;
mod clock;
mod delivery;
mod dispatch;
mod fault;
mod files;
mod framing;
mod ims;
pub mod knobs;
mod limit;
mod listener;
pub mod oracle;
mod pace;
mod payload;
mod people;
mod platform;
mod reply;
mod scale;
mod script;
mod secret;
mod seed;
mod traffic;
mod transfer;
mod world;
mod wsg;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::clock::Clock;
use self::dispatch::{Demo, Door};
use self::fault::{FaultTable, Recall};
use self::ims::Ims;
use self::knobs::{Knobs, Panel};
use self::limit::Limits;
use self::listener::{CuttableListener, Scissors};
use self::script::Runner;
use self::traffic::Traffic;
use self::wsg::paging::SkipTokens;
use self::wsg::results::Results;
use self::wsg::{Files, Gateway, Lockout};

pub use self::accounts::{ACCOUNTS, Account, DEFAULT_EMAIL};
pub use self::fault::{Chance, Effect, Fault, FaultId};
pub use self::ims::{App, AppError, AppType};
pub use self::script::{Script, ScriptError};
pub use self::traffic::{Counters, LoggedRequest, RequestKind};
pub use self::world::{
    Access, ExpectedDocument, ExpectedFolder, InPlace, WorkflowState, World, WorldError, WorldKind,
};

/// `server:datasource` of the demo; a host that cannot exist outside.
const LOCATION: &str = "pwfs-demo.invalid:leven-estuary";
const NATIVE_CLIENT: &str = "native-pwfs-demo";
const WEB_CLIENT: &str = "webapp-pwfs-demo";
const WEB_SECRET: &str = "demo+secret/with:marks=";
const SPA_CLIENT: &str = "spa-pwfs-demo";
const SERVICE_CLIENT: &str = "service-pwfs-demo";
const SERVICE_SECRET: &str = "demo-service+secret/==";
/// What the apps are registered with; the path is the default of Bentley's own libraries.
const REDIRECT_URIS: [&str; 2] = [
    "http://localhost:3301/signin-callback",
    "http://127.0.0.1:3301/signin-callback",
];
/// Where a browser may go after signing out.
const POST_LOGOUT_URI: &str = "http://localhost:3301/signout-callback";

/// How the demo behaves.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Which datasource it serves; the awkward one has its own numbers of folders and documents.
    pub world: WorldKind,
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
            world: WorldKind::Bridge,
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
        // The second origin: files are kept elsewhere (fact sheet 1.9).
        let blob_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let blob_address = blob_listener.local_addr()?;
        let demo = Arc::new(assemble(&options, address, blob_address));
        // Beside the start, not before it: who never signs in need not wait, and no thread that serves makes the key.
        drop(tokio::task::spawn_blocking(ims::make_key));
        let (stop, stopped) = watch::channel(false);
        let mut ended = stopped.clone();
        let app = |door: Door| {
            Router::new()
                .fallback(dispatch::handle)
                .with_state((Arc::clone(&demo), door))
                .into_make_service_with_connect_info::<Scissors>()
        };
        let main = axum::serve(
            CuttableListener::new(listener, stopped.clone(), Arc::clone(&demo)),
            app(Door::Main),
        );
        let blobs = axum::serve(
            CuttableListener::new(blob_listener, stopped, Arc::clone(&demo)),
            app(Door::Blobs),
        );
        let task = Handle::current().spawn(async move {
            tokio::select! {
                result = async { main.await } => result,
                result = async { blobs.await } => result,
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
        self.demo.scripts.stop();
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

    /// The second origin, where redirects of `$file` lead; without a slash at the end.
    pub fn blob_url(&self) -> String {
        self.demo.gateway.files.blobs.origin().to_owned()
    }

    /// Requests that brought an Authorization header to the second origin, where none belongs.
    pub fn blob_authorization_seen(&self) -> u64 {
        self.demo.gateway.files.blobs.authorization_seen()
    }

    /// Forgets wrong passwords: locked accounts are open again.
    pub fn unlock_accounts(&self) {
        self.demo.lockout.reset();
    }

    /// The OAuth issuer: the same as [`DemoServer::base_url`].
    pub fn issuer(&self) -> String {
        self.base_url()
    }

    /// The gateway, `…/ws`.
    pub fn wsg_url(&self) -> String {
        format!("{}{}", self.base_url(), wsg::ROOT)
    }

    /// The admin API, `…/admin`.
    pub fn admin_url(&self) -> String {
        format!("{}{}", self.base_url(), admin::ROOT)
    }

    /// The id of the one ProjectWise repository.
    pub fn repository_id(&self) -> String {
        self.demo.gateway.repository.clone()
    }

    /// The datasource, `…/ws/v2.8/Repositories/<id>`, under the version it speaks.
    pub fn datasource_url(&self) -> String {
        let repository = &self.demo.gateway.repository;
        let version = wsg::version_segment(&self.knobs());
        format!("{}/{version}/Repositories/{repository}", self.wsg_url())
    }

    /// The native app's client id; it has no secret and needs PKCE.
    pub fn native_client_id(&self) -> String {
        NATIVE_CLIENT.to_owned()
    }

    /// The web app's client id and its present secret.
    pub fn web_client(&self) -> (String, String) {
        (WEB_CLIENT.to_owned(), self.secret(WEB_CLIENT))
    }

    fn secret(&self, client_id: &str) -> String {
        let app = self.demo.ims.grants.app(client_id);
        app.and_then(|app| app.secret).unwrap_or_default()
    }

    /// The browser app's client id; it has no secret and needs PKCE.
    pub fn spa_client_id(&self) -> String {
        SPA_CLIENT.to_owned()
    }

    /// The service app's client id and its present secret; it acts as [`DEFAULT_EMAIL`].
    pub fn service_client(&self) -> (String, String) {
        (SERVICE_CLIENT.to_owned(), self.secret(SERVICE_CLIENT))
    }

    /// Registers an app with the identity service, in place of one with the same client id.
    ///
    /// # Errors
    ///
    /// Its secret or a redirect URI does not fit its type.
    pub fn register_app(&self, app: App) -> Result<(), AppError> {
        self.demo.ims.grants.register_app(app)
    }

    /// Registers a redirect URI with every app whose type allows it; `http://localhost:3301/signin-callback` is registered already.
    pub fn register_redirect_uri(&self, uri: &str) {
        self.demo.ims.grants.register_redirect_uri(uri);
    }

    /// Gives the web app another secret, as an administrator does who rotates it.
    ///
    /// # Panics
    ///
    /// The secret is empty.
    pub fn rotate_web_secret(&self, secret: &str) {
        let rotated = self.demo.ims.grants.rotate_secret(WEB_CLIENT, secret);
        rotated.expect("the web app is registered, and the new secret is not empty");
    }

    /// Ends every token and code, refresh tokens too: only a new login helps.
    pub fn revoke_all_tokens(&self) {
        self.demo.ims.grants.revoke_all();
    }

    /// Ends every access token; refreshing helps.
    pub fn expire_access_tokens(&self) {
        self.demo.ims.grants.expire_access_tokens();
    }

    /// Puts the clock forward: codes, tokens and signed URLs are older by this, as if the time had passed.
    pub fn advance_clock(&self, by: Duration) {
        self.demo.clock.advance(by);
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

    /// Runs a script in place of the one that runs. Its start is done when this returns; its steps follow, on the
    /// current tokio runtime.
    pub fn run_script(&self, script: Script) {
        self.demo.scripts.run(&self.demo, script, &Handle::current());
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
        self.demo.scripts.stop();
        self.stop.send_replace(true);
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn assemble(options: &DemoOptions, address: SocketAddr, blob_address: SocketAddr) -> Demo {
    let issuer = format!("http://{address}");
    let redirect_uris: BTreeSet<_> = REDIRECT_URIS.map(str::to_owned).into();
    let knobs = Arc::new(Panel::new(options.knobs.clone()));
    let clock = Clock::default();
    let app = |kind, client_id: &str, name: &str, secret: Option<&str>| App {
        client_id: client_id.to_owned(),
        name: name.to_owned(),
        kind,
        secret: secret.map(str::to_owned),
        redirect_uris: match kind {
            AppType::Native | AppType::Spa | AppType::Web => redirect_uris.clone(),
            AppType::Service => BTreeSet::new(),
        },
        post_logout_uris: BTreeSet::from([POST_LOGOUT_URI.to_owned()]),
        scopes: None,
        acts_as: DEFAULT_EMAIL,
    };
    let apps = vec![
        app(AppType::Native, NATIVE_CLIENT, "pwfs (native)", None),
        app(AppType::Spa, SPA_CLIENT, "pwfs in a browser", None),
        app(AppType::Web, WEB_CLIENT, "pwfs (web app)", Some(WEB_SECRET)),
        app(
            AppType::Service,
            SERVICE_CLIENT,
            "pwfs (service)",
            Some(SERVICE_SECRET),
        ),
    ];
    let world = World::build(options, Arc::clone(&knobs));
    Demo {
        platform: platform::Platform::new(&world, clock.clone()),
        ims: Ims::new(
            apps,
            issuer,
            options.auto_consent,
            Arc::clone(&knobs),
            clock.clone(),
        ),
        gateway: Arc::new(Gateway {
            world,
            tokens: SkipTokens::new(clock.clone()),
            results: Results::new(),
            // Tilde encoding: `:` is `~3A` (fact sheet 1.2).
            repository: format!("Bentley.PW--{}", LOCATION.replace(':', "~3A")),
            location: LOCATION.to_owned(),
            files: Files::new(format!("http://{blob_address}"), &clock),
        }),
        faults: FaultTable::new(),
        traffic: Traffic::new(),
        knobs,
        clock,
        lockout: Lockout::default(),
        salt: AtomicU64::new(0),
        limits: Limits::default(),
        recall: Recall::new(),
        scripts: Runner::default(),
        start: options.knobs.clone(),
    }
}

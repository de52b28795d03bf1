use jiff::Timestamp;

use super::*;
use crate::auth::{CredentialStore, PasswordLogin, StoreKind};
use crate::config::Profile;
use crate::demo::{DemoOptions, DemoServer, RequestKind};
use crate::doctor::check::Outcome;
use crate::http::Secret;
use crate::remote::wsg::WsgOptions;

/// A gateway, and a profile whose proof it refuses.
struct Bench {
    server: DemoServer,
    state: tempfile::TempDir,
    account: Account,
    tokens: TokenSource,
}

impl Bench {
    async fn of(auth: AuthKind) -> Self {
        let options = DemoOptions {
            documents: 120,
            folders: 50,
            ..DemoOptions::default()
        };
        let server = DemoServer::start(options).await.unwrap();
        let state = tempfile::tempdir().unwrap();
        let account = Account {
            name: "default".to_owned(),
            profile: Profile {
                auth,
                username: Some("ann".to_owned()),
                credentials: StoreKind::File,
                ..Profile::default()
            },
            state_dir: state.path().to_owned(),
            pace_dir: None,
        };
        Self {
            server,
            state,
            account,
            tokens: TokenSource::fixed(Secret::new("not-accepted")),
        }
    }

    async fn examine(&self) -> Chart {
        self.server.reset_counters();
        let http = HttpClient::new().unwrap();
        let address = WsgAddress::parse(&self.server.datasource_url()).unwrap();
        let probe = WsgProbe::new(http.clone(), &address, &WsgOptions::default());
        let signed_in = SignedIn {
            authorization: Some(self.tokens.authorization().await.unwrap()),
            ..SignedIn::default()
        };
        let mut chart = Chart::default();
        let door = Door {
            probe: &probe,
            address: &address,
            http: &http,
            account: Some((&self.account, &self.tokens)),
        };
        examine(&door, &mut chart, &signed_in).await;
        chart
    }

    /// Requests that carried the proof.
    fn tried(&self) -> u64 {
        let asked = self.server.requests();
        asked.total - asked.of(RequestKind::Plugins) - asked.of(RequestKind::Repositories)
    }

    fn store(&self) -> CredentialStore {
        CredentialStore::new(StoreKind::File, self.state.path(), "default")
    }

    /// The login as a process finds it that starts now.
    fn as_another_process(&self) -> TokenSource {
        TokenSource::of_password(self.store(), self.account.profile.auth, Some("ann".to_owned()))
    }

    /// Stores a password, as a login does.
    async fn store_password(&mut self, password: &str) {
        let kind = self.account.profile.auth;
        let login = PasswordLogin::new(kind, "ann", Secret::new(password), Timestamp::now());
        let store = self.store();
        store.lock().await.unwrap().save_password(&login).await.unwrap();
        self.tokens = self.as_another_process();
    }
}

#[track_caller]
fn account(chart: Chart) -> Check {
    let report = chart.finish(0);
    let found = report
        .checks
        .into_iter()
        .find(|check| check.id == Id::AccessAccount);
    found.unwrap()
}

#[tokio::test]
async fn a_password_is_tried_once_and_not_again_before_it_changes() {
    for auth in [AuthKind::Basic, AuthKind::Windows] {
        let mut bench = Bench::of(auth).await;
        bench.store_password("wrong").await;
        let first = account(bench.examine().await);
        assert_eq!(
            (first.outcome, first.kind),
            (Outcome::Fail, Some(Kind::Login)),
            "{first:?}"
        );
        assert!(first.finding.contains("name and password"), "{first:?}");
        assert_eq!(bench.tried(), 1);
        // Nor is it handed out to anybody else, in this process or another.
        bench.tokens.authorization().await.unwrap_err();
        crate::auth::renewals::settled().await;
        bench.tokens = bench.as_another_process();
        let refused = bench.tokens.authorization().await.unwrap_err();
        assert!(matches!(refused, AuthError::SecretRequired(_)), "{refused}");

        bench.store_password("wrong again").await;
        let second = account(bench.examine().await);
        assert!(second.finding.contains("name and password"), "{second:?}");
        assert_eq!(bench.tried(), 1);
    }
}

#[tokio::test]
async fn a_token_file_that_is_refused_is_told() {
    let bench = Bench::of(AuthKind::Bearer).await;
    let check = account(bench.examine().await);
    assert_eq!(check.outcome, Outcome::Fail);
    assert!(check.finding.contains("token in the file"), "{check:?}");
}

#[tokio::test]
async fn an_app_whose_token_tells_nothing_and_cannot_be_renewed_leaves_three_causes() {
    let bench = Bench::of(AuthKind::Native).await;
    let report = bench.examine().await.finish(0);
    let of = |id| report.checks.iter().find(|check| check.id == id).unwrap();
    assert_eq!(of(Id::AccessScope).outcome, Outcome::Fail);
    for id in [Id::AccessApp, Id::AccessPermission] {
        assert_eq!(of(id).outcome, Outcome::Warn, "one failure is enough: {id:?}");
    }
    let app = of(Id::AccessApp);
    assert!(app.remedy[1].contains("pwfs login"), "{app:?}");
}

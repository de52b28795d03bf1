use std::path::Path;

use super::*;
use crate::auth::StoreKind;
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

    /// Stores another password, as a login does.
    fn change_password(&self) {
        let dir = self.state.path().join("credentials");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("default.json"), "another one").unwrap();
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
        let bench = Bench::of(auth).await;
        let first = account(bench.examine().await);
        assert_eq!(
            (first.outcome, first.kind),
            (Outcome::Fail, Some(Kind::Login)),
            "{first:?}"
        );
        assert!(first.finding.contains("name and password"), "{first:?}");
        assert_eq!(bench.tried(), 1);

        let second = account(bench.examine().await);
        assert_eq!(second.outcome, Outcome::Fail);
        assert!(second.finding.contains("is not tried again"), "{second:?}");
        assert_eq!(bench.tried(), 0, "nothing is sent");

        bench.change_password();
        let third = account(bench.examine().await);
        assert!(third.finding.contains("name and password"), "{third:?}");
        assert_eq!(bench.tried(), 1);
    }
}

#[tokio::test]
async fn a_token_file_that_is_refused_is_told_and_remembered_nowhere() {
    let bench = Bench::of(AuthKind::Bearer).await;
    for _ in 0..2 {
        let check = account(bench.examine().await);
        assert_eq!(check.outcome, Outcome::Fail);
        assert!(check.finding.contains("token in the file"), "{check:?}");
    }
    assert!(!Path::new(&bench.state.path().join("doctor")).exists());
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

//! The commands from arguments to reports, against the identity provider of `auth/tests.rs`.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::auth::tests::{Idp, Mood};
use crate::http::Secret;

const REDIRECT: &str = "http://localhost:0/signin-callback";

struct Bench {
    idp: Idp,
    dir: tempfile::TempDir,
    http: HttpClient,
    saved: SavedLogin,
}

impl Bench {
    async fn new() -> Self {
        Self {
            idp: Idp::start().await,
            dir: tempfile::tempdir().unwrap(),
            http: HttpClient::new().unwrap(),
            saved: SavedLogin::default(),
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            http: &self.http,
            state_dir: self.dir.path(),
            profile: "work",
            saved: &self.saved,
        }
    }

    fn args(&self) -> LoginArgs {
        LoginArgs {
            client_id: Some("app".to_owned()),
            issuer: Some(self.idp.issuer.clone()),
            redirect_uri: Some(REDIRECT.to_owned()),
            credentials: Some(CredentialsChoice::File),
            ..LoginArgs::default()
        }
    }

    /// Runs `login` with a person who agrees to everything; also says what they were asked.
    async fn login(&self, args: &LoginArgs) -> (Result<LoginReport, LoginCommandError>, Vec<Question>) {
        let (opened, mut pages) = tokio::sync::mpsc::unbounded_channel();
        let asked = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let questions = Arc::clone(&asked);
        let command = async move {
            let mut notify = move |notice| match notice {
                LoginNotice::Open(page) => opened.send(page).unwrap(),
                LoginNotice::WithoutOfflineAccess => panic!("not refused"),
            };
            let mut ask = move |question| -> BoxFuture<'static, io::Result<Option<String>>> {
                questions.lock().push(question);
                Box::pin(async { Ok(None) })
            };
            let hooks = Hooks {
                notify: &mut notify,
                ask: &mut ask,
            };
            login(args, &self.context(), hooks).await
        };
        let browser = async {
            while let Some(page) = pages.recv().await {
                let back = self.idp.agree(&page);
                let mut socket = TcpStream::connect(("127.0.0.1", back.port().unwrap()))
                    .await
                    .unwrap();
                let target = &back[url::Position::BeforePath..];
                socket
                    .write_all(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes())
                    .await
                    .unwrap();
                socket.read_to_string(&mut String::new()).await.unwrap();
            }
        };
        let (result, ()) = tokio::join!(command, browser);
        let asked = asked.lock().clone();
        (result, asked)
    }

    fn secret_file(&self, secret: &str) -> PathBuf {
        let path = self.dir.path().join("secret");
        std::fs::write(&path, format!("{secret}\n")).unwrap();
        path
    }
}

#[tokio::test]
async fn a_login_is_known_until_the_logout() {
    let bench = Bench::new().await;
    let error = whoami(&WhoamiArgs {}, &bench.context()).await.unwrap_err();
    assert!(
        matches!(
            error,
            LoginCommandError::Login(LoginError::Auth(AuthError::LoginRequired(_)))
        ),
        "{error}"
    );

    let (result, asked) = bench.login(&bench.args()).await;
    let report = result.unwrap();
    assert!(
        report.browser && report.login.renews && report.notes.is_empty(),
        "{report:?}"
    );
    assert_eq!(asked, [Question::ClientSecret, Question::AddressFromElsewhere]);
    assert_eq!(report.login.credentials, "file");

    let who = whoami(&WhoamiArgs {}, &bench.context()).await.unwrap();
    assert!(
        who.text().starts_with("Signed in as A <anna@example.com>\n"),
        "{}",
        who.text()
    );
    let json = serde_json::to_string(&report).unwrap();
    assert!(
        json.contains("anna@example.com") && !json.contains("s3cret"),
        "{json}"
    );

    let out = logout(&LogoutArgs {}, &bench.context()).await.unwrap();
    assert!(
        out.was_signed_in && out.revoked && out.notes.is_empty(),
        "{out:?}"
    );
    assert_eq!(bench.idp.posts("/revoke"), 1);
    whoami(&WhoamiArgs {}, &bench.context()).await.unwrap_err();
    assert!(
        !logout(&LogoutArgs {}, &bench.context())
            .await
            .unwrap()
            .was_signed_in
    );
}

#[tokio::test]
async fn a_renewed_client_secret_needs_no_browser() {
    let bench = Bench::new().await;
    bench.idp.mood(Mood::WantsSecret);
    let mut args = bench.args();
    args.client_secret_file = Some(bench.secret_file("wrong-s3cret"));
    let (result, asked) = bench.login(&args).await;
    let error = result.unwrap_err();
    assert!(
        matches!(
            error,
            LoginCommandError::Login(LoginError::Auth(AuthError::SecretRequired(_)))
        ),
        "{error}"
    );
    assert_eq!(asked, [Question::AddressFromElsewhere]);

    args.client_secret_file = Some(bench.secret_file("right-s3cret"));
    assert!(bench.login(&args).await.0.unwrap().browser);

    // Renewed in the portal: the login is still good.
    bench.idp.mood(Mood::Fine);
    args.client_secret_file = Some(bench.secret_file("newer-s3cret"));
    let report = bench.login(&args).await.0.unwrap();
    assert!(!report.browser);
    let posts = bench.idp.state.lock().posts.clone();
    assert_eq!(posts.last().unwrap().1["client_secret"], "newer-s3cret");
    assert_eq!(posts.last().unwrap().1["grant_type"], "refresh_token");
}

#[tokio::test]
async fn a_store_that_takes_nothing_costs_no_refresh_token() {
    let bench = Bench::new().await;
    let mut args = bench.args();
    args.client_secret_file = Some(bench.secret_file("first-s3cret"));
    bench.login(&args).await.0.unwrap();
    let asked = bench.idp.posts("/token");
    std::fs::create_dir(bench.dir.path().join("credentials/work.new")).unwrap();
    args.client_secret_file = Some(bench.secret_file("newer-s3cret"));
    bench.login(&args).await.0.unwrap_err();
    assert_eq!(bench.idp.posts("/token"), asked);
}

#[tokio::test]
async fn a_logout_without_a_network_forgets_the_login_and_says_so() {
    let bench = Bench::new().await;
    bench.login(&bench.args()).await.0.unwrap();
    bench.idp.mood(Mood::Down);
    let out = logout(&LogoutArgs {}, &bench.context()).await.unwrap();
    assert!(!out.revoked && out.notes.len() == 1, "{out:?}");
    whoami(&WhoamiArgs {}, &bench.context()).await.unwrap_err();
}

#[tokio::test]
async fn what_is_missing_is_asked_for_or_named() {
    let bench = Bench::new().await;
    let args = LoginArgs {
        client_id: None,
        ..bench.args()
    };
    let (result, asked) = bench.login(&args).await;
    let error = result.unwrap_err();
    assert!(
        matches!(&error, LoginCommandError::Usage(text) if text.contains("--client-id")),
        "{error}"
    );
    assert_eq!(asked, [Question::ClientId]);

    let args = LoginArgs {
        client_secret_file: Some(bench.dir.path().join("absent")),
        ..bench.args()
    };
    let error = bench.login(&args).await.0.unwrap_err();
    assert!(
        matches!(error, LoginCommandError::Input { .. }) && error.to_string().contains("absent"),
        "{error}"
    );
}

#[test]
fn the_flags_of_the_manual_are_understood() {
    use clap::{Args as _, FromArgMatches as _};
    let command = LoginArgs::augment_args(clap::Command::new("login"));
    command.clone().debug_assert();
    let matches = command
        .try_get_matches_from([
            "login",
            "--client-id",
            "c",
            "--client-secret-file",
            "f",
            "--issuer",
            "https://i.example",
            "--scope",
            "a b",
            "--redirect-uri",
            "http://localhost:1/x",
            "--no-browser",
            "--credentials",
            "keyring",
        ])
        .unwrap();
    let args = LoginArgs::from_arg_matches(&matches).unwrap();
    assert!(args.no_browser && args.scope.as_deref() == Some("a b"));
    assert_eq!(args.credentials, Some(CredentialsChoice::Keyring));
}

#[test]
fn the_commands_can_run_on_any_thread() {
    fn on_any_thread<T: Send>(_: T) {}
    let (http, saved) = (HttpClient::new().unwrap(), SavedLogin::default());
    let context = Context {
        http: &http,
        state_dir: Path::new("/nowhere"),
        profile: "p",
        saved: &saved,
    };
    let mut notify = |_| {};
    let mut ask = |_| -> BoxFuture<'static, io::Result<Option<String>>> { Box::pin(async { Ok(None) }) };
    let args = LoginArgs::default();
    on_any_thread(login(
        &args,
        &context,
        Hooks {
            notify: &mut notify,
            ask: &mut ask,
        },
    ));
    on_any_thread(logout(&LogoutArgs {}, &context));
    let tokens = crate::auth::TokenSource::fixed(Secret::new("x"));
    on_any_thread(tokens.authorization());
}

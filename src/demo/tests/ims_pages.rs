//! The pages people sign in on, used as a browser without JavaScript uses them.

use std::time::Duration;

use crate::demo::{ACCOUNTS, DEFAULT_EMAIL, DemoOptions, DemoServer};

use super::client::{Answer, exchange};
use super::ims_tokens::claims;
use super::login::{VERIFIER, authorize, demo, encoded, redeem, returned, tokens};

/// A demo that shows its pages.
async fn with_pages() -> DemoServer {
    let options = DemoOptions {
        auto_consent: false,
        ..DemoOptions::default()
    };
    DemoServer::start(options).await.unwrap()
}

fn text(page: &Answer) -> String {
    assert_eq!(page.status, 200);
    String::from_utf8(page.body.clone()).unwrap()
}

/// What a browser holds: a page, and the cookie it was given.
struct Browser<'a> {
    server: &'a DemoServer,
    cookie: Option<String>,
    page: Answer,
}

impl<'a> Browser<'a> {
    async fn open(server: &'a DemoServer, changes: &[(&str, &str)]) -> Self {
        let page = authorize(server, changes).await;
        Self {
            server,
            cookie: None,
            page,
        }
    }

    /// Sends the page's form with what was typed and pressed.
    async fn send(&mut self, typed: &[(&str, &str)]) {
        let page = text(&self.page);
        let inputs = page.split("<input type=\"hidden\" name=\"").skip(1);
        let mut fields: Vec<(String, String)> = inputs
            .map(|input| {
                let (name, rest) = input.split_once("\" value=\"").unwrap();
                let value = rest.split('"').next().unwrap();
                let plain = value.replace("&lt;", "<").replace("&gt;", ">");
                let plain = plain.replace("&quot;", "\"").replace("&amp;", "&");
                (name.to_owned(), plain)
            })
            .collect();
        fields.extend(typed.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let pairs: Vec<_> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        self.request("POST /connect/authorize", &encoded(&pairs)).await;
    }

    /// Sends a request with the cookie, and keeps the one that is given.
    async fn request(&mut self, line: &str, body: &str) {
        let cookie = self.cookie.as_ref();
        let cookie = cookie.map_or_else(String::new, |cookie| format!("\r\nCookie: a=b; {cookie}"));
        let head = format!("{line} HTTP/1.1{cookie}");
        self.page = exchange(&self.server.base_url(), &head, body).await.unwrap();
        if let Some(given) = self.page.header("set-cookie") {
            self.cookie = Some(given.split(';').next().unwrap().to_owned());
        }
    }

    async fn sign_in(&mut self, email: &str, password: &str) {
        self.send(&[("email", email), ("password", password)]).await;
    }

    /// Asks again with the same browser.
    async fn authorize(&mut self, changes: &[(&str, &str)]) {
        let fresh = Self::open(self.server, changes).await;
        // The bench's own request carries no cookie: take its query and send it as this browser.
        let log = self.server.request_log();
        let target = log.last().unwrap().target.clone();
        drop(fresh);
        self.request(&format!("GET {target}"), "").await;
    }
}

fn password() -> &'static str {
    ACCOUNTS[0].password
}

#[tokio::test]
async fn signing_in_and_allowing_gives_a_code_for_that_person() {
    let server = with_pages().await;
    let mut browser = Browser::open(&server, &[]).await;
    let page = text(&browser.page);
    for account in ACCOUNTS {
        assert!(page.contains(account.email));
    }
    browser.sign_in("Site.Inspector@example.com", password()).await;
    let cookie = browser.page.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let page = text(&browser.page);
    assert!(page.contains("Allow pwfs (native)?") && page.contains("site.inspector@example.com"));
    assert!(page.contains("read the ProjectWise folders") && page.contains("stay signed in"));
    browser.send(&[("decision", "allow")]).await;
    assert_eq!(returned(&browser.page, "state").unwrap(), "a state & more");
    let code = returned(&browser.page, "code").unwrap();
    let token = tokens(&redeem(&server, &code, VERIFIER).await).access_token;
    assert_eq!(claims(&token)["email"], "site.inspector@example.com");
}

#[tokio::test]
async fn denying_and_cancelling_tell_the_app() {
    let server = with_pages().await;
    let mut browser = Browser::open(&server, &[]).await;
    browser.send(&[("decision", "deny")]).await;
    assert_eq!(returned(&browser.page, "error").unwrap(), "access_denied");
    let mut browser = Browser::open(&server, &[]).await;
    browser.sign_in(DEFAULT_EMAIL, password()).await;
    browser.send(&[("decision", "deny")]).await;
    assert_eq!(returned(&browser.page, "error").unwrap(), "access_denied");
    assert_eq!(returned(&browser.page, "state").unwrap(), "a state & more");
}

#[tokio::test]
async fn a_wrong_password_shows_the_page_again() {
    let server = with_pages().await;
    for (email, password) in [(DEFAULT_EMAIL, "guess"), ("nobody@example.com", password())] {
        let mut browser = Browser::open(&server, &[]).await;
        browser.sign_in(email, password).await;
        assert!(text(&browser.page).contains("The email or the password is wrong."));
        assert!(text(&browser.page).contains(&format!("value=\"{email}\"")));
        assert_eq!(browser.page.header("set-cookie"), None);
    }
    let mut browser = Browser::open(&server, &[]).await;
    browser.sign_in(DEFAULT_EMAIL, "").await;
    assert!(text(&browser.page).contains("is wrong"));
    browser.sign_in(DEFAULT_EMAIL, password()).await;
    assert!(text(&browser.page).contains("Allow pwfs"));
}

#[tokio::test]
async fn too_many_wrong_passwords_lock_the_account_for_a_while() {
    let server = with_pages().await;
    server.turn(|knobs| knobs.bad_logins = 2);
    let mut browser = Browser::open(&server, &[]).await;
    for _ in 0..2 {
        browser.sign_in(DEFAULT_EMAIL, "guess").await;
    }
    browser.sign_in(DEFAULT_EMAIL, password()).await;
    assert!(text(&browser.page).contains("locked"));
    let mut other = Browser::open(&server, &[]).await;
    other.sign_in("guest.reviewer@example.com", password()).await;
    assert!(text(&other.page).contains("Allow pwfs"));
    server.advance_clock(Duration::from_secs(16 * 60));
    browser.sign_in(DEFAULT_EMAIL, password()).await;
    assert!(text(&browser.page).contains("Allow pwfs"));
}

#[tokio::test]
async fn wrong_passwords_lock_nothing_where_the_knob_is_0() {
    let server = with_pages().await;
    server.turn(|knobs| knobs.bad_logins = 0);
    let mut browser = Browser::open(&server, &[]).await;
    for _ in 0..8 {
        browser.sign_in(DEFAULT_EMAIL, "guess").await;
    }
    browser.sign_in(DEFAULT_EMAIL, password()).await;
    assert!(text(&browser.page).contains("Allow pwfs"));
}

#[tokio::test]
async fn a_session_skips_the_password_and_prompts_bring_pages_back() {
    let server = with_pages().await;
    let mut browser = Browser::open(&server, &[("prompt", "none")]).await;
    assert_eq!(returned(&browser.page, "error").unwrap(), "login_required");

    browser.authorize(&[]).await;
    browser.sign_in(DEFAULT_EMAIL, password()).await;
    browser.authorize(&[("prompt", "none")]).await;
    assert_eq!(returned(&browser.page, "error").unwrap(), "consent_required");
    browser.authorize(&[]).await;
    browser.send(&[("decision", "allow")]).await;
    for quiet in [&[][..], &[("prompt", "none")]] {
        browser.authorize(quiet).await;
        assert!(returned(&browser.page, "code").is_some(), "{quiet:?}");
    }
    // More than was agreed to is asked about.
    browser.authorize(&[("scope", "projectwise:read email")]).await;
    assert!(text(&browser.page).contains("see your email address"));
    browser.authorize(&[("prompt", "consent")]).await;
    assert!(text(&browser.page).contains("Allow pwfs"));

    browser.authorize(&[("prompt", "login consent")]).await;
    assert!(text(&browser.page).contains("name=\"password\""));
    browser.sign_in(DEFAULT_EMAIL, password()).await;
    assert!(text(&browser.page).contains("Allow pwfs"));
    browser.send(&[("decision", "allow")]).await;
    assert!(returned(&browser.page, "code").is_some());
    browser
        .authorize(&[("login_hint", "site.inspector@example.com")])
        .await;
    assert!(text(&browser.page).contains("value=\"site.inspector@example.com\""));

    server.advance_clock(Duration::from_secs(9 * 3600));
    browser.authorize(&[]).await;
    assert!(text(&browser.page).contains("name=\"password\""));
}

#[tokio::test]
async fn a_link_allows_nothing_and_neither_does_a_form_without_the_session() {
    let server = with_pages().await;
    let mut browser = Browser::open(&server, &[]).await;
    browser.sign_in(DEFAULT_EMAIL, password()).await;
    browser.authorize(&[("decision", "allow")]).await;
    assert!(text(&browser.page).contains("Allow pwfs"));
    browser.cookie = None;
    browser.send(&[("decision", "allow")]).await;
    assert!(text(&browser.page).contains("name=\"password\""));
}

#[tokio::test]
async fn pages_escape_what_they_were_sent_and_load_nothing() {
    let server = with_pages().await;
    let state = "\"><script>alert(0)</script>&";
    let mut browser = Browser::open(&server, &[("state", state), ("login_hint", "<b>")]).await;
    for _ in 0..2 {
        let page = text(&browser.page);
        assert!(!page.contains("<script") && !page.contains("<b>"));
        assert!(!page.contains("src=") && !page.contains("<link"));
        let policy = browser.page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        // The redirect that answers the form is held against it, too.
        assert!(policy.contains("form-action 'self' http://localhost:3301;"));
        if page.contains("name=\"password\"") {
            browser.sign_in(DEFAULT_EMAIL, password()).await;
        }
    }
    browser.send(&[("decision", "allow")]).await;
    assert_eq!(returned(&browser.page, "state").unwrap(), state);
}

#[tokio::test]
async fn signing_out_ends_the_session_and_returns_only_where_it_may() {
    let server = with_pages().await;
    let mut browser = Browser::open(&server, &[]).await;
    browser.sign_in(DEFAULT_EMAIL, password()).await;
    let far = encoded(&[
        ("client_id", &server.native_client_id()),
        ("post_logout_redirect_uri", "http://evil.example/"),
    ]);
    browser
        .request(&format!("GET /connect/endsession?{far}"), "")
        .await;
    assert!(text(&browser.page).contains("Signed out"));
    browser.authorize(&[]).await;
    assert!(text(&browser.page).contains("name=\"password\""));

    let server = demo().await;
    let answer = authorize(&server, &[("scope", "openid")]).await;
    let answer = redeem(&server, &returned(&answer, "code").unwrap(), VERIFIER)
        .await
        .json();
    let back = "http://localhost:3301/signout-callback";
    let query = encoded(&[
        ("id_token_hint", answer["id_token"].as_str().unwrap()),
        ("post_logout_redirect_uri", back),
        ("state", "s"),
    ]);
    let head = format!("GET /connect/endsession?{query} HTTP/1.1");
    let answer = exchange(&server.base_url(), &head, "").await.unwrap();
    assert_eq!(answer.header("location").unwrap(), format!("{back}?state=s"));
}

#[tokio::test]
async fn without_pages_a_hint_says_who_signs_in() {
    let server = demo().await;
    for (hint, email) in [
        ("guest.reviewer@example.com", "guest.reviewer@example.com"),
        ("stranger@example.com", DEFAULT_EMAIL),
    ] {
        let answer = authorize(&server, &[("login_hint", hint), ("prompt", "login consent")]).await;
        let code = returned(&answer, "code").unwrap();
        let token = tokens(&redeem(&server, &code, VERIFIER).await).access_token;
        assert_eq!(claims(&token)["email"], email);
    }
}

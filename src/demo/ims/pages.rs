//! The pages people see: sign-in, consent, errors. They need no script and load nothing.

use std::fmt::Write as _;

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::demo::accounts::{ACCOUNTS, Account, DEFAULT_EMAIL, PASSWORD};
use crate::demo::reply::Reply;

use super::apps::{self, App};
use super::form::Form;

/// What the pages' own forms add to the authorize request.
pub(super) const OWN_FIELDS: [&str; 3] = ["email", "password", "decision"];

const STYLE: &str = "\
:root{color-scheme:light dark;--back:#eef1f5;--card:#fff;--text:#1b2430;--dim:#5a6675;--line:#d4dae2;--edge:#8490a0;\
--blue:#0a6bc2}\
@media(prefers-color-scheme:dark){:root{--back:#12161c;--card:#1c222b;--text:#e8ecf1;--dim:#9aa6b4;--line:#343d4a;\
--edge:#6c7a8d;--blue:#1f74c4}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--back);\
color:var(--text);font:16px/1.5 system-ui,sans-serif}\
main{width:100%;max-width:27rem;background:var(--card);border:1px solid var(--line);border-radius:12px;\
padding:clamp(1.25rem,6vw,2rem);box-shadow:0 8px 30px #0002}\
main>:last-child{margin-bottom:0}\
h1{font-size:1.35rem;line-height:1.3;margin:0 0 .5rem}p{margin:.5rem 0}.dim,small{color:var(--dim)}\
.dim strong{color:var(--text)}small{font-size:.875rem}\
label{display:block;margin:1rem 0 0;font-weight:600}\
input{width:100%;margin-top:.25rem;padding:.55rem .7rem;border:1px solid var(--edge);border-radius:7px;\
background:var(--back);color:inherit;font:inherit;font-weight:400}[type=hidden]{display:none}\
.buttons{display:flex;gap:.7rem;margin-top:1.5rem}\
button{flex:1;padding:.6rem;border:1px solid var(--edge);border-radius:7px;background:none;color:inherit;\
font:inherit;cursor:pointer}button:hover{background:var(--back)}\
button.first,button.first:hover{background:var(--blue);border-color:var(--blue);color:#fff;font-weight:600}\
button.first:hover{filter:brightness(1.1)}\
:focus-visible{outline:2px solid var(--blue);outline-offset:2px}\
.alert{margin:1rem 0;padding:.6rem .8rem;border-left:4px solid #c8372d;background:#c8372d1f;border-radius:4px}\
ul{padding-left:1.2rem;margin:.6rem 0}li{margin:.35rem 0}\
details{margin-top:1.5rem;border-top:1px solid var(--line);padding-top:1rem}summary{cursor:pointer}\
.people{list-style:none;padding:0;margin:.75rem 0 0}.people li{margin:.6rem 0 0}.people small{display:block}\
code{font-size:.9375em;overflow-wrap:anywhere}";

/// The sign-in page; the request travels on in hidden fields.
pub(super) fn sign_in(form: &Form, app: &App, problem: Option<&str>) -> Reply {
    let typed = form.value("email").or(form.value("login_hint"));
    let problem = problem.map_or_else(String::new, |text| {
        format!("<p class=\"alert\" role=\"alert\">{}</p>", escape(text))
    });
    let mut people = String::new();
    for account in ACCOUNTS {
        let _infallible = write!(
            people,
            "<li><code>{}</code><small>{}</small></li>",
            escape(account.email),
            escape(account.role),
        );
    }
    let content = format!(
        "<h1>Sign in</h1><p class=\"dim\">to continue to <strong>{name}</strong></p>\
         <p class=\"dim\">This is the demo of pwfs, not Bentley: never type a real password here.</p>{problem}\
         <form method=\"post\" action=\"/connect/authorize\">{hidden}\
         <label>Email<input type=\"email\" name=\"email\" value=\"{email}\" autocomplete=\"username\" required></label>\
         <label>Password<input type=\"password\" name=\"password\" autocomplete=\"current-password\" required \
         autofocus></label>\
         <div class=\"buttons\"><button class=\"first\" type=\"submit\">Sign in</button>\
         <button type=\"submit\" name=\"decision\" value=\"deny\" formnovalidate>Cancel</button></div></form>\
         <details open><summary>People of the demo, password <code>{password}</code></summary>\
         <ul class=\"people\">{people}</ul></details>",
        name = escape(&app.name),
        hidden = hidden(form, false),
        email = escape(typed.unwrap_or(DEFAULT_EMAIL)),
        password = escape(PASSWORD),
    );
    page(
        StatusCode::OK,
        "Sign in",
        &content,
        Some(form.get("redirect_uri")),
    )
}

/// The consent page: what the app wants, in plain words.
pub(super) fn consent(form: &Form, app: &App, account: &Account, scope: &[String]) -> Reply {
    let mut wishes = String::new();
    for one in scope {
        let words = match one.as_str() {
            "projectwise:read" => "read the ProjectWise folders and documents you can read",
            "itwin-platform" => "use the iTwin Platform in your name",
            "offline_access" => "stay signed in for you while you are away",
            "openid" => "know who you are",
            "profile" => "see your name",
            "email" => "see your email address",
            "organization" => "see which organization you belong to",
            // A scope somebody added: its name has to do.
            _ => "do what is named",
        };
        let _infallible = write!(wishes, "<li>{words} <small>({})</small></li>", escape(one));
    }
    let content = format!(
        "<h1>Allow {name}?</h1><p class=\"dim\">You are signed in as <strong>{who}</strong></p>\
         <p>It would like to</p><ul>{wishes}</ul>\
         <p><small>You will be sent back to <code>{back}</code>. Allow it only if you started this yourself.\
         </small></p>\
         <form method=\"post\" action=\"/connect/authorize\">{hidden}\
         <div class=\"buttons\"><button class=\"first\" type=\"submit\" name=\"decision\" value=\"allow\">Allow</button>\
         <button type=\"submit\" name=\"decision\" value=\"deny\">Deny</button></div></form>",
        name = escape(&app.name),
        who = escape(account.email),
        back = escape(form.get("redirect_uri")),
        hidden = hidden(form, true),
    );
    page(
        StatusCode::OK,
        "Allow access",
        &content,
        Some(form.get("redirect_uri")),
    )
}

/// What is shown where nothing may be sent back.
pub(super) fn error(error: &str, reason: &str) -> Reply {
    let content = format!(
        "<h1>This sign-in cannot go on</h1><p class=\"alert\">{}</p><p><code>{}</code></p>\
         <p class=\"dim\">The app that sent you here has to put this right.</p>",
        escape(reason),
        escape(error),
    );
    page(StatusCode::BAD_REQUEST, "Error", &content, None)
}

/// The end of a session.
pub(super) fn signed_out() -> Reply {
    let content = "<h1>Signed out</h1><p>You may close this window.</p>";
    page(StatusCode::OK, "Signed out", content, None)
}

/// What a lost login meets: a page where JSON was expected.
pub(in crate::demo) fn login_page() -> Reply {
    let content = "<h1>Sign in</h1><form method=\"post\" action=\"/IMS/Account/Login\">\
                   <label>Email<input name=\"EmailAddress\"></label></form>";
    page(StatusCode::OK, "Bentley - Sign In", content, None)
}

/// The authorize request as hidden fields. After a sign-in the request for one is fulfilled.
fn hidden(form: &Form, signed_in: bool) -> String {
    let mut fields = String::new();
    for (name, value) in form.pairs().filter(|(name, _)| !OWN_FIELDS.contains(name)) {
        let value = if signed_in && name == "prompt" {
            let left = value
                .split_whitespace()
                .filter(|word| !matches!(*word, "login" | "select_account"));
            left.collect::<Vec<_>>().join(" ")
        } else {
            value.to_owned()
        };
        let _infallible = write!(
            fields,
            "<input type=\"hidden\" name=\"{}\" value=\"{}\">",
            escape(name),
            escape(&value)
        );
    }
    fields
}

fn page(status: StatusCode, title: &str, content: &str, back: Option<&str>) -> Reply {
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><main>{content}</main></body></html>\n"
    );
    // Browsers hold the redirect that answers a form against form-action, too.
    let back = back.and_then(apps::origin).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self' {back}; base-uri 'none'; frame-ancestors 'none'",
        STANDARD.encode(Sha256::digest(STYLE)),
    );
    Reply::html(status, html)
        .with(CONTENT_SECURITY_POLICY, &policy)
        .with(CACHE_CONTROL, "no-store")
        .with(REFERRER_POLICY, "no-referrer")
        .with(X_CONTENT_TYPE_OPTIONS, "nosniff")
}

pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

//! Waits on this machine for the browser to come back from the login.
//!
//! Only a GET of the exact path with the right state is an answer. Everything else that may knock on a local port
//! (favicon requests, speculative connections, pages that probe ports) gets 404 and changes nothing.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

use super::login::LoginError;
use super::oauth::{Attempt, Reply};
use super::port;
use crate::http::is_loopback;

/// The sockets of a loopback redirect URI, taken before the browser opens.
pub struct Callback {
    redirect: Url,
    v4: TcpListener,
    /// Absent where this machine has no IPv6.
    v6: Option<TcpListener>,
}

/// The browser's answer, and the browser, which still waits to be told how it went.
pub(super) struct Arrival {
    pub(super) reply: Reply,
    socket: TcpStream,
}

/// What the browser shows in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    SignedIn,
    NotSignedIn,
}

/// Codes and states are hundreds of bytes, cookies of other local sites a few KiB.
const REQUEST_LIMIT: usize = 32 << 10;

/// A connection that sends nothing is a browser's speculation.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);

/// More at once is no browser; they wait in the backlog.
const MOST_CONNECTIONS: usize = 32;

/// Ports that a port 0 in the redirect URI may try until one is free for IPv4 and IPv6 alike.
const PORT_TRIES: usize = 8;

impl Callback {
    /// Listens where `redirect_uri` points: `http`, this machine, a port. Port 0 takes a free one, see
    /// [`Callback::redirect_uri`].
    pub async fn bind(redirect_uri: &str) -> Result<Self, LoginError> {
        let unfit = |why: &str| Err(LoginError::RedirectUri(format!("{redirect_uri:?} {why}")));
        let Ok(redirect) = Url::parse(redirect_uri) else {
            return unfit("is not a URL");
        };
        if redirect.scheme() != "http" || !is_loopback(&redirect) {
            return unfit("is not a http://localhost address: pwfs cannot listen there");
        }
        let wanted = redirect.port().unwrap_or(80);
        for _ in 0..PORT_TRIES {
            let Some(v4) = listen((Ipv4Addr::LOCALHOST, wanted).into()).await? else {
                return unfit("cannot be listened on: this machine has no 127.0.0.1");
            };
            let port = v4.local_addr().map_err(|error| trouble(wanted, &error))?.port();
            match listen((Ipv6Addr::LOCALHOST, port).into()).await {
                Ok(v6) => return Ok(Self::ready(redirect, port, v4, v6)),
                // The free port of IPv4 happens to be taken for IPv6.
                Err(LoginError::PortInUse { .. }) if wanted == 0 => {}
                Err(error) => return Err(error),
            }
        }
        Err(LoginError::PortInUse {
            port: wanted,
            by: None,
        })
    }

    fn ready(mut redirect: Url, port: u16, v4: TcpListener, v6: Option<TcpListener>) -> Self {
        redirect
            .set_port(Some(port))
            .expect("an http URL with a host takes a port");
        Self { redirect, v4, v6 }
    }

    /// Where the browser must be sent back to, with the port that was taken.
    pub const fn redirect_uri(&self) -> &Url {
        &self.redirect
    }

    /// Waits for the browser; whoever calls bounds the wait.
    pub(super) async fn arrival(&self, attempt: &Arc<Attempt>) -> Result<Arrival, LoginError> {
        let mut visits = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                Some(visit) = visits.join_next() => {
                    // A visit that broke off is nobody's answer.
                    if let Ok(Some(arrival)) = visit {
                        return Ok(arrival);
                    }
                    continue;
                }
                accepted = self.v4.accept(), if visits.len() < MOST_CONNECTIONS => accepted,
                accepted = accept(self.v6.as_ref()), if visits.len() < MOST_CONNECTIONS => accepted,
            };
            match accepted {
                Ok((socket, _)) => {
                    let (attempt, redirect) = (Arc::clone(attempt), self.redirect.clone());
                    visits.spawn(async move {
                        tokio::time::timeout(REQUEST_PATIENCE, visit(socket, &redirect, &attempt))
                            .await
                            .ok()
                            .flatten()
                    });
                }
                // The visitor left between its SYN and our accept.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(trouble(self.redirect.port().unwrap_or(80), &error)),
            }
        }
    }
}

impl Arrival {
    /// Tells the browser how it went.
    pub(super) async fn answer(mut self, page: Page) {
        let answer = finish(page);
        let write = write(&mut self.socket, &answer);
        // The login is decided; a browser that left does not change it.
        if tokio::time::timeout(REQUEST_PATIENCE, write).await.is_err() {
            tracing::debug!("the browser did not take the last page");
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// `None` where the machine has no such address. No other process can share the port: Linux refuses a second listener.
async fn listen(address: SocketAddr) -> Result<Option<TcpListener>, LoginError> {
    let error = match TcpListener::bind(address).await {
        Ok(listener) => return Ok(Some(listener)),
        Err(error) => error,
    };
    // A kernel without IPv6 says EAFNOSUPPORT, which std has no kind for.
    let no_family = error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let port = address.port();
            let by = tokio::task::spawn_blocking(move || port::holder(port)).await;
            Err(LoginError::PortInUse {
                port,
                by: by.ok().flatten(),
            })
        }
        io::ErrorKind::AddrNotAvailable => Ok(None),
        _ if no_family => Ok(None),
        _ => Err(trouble(address.port(), &error)),
    }
}

fn trouble(port: u16, error: &io::Error) -> LoginError {
    LoginError::RedirectUri(format!(
        "port {port} of this machine cannot be listened on: {error}"
    ))
}

/// Reads one request; the browser's answer if it is one, else 404 and `None`.
async fn visit(mut socket: TcpStream, redirect: &Url, attempt: &Attempt) -> Option<Arrival> {
    let mut request = Vec::with_capacity(2 << 10);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > REQUEST_LIMIT || socket.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    if let Some(target) = std::str::from_utf8(line).ok().and_then(target)
        && target.split('?').next() == Some(redirect.path())
        && let Ok(url) = redirect.join(target)
    {
        match attempt.reply(&url) {
            Reply::Foreign => {}
            reply @ (Reply::Code(_) | Reply::Refused { .. }) => return Some(Arrival { reply, socket }),
        }
    }
    write(&mut socket, NOT_FOUND).await;
    None
}

/// The path and query of a `GET` line. A target in absolute form is no browser's.
fn target(line: &str) -> Option<&str> {
    let (target, version) = line.strip_prefix("GET ")?.split_once(' ')?;
    // `//host/…` would be joined as another host.
    (version.starts_with("HTTP/1.") && target.starts_with('/') && !target.starts_with("//")).then_some(target)
}

async fn write(socket: &mut TcpStream, answer: &str) {
    // Who does not want the answer does not get it.
    if socket.write_all(answer.as_bytes()).await.is_ok() {
        socket.shutdown().await.ok();
    }
}

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Takes the code out of the address bar and the history.
const SCRIPT: &str = "history.replaceState(null,'',location.pathname)";

const STYLE: &str = "\
:root{color-scheme:light dark;--back:#eef1f5;--card:#fff;--text:#1b2430;--dim:#5a6675;--line:#d4dae2;--good:#1a7f4b;\
--bad:#c8372d}\
@media(prefers-color-scheme:dark){:root{--back:#12161c;--card:#1c222b;--text:#e8ecf1;--dim:#9aa6b4;--line:#343d4a;\
--good:#4cc38a;--bad:#f0756b}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--back);\
color:var(--text);font:16px/1.5 system-ui,sans-serif;text-align:center}\
main{width:100%;max-width:24rem;background:var(--card);border:1px solid var(--line);border-radius:12px;\
padding:2rem;box-shadow:0 8px 30px #0002}\
svg{width:3rem;height:3rem;fill:none;stroke:var(--bad);stroke-width:2;stroke-linecap:round;stroke-linejoin:round}\
svg.good{stroke:var(--good)}\
h1{font-size:1.35rem;line-height:1.3;margin:.75rem 0 .5rem}p{margin:0;color:var(--dim);text-wrap:balance}";

fn finish(page: Page) -> String {
    let (title, text, mark) = match page {
        Page::SignedIn => (
            "Signed in",
            "pwfs is signed in. You can close this window and go back to the terminal.",
            "<svg class=\"good\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><circle cx=\"12\" cy=\"12\" r=\"10\"/>\
             <path d=\"m7.5 12.5 3 3 6-7\"/></svg>",
        ),
        Page::NotSignedIn => (
            "Not signed in",
            "The login did not succeed. The terminal tells why.",
            "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\"><circle cx=\"12\" cy=\"12\" r=\"10\"/>\
             <path d=\"M12 7v6m0 3.5v.01\"/></svg>",
        ),
    };
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title} – pwfs</title>\
         <style>{STYLE}</style><script>{SCRIPT}</script><main>{mark}<h1>{title}</h1><p>{text}</p></main></html>"
    );
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'\r\n\
         Referrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n{body}",
        body.len(),
        hash(STYLE),
        hash(SCRIPT),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_page_loads_nothing_and_its_policy_lets_its_own_style_and_script_through() {
        for page in [Page::SignedIn, Page::NotSignedIn] {
            let answer = finish(page);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains(&format!("Content-Length: {}\r\n", body.len())),
                "{head}"
            );
            for (source, tag) in [("style-src", "style"), ("script-src", "script")] {
                let (_, rest) = body.split_once(&format!("<{tag}>")).unwrap();
                let (content, _) = rest.split_once(&format!("</{tag}>")).unwrap();
                let hash = STANDARD.encode(Sha256::digest(content));
                assert!(head.contains(&format!("{source} 'sha256-{hash}'")), "{head}");
            }
            for loads in ["src=", "href=", "url(", "@import"] {
                assert!(!body.contains(loads), "{body}");
            }
        }
    }
}

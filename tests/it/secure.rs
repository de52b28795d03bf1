//! What stands between a client and its servers: authorities, servers that speak TLS, and a proxy that keeps a record.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// Who vouches for certificates.
pub struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub certificate_pem: String,
    pub key: KeyPair,
}

/// From which year to which a certificate is valid.
pub type Years = (i32, i32);

/// Valid on the day of the test, whenever that is.
pub const VALID: Years = (2000, 4000);

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = params(&[], name, VALID);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap(),
            issuer: Issuer::new(params, key),
        }
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub fn issue(&self, hosts: &[&str], years: Years) -> Identity {
        self.issue_for(KeyPair::generate().unwrap(), hosts, years)
    }

    pub fn issue_for(&self, key: KeyPair, hosts: &[&str], years: Years) -> Identity {
        let params = params(hosts, hosts[0], years);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::new(&certificate, key)
    }
}

impl Identity {
    fn new(certificate: &rcgen::Certificate, key: KeyPair) -> Self {
        Self {
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            key,
        }
    }

    /// Signed by itself, and marked as an authority, as `openssl req -x509` makes them.
    pub fn of_its_own(host: &str) -> Self {
        let mut params = params(&[host], host, VALID);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self::new(&params.self_signed(&key).unwrap(), key)
    }

    /// The key in the form of its algorithm alone (RSA or EC), which PKCS#8 wraps.
    pub fn bare_key_pem(&self, label: &str) -> String {
        use base64::Engine as _;
        // SEQUENCE { version, algorithm, OCTET STRING { the key } }: the parts are found by their lengths.
        let whole = self.key.serialize_der();
        let (_, body) = element(&whole);
        let (rest, _) = element(body);
        let (rest, _) = element(rest);
        let (_, key) = element(rest);
        let text = base64::engine::general_purpose::STANDARD.encode(key);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            lines.join("\n")
        )
    }
}

/// The rest after the first DER element, and that element's content.
fn element(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, head) = match usize::from(bytes[1]) {
        short @ 0..128 => (short, 2),
        long => {
            let count = long - 128;
            let length = bytes[2..2 + count]
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, 2 + count)
        }
    };
    (&bytes[head + length..], &bytes[head..head + length])
}

fn params(hosts: &[&str], name: &str, (from, to): Years) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params
}

/// Writes `text` into a new file of `dir`.
pub fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

/// What a server does with a connection once TLS stands.
#[derive(Clone)]
pub enum Inside {
    /// Answers one request with this head (and no body).
    Answer(String),
    /// Hands all bytes to the server there.
    Pass(SocketAddr),
}

/// What a server wants to know of its clients.
#[derive(Clone, Copy)]
pub enum Clients<'a> {
    /// Nothing.
    Anybody,
    /// It asks for a certificate of this authority, and takes a client without one.
    Asked(&'a Authority),
    /// It takes only those with a certificate of this authority.
    Known(&'a Authority),
}

/// A server that speaks TLS; ends when dropped.
pub struct TlsServer {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    protocols: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TlsServer {
    /// Serves as `identity`.
    pub fn start(on: &Handle, identity: &Identity, clients: Clients<'_>, inside: Inside) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            Clients::Anybody => builder.with_no_client_auth(),
            Clients::Asked(authority) | Clients::Known(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.certificate.der().clone()).unwrap();
                let mut verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                if let Clients::Asked(_) = clients {
                    verifier = verifier.allow_unauthenticated();
                }
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
        let mut config = builder
            .with_single_cert(vec![identity.certificate.clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if let Inside::Answer(_) = inside {
            config.alpn_protocols.remove(0);
        }
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (requests, protocols) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (heads, offered) = (Arc::clone(&requests), Arc::clone(&protocols));
        let (address, task) = listen(on, move |socket| {
            let (acceptor, inside) = (acceptor.clone(), inside.clone());
            let (heads, offered) = (Arc::clone(&heads), Arc::clone(&offered));
            async move {
                let mut stream = match acceptor.accept(socket).into_fallible().await {
                    Ok(stream) => stream,
                    Err((_, mut socket)) => {
                        // What is left unread would reset the connection, and the alert be lost with it.
                        let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
                        return;
                    }
                };
                let agreed = stream.get_ref().1.alpn_protocol().unwrap_or_default().to_vec();
                offered.lock().push(String::from_utf8(agreed).unwrap());
                match inside {
                    Inside::Answer(answer) => serve(&mut stream, &answer, &heads).await,
                    Inside::Pass(to) => pass(&mut stream, to).await,
                }
            }
        });
        Self {
            address,
            requests,
            protocols,
            task,
        }
    }

    /// An address of it by this name; one that is not of this machine needs a proxy to get there.
    pub fn url(&self, host: &str, path: &str) -> url::Url {
        format!("https://{host}:{}{path}", self.address.port())
            .parse()
            .unwrap()
    }

    /// The heads of the requests it was sent.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }

    /// The protocols agreed on, a connection each.
    pub fn protocols(&self) -> Vec<String> {
        self.protocols.lock().clone()
    }
}

/// What a proxy does.
#[derive(Clone, Default)]
pub struct Rules {
    /// It wants this login (the base64 of `user:password`).
    pub login: Option<String>,
    /// It refuses to connect, with this status.
    pub refuse: Option<u16>,
    /// Where all it forwards goes, whatever the name.
    pub to: Option<SocketAddr>,
}

/// A proxy that speaks HTTP; ends when dropped.
pub struct Proxy {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub fn start(on: &Handle, rules: Rules) -> Self {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        let (address, task) = listen(on, move |mut socket| {
            let (seen, rules) = (Arc::clone(&seen), rules.clone());
            async move { forward(&mut socket, &rules, &seen).await }
        });
        Self { address, heads, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of the requests it was sent.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }
}

/// One connection through the proxy: a tunnel, or one request that is forwarded as it is.
pub async fn forward<S>(socket: &mut S, rules: &Rules, seen: &Mutex<Vec<String>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(head) = read_head(socket).await else {
        return;
    };
    seen.lock().push(head.clone());
    let lower = head.to_lowercase();
    let known = rules
        .login
        .as_ref()
        .is_none_or(|login| lower.contains(&format!("proxy-authorization: basic {login}").to_lowercase()));
    let refusal = match rules.refuse {
        _ if !known => Some("407 Proxy Authentication Required\r\nProxy-Authenticate: Basic".to_owned()),
        Some(status) => Some(format!("{status} No")),
        None => None,
    };
    if let Some(refusal) = refusal {
        let answer = format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let _ = socket.write_all(answer.as_bytes()).await;
        return;
    }
    let mut server = TcpStream::connect(rules.to.unwrap()).await.unwrap();
    if head.starts_with("CONNECT ") {
        socket.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
    } else {
        // As a proxy does it: the path alone, and the connection for one request.
        let (line, rest) = head.split_once("\r\n").unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let path = words[1].splitn(4, '/').nth(3).unwrap_or_default();
        let head = format!("{} /{path} HTTP/1.1\r\nConnection: close\r\n{rest}", words[0]);
        server.write_all(head.as_bytes()).await.unwrap();
    }
    let _ = copy_bidirectional(socket, &mut server).await;
}

async fn read_head<S: AsyncRead + Unpin>(socket: &mut S) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, answer: &str, heads: &Mutex<Vec<String>>) {
    let Some(head) = read_head(socket).await else {
        return;
    };
    heads.lock().push(head);
    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = socket.write_all(answer.as_bytes()).await;
    let _ = socket.shutdown().await;
}

async fn pass<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, to: SocketAddr) {
    let mut server = TcpStream::connect(to).await.unwrap();
    let _ = copy_bidirectional(socket, &mut server).await;
}

/// Takes connections at a free port of this machine.
pub fn listen<F>(
    on: &Handle,
    serve: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> (SocketAddr, AbortHandle)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let connections = on.clone();
    let task = on.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            connections.spawn(serve(socket));
        }
    });
    (address, task.abort_handle())
}

//! Certificates and proxies between the client and its servers.

use std::net::SocketAddr;

use pwfs::http::{HttpClient, HttpError, Lane, Network, Obstacle, Options, Request, Response, Secret};
use rcgen::KeyPair;
use tempfile::TempDir;
use tokio::runtime::Handle;
use url::Url;

use crate::secure::{Authority, Clients, Identity, Inside, Proxy, Rules, TlsServer, VALID, file};

mod probe;
mod program;

/// What is where for one test.
struct Bench {
    dir: TempDir,
    authority: Authority,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            authority: Authority::new("Corporate Root"),
        }
    }

    /// A server of localhost, 127.0.0.1 and pw.example.test that the bench's authority vouches for.
    fn server(&self) -> TlsServer {
        let identity = self
            .authority
            .issue(&["localhost", "127.0.0.1", "pw.example.test"], VALID);
        serve(&identity, Clients::Anybody)
    }

    /// Trusts the bench's authority, and goes past whatever proxy this machine has.
    fn trusting(&self) -> Network {
        Network {
            ca_bundle: Some(file(self.dir.path(), "ca.pem", &self.authority.pem())),
            ..direct()
        }
    }
}

fn serve(identity: &Identity, clients: Clients<'_>) -> TlsServer {
    TlsServer::start(
        &Handle::current(),
        identity,
        clients,
        Inside::Answer("200 OK".to_owned()),
    )
}

fn proxy(rules: Rules) -> Proxy {
    Proxy::start(&Handle::current(), rules)
}

fn to(address: SocketAddr) -> Rules {
    Rules {
        to: Some(address),
        ..Rules::default()
    }
}

fn direct() -> Network {
    Network {
        proxy: Some("none".to_owned()),
        no_proxy: Some(String::new()),
        ..Network::default()
    }
}

fn client(network: &Network) -> HttpClient {
    HttpClient::with_options(Options {
        network: network.clone(),
        first_backoff: std::time::Duration::from_millis(1),
        ..Options::default()
    })
    .unwrap()
}

async fn get(network: &Network, url: Url) -> Result<Response, HttpError> {
    client(network).send(Request::get(Lane::Login, url)).await
}

/// The words of a request that fails.
async fn fails(network: &Network, url: Url) -> (HttpError, String) {
    let error = get(network, url).await.unwrap_err();
    let words = error.to_string();
    (error, words)
}

#[tokio::test]
async fn a_private_authority_is_trusted_by_its_bundle_alone() {
    let bench = Bench::new();
    let server = bench.server();
    for host in ["localhost", "127.0.0.1"] {
        let (error, words) = fails(&direct(), server.url(host, "/")).await;
        assert!(matches!(error, HttpError::Certificate(_)), "{words}");
        assert_eq!(Obstacle::told_by(&words), Some(Obstacle::UnknownIssuer));
        assert_eq!(
            words,
            format!(
                "{host}:{}: its certificate is issued by \"CN=Corporate Root\", which this machine does not trust",
                server.address.port()
            )
        );
        let response = get(&bench.trusting(), server.url(host, "/")).await.unwrap();
        assert_eq!(response.status, 200);
    }
    assert_eq!(
        server.requests().len(),
        2,
        "nothing is sent to a server that is not trusted"
    );

    // A bundle is all certificates of its file, with whatever stands between them.
    let both = format!(
        "# two\n{}\n# of them\n{}",
        Authority::new("Other").pem(),
        bench.authority.pem()
    );
    let network = Network {
        ca_bundle: Some(file(bench.dir.path(), "both.pem", &both)),
        ..direct()
    };
    assert_eq!(
        get(&network, server.url("localhost", "/")).await.unwrap().status,
        200
    );
}

#[tokio::test]
async fn files_come_by_http_1_and_the_rest_by_http_2_where_it_is_offered() {
    let bench = Bench::new();
    let identity = bench.authority.issue(&["localhost"], VALID);
    let nowhere: SocketAddr = proxy(Rules::default()).address;
    let server = TlsServer::start(
        &Handle::current(),
        &identity,
        Clients::Anybody,
        Inside::Pass(nowhere),
    );
    let client = client(&bench.trusting());
    for lane in [Lane::Content, Lane::Metadata] {
        // What is behind does not speak HTTP/2; the handshake is all that counts.
        let _ = client
            .send_once(Request::get(lane, server.url("localhost", "/")))
            .await;
    }
    assert_eq!(server.protocols(), ["http/1.1", "h2"]);
}

#[tokio::test]
async fn a_certificate_that_is_refused_is_told_with_its_issuer_and_the_reason() {
    let bench = Bench::new();
    let trusting = bench.trusting();
    for (hosts, years, obstacle, expected) in [
        (
            &["localhost"],
            (2000, 2020),
            Obstacle::Expired,
            "is issued by \"CN=Corporate Root\" and expired on 2020-01-01",
        ),
        (
            &["localhost"],
            (3000, 3001),
            Obstacle::NotYetValid,
            "is issued by \"CN=Corporate Root\" and is not valid before 3000-01-01",
        ),
        (
            &["other.example"],
            VALID,
            Obstacle::WrongHost,
            "is issued by \"CN=Corporate Root\" and is for other names (other.example)",
        ),
    ] {
        let server = serve(&bench.authority.issue(hosts, years), Clients::Anybody);
        let (error, words) = fails(&trusting, server.url("localhost", "/")).await;
        assert!(matches!(error, HttpError::Certificate(_)), "{words}");
        assert!(words.ends_with(expected), "{words}");
        assert_eq!(Obstacle::told_by(&words), Some(obstacle));
        assert_eq!(server.requests().len(), 0);
    }
}

#[tokio::test]
async fn a_certificate_signed_by_itself_can_be_trusted_as_it_is() {
    let bench = Bench::new();
    let identity = Identity::of_its_own("localhost");
    let server = serve(&identity, Clients::Anybody);
    let (_, words) = fails(&direct(), server.url("localhost", "/")).await;
    assert!(words.contains("signed by itself (\"CN=localhost\")"), "{words}");
    assert_eq!(
        Obstacle::told_by(&words),
        Some(Obstacle::UnknownIssuer),
        "{words}"
    );
    let network = Network {
        ca_bundle: Some(file(bench.dir.path(), "own.pem", &identity.certificate_pem)),
        ..direct()
    };
    assert_eq!(
        get(&network, server.url("localhost", "/")).await.unwrap().status,
        200
    );
    // For its own name only.
    let (_, words) = fails(&network, server.url("127.0.0.1", "/")).await;
    assert_eq!(Obstacle::told_by(&words), Some(Obstacle::WrongHost), "{words}");
}

#[tokio::test]
async fn a_server_that_asks_for_a_client_certificate_gets_it_from_any_form_of_file() {
    let bench = Bench::new();
    let staff = Authority::new("Staff");
    let identity = bench.authority.issue(&["localhost"], VALID);
    let server = serve(&identity, Clients::Known(&staff));
    let (error, words) = fails(&bench.trusting(), server.url("localhost", "/")).await;
    assert!(matches!(error, HttpError::Certificate(_)), "{words}");
    assert_eq!(
        Obstacle::told_by(&words),
        Some(Obstacle::ClientCertificate),
        "{words}"
    );

    let elliptic = staff.issue(&["me"], VALID);
    let rsa = staff.issue_for(
        KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap(),
        &["me"],
        VALID,
    );
    for (identity, key) in [
        (&elliptic, elliptic.key.serialize_pem()),
        (&elliptic, elliptic.bare_key_pem("EC PRIVATE KEY")),
        (&rsa, rsa.key.serialize_pem()),
        (&rsa, rsa.bare_key_pem("RSA PRIVATE KEY")),
    ] {
        let certificate = &identity.certificate_pem;
        let apart = Network {
            client_certificate: Some(file(bench.dir.path(), "me.pem", certificate)),
            client_key: Some(file(bench.dir.path(), "me.key", &key)),
            ..bench.trusting()
        };
        let together = Network {
            client_certificate: Some(file(bench.dir.path(), "both.pem", &format!("{key}{certificate}"))),
            ..bench.trusting()
        };
        for network in [apart, together] {
            let response = get(&network, server.url("localhost", "/")).await.unwrap();
            assert_eq!(response.status, 200);
        }
    }

    // Other servers take the connection, and refuse the request with a page.
    let page = Inside::Answer("400 Bad Request\r\nContent-Type: text/html".to_owned());
    let asking = TlsServer::start(
        &Handle::current(),
        &bench.authority.issue(&["localhost"], VALID),
        Clients::Asked(&staff),
        page,
    );
    let (_, words) = fails(&bench.trusting(), asking.url("localhost", "/")).await;
    assert_eq!(
        Obstacle::told_by(&words),
        Some(Obstacle::ClientCertificate),
        "{words}"
    );

    // One of another authority is refused by the server.
    let stranger = bench.authority.issue(&["me"], VALID);
    let both = format!("{}{}", stranger.key.serialize_pem(), stranger.certificate_pem);
    let network = Network {
        client_certificate: Some(file(bench.dir.path(), "stranger.pem", &both)),
        ..bench.trusting()
    };
    let (error, words) = fails(&network, server.url("localhost", "/")).await;
    assert!(matches!(error, HttpError::Certificate(_)), "{words}");
    assert!(words.contains("refuses the one it was shown"), "{words}");
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_told_with_their_name_and_file() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    let me = bench.authority.issue(&["me"], VALID);
    let other = bench.authority.issue(&["other"], VALID);
    let certificate = file(dir, "me.pem", &me.certificate_pem);
    let damaged = bench.authority.pem().replace("-----END", "");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(dir.join("ca.der"), &me.certificate).unwrap();
    let bundle = |path| Network {
        ca_bundle: Some(path),
        ..direct()
    };
    let pair = |key| Network {
        client_certificate: Some(certificate.clone()),
        client_key: Some(key),
        ..direct()
    };
    for (network, words) in [
        (
            bundle(dir.join("none.pem")),
            ["--ca-bundle", "none.pem cannot be read: No such file"],
        ),
        (bundle(dir.to_owned()), ["--ca-bundle", "Is a directory"]),
        (
            bundle(file(dir, "text", "hello")),
            ["--ca-bundle", "text holds no certificate in PEM form"],
        ),
        (
            bundle(dir.join("ca.der")),
            ["ca.der holds no certificate", "convert it with openssl"],
        ),
        (
            bundle(file(dir, "cut.pem", &damaged)),
            ["--ca-bundle", "cut.pem is damaged"],
        ),
        (
            Network {
                client_certificate: Some(certificate.clone()),
                ..direct()
            },
            ["--client-cert", "me.pem holds no private key"],
        ),
        (
            pair(file(dir, "locked.key", encrypted)),
            ["--client-key", "locked.key holds an encrypted key"],
        ),
        (
            pair(file(dir, "o.key", &other.key.serialize_pem())),
            ["--client-key", "o.key holds another key"],
        ),
        (
            Network {
                client_key: Some(dir.join("x.key")),
                ..direct()
            },
            ["--client-key", "--client-cert) is not set"],
        ),
        (
            Network {
                proxy: Some("socks5://p.example".to_owned()),
                ..direct()
            },
            ["--proxy", "http:// and https:// only"],
        ),
    ] {
        let client = client(&network);
        let error = client.ready().unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, HttpError::Settings(_)), "{text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is missing in {text}");
        }
        let request = Request::get(Lane::Metadata, "http://127.0.0.1:9/".parse().unwrap());
        assert_eq!(client.send(request).await.unwrap_err().to_string(), text);
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_is_read_by_the_next_client() {
    let bench = Bench::new();
    let server = bench.server();
    let trusting = bench.trusting();
    let client = client(&trusting);
    client.ready().unwrap();
    std::fs::remove_file(trusting.ca_bundle.clone().unwrap()).unwrap();
    let request = Request::get(Lane::Login, server.url("localhost", "/"));
    assert_eq!(client.send(request).await.unwrap().status, 200);
    let (error, words) = fails(&trusting, server.url("localhost", "/")).await;
    assert!(matches!(error, HttpError::Settings(_)), "{words}");
}

#[tokio::test]
async fn a_proxy_is_asked_for_all_but_this_machine_and_the_exceptions() {
    let bench = Bench::new();
    let server = bench.server();
    let proxy = proxy(to(server.address));
    let network = Network {
        proxy: Some(proxy.url()),
        no_proxy: Some("direct.invalid, .inner.invalid".to_owned()),
        ..bench.trusting()
    };
    let response = get(&network, server.url("pw.example.test", "/ws?x=1"))
        .await
        .unwrap();
    assert_eq!(response.status, 200);
    let target = format!("pw.example.test:{}", server.address.port());
    let heads = proxy.heads();
    assert!(
        heads[0].starts_with(&format!("CONNECT {target} HTTP/1.1\r\n")),
        "{heads:?}"
    );
    assert!(server.requests()[0].starts_with("GET /ws?x=1 HTTP/1.1\r\n"));

    get(&network, server.url("localhost", "/")).await.unwrap();
    for host in ["direct.invalid", "a.direct.invalid", "a.inner.invalid"] {
        let (_, words) = fails(&network, server.url(host, "/")).await;
        assert!(words.contains("its name cannot be resolved"), "{words}");
    }
    assert_eq!(proxy.heads().len(), 1);
}

#[tokio::test]
async fn a_request_without_encryption_goes_through_the_proxy_as_a_whole() {
    let proxy = proxy(Rules {
        refuse: Some(204),
        login: Some("bWU6czNj".to_owned()),
        ..Rules::default()
    });
    let network = Network {
        proxy: Some(format!("http://me:s3c@{}", proxy.address)),
        no_proxy: Some(String::new()),
        allow_plain_http: true,
        ..Network::default()
    };
    let url: Url = "http://pw.example.test/ws?x=1".parse().unwrap();
    let mut request = Request::get(Lane::Login, url.clone());
    request.authorization = Some(Secret::new("Bearer t0ken"));
    assert_eq!(client(&network).send(request).await.unwrap().status, 204);
    let head = &proxy.heads()[0];
    assert!(
        head.starts_with("GET http://pw.example.test/ws?x=1 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains("Bearer t0ken"), "{head}");

    // Without the permission a request may go so, and a login may not.
    let strict = Network {
        allow_plain_http: false,
        ..network
    };
    assert_eq!(get(&strict, url.clone()).await.unwrap().status, 204);
    let mut request = Request::get(Lane::Login, url);
    request.authorization = Some(Secret::new("Bearer t0ken"));
    let error = client(&strict).send(request).await.unwrap_err();
    assert_eq!(
        Obstacle::told_by(&error.to_string()),
        Some(Obstacle::PlainHttp),
        "{error}"
    );
    assert_eq!(proxy.heads().len(), 2, "nothing was sent");
}

#[tokio::test]
async fn a_proxy_that_wants_a_login_is_told_as_such_and_gets_the_one_it_was_given() {
    let bench = Bench::new();
    let server = bench.server();
    let proxy = proxy(Rules {
        // me:s3/cr@t
        login: Some("bWU6czMvY3JAdA==".to_owned()),
        ..to(server.address)
    });
    let network = |login: &str| Network {
        proxy: Some(format!("http://{login}{}", proxy.address)),
        allow_plain_http: true,
        ..bench.trusting()
    };
    let plain: Url = "http://pw.example.test/".parse().unwrap();
    for login in ["", "me:wr0ng@"] {
        for url in [server.url("pw.example.test", "/"), plain.clone()] {
            let (error, words) = fails(&network(login), url).await;
            assert!(matches!(error, HttpError::Proxy(_)), "{words}");
            assert_eq!(Obstacle::told_by(&words), Some(Obstacle::ProxyLogin), "{words}");
            assert!(
                words.contains(&proxy.url()) && !words.contains("wr0ng"),
                "{words}"
            );
        }
    }
    assert_eq!(proxy.heads().len(), 4, "a login that is refused is not repeated");
    let response = get(&network("me:s3%2Fcr%40t@"), server.url("pw.example.test", "/")).await;
    assert_eq!(response.unwrap().status, 200);
    assert!(
        !server.requests()[0]
            .to_lowercase()
            .contains("proxy-authorization")
    );
}

#[tokio::test]
async fn a_proxy_that_does_not_connect_or_cannot_be_reached_is_told_apart_from_the_server() {
    let bench = Bench::new();
    let server = bench.server();
    let url = server.url("pw.example.test", "/");
    let refusing = proxy(Rules {
        refuse: Some(403),
        ..Rules::default()
    });
    let through = |url: String| Network {
        proxy: Some(url),
        ..bench.trusting()
    };
    let (error, words) = fails(&through(refusing.url()), url.clone()).await;
    assert!(matches!(error, HttpError::Proxy(_)), "{words}");
    assert_eq!(Obstacle::told_by(&words), Some(Obstacle::ProxyRefusal), "{words}");

    let away = crate::program::nowhere();
    for url in [url.clone(), "http://pw.example.test/".parse().unwrap()] {
        let (error, words) = fails(&through(away.clone()), url).await;
        assert!(matches!(error, HttpError::Proxy(_)), "{words}");
        assert_eq!(Obstacle::told_by(&words), Some(Obstacle::Proxy), "{words}");
        assert!(
            words.ends_with("the connection was refused") && words.contains(&away),
            "{words}"
        );
    }
    // Something the HTTP library cannot do, and says in words nobody understands.
    let there = proxy(to(server.address));
    let (_, words) = fails(&through(there.url()), "https://[2001:db8::1]/".parse().unwrap()).await;
    assert!(words.contains("use the server's name"), "{words}");
    // The server's own faults stay its own behind a proxy.
    let network = Network {
        ca_bundle: None,
        ..through(there.url())
    };
    let (error, words) = fails(&network, url).await;
    assert!(matches!(error, HttpError::Certificate(_)), "{words}");
    assert!(
        words.starts_with("pw.example.test:") && words.contains("Corporate Root"),
        "{words}"
    );
}

#[tokio::test]
async fn a_proxy_may_speak_tls_itself() {
    let bench = Bench::new();
    let server = bench.server();
    let behind = proxy(to(server.address));
    let identity = bench.authority.issue(&["localhost"], VALID);
    let front = TlsServer::start(
        &Handle::current(),
        &identity,
        Clients::Anybody,
        Inside::Pass(behind.address),
    );
    let network = Network {
        proxy: Some(format!("https://localhost:{}", front.address.port())),
        ..bench.trusting()
    };
    let url = server.url("pw.example.test", "/");
    assert_eq!(get(&network, url.clone()).await.unwrap().status, 200);
    let network = Network {
        ca_bundle: None,
        ..network
    };
    let (error, words) = fails(&network, url).await;
    assert!(matches!(error, HttpError::Certificate(_)), "{words}");
    assert!(
        words.contains("of its proxy localhost, its certificate"),
        "{words}"
    );
}

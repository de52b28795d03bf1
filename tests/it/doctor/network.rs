//! The way to the servers.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use pwfs::demo::{Effect, Fault, RequestKind};

use super::{doctor, signed_in};
use crate::program::{Stage, nowhere};

#[test]
fn a_port_where_nothing_listens_is_the_guides_server_that_cannot_be_reached() {
    let stage = signed_in();
    let told = doctor(&stage, &["--datasource", &format!("{}/ws", nowhere())]);
    told.fails(
        "network.wsg.tcp",
        69,
        "firewall rules must let this machine's outbound address through; contact IT",
    )
    .waits("network.wsg.http", "network.wsg.tcp")
    .waits("access.app", "network.wsg.tcp");
    assert_eq!(told.outcome("login.token"), "pass", "the rest is looked at");
}

#[test]
fn a_name_that_nobody_knows_is_told_as_such() {
    let stage = signed_in();
    let told = doctor(&stage, &["--datasource", "https://no-such-host.invalid/ws"]);
    told.fails("network.wsg.dns", 69, "check the datasource URL")
        .waits("network.wsg.tls", "network.wsg.dns")
        .waits("access.gateway", "network.wsg.dns");
}

/// Has profile and stored login name another identity provider.
fn move_issuer(stage: &Stage, to: &str) {
    for path in [stage.config_file(), stage.login_file()] {
        let text = fs::read_to_string(&path).unwrap();
        // The gateway stays where it is.
        let moved = text.replace(&format!("\"{}\"", stage.server.issuer()), &format!("\"{to}\""));
        assert_ne!(moved, text, "{text}");
        fs::write(path, moved).unwrap();
    }
}

#[test]
fn an_identity_provider_that_is_away_is_no_lost_login() {
    let stage = signed_in();
    move_issuer(&stage, &nowhere());
    let told = doctor(&stage, &[]);
    told.fails("network.idp.tcp", 69, "contact IT")
        .waits("login.discovery", "network.idp.tcp")
        .waits("login.client", "network.idp.tcp");
    assert_eq!(
        told.outcome("login.token"),
        "pass",
        "the stored token is good still"
    );
    assert_eq!(told.outcome("access.permission"), "pass");
}

#[test]
fn an_identity_provider_that_tells_no_endpoints_is_told_as_such() {
    let stage = signed_in();
    stage
        .server
        .turn(|knobs| knobs.discovery = pwfs::demo::knobs::Discovery::Missing);
    doctor(&stage, &[]).fails("login.discovery", 78, "check the issuer's address");
}

#[test]
fn a_clock_that_is_wrong_is_told_with_by_how_much() {
    let stage = signed_in();
    let skew = |seconds| {
        stage.server.clear_faults();
        stage
            .server
            .inject(Fault::everywhere(Effect::ClockSkew { seconds }));
        doctor(&stage, &[])
    };
    let told = skew(400);
    assert_eq!(
        told.with("fail"),
        ["network.idp.clock", "network.wsg.clock"],
        "{}",
        told.all
    );
    told.ends("network.idp.clock", 1)
        .mends("network.idp.clock", "timedatectl set-ntp true")
        .finds("network.wsg.clock", "s behind that of the server");
    let seconds = told.check("network.idp.clock")["details"]["skew_seconds"]
        .as_i64()
        .unwrap();
    assert!((398..=402).contains(&seconds), "{seconds}");
    let told = skew(-120);
    told.is_well();
    assert_eq!(told.outcome("network.wsg.clock"), "warn");
    told.finds("network.wsg.clock", "s ahead of that of the server");
}

#[test]
fn a_page_in_place_of_the_identity_provider_is_a_captive_portal() {
    let stage = signed_in();
    stage
        .server
        .inject(Fault::on(RequestKind::Discovery, Effect::HtmlLogin));
    doctor(&stage, &[])
        .fails("network.idp.http", 69, "open any http:// address in a browser")
        .waits("login.discovery", "network.idp.http");
}

#[test]
fn answers_that_are_no_data_are_no_missing_right() {
    let stage = signed_in();
    for effect in [Effect::MalformedJson, Effect::JsonNull, Effect::EmptyBody] {
        let fault = stage.server.inject(Fault::on(RequestKind::ListProjects, effect));
        doctor(&stage, &[])
            .fails("access.gateway", 1, "a proxy may answer in the server's place")
            .waits("access.app", "access.gateway");
        stage.server.clear_fault(fault);
    }
}

/// A server that answers everything with the page of a hotel.
fn hotel() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                // A connection that only tries the port sends nothing.
                if socket.read(&mut request).is_ok_and(|read| read > 0) {
                    let page = "<html><h1>Welcome to the hotel</h1></html>";
                    let _ = write!(
                        socket,
                        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                        page.len()
                    );
                }
            });
        }
    });
    format!("http://{address}")
}

#[test]
fn a_captive_portal_in_the_servers_place_is_named() {
    let stage = signed_in();
    let told = doctor(&stage, &["--datasource", &format!("{}/ws", hotel())]);
    told.fails("network.wsg.http", 69, "open any http:// address in a browser")
        .finds("network.wsg.http", "captive portal")
        .waits("access.gateway", "network.wsg.http")
        .waits("network.wsg.clock", "network.wsg.http");
}

#[test]
fn silence_of_everybody_ends_within_a_minute() {
    let stage = signed_in();
    stage.server.inject(Fault::everywhere(Effect::HangAfterAccept));
    let began = Instant::now();
    let told = doctor(&stage, &[]);
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    assert_eq!(
        told.with("fail"),
        ["network.idp.http", "network.wsg.http"],
        "{}",
        told.all
    );
    told.ends("network.idp.http", 69)
        .waits("access.app", "network.wsg.http");
}

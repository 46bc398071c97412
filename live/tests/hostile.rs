//! Who connects without good intentions: is refused, or hurts only itself.

#![cfg(target_os = "linux")]

mod common;

use common::{Live, Producer, name, until};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use tungstenite::Message;

#[test]
fn foreign_hosts_and_origins_get_nothing() {
    let live = Live::start(&[]);
    let (own, port) = (format!("Host: {}", live.host), live.host.split_once(':').unwrap().1);
    // A name that was led here (DNS rebinding), none, two, and what only looks like an address.
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), "127.0.0.1.evil.example".into()] {
        assert_eq!(live.ask(&["GET / HTTP/1.1", &format!("Host: {host}")]).0, 403, "{host}");
        assert_eq!(live.upgrade(&host, &[&format!("Sec-WebSocket-Protocol: {}", live.protocols())]), 403, "{host}");
    }
    assert_ne!(live.ask(&["GET / HTTP/1.1"]).0, 200);
    assert_ne!(live.ask(&["GET / HTTP/1.1", &own, "Host: localhost"]).0, 200);
    assert_eq!(live.ask(&["GET / HTTP/1.1", &own]).0, 200);

    // A page of another site, of another port, of a file, with the right token even.
    let protocols = format!("Sec-WebSocket-Protocol: {}", live.protocols());
    for origin in ["https://evil.example", "http://127.0.0.1:1", "http://localhost", "null", "file://", ""] {
        let origin = format!("Origin: {origin}");
        assert_eq!(live.upgrade(&live.host, &[&protocols, &origin]), 403, "{origin}");
    }
    let origin = format!("Origin: http://{}", live.host);
    assert_eq!(live.upgrade(&live.host, &[&protocols, &origin, &origin]), 403, "two origins");
    assert_eq!(live.upgrade(&live.host, &[&protocols, &origin]), 101);
    for wrong in ["shmx.live.1", "shmx.live.1, token.", "shmx.live.1, token.0123456789abcdef0123456789abcdef"] {
        assert_eq!(live.upgrade(&live.host, &[&format!("Sec-WebSocket-Protocol: {wrong}")]), 403, "{wrong}");
    }
    assert_eq!(live.ask(&["GET /foxglove HTTP/1.1", &own]).0, 404, "not asked for");
}

#[test]
fn there_are_four_files_and_no_others() {
    let live = Live::start(&[]);
    for path in ["/", "/live.js", "/live.css", "/licenses.txt"] {
        assert_eq!(live.get(path).0, 200, "{path}");
    }
    for path in [
        "/../Cargo.toml",
        "/..%2fCargo.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/live.js/../../Cargo.toml",
        "/live.js%00",
        "/index.html",
        "/.git/config",
    ] {
        assert_eq!(live.get(path).0, 404, "{path}");
    }
    let own = format!("Host: {}", live.host);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"] {
        assert_ne!(live.ask(&[&format!("{method} / HTTP/1.1"), &own, "Content-Length: 0"]).0, 200, "{method}");
    }
    let (_, page) = live.get("/");
    let head = page.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
    for line in ["content-security-policy: default-src 'none'", "frame-ancestors 'none'", "nosniff", "no-referrer"] {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert!(!page.contains(&live.token), "the page is the same for everybody");
}

#[test]
fn requests_that_make_no_sense_end_their_connection() {
    let live = Live::start(&[]);
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(5000));
    let address = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000));
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for rubbish in [
        &b"\0\0\0\0"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        long.as_bytes(),
        many.as_bytes(),
        address.as_bytes(),
        &bytes,
    ] {
        let mut stream = live.connect();
        let _ = stream.write_all(rubbish);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.starts_with("HTTP/1.1 200"), "{text}");
        assert_eq!(live.get("/").0, 200);
    }
    assert!(live.end().is_empty(), "nothing to say about that");
}

#[test]
fn idle_connections_make_room() {
    let live = Live::start(&[]);
    let waiting: Vec<TcpStream> = (0..300).map(|_| live.connect()).collect();
    for mut stream in &waiting[..150] {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: loc").unwrap();
    }
    // The first ones are sent away by and by.
    assert_eq!(live.get("/").0, 200);
    drop(waiting);
}

/// A client's frame; an all-zero mask leaves the bytes as they are.
fn frame(first: u8, length: &[u8], mask: bool, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    out.extend_from_slice(length);
    if mask {
        out[1] |= 0x80;
        out.extend_from_slice(&[0; 4]);
    }
    out.extend_from_slice(body);
    out
}

#[test]
fn websocket_rubbish_ends_its_connection_and_no_other() {
    let region = name("rubbish");
    let _producer = Producer::new(&region, 1000);
    let live = Live::start(&[&region]);
    let mut witness = live.viewer();
    witness.look_at(&region, &json!([{"id": 2}]));
    witness.frame();
    let huge = [&[127][..], &(1_u64 << 62).to_be_bytes()].concat();
    let large = [&[127][..], &(1_u64 << 20).to_be_bytes()].concat();
    let fragment = [&[127][..], &200_000_u64.to_be_bytes()].concat();
    for (what, bytes) in [
        ("no mask", frame(0x81, &[2], false, b"{}")),
        ("an operation that there is not", frame(0x83, &[2], true, b"{}")),
        ("reserved bits", frame(0xf1, &[2], true, b"{}")),
        ("nothing to continue", frame(0x80, &[2], true, b"{}")),
        ("no UTF-8", frame(0x81, &[2], true, &[0xff, 0xfe])),
        ("a long ping", frame(0x89, &[126, 1, 0], true, &[0; 256])),
        ("half a ping", frame(0x09, &[2], true, b"{}")),
        ("a huge length", frame(0x81, &huge, true, b"{}")),
        ("a large frame", frame(0x81, &large, true, &vec![b' '; 1 << 20])),
        (
            "large in parts",
            [frame(0x01, &fragment, true, &vec![b' '; 200_000]), frame(0x80, &fragment, true, &vec![b' '; 200_000])]
                .concat(),
        ),
        ("a bad close", frame(0x88, &[1], true, b"x")),
    ] {
        let mut bad = live.viewer();
        let _ = bad.socket.get_mut().write_all(&bytes);
        let mut rest = Vec::new();
        let ended = bad.socket.get_mut().read_to_end(&mut rest);
        let by_reset = ended.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset);
        assert!(ended.is_ok() || by_reset, "{what}: {ended:?}");
        witness.ack(&region);
        witness.frame();
    }
    let mut odd = live.viewer();
    let deep = "[".repeat(100_000);
    let requests = ["", "{", "[]", "null", "\"look\"", r#"{"op":"look"}"#, r#"{"op":"x"}"#, &deep].map(str::to_owned);
    let wrong = r#"{"op":"subscribe","region":"a","streams":[{"id":99999999999}]}"#.to_owned();
    for text in requests.into_iter().chain([wrong]) {
        odd.socket.send(Message::text(text.clone())).unwrap();
        assert!(odd.text("failed")["why"].as_str().is_some_and(|w| !w.is_empty()), "{text}");
    }
    odd.socket.send(Message::binary(vec![0; 1000])).unwrap();
    odd.send(&json!({"op": "subscribe", "region": "another", "streams": []}));
    odd.text("failed");
    odd.send(&json!({"op": "directory", "region": region}));
    odd.text("directory");
}

#[test]
fn what_asks_without_reading_is_sent_no_more() {
    let region = name("deaf");
    let _producer = Producer::new(&region, 1 << 20);
    let live = Live::start(&[&region]);
    let mut deaf = live.viewer();
    deaf.look_at(&region, &json!([{"id": 2}]));
    // More acknowledgements than there are frames, and the same wish again and again.
    for _ in 0..2000 {
        deaf.ack(&region);
        deaf.send(&json!({"op": "subscribe", "region": region, "streams": [{"id": 2}]}));
    }
    let mut other = live.viewer();
    other.look_at(&region, &json!([{"id": 2, "max": 1000}]));
    for _ in 0..30 {
        other.frame();
        other.ack(&region);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", live.worker())).unwrap();
    let peak: u64 = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(peak < 48 << 10, "{peak} KiB at most: a frame has 1 MiB");
}

/// Another process may cut a region short at any time, which ends who has it open.
#[test]
fn what_is_not_shown_is_not_opened() {
    let (shown, other) = (name("shown"), name("other"));
    let _producers = [Producer::new(&shown, 10), Producer::new(&other, 10)];
    let live = Live::start(&[&shown]);
    let mut viewer = live.viewer();
    viewer.send(&json!({"op": "look", "on": true}));
    let regions = viewer.text("regions");
    assert_eq!(regions["regions"].as_array().unwrap().len(), 1, "{regions}");
    viewer.send(&json!({"op": "subscribe", "region": shown, "streams": [{"id": 1}]}));
    viewer.frame();
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", live.worker())).unwrap();
    assert!(maps.contains(&format!("/dev/shm/{shown}")), "{maps}");
    assert!(!maps.contains(&other), "{maps}");
}

#[test]
fn what_cannot_be_opened_is_shown_with_the_reason() {
    let (whole, damaged) = (name("whole"), name("damaged"));
    let _producer = Producer::new(&whole, 1);
    let object = |name: &str| format!("/dev/shm/{name}");
    // Half of its header is that of another region.
    let mut bytes = std::fs::read(object(&whole)).unwrap();
    bytes[16..64].fill(0xFF);
    std::fs::write(object(&damaged), bytes).unwrap();
    let live = Live::start(&[&whole, &damaged]);
    let mut viewer = live.viewer();
    viewer.send(&json!({"op": "look", "on": true}));
    let regions = viewer.text("regions");
    std::fs::remove_file(object(&damaged)).unwrap();
    let of = |name: &str| regions["regions"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap().clone();
    assert_eq!(of(&whole)["state"], "live", "{regions}");
    assert_eq!(of(&damaged)["state"], "damaged", "{regions}");
    assert!(of(&damaged)["problem"].as_str().is_some_and(|p| !p.is_empty()), "{regions}");
}

#[test]
fn there_are_only_so_many_viewers() {
    let live = Live::start(&[]);
    let mut all: Vec<_> = (0..32).map(|_| live.viewer()).collect();
    let refused = live.try_viewer().map(|_| ()).unwrap_err();
    assert!(matches!(&refused, tungstenite::Error::Http(r) if r.status() == 503), "{refused}");
    all.pop();
    until("a place", || live.try_viewer().ok());
}

/// A viewer whose machine is gone says nothing more, so its place would be taken for ever.
#[test]
fn the_system_asks_whether_viewers_are_there() {
    let live = Live::start(&[]);
    let mut viewer = live.viewer();
    let (of, to) =
        (viewer.socket.get_ref().0.local_addr().unwrap().port(), viewer.socket.get_ref().0.peer_addr().unwrap().port());
    viewer.text("hello");
    // The server's end, with the timer of keepalive running.
    let line = format!("0100007F:{to:04X} 0100007F:{of:04X} ");
    until("a timer", || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let entry = table.lines().find(|l| l.contains(&line))?;
        entry.split_whitespace().nth(5)?.starts_with("02:").then_some(())
    });
}

#[test]
fn no_log_and_no_command_line_has_the_token() {
    let live = Live::with(&["--foxglove"], &[("RUST_LOG", "trace")]);
    let mut viewer = live.viewer();
    viewer.send(&json!({"op": "look", "on": true}));
    viewer.text("regions");
    let foxglove = format!("GET /foxglove?token={} HTTP/1.1", live.token);
    let own = format!("Host: {}", live.host);
    assert_ne!(live.ask(&[&foxglove, &own]).0, 403);
    assert_eq!(live.upgrade(&live.host, &["Sec-WebSocket-Protocol: shmx.live.1, token.wrongwrongwrongwrong"]), 403);
    for id in [live.child.id(), live.worker()] {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap();
        assert!(!String::from_utf8_lossy(&line).contains(&live.token));
    }
    let token = live.token.clone();
    drop(viewer);
    let said = live.end();
    assert!(said.contains("a request was refused"), "it does write a log: {said}");
    assert!(!said.contains(&token) && !said.contains("wrongwrong"), "{said}");
}

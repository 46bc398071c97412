//! Scenarios over the loopback address: they need no rights.

use crate::bridge::{Bridge, DATA, PROGRAM, V, attach, origin, pattern, port, publish, serve, unique, until};
use crate::children::now_ns;
use crate::delay;
use crate::hosts::sh;
use shmx::{Client, Server, Stream};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) const SHORT: Duration = Duration::from_secs(30);

/// Two bridges: one that sends `name`, with more options, and one that mirrors it.
pub(crate) fn pair(name: &str, more: &[&str]) -> (Bridge, Bridge, u16) {
    let port = port();
    let endpoint = format!("tcp/127.0.0.1:{port}");
    let robot = [&["--host", "robot", "--export", name, "--listen", &endpoint], more].concat();
    let robot = Bridge::start(&[], &robot);
    let desk = Bridge::start(&[], &["--host", "desk", "--import", &format!("robot/{name}"), "--connect", &endpoint]);
    (robot, desk, port)
}

pub(crate) fn mirror_of(name: &str) -> String {
    format!("robot.{name}")
}

/// A file that goes with its value.
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("a file");
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("a path")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Publishes frames and compares each with what arrives.
pub(crate) fn compare(server: &mut Server, client: &mut Client, frames: u64) {
    for n in 0..frames {
        let data = pattern(n, 1 + (n as usize * 7919) % 300_000);
        let id = publish(server, n, &data);
        let frame = client.wait(SHORT).expect("a mirror").expect("a frame");
        let from = origin(&frame);
        assert_eq!((from.frame_id, from.session, frame.sim_time()), (id, server.session_id(), n as f64));
        assert_eq!(frame.value(V).expect("v"), n);
        assert!(frame.get(DATA).expect("data") == data, "frame {id} is not what was sent");
    }
}

pub(crate) fn bytes() {
    let name = unique("bytes");
    let mut server = serve(&name, 300_000);
    let (robot, desk, _) = pair(&name, &[]);
    let mut client = attach(&mirror_of(&name));
    compare(&mut server, &mut client, 300);
    assert_eq!(server.readers_connected(), 0, "it takes no reader slot");
    desk.says("mirrors");
    robot.says("to desk");
    // A bridge that leaves takes its mirrors along.
    desk.interrupt();
    assert!(client.server_end().is_some());
    assert!(Client::open(&mirror_of(&name)).is_err());
}

pub(crate) fn conformance() {
    // The library's own suite, over two sessions of the program's backend: by way of a bridge's network.
    let endpoint = format!("tcp/127.0.0.1:{}", port());
    let listen = zenoh_of(&[&endpoint], &[]);
    let connect = zenoh_of(&[], &[&endpoint]);
    shmx_bridge::conformance::all(&[listen, connect]);
}

/// The backend of the program, as this test builds it.
#[path = "../../src/network.rs"]
#[allow(dead_code)]
mod network;

fn zenoh_of(listen: &[&str], connect: &[&str]) -> Arc<dyn shmx_bridge::Backend> {
    let mut config = network::defaults();
    let more = serde_json::json!({ "listen": { "endpoints": listen }, "connect": { "endpoints": connect } });
    network::merge(&mut config, more);
    network::Network::open(&config).expect("a session")
}

pub(crate) fn late() {
    let name = unique("late");
    let mut server = serve(&name, 1000);
    let id = (1..=20).map(|n| publish(&mut server, n, &pattern(n, 900))).last();
    let (_robot, _desk, _) = pair(&name, &[]);
    let mut client = attach(&mirror_of(&name));
    let frame = client.next(SHORT).expect("a mirror").expect("the newest frame");
    assert_eq!((Some(origin(&frame).frame_id), frame.value(V).ok()), (id, Some(20)));
}

/// The fastest answer over this link takes a tenth of a second.
const ONE_WAY: Duration = Duration::from_millis(50);

pub(crate) fn far() {
    let name = unique("far");
    let mut server = serve(&name, 100_000);
    publish(&mut server, 0, &[0]);
    let near = port();
    let (listen, connect) = (format!("tcp/127.0.0.1:{near}"), format!("tcp/127.0.0.1:{}", delay::to(near, ONE_WAY)));
    let _robot = Bridge::start(&[], &["--host", "robot", "--export", &name, "--listen", &listen]);
    let import = format!("robot/{name}");
    let desk = Bridge::start(&[], &["--host", "desk", "--import", &import, "--connect", &connect]);
    let mut client = attach(&mirror_of(&name));
    let data = pattern(1, 100_000);
    let one_way = ONE_WAY.as_nanos() as u64;
    let (begun, mut n, mut ages, mut known) = (Instant::now(), 0, Vec::new(), 0);
    // Until there is an estimate of the clocks, and some frames with one.
    while begun.elapsed() < Duration::from_secs(5) || known < 10 {
        assert!(begun.elapsed() < Duration::from_secs(90), "{known} frames: {}", desk.all_said());
        n += 1;
        publish(&mut server, n, &data);
        while let Ok(Some(frame)) = client.try_wait() {
            let from = origin(&frame);
            if from.frame_id > 1 {
                ages.push(now_ns().saturating_sub(from.published_ns));
            }
            if from.error_ns > 0 {
                known += 1;
                // It is the same clock: the estimate is not off by more than it says, and it cannot know better than half
                // of the way there and back.
                let off = from.here_ns.abs_diff(from.published_ns);
                assert!(off <= from.error_ns + 1 && from.error_ns >= one_way, "{from:?}");
            }
        }
        let due = begun + Duration::from_secs_f64(n as f64 / 60.0);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let elapsed = begun.elapsed();
    ages.sort_unstable();
    let (median, oldest) = (ages[ages.len() / 2], ages[ages.len() - 1]);
    let ms = |ns: u64| ns as f64 / 1e6;
    println!(
        "   {n} frames published in {:.1} s, {} arrived; age {:.0} ms (median), {:.0} ms (oldest)",
        elapsed.as_secs_f64(),
        ages.len(),
        ms(median),
        ms(oldest)
    );
    // Nothing comes before it can, one frame goes there for each answer that comes back, and none waits in a queue.
    assert!(ages[0] >= one_way, "{} ns", ages[0]);
    assert!(ages.len() as u128 <= elapsed.as_nanos() / (2 * u128::from(one_way)) + 2, "{} frames", ages.len());
    assert!(u128::from(oldest) < elapsed.as_nanos() / 2, "{oldest} ns");
    let status = desk.status();
    let (mirror, counts) = (&status["mirrors"][0], &status["mirrors"][0]["counts"]);
    let count = |what: &str| counts[what].as_u64().expect("a count");
    assert_eq!((count("lost"), count("rejected"), count("blocked")), (0, 0, 0), "{status}");
    assert_eq!(Some(count("published") + count("missed")), mirror["origin_id"].as_u64(), "{status}");
    let (ahead, error) = (mirror["clock_ahead_ns"].as_i64().expect("known"), mirror["clock_error_ns"].as_u64());
    assert!(Some(ahead.unsigned_abs()) <= error.map(|e| e + 1) && error >= Some(one_way), "{status}");
}

pub(crate) fn compressed() {
    let name = unique("packed");
    const IMAGE: Stream<[u8; 3]> = Stream::new(3, "image");
    let builder = Server::builder(&name).stream(V, 1).image(IMAGE, 64, 96, "bgr8").stream(DATA, 100_000);
    let mut server = builder.create().expect("a region");
    let rules = "[{ stream: 'image', codec: 'jpeg', level: 95 }, { stream: 'data', codec: 'zstd' }, { stream: 'v', codec: 'lz4' }]";
    let config = format!("{{ export: [{{ regions: ['{name}'], compress: {rules} }}] }}");
    let config = File::new(&format!("{name}.json5"), &config);
    let endpoint = format!("tcp/127.0.0.1:{}", port());
    let robot = Bridge::start(&[], &["--host", "robot", "--config", config.path(), "--listen", &endpoint]);
    let import = format!("robot/{name}");
    let desk = Bridge::start(&[], &["--host", "desk", "--import", &import, "--connect", &endpoint]);
    let mut client = attach(&mirror_of(&name));
    let image: Vec<[u8; 3]> = (0..64 * 96_u32).map(|i| [(i % 96) as u8, (i / 96) as u8 * 2, 128]).collect();
    let data: Vec<u8> = (0..100_000_u32).map(|i| (i / 1000) as u8).collect();
    for n in 0..20 {
        let mut f = server.begin_frame().expect("a slot");
        f.append_value(V, n).expect("room");
        f.append_stream(IMAGE, &image).expect("room");
        f.append_stream(DATA, &data).expect("room");
        let id = f.publish_frame(0.0).expect("publish");
        let frame = client.wait(SHORT).expect("a mirror").expect("a frame");
        assert_eq!((origin(&frame).frame_id, frame.value(V).expect("v")), (id, n));
        assert!(frame.get(DATA).expect("data") == data);
        let near = frame
            .get(IMAGE)
            .expect("image")
            .iter()
            .zip(&image)
            .all(|(a, b)| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) < 30));
        assert!(near, "the image is another one");
    }
    let sent = until("counts", || robot.status()["sending"][0]["counts"]["bytes"].as_u64().filter(|&b| b > 0));
    assert!(sent < 20 * 60_000, "{sent} bytes");
    drop(desk);
}

pub(crate) fn control() {
    let name = unique("control");
    let server = serve(&name, 1000);
    let config = format!("{{ export: [{{ regions: ['{name}'], control: true }}] }}");
    let config = File::new(&format!("{name}.json5"), &config);
    let endpoint = format!("tcp/127.0.0.1:{}", port());
    let _robot = Bridge::start(&[], &["--host", "robot", "--config", config.path(), "--listen", &endpoint]);
    let import = format!("robot/{name}");
    let _desk = Bridge::start(&[], &["--host", "desk", "--import", &import, "--connect", &endpoint]);
    let client = attach(&mirror_of(&name));
    client.control_send(0x3007, b"slower").expect("send");
    let mut messages = Vec::new();
    until("both messages", || {
        messages.extend(server.poll_control(16).messages);
        (messages.len() >= 2).then_some(())
    });
    assert_eq!(messages[0].ty, shmx_bridge::wire::FROM);
    assert!(messages[0].data.ends_with(b"desk"));
    assert_eq!((messages[1].ty, &messages[1].data[..]), (0x3007, &b"slower"[..]));
}

pub(crate) fn rubbish() {
    let name = unique("rubbish");
    let mut server = serve(&name, 300_000);
    let (_robot, _desk, port) = pair(&name, &[]);
    let mut client = attach(&mirror_of(&name));
    let mut dice = fastrand::Rng::with_seed(11);
    for round in 0..40 {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { continue };
        let _ = stream.set_write_timeout(Some(Duration::from_millis(200)));
        let bytes: Vec<u8> = match round % 4 {
            0 => b"GET / HTTP/1.1\r\nHost: robot\r\n\r\n".to_vec(),
            // A length, and less than that.
            1 => vec![0xFF, 0xFF, 1, 2, 3],
            _ => {
                let len = dice.usize(..5000);
                std::iter::repeat_with(|| dice.u8(..)).take(len).collect()
            }
        };
        let _ = stream.write_all(&bytes);
    }
    compare(&mut server, &mut client, 20);
}

/// Addresses on which a process listens, as the kernel writes them.
fn listening(pid: u32) -> BTreeSet<String> {
    let sockets: BTreeSet<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| std::fs::read_link(e.path()).ok()?.to_str().map(str::to_owned))
        .filter_map(|l| l.strip_prefix("socket:[").and_then(|l| l.strip_suffix(']')).map(str::to_owned))
        .collect();
    let mut found = BTreeSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let listens = table.starts_with("udp") || words.get(3) == Some(&"0A");
            if listens && words.get(9).is_some_and(|inode| sockets.contains(*inode)) {
                found.insert(words[1].to_owned());
            }
        }
    }
    found
}

pub(crate) fn listens() {
    let name = unique("listens");
    let _server = serve(&name, 1000);
    let port = port();
    let endpoint = format!("tcp/127.0.0.1:{port}");
    let robot = Bridge::start(&[], &["--host", "robot", "--export", &name, "--listen", &endpoint]);
    robot.says("offers");
    assert_eq!(listening(robot.id()), BTreeSet::from([format!("0100007F:{port:04X}")]));
    let import = format!("robot/{name}");
    let desk = Bridge::start(&[], &["--host", "desk", "--import", &import, "--connect", &endpoint]);
    desk.says("mirrors");
    assert_eq!(listening(desk.id()), BTreeSet::new());
}

/// An authority, and a key and certificate for this host that it has signed.
fn certificates(folder: &Path, who: &str) -> Result<(), String> {
    let file = |what: &str| folder.join(format!("{who}-{what}")).to_str().expect("a path").to_owned();
    let ext = File::new(
        &format!("shmx-t-zb-{}-{who}.ext", std::process::id()),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\n",
    );
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let (ca_key, ca, key, csr, cert) =
        (file("ca.key"), file("ca.pem"), file("key.pem"), file("csr.pem"), file("cert.pem"));
    let ca_subject = format!("/CN={who} authority");
    sh(&[
        &["openssl", "req", "-x509", "-days", "2", "-subj", &ca_subject, "-keyout", &ca_key, "-out", &ca],
        &curve[..],
    ]
    .concat())?;
    sh(&[&["openssl", "req", "-subj", "/CN=localhost", "-keyout", &key, "-out", &csr], &curve[..]].concat())?;
    sh(&[
        "openssl",
        "x509",
        "-req",
        "-in",
        &csr,
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        ext.path(),
        "-out",
        &cert,
    ])?;
    Ok(())
}

pub(crate) fn tls() {
    let name = unique("tls");
    let mut server = serve(&name, 1000);
    publish(&mut server, 1, &[1]);
    let folder = std::env::temp_dir().join(&name);
    std::fs::create_dir_all(&folder).expect("a folder");
    for who in ["ours", "theirs"] {
        certificates(&folder, who).unwrap_or_else(|e| panic!("openssl is needed: {e}"));
    }
    let endpoint = format!("tls/localhost:{}", port());
    let config = |who: &str, rest: String| {
        let file = |what: &str| folder.join(format!("{who}-{what}")).display().to_string();
        let (ca, key, cert) = (file("ca.pem"), file("key.pem"), file("cert.pem"));
        let tls = format!(
            "{{ root_ca_certificate: '{ca}', listen_private_key: '{key}', listen_certificate: '{cert}', enable_mtls: true, \
             connect_private_key: '{key}', connect_certificate: '{cert}' }}"
        );
        File::new(
            &format!("{name}-{who}.json5"),
            &format!("{{ {rest}, zenoh: {{ transport: {{ link: {{ tls: {tls} }} }} }} }}"),
        )
    };
    let exporter = config("ours", format!("export: [{{ regions: ['{name}'] }}]"));
    let robot = Bridge::start(&[], &["--host", "robot", "--config", exporter.path(), "--listen", &endpoint]);
    robot.says("offers");
    drop(exporter);
    // Another authority's first, so that it has all the time that the right one takes.
    let import = format!("import: [{{ regions: ['robot/{name}'], name: 'NAME.{{region}}' }}]");
    let wrong = config("theirs", import.replace("NAME", "wrong"));
    let stranger = Bridge::start(&[], &["--host", "stranger", "--config", wrong.path(), "--connect", &endpoint]);
    stranger.says("connects to");
    let right = config("ours", import.replace("NAME", "right"));
    let _desk = Bridge::start(&[], &["--host", "desk", "--config", right.path(), "--connect", &endpoint]);
    let _client = attach(&format!("right.{name}"));
    let until_then = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until_then {
        assert!(Client::open(&format!("wrong.{name}")).is_err(), "a stranger has a mirror: {}", stranger.all_said());
        std::thread::sleep(Duration::from_millis(50));
    }
    // And without encryption nobody is understood.
    let plain = endpoint.replace("tls/localhost", "tcp/127.0.0.1");
    let out = Command::new(PROGRAM).args(["ls", "--timeout", "2", "--connect", &plain]).output().expect("ls");
    assert!(!out.status.success());
    let _ = std::fs::remove_dir_all(folder);
}

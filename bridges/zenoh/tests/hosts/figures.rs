//! Figures: they pass and fail nothing.

use crate::bridge::{Bridge, attach, origin, pattern, publish, serve, unique, until};
use crate::children::{self, now_ns};
use crate::hosts::Hosts;
use shmx::Server;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

const SECONDS: u64 = 10;

/// Prints them, and gives the median in milliseconds.
fn percentiles(what: &str, mut ages: Vec<u64>) -> f64 {
    ages.sort_unstable();
    let at = |p: usize| ages.get(ages.len() * p / 100).or(ages.last()).map_or(0.0, |&a| a as f64 / 1e6);
    println!(
        "{what}: {} frames, age {:.2} ms (median), {:.2} ms (p90), {:.2} ms (p99)",
        ages.len(),
        at(50),
        at(90),
        at(99)
    );
    at(50)
}

/// Prints the figures; with `only`, those whose name has this text.
pub(crate) fn all(only: Option<&str>) {
    let chosen = |name: &str| only.is_none_or(|text| name.contains(text));
    let hosts = match Hosts::new(2) {
        Ok(hosts) => hosts,
        Err(e) => return println!("SKIPPED: no network namespaces here: {e}"),
    };
    println!("{SECONDS} s each, two network namespaces joined by a veth");
    if chosen("images") {
        let bridged = images(&hosts, "1920x1080 RGB at 60 Hz, bridged");
        let (region, memory) = (copy(&hosts, true), copy(&hosts, false));
        let (region, memory) = (bridged / region, bridged / memory);
        println!(
            "   {region:.2} times the age of a bare copy out of the region, {memory:.2} of one out of memory (median)"
        );
    }
    if chosen("overload") {
        overload();
    }
    for every in [false, true] {
        if chosen("small") {
            small(&hosts, every);
        }
    }
}

fn bridges(hosts: &Hosts, name: &str, every: bool) -> (Bridge, Bridge) {
    let file = |what: &str, text: String| {
        let path = std::env::temp_dir().join(format!("{name}-{what}.json5"));
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a path").to_owned()
    };
    let export = file("export", format!("{{ export: [{{ regions: ['{name}'], every: {every} }}] }}"));
    let import = file("import", format!("{{ import: [{{ regions: ['robot/{name}'], every: {every} }}] }}"));
    let connect = format!("tcp/{}:7447", hosts.address(0, 1));
    let robot = ["--host", "robot", "--config", &export, "--listen", "tcp/0.0.0.0:7447"];
    let robot = Bridge::start(&hosts.on(0), &robot);
    let desk = Bridge::start(&hosts.on(1), &["--host", "desk", "--config", &import, "--connect", &connect]);
    desk.says("mirrors");
    for path in [export, import] {
        let _ = std::fs::remove_file(path);
    }
    (robot, desk)
}

/// The same over a cable that carries a twentieth of it.
fn overload() {
    let hosts = Hosts::new(2).expect("hosts");
    hosts.limit(0, 1, 20_000_000).expect("tbf");
    images(&hosts, "the same over a cable of 20 MB/s");
}

/// 60 frames a second.
fn produce(server: &mut Server, data: &[u8]) {
    let begun = Instant::now();
    for n in 1..=SECONDS * 60 {
        publish(server, n, data);
        let due = begun + Duration::from_secs_f64(n as f64 / 60.0);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn images(hosts: &Hosts, what: &str) -> f64 {
    let name = unique("image");
    let size = 1920 * 1080 * 3;
    let mut server = serve(&name, size as u32);
    let data = pattern(1, size);
    publish(&mut server, 0, &data);
    let (robot, desk) = bridges(hosts, &name, false);
    let mut client = attach(&format!("robot.{name}"));
    let reader = std::thread::spawn(move || {
        let mut ages = Vec::new();
        while let Ok(Some(frame)) = client.wait(Duration::from_secs(2)) {
            ages.push(now_ns().saturating_sub(origin(&frame).published_ns));
        }
        ages
    });
    let (begun, busy) = (Instant::now(), [robot.busy(), desk.busy()]);
    produce(&mut server, &data);
    let spent = begun.elapsed().as_secs_f64();
    let share = |before: Duration, after: Duration| (after - before).as_secs_f64() / spent * 100.0;
    let cpu = [share(busy[0], robot.busy()), share(busy[1], desk.busy())];
    let mut ages = reader.join().expect("a reader");
    // The first one was there before.
    ages.remove(0);
    let median = percentiles(what, ages);
    println!("   processor: {:.0} % at the origin, {:.0} % at the mirror", cpu[0], cpu[1]);
    println!("   memory, peak: {} and {} MiB", robot.peak_memory() >> 20, desk.peak_memory() >> 20);
    median
}

/// The same bytes over a bare connection, unchecked: out of a region to which the same producer publishes, or out of one
/// piece of memory that is always the same, where the age counts from the first byte sent.
fn copy(hosts: &Hosts, from_region: bool) -> f64 {
    let (name, size) = (unique("bare"), 1920 * 1080 * 3);
    let (bytes, count) = (size.to_string(), (SECONDS * 60).to_string());
    let mut server = serve(&name, size as u32);
    let address = format!("{}:7500", hosts.address(1, 0));
    let mut receiver = children::start(&hosts.on(1), &["--copy-from", &address, &bytes]);
    let mut lines = BufReader::new(receiver.stdout.take().expect("stdout")).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    let to = if from_region { ["--copy-region-to", &address, &name] } else { ["--copy-to", &address, &bytes] };
    let mut sender = children::start(&hosts.on(0), &[&to[..], &[&count]].concat());
    let ages = std::thread::spawn(move || lines.filter_map(|l| l.parse().ok()).collect());
    if from_region {
        until("a reader", || (server.readers_connected() > 0).then_some(()));
        produce(&mut server, &pattern(1, size));
    }
    let _ = (sender.wait(), receiver.wait());
    let from = if from_region { "the region" } else { "memory" };
    percentiles(&format!("the same bytes, bare TCP, out of {from}"), ages.join().expect("ages"))
}

fn small(hosts: &Hosts, every: bool) {
    let name = unique("small");
    let mut server = serve(&name, 64);
    publish(&mut server, 0, &[0; 64]);
    let (robot, desk) = bridges(hosts, &name, every);
    let client = attach(&format!("robot.{name}"));
    let (begun, busy) = (Instant::now(), [robot.busy(), desk.busy()]);
    let count = SECONDS * 10_000;
    for n in 1..=count {
        publish(&mut server, n, &[1; 64]);
        let due = begun + Duration::from_nanos(n * 100_000);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let spent = begun.elapsed().as_secs_f64();
    let share = |before: Duration, after: Duration| (after - before).as_secs_f64() / spent * 100.0;
    let cpu = [share(busy[0], robot.busy()), share(busy[1], desk.busy())];
    std::thread::sleep(Duration::from_secs(1));
    let status = desk.status();
    let counts = &status["mirrors"][0]["counts"];
    let published = counts["published"].as_f64().unwrap_or(0.0);
    let mode = if every { "every frame" } else { "the newest" };
    println!(
        "64 B at 10 kHz, {mode}: {:.1} % delivered ({:.0} a second); processor {:.0} % and {:.0} %; {counts}",
        published / count as f64 * 100.0,
        published / spent,
        cpu[0],
        cpu[1]
    );
    drop(client);
}

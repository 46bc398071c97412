//! Ages, dates and rates: never of a clock that was read before the data, or of one that has come round.

#![cfg(target_os = "linux")]

use crate::common::{self, Folder, Running, cannot_run, lines, run, serve, shmx, unique, until, words};
use shmx::{Server, Stream};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const TICK: Stream<u64> = Stream::new(1, "tick");

/// The command with a clock that is this much ahead; none if the system has no time namespaces.
fn later(seconds: u64, args: &[&str]) -> Option<Output> {
    let with = |program: &str, args: &[&str]| {
        shmx_testkit::hear_signals();
        let mut c = Command::new("unshare");
        c.args(["-T", "--monotonic", &seconds.to_string(), program]).args(args).env_remove("RUST_LOG");
        c.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::start(c).output()
    };
    if !with("true", &[]).status.success() {
        eprintln!("not tried: there are no time namespaces here");
        return None;
    }
    Some(with(env!("CARGO_BIN_EXE_shmx"), args))
}

/// The low half of a publish time comes round every 73 minutes.
#[test]
fn a_frame_of_more_than_an_hour_ago_is_of_more_than_an_hour_ago() {
    const LATER: u64 = 4400;
    if cannot_run() {
        return;
    }
    let name = unique("old");
    let mut server = Server::builder(&*name).stream(TICK, 1).create().unwrap();
    let mut frame = server.begin_frame().unwrap();
    frame.append_value(TICK, 1).unwrap();
    frame.publish_frame(0.0).unwrap();
    let published = SystemTime::now();
    let Some(o) = later(LATER, &["ls", "--seconds", "0", "--json"]) else { return };
    let row = lines(&o).into_iter().find(|r| r["name"] == *name).unwrap();
    let age = row["newest_age_ns"].as_u64().unwrap();
    assert!((LATER * 1_000_000_000..(LATER + 600) * 1_000_000_000).contains(&age), "{row}");
    let text = String::from_utf8(later(LATER, &["ls", "--seconds", "0"]).unwrap().stdout).unwrap();
    let line = text.lines().find(|l| l.starts_with(&*name)).unwrap();
    assert!(line.contains("1h13m ago") || line.contains("1h14m ago"), "{line}");
    let look = later(LATER, &["inspect", &name, "--json"]).unwrap();
    assert!(lines(&look)[0]["latest"]["age_ns"].as_u64().unwrap() >= LATER * 1_000_000_000);
    // A recording dates it by the recorder's clock: as long ago as that says, and not 46 minutes.
    let folder = Folder::new("old");
    let file = folder.path("a.mcap");
    let o = later(LATER, &["record", &name, "-o", &file, "--frames", "1"]).unwrap();
    assert!(common::was_read(&o), "{}", words(&o));
    let first = lines(&run(&["info", &file, "--json"]))[0]["first_ns"].as_u64().unwrap();
    let then = published.duration_since(UNIX_EPOCH).unwrap() - Duration::from_secs(LATER);
    let off = Duration::from_nanos(first).abs_diff(then);
    assert!(off < Duration::from_secs(600), "off by {off:?}");
}

/// What is measured is no longer than the measuring, and nothing is older than its server.
#[test]
fn no_interval_and_no_age_is_longer_than_the_life_of_the_server() {
    if cannot_run() {
        return;
    }
    let name = unique("fast");
    let start = Instant::now();
    let mut serve = Running::start(shmx(&["serve", &name, "--hz", "5000", "--slots", "64"]));
    serve.line();
    let life = || start.elapsed().as_nanos() as u64;
    for _ in 0..3 {
        let o = run(&["hz", &name, "--seconds", "0.4", "--json"]);
        let v = &lines(&o)[0];
        for times in ["interval", "jitter", "seen_after"] {
            let n = |k: &str| v[times][k].as_u64().unwrap();
            assert!(n("max_ns") <= life() && n("mean_ns") <= n("max_ns"), "{times}: {v:#}");
        }
        // As many intervals as frames fit into the time that they took.
        let (mean, count) = (v["interval"]["mean_ns"].as_u64().unwrap(), v["interval"]["count"].as_u64().unwrap());
        assert!(mean * count <= life(), "{v:#}");
    }
    for _ in 0..30 {
        let v = &lines(&run(&["inspect", &name, "--json"]))[0];
        let age = v["latest"]["age_ns"].as_u64();
        assert!(age.is_some_and(|age| age <= life()), "{}", v["latest"]);
        for slot in v["slots"].as_array().unwrap().iter().filter(|s| s["frame_id"].is_u64()) {
            assert!(slot["age_ns"].as_u64().is_some_and(|age| age <= life()), "{slot}");
        }
        let rows = lines(&run(&["ls", "--seconds", "0", "--json"]));
        let row = rows.iter().find(|r| r["name"] == *name).unwrap();
        assert!(row["newest_age_ns"].as_u64().is_some_and(|age| age <= life()), "{row}");
    }
}

/// How long a thread that sleeps now has slept so far, because it wanted to and not because it waited for a processor.
fn asleep(thread: &str, since: Instant) -> Option<Duration> {
    let now = since.elapsed();
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{thread}/{file}")).ok();
    let before = read("schedstat")?;
    // Of one that runs or waits, the last of it is not counted yet.
    let sleeps = read("stat")?.rsplit_once(')')?.1.trim_start().starts_with('S');
    if !sleeps || read("schedstat")? != before {
        return None;
    }
    let mut ns = before.split_whitespace().map_while(|n| n.parse().ok()).map(Duration::from_nanos);
    let (ran, waited) = (ns.next().filter(|ran| !ran.is_zero())?, ns.next()?);
    Some(now.saturating_sub(ran + waited))
}

/// A ring of three slots comes round in 150 microseconds. Once 17 of 40 thousand frames were seen, as the follower
/// looked away for a tenth of a second each time. How many are seen when it does not is up to the machine; how long it
/// looks away is up to it.
#[test]
fn a_fast_producer_with_few_slots_is_followed() {
    if cannot_run() {
        return;
    }
    // 5 ms at most, and what the system adds.
    const PAUSE: Duration = Duration::from_millis(8);
    let name = unique("few");
    let folder = Folder::new("few");
    let mut serve = Running::start(shmx(&["serve", &name, "--hz", "20000", "--slots", "3"]));
    serve.line();
    let start = Instant::now();
    let mut hz = Running::start(shmx(&["hz", &name, "--seconds", "1", "--json"]));
    let thread = hz.child.id().to_string();
    let mut slept = None;
    until(|| {
        slept = asleep(&thread, start).or(slept);
        hz.child.try_wait().unwrap().is_some()
    });
    let o = hz.output();
    assert!(common::was_read(&o), "{}", words(&o));
    let v = &lines(&o)[0];
    let n = |v: &serde_json::Value, key: &str| v[key].as_u64().unwrap();
    let polls = (v["seconds"].as_f64().unwrap() * 1e9) as u64 / n(v, "poll_every_ns").max(1);
    match slept {
        Some(slept) => assert!(slept <= PAUSE * polls as u32, "{slept:?} in {polls} polls: {v}"),
        None => eprintln!("not looked at: the system does not tell how long a thread slept"),
    }
    assert!(n(v, "received") > 0 && n(v, "received") + n(v, "missed") + n(v, "rejected") == n(v, "frames"), "{v}");
    let file = folder.path("a.mcap");
    let start = Instant::now();
    let mut record = Running::start(shmx(&["record", &name, "-o", &file, "--seconds", "1", "--json", "--no-views"]));
    let mut slept = None;
    until(|| {
        let threads = std::fs::read_dir(format!("/proc/{}/task", record.child.id())).into_iter().flatten();
        let ids = threads.filter_map(|t| t.ok()?.file_name().into_string().ok());
        let name = |id: &String| std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        let taker = ids.into_iter().find(|id| name(id).starts_with("shmx-record-tak"));
        slept = taker.and_then(|thread| asleep(&thread, start)).or(slept);
        record.child.try_wait().unwrap().is_some()
    });
    let o = record.output();
    assert!(common::was_read(&o), "{}", words(&o));
    let v = &lines(&o)[0];
    if let Some(slept) = slept {
        assert!(slept <= PAUSE * n(v, "sleeps") as u32, "{slept:?} in {} sleeps: {v}", v["sleeps"]);
    }
    assert!(n(v, "frames") > 0, "{v}");
}

#[test]
fn several_regions_are_measured_at_once() {
    if cannot_run() {
        return;
    }
    let (a, b) = (unique("a"), unique("b"));
    let _servers = [serve(&a, &["--slots", "16"]), serve(&b, &["--slots", "16"])];
    let o = run(&["hz", &a, &b, "--seconds", "0.5", "--json"]);
    assert!(o.status.success(), "{}", words(&o));
    let regions: Vec<_> = lines(&o).iter().map(|v| v["region"].as_str().unwrap().to_owned()).collect();
    assert_eq!(regions, [a.0.clone(), b.0.clone()]);
    let text = String::from_utf8(run(&["hz", &a, &b, "--seconds", "1.2"]).stdout).unwrap();
    assert!([&a, &b].iter().all(|n| text.lines().any(|l| l.starts_with(&***n) && l.contains(" missed"))), "{text}");
}

/// What has ended neither holds up the others nor keeps them awake.
#[test]
fn of_several_regions_each_is_measured_to_its_end() {
    if cannot_run() {
        return;
    }
    let names = [unique("a"), unique("b")];
    let server = |name: &common::Name| {
        let builder = Server::builder(&**name).slots(16).ring_always(true);
        builder.stream(TICK, 1).create().unwrap()
    };
    let [mut first, mut second] = names.each_ref().map(server);
    let publish = |server: &mut Server, n: u64| {
        for n in 0..n {
            let mut frame = server.begin_frame().unwrap();
            frame.append_value(TICK, n).unwrap();
            frame.publish_frame(0.0).unwrap();
        }
    };
    // All lines go where they are read with a deadline.
    let mut c = Command::new("sh");
    c.args(["-c", "exec \"$0\" \"$@\" >&2", env!("CARGO_BIN_EXE_shmx"), "hz", &names[0], &names[1]]);
    c.env_remove("RUST_LOG").stdin(Stdio::null()).stderr(Stdio::piped());
    let mut hz = Running::start(c);
    let mut told = || loop {
        let line = hz.line();
        if let Some(at) = names.iter().position(|n| line.starts_with(&**n)) {
            break at;
        }
    };
    // Both are open.
    while told() != 1 {}
    publish(&mut first, 5);
    drop(first);
    // Only the other one is told of from now on.
    while [told(), told()] != [1, 1] {}
    publish(&mut second, 7);
    drop(second);
    assert!(hz.wait().success());
    let rest: Vec<String> = hz.lines.iter().collect();
    for (name, n) in names.iter().zip([5, 7]) {
        let begin = format!("region     {}: {n} frames in ", &**name);
        let at = rest.iter().position(|l| l.starts_with(&begin)).unwrap_or_else(|| panic!("{begin}? {rest:#?}"));
        assert!(rest[at].ends_with(&format!(" s, {n} received, 0 missed, 0 rejected")), "{}", rest[at]);
        // Asleep it polls each 20 ms at most, and for each frame; awake each 5 ms at least.
        let polled = rest[at..].iter().find_map(|l| l.split_once("(polled every ")).unwrap().1;
        let ms = polled.strip_suffix(" ms)").map(|ms| ms.parse::<f64>().unwrap());
        assert!(polled.ends_with(" s)") || ms.is_some_and(|ms| ms > 8.0), "polled every {polled}");
    }
}

#[test]
fn what_takes_long_is_said_and_can_be_cut_short() {
    if cannot_run() {
        return;
    }
    let name = unique("crowd");
    // Its rings have more than a GB, and reserving them is what takes long: that is said first.
    let mut serve = Running::start(shmx(&["serve", &name, "--readers", "300000", "--seconds", "600"]));
    let line = serve.line();
    assert!(line.contains("reserving 1.") && line.contains("of 300000 readers"), "{line}");
    common::signal(&serve.child, "INT");
    let o = serve.output();
    // It was not made, or it was just made and is gone again; a machine without that much memory refuses.
    assert!(matches!(o.status.code(), Some(0 | 1)), "{}", words(&o));
    assert!(common::gone(&name));
}

//! Scenarios between hosts of their own.

use crate::bridge::{Bridge, V, attach, origin, pattern, publish, serve, unique, until};
use crate::children::now_ns;
use crate::hosts::Hosts;
use crate::local::compare;
use shmx::Client;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_secs(60);

fn exporter(hosts: &Hosts, host: usize, name: &str) -> Bridge {
    Bridge::start(&hosts.on(host), &["--host", "robot", "--export", name, "--listen", "tcp/0.0.0.0:7447"])
}

fn importer(hosts: &Hosts, host: usize, name: &str) -> Bridge {
    let (import, connect) = (format!("robot/{name}"), format!("tcp/{}:7447", hosts.address(0, host)));
    Bridge::start(&hosts.on(host), &["--host", "desk", "--import", &import, "--connect", &connect])
}

pub(crate) fn lossy() {
    let hosts = Hosts::new(2).expect("hosts");
    for host in [0, 1] {
        hosts.lose(host, 3).unwrap_or_else(|e| panic!("nft is needed: {e}"));
    }
    let name = unique("lossy");
    let mut server = serve(&name, 300_000);
    let _robot = exporter(&hosts, 0, &name);
    let desk = importer(&hosts, 1, &name);
    let mut client = attach(&format!("robot.{name}"));
    compare(&mut server, &mut client, 50);
    let status = desk.status();
    let counts = &status["mirrors"][0]["counts"];
    assert_eq!((&counts["lost"], &counts["rejected"]), (&0.into(), &0.into()), "{status}");
}

pub(crate) fn cut() {
    let hosts = Hosts::new(2).expect("hosts");
    let name = unique("cut");
    let mut server = serve(&name, 100_000);
    publish(&mut server, 1, &[1]);
    let _robot = exporter(&hosts, 0, &name);
    let desk = importer(&hosts, 1, &name);
    let mirror = format!("robot.{name}");
    let mut client = attach(&mirror);
    client.next(SHORT).expect("a mirror").expect("a frame");
    // For a moment: the same mirror goes on.
    hosts.set_cable(0, 1, false).expect("cut");
    let begun = Instant::now();
    for n in 2..=10 {
        publish(&mut server, n, &pattern(n, 50_000));
    }
    while begun.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(20));
    }
    hosts.set_cable(0, 1, true).expect("plug in");
    let last = publish(&mut server, 11, &pattern(11, 50_000));
    until("the newest frame", || {
        let frame = client.wait(Duration::from_millis(100)).expect("the same mirror")?;
        (origin(&frame).frame_id == last).then_some(())
    });
    // For good: the mirror ends and says why.
    hosts.set_cable(0, 1, false).expect("cut");
    until("the mirror ends", || client.server_end());
    desk.says("has not come back in 5 s");
    assert!(Client::open(&mirror).is_err());
    // And comes back by itself.
    hosts.set_cable(0, 1, true).expect("plug in");
    let mut client = attach(&mirror);
    let frame = client.next(SHORT).expect("a mirror").expect("a frame");
    assert_eq!((origin(&frame).frame_id, frame.value(V).expect("v")), (last, 11));
}

pub(crate) fn slow() {
    let hosts = Hosts::new(2).expect("hosts");
    hosts.limit(0, 1, 2_000_000).expect("tbf");
    let name = unique("slow");
    let size = 1_000_000;
    let mut server = serve(&name, size as u32);
    publish(&mut server, 0, &pattern(0, size));
    let robot = exporter(&hosts, 0, &name);
    let desk = importer(&hosts, 1, &name);
    let mut client = attach(&format!("robot.{name}"));
    let data = pattern(1, size);
    let (begun, mut n, mut got, mut oldest) = (Instant::now(), 0, 0, 0);
    // 60 MB/s for 15 s, or as much of it as this machine can; half a second of the link for each frame that passes.
    while begun.elapsed() < Duration::from_secs(15) || got < 10 {
        assert!(begun.elapsed() < Duration::from_secs(90), "{got} frames: {}", desk.all_said());
        n += 1;
        publish(&mut server, n, &data);
        if let Some(frame) = client.try_wait().expect("a mirror") {
            got += 1;
            // One machine, one clock.
            oldest = oldest.max(now_ns().saturating_sub(origin(&frame).published_ns));
        }
        let due = begun + Duration::from_secs_f64(n as f64 / 60.0);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let elapsed = begun.elapsed().as_nanos() as u64;
    let memory = [robot.peak_memory(), desk.peak_memory()].map(|b| b >> 20);
    println!("   {n} frames published, {got} arrived, the oldest {} ms old; memory {memory:?} MiB", oldest / 1_000_000);
    // In a queue nearly all of that time would have been waited; it is twice the time that a frame takes.
    assert!(oldest < elapsed / 2, "{oldest} of {elapsed} ns");
    assert!(memory.iter().all(|&m| m < 256), "{memory:?} MiB");
    let status = desk.status();
    let (mirror, counts) = (&status["mirrors"][0], &status["mirrors"][0]["counts"]);
    let count = |what: &str| counts[what].as_u64().expect("a count");
    assert_eq!((count("lost"), count("rejected"), count("blocked")), (0, 0, 0), "{status}");
    // Every frame from the first one on either came or is missed.
    assert_eq!(Some(count("published") + count("missed")), mirror["origin_id"].as_u64(), "{status}");
    assert!(count("missed") > 0, "{status}");
}

pub(crate) fn circle() {
    let hosts = Hosts::new(3).expect("hosts");
    let name = unique("circle");
    let mut server = serve(&name, 1000);
    publish(&mut server, 1, &[1]);
    // The machine's regions are seen by all three, so each has names of its own for mirrors; its pattern also fits the
    // mirrors of the others.
    let bridges: Vec<Bridge> = (0..3)
        .map(|host| {
            let me = format!("h{host}");
            let path = std::env::temp_dir().join(format!("{name}-{me}.json5"));
            let config = format!(
                "{{ export: [{{ regions: ['*{name}'] }}], import: [{{ regions: ['*/*{name}'], name: '{me}.{{host}}.{{region}}' }}] }}"
            );
            std::fs::write(&path, config).expect("a file");
            let others: Vec<String> =
                (0..host).map(|other| format!("tcp/{}:7447", hosts.address(other, host))).collect();
            let mut args = vec!["--host", &me, "--config", path.to_str().expect("a path"), "--listen", "tcp/0.0.0.0:7447"];
            others.iter().for_each(|o| args.extend(["--connect", o]));
            Bridge::start(&hosts.on(host), &args)
        })
        .collect();
    for bridge in &bridges {
        until("two mirrors", || (bridge.status()["mirrors"].as_array().map(Vec::len) == Some(2)).then_some(()));
    }
    let until_then = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until_then {
        let n = server.frames_published() + 1;
        publish(&mut server, n, &[1]);
        std::thread::sleep(Duration::from_millis(20));
    }
    let there = || {
        let all = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
        all.filter_map(|e| e.file_name().into_string().ok()).filter(|n| n.ends_with(&name)).collect::<Vec<_>>()
    };
    assert_eq!(there().len(), 1 + 6, "{:?}", there());
    for host in 0..3 {
        let _ = std::fs::remove_file(std::env::temp_dir().join(format!("{name}-h{host}.json5")));
    }
    drop(bridges);
    until("nothing is left", || (there().len() == 1).then_some(()));
}

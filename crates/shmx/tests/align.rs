//! Frames of several regions that belong to one moment.

#[path = "../examples/two_cameras.rs"]
mod two_cameras;

use crate::common::{self, LIMIT, this_program, unique};
use shmx::error::{AlignError, ServerEnd};
use shmx::meta::Clock;
use shmx::{AlignBy, Aligned, Aligner, Client, Server, Stream, Tap};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

const TICK: Stream<u64> = Stream::new(1, "tick");

fn server(name: &str) -> Server {
    let builder = Server::builder(name).slots(16).stream(TICK, 1);
    builder.acquisition_time(Clock::Monotonic).create().unwrap()
}

/// Publishes a frame of this moment, in milliseconds.
fn publish(server: &mut Server, ms: u64) {
    let mut frame = server.begin_frame().unwrap();
    frame.append_value(TICK, ms).unwrap();
    frame.append_value(Stream::ACQUISITION_TIME, 1_000_000_000 + ms * 1_000_000).unwrap();
    frame.publish_frame(ms as f64 / 1e3).unwrap();
}

fn ms(aligned: &Aligned) -> Vec<u64> {
    aligned.frames.iter().map(|f| f.value(TICK).unwrap()).collect()
}

#[test]
fn the_nearest_frames_are_paired_and_the_rest_is_counted() {
    for by in [AlignBy::AcquisitionTime, AlignBy::SimTime] {
        let names = ["left", "right"].map(unique);
        let [mut left, mut right] = names.each_ref().map(|n| server(n));
        let mut pairs = Aligner::new(by, Duration::from_millis(4));
        pairs.add(Client::open(&names[0]).unwrap()).unwrap();
        pairs.add(Tap::open(&names[1]).unwrap()).unwrap();
        assert!(pairs.next(Duration::ZERO).unwrap().is_none());
        // 20 has no partner, 45 is nearer to 44 than 40 is, 71 and 66 are too far from each other.
        for at in [0, 10, 20, 40, 45, 71, 80] {
            publish(&mut left, at);
        }
        for at in [1, 12, 44, 66, 80] {
            publish(&mut right, at);
        }
        let mut got = Vec::new();
        while let Some(pair) = pairs.next(Duration::from_millis(20)).unwrap() {
            assert!(pair.spread <= Duration::from_millis(4));
            got.push(ms(&pair));
        }
        assert_eq!(got, [[0, 1], [10, 12], [45, 44], [80, 80]], "{by:?}");
        assert_eq!((pairs.unmatched(0), pairs.unmatched(1)), (3, 1));
    }
}

#[test]
fn a_set_waits_for_the_slowest_source() {
    let names = ["a", "b", "c"].map(unique);
    let mut servers = names.each_ref().map(|n| server(n));
    let mut sets = Aligner::new(AlignBy::PublishTime, Duration::from_secs(3600));
    for name in &names {
        sets.add(Client::open(name).unwrap()).unwrap();
    }
    publish(&mut servers[0], 1);
    publish(&mut servers[1], 2);
    assert!(sets.next(Duration::from_millis(5)).unwrap().is_none());
    let late = std::thread::spawn(move || {
        publish(&mut servers[2], 3);
        servers
    });
    assert_eq!(ms(&sets.next(LIMIT).unwrap().unwrap()), [1, 2, 3]);
    let servers = late.join().unwrap();
    drop(servers);
    match sets.next(LIMIT) {
        Err(AlignError::Ended { index: 0, end: ServerEnd::Closed, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_never_finds_a_partner_is_bounded() {
    let names = ["fast", "never"].map(unique);
    let [mut fast, _never] = names.each_ref().map(|n| server(n));
    let mut pairs = Aligner::new(AlignBy::SimTime, Duration::from_millis(1));
    for name in &names {
        pairs.add(Client::open(name).unwrap()).unwrap();
    }
    let count = Aligner::WAITING as u64 + 50;
    for at in 0..count {
        publish(&mut fast, at);
        assert!(pairs.next(Duration::ZERO).unwrap().is_none());
    }
    assert_eq!((pairs.unmatched(0), pairs.unmatched(1)), (50, 0));
    assert!(fast.begin_frame().is_ok(), "what waits takes the producer no slot that it needs");
}

/// Says in a child what it is.
const PART: &str = "SHMX_TEST_PART";

/// Not a test by itself.
#[test]
fn one_program() {
    if std::env::var(PART).is_ok() {
        two_cameras::main().unwrap();
    }
}

/// The example, with cameras that are 3 ms apart.
#[test]
fn two_cameras_are_aligned() {
    let names = ["left", "right"].map(unique);
    let [mut left, mut right] = names.each_ref().map(|n| server(n));
    let mut command = this_program();
    command.args(&names).args(["align::one_program", "--exact", "--nocapture"]).env(PART, "pairs");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let attached = |s: &Server| s.snapshot_readers().iter().any(|r| r.in_use);
    assert!(common::within_limit(|| attached(&left) && attached(&right)));
    let mut pairs = 0;
    for at in (0..100).map(|i| i * 20) {
        publish(&mut left, at);
        publish(&mut right, at + 3);
        // The first ones may come before both readers are ready to count them.
        let line = lines.by_ref().map(Result::unwrap).find(|line| line.ends_with(",3000") || line.contains("nothing"));
        let line = line.unwrap();
        if let [a, b, "3000"] = line.rsplit(' ').next().unwrap().split(',').collect::<Vec<_>>()[..] {
            assert_eq!(a, b);
            pairs += 1;
        }
    }
    assert!(pairs > 90, "{pairs}");
    drop((left, right));
    assert!(child.wait().unwrap().success());
}

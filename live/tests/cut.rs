//! A region that is cut short. In a program of its own: whatever else looks at regions meanwhile would tell of it.

#![cfg(target_os = "linux")]

mod common;

use common::{Live, Producer, TICK, name, until};
use serde_json::json;
use shmx::Server;
use std::time::{Duration, Instant};

#[test]
fn a_region_that_is_cut_short_ends_no_view_of_others() {
    let (good, bad) = (name("whole"), name("cut"));
    let _producer = Producer::new(&good, 10);
    let live = Live::start(&[&good, &bad]);
    // Touching what was cut needs a moment between two checks; there is one in nearly every round.
    until("a worker that has ended", || {
        let first = live.worker();
        let mut server = Server::builder(&bad).stream(TICK, 1).create().unwrap();
        let mut f = server.begin_frame().unwrap();
        f.append_value(TICK, 1).unwrap();
        f.publish_frame(0.0).unwrap();
        let mut viewer = live.viewer();
        viewer.look_at(&bad, &json!([{"id": 1}]));
        viewer.frame();
        viewer.ack(&bad);
        // As long as the worker waits for the next one.
        let object = std::fs::File::options().write(true).open(format!("/dev/shm/{bad}")).unwrap();
        object.set_len(0).unwrap();
        // Its server must not touch it either.
        std::mem::forget(server);
        let end = Instant::now() + Duration::from_secs(3);
        let next = || live.worker_now().filter(|&now| now != first);
        while next().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::remove_file(format!("/dev/shm/{bad}")).unwrap();
        next()
    });
    // The same address and token lead to the next one.
    let mut again = live.viewer();
    again.look_at(&good, &json!([{"id": 1}]));
    for _ in 0..3 {
        again.frame();
        again.ack(&good);
    }
    drop(again);
    let said = live.end();
    assert!(said.contains("another process cut a region short"), "{said}");
}

//! A bridge without descriptors. A program of its own: it leaves the process without any.
#![cfg(target_os = "linux")]

mod common;

use common::{Host, exports_on, serve, unique, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use shmx_bridge::fake::Net;
use shmx_bridge::{Event, Export, Patterns};
use std::fs::{File, rename};
use std::time::{Duration, Instant};

/// Removes what the server does not know by this name.
struct Renamed(String);

impl Drop for Renamed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_region_that_could_not_be_opened_is_offered_later() {
    let (first, second, hidden) = (unique("limits-a"), unique("limits-b"), unique("limits-c"));
    let export = Export { regions: Patterns::new([&first[..], &second[..]]), ..Export::default() };
    let host = Host::start(&Net::default(), exports_on("robot", export));
    let offers = || host.bridge.status().offers;
    let _servers = [serve(&first), serve(&hidden)];
    until("the first is offered", || (offers() == [&first[..]]).then_some(()));
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..before }).unwrap();
    let mut held: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    // One is left, for whoever hears of the region: it keeps that, and there is none to open the region once more.
    held.pop();
    let renamed = Renamed(format!("/dev/shm/{second}"));
    rename(format!("/dev/shm/{hidden}"), &renamed.0).unwrap();
    until("it is heard of", || File::open("/dev/null").is_err().then_some(()));
    // The offered one is looked at every second, too. Less time proves less, and fails nothing.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1500) && offers() == [&first[..]] {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(held);
    setrlimit(Resource::Nofile, before).unwrap();
    until("both are offered", || (offers() == [&first[..], &second[..]]).then_some(()));
    assert!(!host.has_told(|e| matches!(e, Event::Withdrawn { .. })), "{:?}", host.told.lock().unwrap());
}

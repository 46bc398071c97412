//! Changes that are told while nothing can be opened. A program of its own: it leaves the process without descriptors.
#![cfg(target_os = "linux")]

mod common;

use common::loops::server;
use common::{LIMIT, unique};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use shmx::{RegionChange, RegionEvents};
use std::time::Duration;

#[test]
fn what_could_not_be_looked_at_is_told_later() {
    let name = unique("limits");
    let mut events = RegionEvents::of(&[&name]).unwrap();
    assert_eq!(events.next(Duration::ZERO).unwrap(), None);
    let _server = server(&name);
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..before }).unwrap();
    assert!(std::fs::File::open("/dev/shm").is_err(), "there are no more descriptors");
    // It is told, and cannot be seen.
    let blind = events.next(Duration::ZERO);
    assert!(!matches!(blind, Ok(Some(_))), "{blind:?}");
    setrlimit(Resource::Nofile, before).unwrap();
    let event = events.next(LIMIT).unwrap().expect("an event");
    assert_eq!((event.name, event.change), (name, RegionChange::Appeared));
}

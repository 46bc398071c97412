//! Changes that are told while nothing can be opened. A program of its own: it leaves the process without descriptors.
#![cfg(target_os = "linux")]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use shmx::{RegionChange, RegionEvents, Server, StreamSpec};
use shmx_testkit::unique;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

fn server(name: &str) -> Server {
    Server::builder(name).stream(StreamSpec::of::<u64>(1, "tick"), 1).create().unwrap()
}

#[test]
fn what_could_not_be_looked_at_is_told_later() {
    let (name, other) = (unique("limits-a"), unique("limits-b"));
    let mut events = RegionEvents::of(&[&name, &other]).unwrap();
    assert_eq!(events.next(Duration::ZERO).unwrap(), None);
    let _server = server(&name);
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..before }).unwrap();
    assert!(std::fs::File::open("/dev/shm").is_err(), "there are no more descriptors");
    // It is told, and cannot be seen.
    let blind = events.next(Duration::ZERO);
    assert!(!matches!(blind, Ok(Some(_))), "{blind:?}");
    setrlimit(Resource::Nofile, before).unwrap();
    // A change of another region comes before that is made good.
    let _other = server(&other);
    let mut told = [(); 2].map(|()| events.next(LIMIT).unwrap().map(|event| (event.name, event.change)));
    told.sort_by(|a, b| a.as_ref().map(|a| &a.0).cmp(&b.as_ref().map(|b| &b.0)));
    assert_eq!(told, [name, other].map(|name| Some((name, RegionChange::Appeared))));
}

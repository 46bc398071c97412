//! Regions that come, end, die, are replaced, and lose their names.
#![cfg(target_os = "linux")]

use crate::common::loops::{server, start_server};
use crate::common::{LIMIT, unique};
use shmx::error::ServerEnd;
use shmx::{RegionChange, RegionEvents};
use std::time::{Duration, Instant};

fn next(events: &mut RegionEvents) -> RegionChange {
    events.next(LIMIT).unwrap().expect("an event").change
}

#[test]
fn what_happens_to_a_region_is_told() {
    let name = unique("events");
    let mut events = RegionEvents::of(&[&format!("/{name}")]).unwrap();
    assert_eq!(events.next(Duration::ZERO).unwrap(), None);
    let first = server(&name);
    assert_eq!(next(&mut events), RegionChange::Appeared);
    drop(first);
    assert_eq!(next(&mut events), RegionChange::Ended(Some(ServerEnd::Closed)));
    let second = server(&name);
    assert_eq!(next(&mut events), RegionChange::Appeared);
    std::fs::remove_file(format!("/dev/shm/{name}")).unwrap();
    assert_eq!(next(&mut events), RegionChange::Ended(None), "the server lives, its name is gone");
    drop(second);
    assert_eq!(events.next(Duration::from_millis(30)).unwrap(), None);
}

#[test]
fn a_death_and_a_successor_are_told_at_once() {
    let name = unique("death");
    let mut events = RegionEvents::of(&[&name]).unwrap();
    let mut child = start_server(&name);
    assert_eq!(next(&mut events), RegionChange::Appeared);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(next(&mut events), RegionChange::Ended(Some(ServerEnd::Died)));
    let successor = server(&name);
    assert_eq!(next(&mut events), RegionChange::Appeared);
    drop(successor);
    assert_eq!(next(&mut events), RegionChange::Ended(Some(ServerEnd::Closed)));
}

#[test]
fn one_that_is_there_already_is_told_first_and_others_are_not() {
    let (name, other) = (unique("there"), unique("other"));
    let (_a, _b) = (server(&name), server(&other));
    let mut events = RegionEvents::of(&[&name]).unwrap();
    let event = events.next(LIMIT).unwrap().unwrap();
    assert_eq!((event.name, event.change), (name, RegionChange::Appeared));
    assert_eq!(events.next(Duration::ZERO).unwrap(), None);
    let all: Vec<_> = std::iter::from_fn({
        let mut events = RegionEvents::new().unwrap();
        move || events.next(Duration::ZERO).unwrap()
    })
    .collect();
    assert!(all.iter().any(|e| e.name == other && e.change == RegionChange::Appeared));
}

/// What another process may cut short at any time is not touched without need.
#[test]
fn only_what_is_wanted_is_opened() {
    let (name, other) = (unique("wanted"), unique("unwanted"));
    let (_a, _b) = (server(&name), server(&other));
    let mapped = |name: &str| {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|l| l.ends_with(&format!("/{name}"))).count()
    };
    let before = [mapped(&name), mapped(&other)];
    let start = name.clone();
    let mut events = RegionEvents::matching(move |name| name.starts_with(&start)).unwrap();
    assert_eq!(events.next(LIMIT).unwrap().unwrap().name, name);
    assert_eq!(events.next(Duration::ZERO).unwrap(), None);
    assert_eq!([mapped(&name), mapped(&other)], [before[0] + 1, before[1]]);
}

/// One process after the other, each within the time that looking takes: what was told is what there is at the end.
#[test]
fn quick_successors_end_in_what_is_there() {
    let name = unique("quick");
    let mut events = RegionEvents::of(&[&name]).unwrap();
    for _ in 0..50 {
        drop(server(&name));
    }
    let last = server(&name);
    let begun = Instant::now();
    let mut present = false;
    while begun.elapsed() < LIMIT {
        match events.next(Duration::from_millis(50)).unwrap().map(|e| e.change) {
            Some(RegionChange::Appeared | RegionChange::Replaced) => present = true,
            Some(_) => present = false,
            None => break,
        }
    }
    assert!(present);
    drop(last);
    assert_eq!(next(&mut events), RegionChange::Ended(Some(ServerEnd::Closed)));
}

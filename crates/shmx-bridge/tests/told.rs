//! What a bridge answers and tells: all of it, and once.
#![cfg(target_os = "linux")]

use crate::common::{Host, attach, exports, exports_on, imports, imports_on, serve, unique, until};
use shmx_bridge::fake::{Net, Node};
use shmx_bridge::keys::Peer;
use shmx_bridge::wire::{Offers, VERSION};
use shmx_bridge::{
    Backend, BackendError, Bridge, Codec, Compress, Event, Export, Import, NoCodecs, OnMessage, OnPresence, OnQuestion,
    Options, Patterns, Stands, Urgency, ask_offers,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A network on which one bridge answers at once, and another only when it is asked again. It fails when it is asked so
/// many times.
struct Late(AtomicU32, u32);

impl Backend for Late {
    fn announce(&self, _: &str) -> Result<Stands, BackendError> {
        unreachable!("it is only asked")
    }

    fn watch(&self, _: &str, _: OnPresence) -> Result<Stands, BackendError> {
        unreachable!("it is only asked")
    }

    fn subscribe(&self, _: &str, _: OnMessage) -> Result<Stands, BackendError> {
        unreachable!("it is only asked")
    }

    fn send(&self, _: &str, _: Vec<u8>, _: Urgency) -> Result<(), BackendError> {
        unreachable!("it is only asked")
    }

    fn answer(&self, _: &str, _: OnQuestion) -> Result<Stands, BackendError> {
        unreachable!("it is only asked")
    }

    fn ask(&self, _: &str, _: Vec<u8>, _: Duration) -> Result<Vec<(String, Vec<u8>)>, BackendError> {
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        if asked == self.1 {
            return Err(BackendError { what: "ask", source: "the network is gone".into() });
        }
        let hosts = if asked == 0 { 1..2 } else { 1..3 };
        let offers = Offers { version: VERSION, regions: Vec::new() }.encode();
        Ok(hosts.map(|id| (Peer { host: format!("host{id}"), id }.offers(), offers.clone())).collect())
    }
}

/// A network on which nothing can be announced so many times.
struct Hoarse(Node, AtomicU32);

impl Backend for Hoarse {
    fn announce(&self, key: &str) -> Result<Stands, BackendError> {
        let left = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() {
            return Err(BackendError { what: "announce", source: "not now".into() });
        }
        self.0.announce(key)
    }

    fn watch(&self, pattern: &str, tell: OnPresence) -> Result<Stands, BackendError> {
        self.0.watch(pattern, tell)
    }

    fn subscribe(&self, pattern: &str, tell: OnMessage) -> Result<Stands, BackendError> {
        self.0.subscribe(pattern, tell)
    }

    fn send(&self, key: &str, message: Vec<u8>, urgency: Urgency) -> Result<(), BackendError> {
        self.0.send(key, message, urgency)
    }

    fn answer(&self, key: &str, tell: OnQuestion) -> Result<Stands, BackendError> {
        self.0.answer(key, tell)
    }

    fn ask(&self, key: &str, asked: Vec<u8>, timeout: Duration) -> Result<Vec<(String, Vec<u8>)>, BackendError> {
        self.0.ask(key, asked, timeout)
    }
}

#[test]
fn what_cannot_be_announced_is_announced_later() {
    let name = unique("hoarse");
    let _server = serve(&name);
    let net = Net::default();
    let (node, told) = (net.host(), Arc::new(AtomicU32::new(0)));
    let failed = told.clone();
    let tell = move |event: Event| {
        if matches!(event, Event::Trouble { .. }) {
            failed.fetch_add(1, Ordering::Relaxed);
        }
    };
    let hoarse = Arc::new(Hoarse(node, AtomicU32::new(2)));
    let export = Export { regions: Patterns::new([&name[..]]), ..Export::default() };
    let _robot = Bridge::start(hoarse, Arc::new(NoCodecs), exports_on("robot", export), Arc::new(tell)).unwrap();
    let _desk = Host::start(&net, imports("desk", "robot/*"));
    attach(&format!("robot.{name}"));
    assert_eq!(told.load(Ordering::Relaxed), 1, "once");
}

#[test]
fn bridges_are_asked_until_the_time_is_up() {
    // What was answered stays so when the network fails for a moment.
    let offers = ask_offers(&Late(AtomicU32::new(0), 1), Duration::from_secs(2)).unwrap();
    let hosts: Vec<&str> = offers.iter().map(|(peer, _)| peer.host.as_str()).collect();
    assert_eq!(hosts, ["host1", "host2"], "each is there, and once");
    assert!(offers.iter().all(|(_, o)| o.is_ok()), "{offers:?}");
}

#[test]
fn a_network_that_fails_before_an_answer_is_told_whatever_the_time() {
    let failed = ask_offers(&Late(AtomicU32::new(0), 0), Duration::MAX).unwrap_err();
    assert_eq!(failed.what, "ask");
}

/// Troubles with this text.
fn troubles(host: &Host, text: &str) -> usize {
    let told = host.told.lock().unwrap();
    told.iter().filter(|e| matches!(e, Event::Trouble { what, .. } if what.contains(text))).count()
}

#[test]
fn a_stream_that_no_region_has_is_told_once() {
    let region = unique("streams");
    let _server = serve(&region);
    let net = Net::default();
    let streams = vec!["v".to_owned(), "2".to_owned(), "imgae".to_owned()];
    let export = Export { regions: Patterns::new([&region[..]]), streams, ..Export::default() };
    let robot = Host::start(&net, exports_on("robot", export));
    let import = |streams| Import { regions: Patterns::new(["robot/*"]), streams, ..Import::default() };
    let desk = Host::start(&net, imports_on("desk", import(vec!["depth".to_owned()])));
    attach(&format!("robot.{region}"));
    until("it is told", || (troubles(&desk, "`streams` names `depth`") == 1).then_some(()));
    assert_eq!(troubles(&robot, "`streams` names `imgae`"), 1);
    // Another peer is no news.
    let other = Host::start(&net, Options { host: "other".into(), ..imports_on("other", import(Vec::new())) });
    until("it is sent to both", || (robot.bridge.status().sending.len() == 2).then_some(()));
    assert_eq!((troubles(&robot, "`imgae`"), troubles(&other, "`streams`")), (1, 0));
    assert_eq!((troubles(&robot, "names `v`"), troubles(&robot, "names `2`")), (0, 0));
}

#[test]
fn a_region_for_which_there_is_no_room_is_told_once_and_holds_up_nobody() {
    let (one, two) = (unique("room-a"), unique("room-b"));
    let _servers = [serve(&one), serve(&two)];
    let net = Net::default();
    let export = Export { regions: Patterns::new([&one[..], &two[..]]), ..Export::default() };
    let _robot = Host::start(&net, exports_on("robot", export));
    let import = Import { regions: Patterns::new(["robot/*"]), ..Import::default() };
    let desk = Host::start(&net, Options { mirrors: 1, ..imports_on("desk", import) });
    until("it is told", || (troubles(&desk, "`mirrors` allows") > 0).then_some(()));
    // It was told every second, and who asked for the status meanwhile waited.
    let begun = Instant::now();
    let mut asked = 0_u32;
    while begun.elapsed() < Duration::from_millis(2500) {
        assert!(desk.bridge.status().mirrors.len() <= 1);
        asked += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(troubles(&desk, "`mirrors` allows"), 1, "asked {asked} times");
}

#[test]
fn a_mirror_that_cannot_be_made_says_why() {
    let name = unique("long");
    let _server = serve(&name);
    let net = Net::default();
    let _robot = Host::start(&net, exports("robot", &name));
    let regions = Patterns::new(["robot/*"]);
    let too_long = "{host}.{region}".to_owned() + &"x".repeat(240);
    let desk = Host::start(&net, imports_on("desk", Import { regions, name: too_long, ..Import::default() }));
    until("the cause", || (troubles(&desk, "at most 254") > 0).then_some(()));
}

/// One that cannot be made is tried again and again; a log is not filled by that.
#[test]
fn who_asks_again_and_again_is_told_of_once() {
    let name = unique("again");
    let _server = serve(&name);
    let net = Net::default();
    let robot = Host::start(&net, exports("robot", &name));
    let _taken = serve(&format!("robot.{name}"));
    // Each of them asks once, as the same host.
    for _ in 0..3 {
        let desk = Host::start(&net, imports("desk", "robot/*"));
        until("the cause", || (troubles(&desk, "under `import`") > 0).then_some(()));
    }
    let told = |so: fn(&Event) -> bool| robot.told.lock().unwrap().iter().filter(|e| so(e)).count();
    until("an end", || (told(|e| matches!(e, Event::Sent { .. })) > 0).then_some(()));
    until("nobody is sent to", || robot.bridge.status().sending.is_empty().then_some(()));
    assert_eq!(told(|e| matches!(e, Event::Sending { .. })), 1);
    assert_eq!(told(|e| matches!(e, Event::Sent { .. })), 1);
}

#[test]
fn what_nobody_offers_is_known() {
    let name = unique("there");
    let _server = serve(&name);
    let net = Net::default();
    let _robot = Host::start(&net, exports("robot", &name));
    let regions = Patterns::new([format!("robot/{name}"), "robot/none*".into(), "re:.*/nothing".into()]);
    let desk = Host::start(&net, imports_on("desk", Import { regions, ..Import::default() }));
    let _client = attach(&format!("robot.{name}"));
    assert_eq!(desk.bridge.imports_in_vain(), ["robot/none*", "re:.*/nothing"]);
    let robot = Host::start(&net, exports("robot", "missing*"));
    assert_eq!(robot.bridge.exports_in_vain(), ["missing*"]);
    assert!(desk.bridge.exports_in_vain().is_empty() && robot.bridge.imports_in_vain().is_empty());
}

#[test]
fn two_bridges_of_one_name_are_told() {
    let name = unique("twins");
    let _server = serve(&name);
    let net = Net::default();
    let _robots = [0, 1].map(|_| Host::start(&net, exports("robot", &name)));
    let desk = Host::start(&net, imports("desk", "robot/*"));
    until("words", || (troubles(&desk, "two bridges of this host name") > 0).then_some(()));
}

#[test]
fn a_rule_for_compression_that_fits_nothing_is_told() {
    let name = unique("vain");
    let _server = serve(&name);
    let net = Net::default();
    let rule = |stream: &str, codec| Compress { stream: stream.into(), codec, level: 0 };
    let compress = vec![rule("nothing", Codec::Lz4), rule("v", Codec::Jpeg), rule("no*", Codec::Jpeg)];
    let export = Export { regions: Patterns::new([&*name]), compress, ..Export::default() };
    let robot = Host::start(&net, exports_on("robot", export));
    for host in ["desk", "lab"] {
        let import =
            Import { regions: Patterns::new(["robot/*"]), name: format!("{host}.{name}"), ..Import::default() };
        let _desk = Host::start(&net, imports_on(host, import));
        let _client = attach(&format!("{host}.{name}"));
    }
    assert_eq!(troubles(&robot, "`compress` names `nothing`, which the region does not list"), 1);
    assert_eq!(troubles(&robot, "`v` is no rgb8"), 1);
    assert_eq!(troubles(&robot, "no*"), 0);
}

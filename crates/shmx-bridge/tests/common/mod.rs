//! What the tests share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use shmx::{Client, Frame, Server, Stream};
use shmx_bridge::fake::{Net, Node};
use shmx_bridge::{Bridge, Event, Export, Import, MARK_NAME, MARK_WORDS, NoCodecs, Options, Origin, Patterns};
pub use shmx_testkit::{unique, until_some as until};
use std::sync::{Arc, Mutex};

pub const V: Stream<u64> = Stream::new(1, "v");
pub const IMAGE: Stream<u8> = Stream::new(2, "image");

pub fn serve(name: &str) -> Server {
    Server::builder(name).slots(8).stream(V, 1).stream(IMAGE, 4096).create().unwrap()
}

pub fn publish(server: &mut Server, n: u64) -> u64 {
    let mut f = server.begin_frame().unwrap();
    f.append_value(V, n).unwrap();
    f.append_stream(IMAGE, &vec![n as u8; (n % 4096) as usize]).unwrap();
    f.publish_frame(n as f64 / 8.0).unwrap()
}

/// A bridge on a network in memory, and what it tells.
pub struct Host {
    pub node: Node,
    pub bridge: Bridge,
    pub told: Arc<Mutex<Vec<Event>>>,
}

impl Host {
    pub fn start(net: &Net, options: Options) -> Self {
        let node = net.host();
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        let tell = Arc::new(move |e| tell.lock().unwrap().push(e));
        let bridge = Bridge::start(Arc::new(node.clone()), Arc::new(NoCodecs), options, tell).unwrap();
        Self { node, bridge, told }
    }

    pub fn has_told(&self, what: impl Fn(&Event) -> bool) -> bool {
        self.told.lock().unwrap().iter().any(what)
    }
}

pub fn exports(host: &str, region: &str) -> Options {
    exports_on(host, Export { regions: Patterns::new([region]), ..Export::default() })
}

pub fn exports_on(host: &str, export: Export) -> Options {
    Options { host: host.into(), export: vec![export], ..Options::default() }
}

pub fn imports(host: &str, regions: &str) -> Options {
    imports_on(host, Import { regions: Patterns::new([regions]), ..Import::default() })
}

pub fn imports_on(host: &str, import: Import) -> Options {
    Options { host: host.into(), import: vec![import], ..Options::default() }
}

pub fn attach(name: &str) -> Client {
    until("a mirror", || Client::open(name).ok())
}

/// Where a frame of a mirror comes from.
pub fn origin(frame: &Frame<'_>) -> Origin {
    Origin::from_words(*frame.get::<u64>(MARK_NAME).unwrap().first_chunk::<MARK_WORDS>().unwrap())
}

/// The origin's payload out of a mirror's: all but the mark.
pub fn payload_of<'f>(frame: &'f Frame<'_>) -> &'f [u8] {
    let payload = frame.payload();
    &payload[..payload.len() - 64]
}

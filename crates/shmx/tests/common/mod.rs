//! What several suites share.

#[cfg(target_os = "linux")]
pub(crate) mod loops;
pub(crate) mod memory;
pub(crate) mod small;

use memory::view;
use shmx::{Server, Stream};
use shmx_os::{Region, RegionName};
use shmx_ring::view::{FrameView as Head, HeaderView, ReaderView};
pub(crate) use shmx_testkit::{emulated, this_program, unique};
use std::time::Duration;

/// Frames of 400 bytes, which are leased by default.
pub(crate) const WORDS: Stream<u64> = Stream::new(1, "words");
/// Long enough for anything that happens at all.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn serve(tag: &str, slots: u32) -> (Server, String) {
    let name = unique(tag);
    (Server::builder(&name).slots(slots).stream(WORDS, 2000).create().unwrap(), name)
}

pub(crate) fn publish(server: &mut Server, value: u64) -> u64 {
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(WORDS, &[value; 50]).unwrap();
    frame.publish_frame(0.0).unwrap()
}

/// Whether `done` becomes true in time.
pub(crate) fn within_limit(done: impl FnMut() -> bool) -> bool {
    shmx_testkit::within(LIMIT, done)
}

/// Another mapping of a region, for doing what no well-behaved party does.
pub(crate) struct Other(pub(crate) Region, shmx::abi::RegionLayout);

impl Other {
    pub(crate) fn of(server: &Server) -> Self {
        Self(Region::open(&RegionName::new(server.name()).unwrap()).unwrap(), *server.layout())
    }

    pub(crate) fn header(&self) -> &HeaderView {
        view(&self.0, 0)
    }

    pub(crate) fn slot(&self, index: u32) -> &Head {
        view(&self.0, self.1.frame_slot(index).unwrap())
    }

    pub(crate) fn reader(&self, index: u32) -> &ReaderView {
        view(&self.0, self.1.reader_slot(index).unwrap())
    }
}

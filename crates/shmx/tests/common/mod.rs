//! What several suites share.
#![allow(dead_code)] // each suite uses a part

#[cfg(target_os = "linux")]
pub(crate) mod loops;
pub(crate) mod memory;
pub(crate) mod small;

use memory::view;
use shmx::{Server, Stream};
use shmx_os::{Region, RegionName};
use shmx_ring::view::{FrameView as Head, HeaderView, ReaderView};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Frames of 400 bytes, which are leased by default.
pub(crate) const WORDS: Stream<u64> = Stream::new(1, "words");
/// Long enough for anything that happens at all.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn unique(tag: &str) -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    format!("shmx-{tag}-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed))
}

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
pub(crate) fn within_limit(mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > LIMIT {
            return false;
        }
        std::thread::yield_now();
    }
    true
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

/// Whether the tests run in an emulator: slower, and with threads of its own.
pub(crate) fn emulated() -> bool {
    std::env::var_os("SHMX_RUNNER").is_some()
}

/// This program, behind the words of an emulator where the tests run in one.
pub(crate) fn this_program() -> std::process::Command {
    let program = std::env::current_exe().unwrap();
    let Ok(runner) = std::env::var("SHMX_RUNNER") else { return std::process::Command::new(program) };
    let mut words = runner.split_whitespace();
    let mut command = std::process::Command::new(words.next().unwrap());
    command.args(words).arg(program);
    command
}

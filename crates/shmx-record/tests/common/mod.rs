//! What the tests share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use shmx::{Server, Stream, Tap};
use shmx_record::{Cursor, Item, RecordedFrame, Recording};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The stream of most tests.
pub const V: Stream<u64> = Stream::new(1, "v");

/// A name that no other test has.
pub fn unique(tag: &str) -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    format!("shmx-t-rec-{tag}-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed))
}

/// A folder that goes with its value.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(tag: &str) -> Self {
        let dir = std::env::temp_dir().join(unique(tag));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits until it is so; fails after a minute.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

pub fn publish(server: &mut Server, n: u64) {
    let mut f = server.begin_frame().unwrap();
    f.append_value(V, n).unwrap();
    f.publish_frame(n as f64 / 8.0).unwrap();
}

pub fn frames(path: &Path) -> Vec<RecordedFrame> {
    let mut cursor = Cursor::new(Recording::open(&[path]).unwrap());
    let mut all = Vec::new();
    while let Some(item) = cursor.next_item() {
        if let Item::Frame(f) = item {
            all.push(f);
        }
    }
    assert!(cursor.recording().problems().is_empty(), "{:?}", cursor.recording().problems());
    all
}

pub fn drain(tap: &mut Tap, mut each: impl FnMut(&shmx::Frame<'_>)) {
    while let Some(frame) = tap.try_next().unwrap() {
        each(&frame);
    }
}

//! What the tests of this workspace share: names of their own, folders that go with their value, processes that do not
//! outlive a test, and deadlines. Everything here panics when it fails, as tests do.

mod folder;
mod process;
mod wait;

pub use folder::Folder;
pub use process::{Running, emulated, hear_signals, place_program, program, signal, this_program};
pub use wait::{PATIENCE, until, until_some, within};

use std::sync::atomic::{AtomicU32, Ordering};

/// A name that no other test has, neither in this process nor in another that runs now.
///
/// Short: with a `tag` of up to nine letters it fits into the 30 bytes that macOS takes for a region's name.
///
/// ```
/// let (a, b) = (shmx_testkit::unique("doc"), shmx_testkit::unique("doc"));
/// assert!(a != b && a.starts_with("shmx-t-doc-"));
/// ```
#[must_use]
pub fn unique(tag: &str) -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    format!("shmx-t-{tag}-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed))
}

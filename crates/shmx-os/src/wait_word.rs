//! A word to sleep on that keeps the memory it lies in.

use std::sync::atomic::AtomicU32;

use crate::read_only::ReadOnlyRegion;
use crate::region::Region;
use crate::region_word::RegionWord;

/// A word of memory that a wait may be set on for longer than a call.
///
/// Waits hold an `Arc` of it, so that the memory stays mapped for as long as they look at the word. The word must be the
/// same at every call. It is only loaded from (with relaxed ordering), so it may lie in memory that is mapped read-only.
///
/// # Examples
///
/// ```
/// use shmx_os::WaitWord;
/// use std::sync::atomic::AtomicU32;
///
/// /// A word that no other process sees.
/// struct Private(AtomicU32);
///
/// impl WaitWord for Private {
///     fn word(&self) -> &AtomicU32 {
///         &self.0
///     }
/// }
/// ```
pub trait WaitWord: Send + Sync {
    /// The word.
    fn word(&self) -> &AtomicU32;

    /// What the word lies in. Linux does not ask. On Windows a wake-up comes by an event that is named after the
    /// region; with [`WaitSource::Unknown`], the default, waits poll there.
    fn source(&self) -> WaitSource<'_> {
        WaitSource::Unknown
    }
}

/// The memory that a [`WaitWord`] lies in.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum WaitSource<'a> {
    /// Some memory.
    Unknown,
    /// This region.
    Region(&'a Region),
    /// This region.
    ReadOnly(&'a ReadOnlyRegion),
}

impl WaitWord for RegionWord {
    fn word(&self) -> &AtomicU32 {
        RegionWord::word(self)
    }
}

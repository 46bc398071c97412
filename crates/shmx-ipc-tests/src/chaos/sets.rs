//! The regions that are played, and who takes part.

/// A region's shape and its readers.
pub(crate) struct Set {
    pub(crate) slots: u32,
    pub(crate) reader_slots: u32,
    pub(crate) max_len: u32,
    pub(crate) control: u32,
    pub(crate) threads: u32,
    /// Most frames that are published without a pause.
    pub(crate) burst: u32,
    /// Longest time between two kills or stops, microseconds.
    pub(crate) pace: u32,
    pub(crate) readers: &'static [&'static str],
}

/// For many frames: small ones, at once, to many readers, who are struck less often than they could be. Most take all
/// there are and rest then, so that the time goes into frames and not into waking up.
pub(crate) const SOAK: &[Set] = &[Set {
    slots: 4096,
    reader_slots: 16,
    max_len: 32,
    control: 1001,
    threads: 1,
    burst: 20_000,
    pace: 60_000,
    readers: &["all", "all", "all", "all", "all", "wait", "hold", "copy", "control", "follow"],
}];

pub(crate) const SETS: &[Set] = &[
    // Room enough for everybody.
    Set {
        slots: 8,
        reader_slots: 16,
        max_len: 4000,
        control: 1001,
        threads: 1,
        burst: 60,
        pace: 8000,
        readers: &["latest", "wait", "next", "copy", "hold", "control", "storm", "fd", "set"],
    },
    // Readers are lapped, and there are fewer reader slots than readers.
    Set {
        slots: 2,
        reader_slots: 3,
        max_len: 60,
        control: 273,
        threads: 1,
        burst: 60,
        pace: 8000,
        readers: &["wait", "next", "copy", "storm"],
    },
    // Two producing threads, large frames.
    Set {
        slots: 6,
        reader_slots: 8,
        max_len: 60_000,
        control: 4096,
        threads: 2,
        burst: 60,
        pace: 8000,
        readers: &["latest", "next", "hold", "fd"],
    },
    // Frames that are read while they are written.
    Set {
        slots: 6,
        reader_slots: 8,
        max_len: 50_000,
        control: 1001,
        threads: 1,
        burst: 60,
        pace: 8000,
        readers: &["follow", "follow", "next"],
    },
];

//! The conventional stream for the moment at which a frame's data was acquired.

use super::{Clock, Role, StreamMeta};
use shmx_abi::ElementType;

/// Name of the stream that holds the moment of acquisition.
pub const ACQUISITION_NAME: &str = "acquisition_time";

/// Recommended id of that stream. Ids from `0xFFFF_0000` are left to conventions of `docs/streams.md`.
pub const ACQUISITION_ID: u32 = 0xFFFF_0001;

/// What a time of acquisition can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparable {
    /// The wire clock (`shmx::os::clock::ticks`), publish times included.
    WireClock,
    /// The system's time since 1970.
    SystemClock,
    /// Only with other times of the same stream.
    Itself,
}

/// The stream that holds the moment of acquisition: nanoseconds as a single u64.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acquisition {
    /// Its place in the list that was searched.
    pub index: usize,
    /// Its clock, if one is named.
    pub clock: Option<Clock>,
}

impl Acquisition {
    /// Finds it among streams given as name, element type, components and `extra`.
    ///
    /// A stream of single u64 with the role `time` and nanoseconds, the one called [`ACQUISITION_NAME`] before others;
    /// otherwise a stream of single u64 with that name, whatever it says of itself but another role or unit.
    ///
    /// ```
    /// use shmx::{ElementType, meta::{ACQUISITION_NAME, Acquisition, Clock, StreamMeta}};
    ///
    /// let (image, time) = (StreamMeta::image(480, 640, "bgr8"), StreamMeta::acquisition(Clock::Monotonic));
    /// let streams = [
    ///     ("image", Some(ElementType::U8), 3, &image),
    ///     (ACQUISITION_NAME, Some(ElementType::U64), 1, &time),
    /// ];
    /// let found = Acquisition::find(streams).unwrap();
    /// assert_eq!(found.index, 1);
    /// assert_eq!(found.latency(1_000, 1_250, 0), Some(250));
    /// ```
    pub fn find<'a, N: AsRef<[u8]>>(
        streams: impl IntoIterator<Item = (N, Option<ElementType>, u32, &'a StreamMeta)>,
    ) -> Option<Self> {
        let mut best: Option<(u8, Self)> = None;
        for (index, (name, ty, components, meta)) in streams.into_iter().enumerate() {
            let named = name.as_ref() == ACQUISITION_NAME.as_bytes();
            let fits = ty == Some(ElementType::U64)
                && components == 1
                && meta.unit.as_deref().is_none_or(|u| u == "ns")
                && meta.role.as_ref().is_none_or(|r| *r == Role::Time);
            let rank = match (fits, meta.role.is_some(), named) {
                (true, true, true) => 3,
                (true, true, false) => 2,
                (true, false, true) => 1,
                _ => continue,
            };
            if best.as_ref().is_none_or(|(r, _)| rank > *r) {
                best = Some((rank, Self { index, clock: meta.clock.clone() }));
            }
        }
        best.map(|(_, found)| found)
    }

    /// What its times can be compared with.
    #[must_use]
    pub fn comparable(&self) -> Comparable {
        match self.clock {
            Some(Clock::Monotonic) => Comparable::WireClock,
            Some(Clock::Realtime) => Comparable::SystemClock,
            _ => Comparable::Itself,
        }
    }

    /// Nanoseconds from a time of acquisition to now, where that can be computed. `ticks` is now by the wire clock,
    /// `system` by the system's clock, in nanoseconds since 1970. Negative if the time lies ahead.
    #[must_use]
    pub fn latency(&self, acquired: u64, ticks: u64, system: u64) -> Option<i64> {
        let now = match self.comparable() {
            Comparable::WireClock => ticks,
            Comparable::SystemClock => system,
            Comparable::Itself => return None,
        };
        Some(now.wrapping_sub(acquired).cast_signed())
    }
}

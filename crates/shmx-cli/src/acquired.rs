//! How long before its publishing a frame's data was acquired, where the two clocks can be compared.

use shmx::Directory;
use shmx::meta::{Acquisition, Comparable};
use std::time::{SystemTime, UNIX_EPOCH};

/// The stream of acquisition times.
#[derive(Clone, Debug)]
pub(crate) struct Acquired {
    pub(crate) stream: u32,
    what: Acquisition,
}

impl Acquired {
    /// `None` without such a stream, or with one by a clock of its own.
    pub(crate) fn of(directory: &Directory) -> Option<Self> {
        let streams = &directory.streams;
        let metas: Vec<_> = streams.iter().map(|s| s.meta().0).collect();
        let list = streams.iter().zip(&metas).map(|(s, meta)| (&s.name, s.element_type(), s.components, meta));
        let what = Acquisition::find(list).filter(|a| a.comparable() != Comparable::Itself)?;
        Some(Self { stream: streams.get(what.index)?.id, what })
    }

    /// Nanoseconds from the time in `data` to `published`, by the wire clock; negative if the time lies ahead.
    pub(crate) fn before(&self, data: &[u8], published: u64) -> Option<i64> {
        let acquired = u64::from_le_bytes(data.try_into().ok()?);
        let since = shmx_os::clock::ticks().wrapping_sub(published);
        let system = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        let latency = self.what.latency(acquired, published, system.wrapping_sub(since))?;
        // Publish times are rounded down to their steps.
        let step = crate::seen::PUBLISH_STEP as i64;
        Some(if (-step..0).contains(&latency) { 0 } else { latency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmx::meta::{Clock, StreamMeta};
    use shmx::{Server, Stream};

    #[test]
    fn only_what_can_be_compared_has_a_latency() {
        let name = format!("shmx-cli-u-acquired-{}", std::process::id());
        let of = |clock: Clock| {
            let server = Server::builder(&name).acquisition_time(clock).create().unwrap();
            Acquired::of(&server.directory())
        };
        let found = of(Clock::Monotonic).unwrap();
        assert_eq!(found.stream, Stream::ACQUISITION_TIME.id());
        let before = |acquired: u64, published| found.before(&acquired.to_le_bytes(), published);
        assert_eq!(
            [before(5_000, 9_000), before(9_500, 9_000), before(19_000, 9_000)].map(Option::unwrap),
            [4_000, 0, -10_000]
        );
        assert_eq!(found.before(&[0; 16], 9_000), None, "two of them are no time of the frame");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let system = of(Clock::Realtime).unwrap();
        let latency = system.before(&(now - 3_000_000_000).to_le_bytes(), shmx_os::clock::ticks()).unwrap();
        assert!(latency >= 3_000_000_000, "{latency}");
        assert!(of(Clock::Tai).is_none());
        let plain = Server::builder(&name).stream(Stream::<u64>::new(1, "t"), 1).create().unwrap();
        assert!(Acquired::of(&plain.directory()).is_none());
        let bad = Server::builder(format!("{name}-b"))
            .stream(Stream::<u64>::new(1, "t").spec().meta(&StreamMeta::acquisition("camera".into())), 1)
            .create()
            .unwrap();
        assert!(Acquired::of(&bad.directory()).is_none());
    }
}

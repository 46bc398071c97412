//! Guesses when the next frame comes, so that it is met without looking all the time.

use std::time::Duration;

/// From frame to frame.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<(u64, u64)>,
    period_ns: u64,
    /// How much earlier than expected frames have come lately.
    early_ns: u64,
}

impl Pace {
    /// Pauses around the moment at which the next frame is expected; a system makes them somewhat longer.
    const CLOSE: Duration = Duration::from_micros(20);
    /// The same where frames come so quickly that there would be many.
    const CLOSE_OF_MANY: Duration = Duration::from_micros(100);
    const MANY_NS: u64 = 2_000_000;
    /// How early to begin with them, beyond what frames have been early.
    const BEFORE_NS: u64 = 250_000;

    /// Most that a frame is looked for earlier.
    const EARLY_NS: u64 = 2_000_000;

    pub(crate) fn taken(&mut self, frame_id: u64, published_ns: u64, now_ns: u64) {
        let at = if published_ns > 0 { published_ns } else { now_ns };
        if let Some((id, before)) = self.last
            && let Some(period) = at.saturating_sub(before).checked_div(frame_id.saturating_sub(id))
        {
            // Little by little, as one frame may be late, and a pause says nothing.
            let usual = if self.period_ns == 0 { period } else { self.period_ns };
            let early = usual.saturating_sub(period);
            self.period_ns = (usual / 8).saturating_mul(7).saturating_add(period.min(usual.saturating_mul(4)) / 8);
            // One that takes its producer longer is late, and the next one early. Where the moment is only that at which
            // it was found, it says nothing of that.
            let early = if published_ns > 0 { early } else { 0 };
            self.early_ns = early.max(self.early_ns - self.early_ns / 16).min(self.period_ns / 4).min(Self::EARLY_NS);
        }
        self.last = Some((frame_id, at));
    }

    /// How long to look away; `otherwise` where nothing is known.
    pub(crate) fn pause(&self, now_ns: u64, otherwise: Duration) -> Duration {
        let Some((_, last)) = self.last.filter(|_| self.period_ns > 0) else { return otherwise };
        let since = now_ns.saturating_sub(last);
        match self.period_ns.saturating_sub(since).saturating_sub(Self::BEFORE_NS.saturating_add(self.early_ns)) {
            ahead @ 1.. => Duration::from_nanos(ahead).min(otherwise),
            // About now. If it does not come, it is worth less and less to look.
            0 if since < self.period_ns.saturating_mul(2) => {
                let close = if self.period_ns < Self::MANY_NS { Self::CLOSE_OF_MANY } else { Self::CLOSE };
                let late = Duration::from_nanos(since.saturating_sub(self.period_ns));
                close.max(late / 16).min(otherwise)
            }
            0 => otherwise,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_producer_is_met_without_looking_all_the_time() {
        let ms = 1_000_000;
        let otherwise = Duration::from_millis(5);
        let mut pace = Pace::default();
        assert_eq!(pace.pause(0, otherwise), otherwise);
        for i in 1..20 {
            pace.taken(i, i * 16 * ms, i * 16 * ms + 1);
        }
        let last = 19 * 16 * ms;
        assert_eq!(pace.pause(last, otherwise), otherwise);
        assert_eq!(pace.pause(last + 15 * ms, otherwise), Duration::from_micros(750));
        assert_eq!(pace.pause(last + 16 * ms, otherwise), Pace::CLOSE);
        assert_eq!(pace.pause(last + 24 * ms, otherwise), Duration::from_micros(500));
        assert_eq!(pace.pause(last + 40 * ms, otherwise), otherwise);
        // Ten thousand a second.
        (1..200).for_each(|i| pace.taken(19 + i, last + i * ms / 10, last + i * ms / 10));
        assert_eq!(pace.pause(last + 20 * ms, otherwise), Pace::CLOSE_OF_MANY);
    }

    #[test]
    fn one_whose_frames_take_longer_now_and_then_is_met_too() {
        let (us, otherwise) = (1_000, Duration::from_millis(5));
        let mut pace = Pace::default();
        let (mut now, mut looks) = (0_u64, 0);
        for i in 1..200_u64 {
            let late = if i % 3 == 0 { 800 * us } else { 0 };
            let at = i * 16_667 * us + late;
            while now < at {
                // A pause takes somewhat longer than it should.
                now += pace.pause(now, otherwise).as_nanos() as u64 + 50 * us;
                looks += 1;
            }
            assert!(i < 10 || now - at < 100 * us, "frame {i} is found after {} us", (now - at) / us);
            pace.taken(i, at, now);
        }
        assert!(looks < 200 * 40, "{looks} looks");
    }

    #[test]
    fn a_pause_of_the_producer_costs_nothing_afterwards() {
        let (us, otherwise) = (1_000, Duration::from_millis(5));
        for seconds in [1, 60, 1_700_000_000] {
            let (mut pace, mut now, mut at) = (Pace::default(), 1, 1);
            for i in 1..400_u64 {
                at += if i == 100 { seconds * 1_000_000 * us } else { 16_667 * us };
                now = now.max(at - 16_667 * us);
                let mut looks = 0;
                while now < at {
                    now += pace.pause(now, otherwise).as_nanos() as u64 + 50 * us;
                    looks += 1;
                }
                assert!(looks < 50, "frame {i} after {seconds} s: {looks} looks");
                assert!(i < 10 || (100..130).contains(&i) || now - at < 100 * us, "frame {i}");
                pace.taken(i, at, now);
            }
        }
    }
}

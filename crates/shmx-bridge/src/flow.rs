//! When the next message may be sent: the newest wins, and nothing piles up on the way.
//!
//! So many messages may be on their way to a peer at once; what is published meanwhile is not even copied. Rates count
//! from message to message. It knows no clock and no network.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A message that has not come after this long is lost: only one for which nobody was listening yet can be.
const LOST: Duration = Duration::from_secs(30);

/// Bounds of what is on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Messages at once, at least 1.
    pub messages: u32,
    /// Bytes at once, beyond the first message.
    pub bytes: u64,
    /// Least time between two messages.
    pub interval: Duration,
    /// Bytes per second; 0 for any number.
    pub bytes_per_second: u64,
}

impl Bounds {
    /// One message at a time.
    pub const NEWEST: Self = Self { messages: 1, bytes: 0, interval: Duration::ZERO, bytes_per_second: 0 };
    /// As many as keep a link busy.
    pub const EVERY: Self = Self { messages: 64, bytes: 8 << 20, interval: Duration::ZERO, bytes_per_second: 0 };
}

/// Whether a message may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Now.
    Now,
    /// Not before then.
    At(Instant),
    /// Not before an earlier one has come; lost ones are given up then.
    AfterAck(Instant),
}

/// What is on its way to one peer.
///
/// ```
/// use shmx_bridge::flow::{Bounds, Flow, Ready};
/// use std::time::Instant;
///
/// let now = Instant::now();
/// let mut flow = Flow::new(Bounds::NEWEST);
/// assert_eq!(flow.ready(now), Ready::Now);
/// let seq = flow.send(1000, now);
/// assert!(matches!(flow.ready(now), Ready::AfterAck(_)));
/// flow.acked(seq, now);
/// assert_eq!(flow.ready(now), Ready::Now);
/// ```
#[derive(Debug)]
pub struct Flow {
    bounds: Bounds,
    /// Number of the message sent last.
    last: u64,
    /// Numbers and bytes of what is on its way, oldest first, and when it was sent.
    underway: VecDeque<(u64, u64, Instant)>,
    bytes: u64,
    /// No message before then.
    next: Option<Instant>,
    /// Longest time that a message took.
    slowest: Duration,
    lost: u64,
}

impl Flow {
    /// Nothing is on its way yet.
    #[must_use]
    pub const fn new(bounds: Bounds) -> Self {
        let (last, bytes, next, slowest, lost) = (0, 0, None, Duration::ZERO, 0);
        Self { bounds, last, underway: VecDeque::new(), bytes, next, slowest, lost }
    }

    /// Messages sent that have not come.
    #[must_use]
    pub fn underway(&self) -> usize {
        self.underway.len()
    }

    /// Messages given up as lost.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether a message may be sent now, or when.
    pub fn ready(&mut self, now: Instant) -> Ready {
        while let Some(&(_, bytes, sent)) = self.underway.front()
            && now >= sent + self.patience()
        {
            self.underway.pop_front();
            self.bytes -= bytes;
            self.lost += 1;
        }
        let full = self.underway.len() >= self.bounds.messages.max(1) as usize || self.bytes > self.bounds.bytes;
        match (self.underway.front(), self.next) {
            (Some((.., sent)), _) if full => Ready::AfterAck(*sent + self.patience()),
            (_, Some(next)) if next > now => Ready::At(next),
            _ => Ready::Now,
        }
    }

    /// On a slow link a large frame takes its time, and a second one would only make it longer.
    fn patience(&self) -> Duration {
        LOST.max(self.slowest * 4)
    }

    /// Notes that a message of so many bytes is sent now, and gives its number.
    pub fn send(&mut self, bytes: u64, now: Instant) -> u64 {
        self.last += 1;
        self.underway.push_back((self.last, bytes, now));
        self.bytes += bytes;
        let Bounds { interval, bytes_per_second, .. } = self.bounds;
        let paid = bytes.checked_mul(1_000_000_000).and_then(|b| b.checked_div(bytes_per_second));
        let pause = interval.max(Duration::from_nanos(paid.unwrap_or(0)));
        // From when it was due, so that rates are kept on average; but what was not used is not saved up.
        let due = self.next.filter(|&due| now < due + pause).unwrap_or(now);
        self.next = (!pause.is_zero()).then(|| due + pause);
        self.last
    }

    /// The number of the next message.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.last + 1
    }

    /// All messages up to this one have come. Numbers that were never sent mean nothing.
    pub fn acked(&mut self, seq: u64, now: Instant) {
        while let Some(&(number, bytes, sent)) = self.underway.front()
            && number <= seq
            && seq <= self.last
        {
            self.underway.pop_front();
            self.bytes -= bytes;
            self.slowest = self.slowest.max(now.saturating_duration_since(sent));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_whatever_happens() {
        let start = Instant::now();
        let mut flow = Flow::new(Bounds::NEWEST);
        let mut on_the_way = 0;
        for step in 0..1000_u64 {
            let now = start + Duration::from_millis(step);
            if flow.ready(now) == Ready::Now {
                flow.send(1 << 20, now);
                on_the_way += 1;
            }
            assert!(flow.underway() <= 1);
            if step % 7 == 0 {
                flow.acked(on_the_way, now);
            }
            // What was never sent cannot have come.
            flow.acked(u64::MAX, now);
            flow.acked(0, now);
        }
        assert!(on_the_way > 100);
    }

    #[test]
    fn a_window_is_bounded_in_messages_and_bytes() {
        let now = Instant::now();
        let mut flow = Flow::new(Bounds { messages: 4, bytes: 100, ..Bounds::NEWEST });
        for _ in 0..4 {
            assert_eq!(flow.ready(now), Ready::Now);
            flow.send(10, now);
        }
        assert!(matches!(flow.ready(now), Ready::AfterAck(_)));
        flow.acked(4, now);
        assert_eq!(flow.ready(now), Ready::Now, "one message may be as large as it likes");
        flow.send(1000, now);
        assert!(matches!(flow.ready(now), Ready::AfterAck(_)));
    }

    #[test]
    fn rates_are_kept() {
        let start = Instant::now();
        let ten = Duration::from_millis(100);
        for bounds in [Bounds { interval: ten, ..Bounds::EVERY }, Bounds { bytes_per_second: 10_000, ..Bounds::EVERY }]
        {
            let (mut flow, mut sent) = (Flow::new(bounds), 0);
            for ms in 0..1000 {
                let now = start + Duration::from_millis(ms);
                while flow.ready(now) == Ready::Now {
                    let seq = flow.send(1000, now);
                    flow.acked(seq, now);
                    sent += 1;
                }
            }
            assert_eq!(sent, 10, "{bounds:?}");
        }
    }

    #[test]
    fn what_nobody_heard_is_given_up() {
        let start = Instant::now();
        let mut flow = Flow::new(Bounds::NEWEST);
        flow.send(1, start);
        assert!(matches!(flow.ready(start + LOST / 2), Ready::AfterAck(_)));
        assert_eq!(flow.ready(start + LOST), Ready::Now);
        assert_eq!((flow.underway(), flow.lost()), (0, 1));
        // A link on which a frame takes a minute.
        flow.send(1, start);
        flow.acked(2, start + Duration::from_secs(60));
        flow.send(1, start);
        assert!(matches!(flow.ready(start + LOST), Ready::AfterAck(_)));
    }
}

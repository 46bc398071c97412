//! What has come for a mirror and waits to be looked at: bounded, whoever sends.

use super::shared::Mailbox;
use crate::clock::now_ns;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

/// Messages that wait, at most: a sender that keeps to its window never has so many.
const MOST: usize = 80;
/// Bytes beyond the largest frame that wait, at most.
const MOST_BYTES: usize = 9 << 20;

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<(Vec<u8>, u64)>,
    bytes: usize,
    /// Bytes of the largest message.
    largest: usize,
    dropped: u64,
}

/// Messages that have come, and when.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mailbox<Waiting>);

impl Inbox {
    /// Messages can be so large from now on.
    pub(super) fn expect(&self, largest: usize) {
        self.0.lock().largest = largest;
    }

    /// Takes a message in, or drops it where a sender does not keep to its window.
    pub(super) fn push(&self, message: Cow<'_, [u8]>) {
        let came_ns = now_ns();
        self.0.change(|w| {
            let most = MOST_BYTES.saturating_add(w.largest.saturating_mul(2));
            // One alone may be of any size: the first may come before its size is known.
            let too_much = w.messages.len() >= MOST || w.bytes.saturating_add(message.len()) > most;
            if too_much && !w.messages.is_empty() {
                w.dropped += 1;
                return;
            }
            w.bytes += message.len();
            w.messages.push_back((message.into_owned(), came_ns));
        });
    }

    /// Waits for a message; gives how many are left behind it.
    pub(super) fn pop(&self, timeout: Duration) -> Option<(Vec<u8>, u64, usize)> {
        self.0.wait(timeout, |w| {
            let (message, came_ns) = w.messages.pop_front()?;
            w.bytes -= message.len();
            Some((message, came_ns, w.messages.len()))
        })
    }

    /// Messages that were dropped since this was last asked.
    pub(super) fn dropped(&self) -> u64 {
        std::mem::take(&mut self.0.lock().dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_that_floods_fills_nothing() {
        let inbox = Inbox::default();
        for _ in 0..1000 {
            inbox.push(Cow::Borrowed(&[0; 10]));
        }
        assert_eq!(inbox.dropped(), 1000 - MOST as u64);
        let mut taken = 0;
        while inbox.pop(Duration::ZERO).is_some() {
            taken += 1;
        }
        assert_eq!((taken, inbox.dropped()), (MOST, 0));
        inbox.push(Cow::Owned(vec![0; MOST_BYTES + 1]));
        assert_eq!(inbox.dropped(), 0);
        inbox.push(Cow::Borrowed(&[0]));
        assert_eq!(inbox.dropped(), 1);
        inbox.expect(MOST_BYTES);
        inbox.push(Cow::Borrowed(&[0]));
        assert_eq!(inbox.dropped(), 0);
    }
}

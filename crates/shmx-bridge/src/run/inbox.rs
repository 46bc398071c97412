//! What has come for a mirror and waits to be looked at: bounded, whoever sends.

use super::shared::{Mailbox, lock};
use crate::backend::Message;
use crate::clock::now_ns;
use crate::mirror::Mirror;
use crate::pieces::{Arrived, Assembly, Broken, Fed};
use crate::wire::Data;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

/// Messages that wait, at most: a sender that keeps to its window never has so many.
const MOST: usize = 80;
/// Bytes beyond the largest frame that wait, at most.
const MOST_BYTES: usize = 9 << 20;

/// What has come.
#[derive(Debug)]
pub(super) enum Came {
    /// A message.
    Message(Vec<u8>),
    /// A frame whose pieces were put together: its beginning and its body.
    Frame(Vec<u8>, Arrived),
    /// One that cannot be had.
    Broken(Broken),
}

impl Came {
    fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Frame(begin, body) => begin.len() + body.len(),
            Self::Broken(broken) => broken.begin.as_ref().map_or(0, Vec::len),
        }
    }
}

#[derive(Debug, Default)]
struct Waiting {
    came: VecDeque<(Came, u64)>,
    bytes: usize,
    /// Bytes of the largest message.
    largest: usize,
    dropped: u64,
    /// What was taken last is still being worked on.
    in_hand: bool,
    /// Nothing is taken in any more.
    closed: bool,
}

/// Messages that have come, and when.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mailbox<Waiting>,
    assembly: Mutex<Assembly>,
}

impl Inbox {
    /// Messages can be so large from now on.
    pub(super) fn expect(&self, largest: usize) {
        self.waiting.lock().largest = largest;
        lock(&self.assembly).expect(largest);
    }

    /// Frames are written to slots of this mirror while they come. Nothing else publishes there but what is taken out of
    /// here.
    pub(super) fn write_to(&self, mirror: &Mirror) {
        lock(&self.assembly).write_to(mirror);
    }

    /// Takes nothing in any more, and gives back what the mirror has lent.
    pub(super) fn close(&self) {
        *lock(&self.assembly) = Assembly::default();
        self.waiting.change(|w| {
            w.closed = true;
            w.came.clear();
            w.bytes = 0;
        });
    }

    /// Takes a message in, or drops it where a sender does not keep to its window. Pieces of frames are put together at
    /// once, while the next one is on its way.
    pub(super) fn push(&self, message: Message<'_>) {
        if let [head, rest @ ..] = message.0
            && !rest.is_empty()
            && let Ok(Data::Piece(piece)) = Data::decode(head)
        {
            let mut assembly = lock(&self.assembly);
            let fed = assembly.feed_piece(&piece, rest);
            return self.put_fed(fed);
        }
        let message = message.whole();
        let Ok(data) = Data::decode(&message) else { return self.put(Came::Message(message.into_owned())) };
        let is_part = matches!(data, Data::Begin(_) | Data::Piece(_) | Data::GivenUp { .. });
        // Kept until it is put down: what is closed meanwhile has lent nothing then.
        let mut assembly = lock(&self.assembly);
        if matches!(data, Data::Begin(_)) {
            let w = self.waiting.lock();
            assembly.set_busy(w.in_hand || !w.came.is_empty());
        }
        self.put_fed(assembly.feed(&data));
        drop(assembly);
        if !is_part {
            self.put(Came::Message(message.into_owned()));
        }
    }

    fn put_fed(&self, fed: Result<Fed, Broken>) {
        match fed {
            Ok(Fed::Whole { begin, body }) => self.put(Came::Frame(begin, body)),
            Ok(Fed::More | Fed::Other) => {}
            Err(broken) => self.put(Came::Broken(broken)),
        }
    }

    fn put(&self, came: Came) {
        let at_ns = now_ns();
        self.waiting.change(|w| {
            if w.closed {
                return;
            }
            let most = MOST_BYTES.saturating_add(w.largest.saturating_mul(2));
            // One alone may be of any size: the first may come before its size is known.
            let too_much = w.came.len() >= MOST || w.bytes.saturating_add(came.bytes()) > most;
            if too_much && !w.came.is_empty() {
                w.dropped += 1;
                return;
            }
            w.bytes += came.bytes();
            w.came.push_back((came, at_ns));
        });
    }

    /// Waits for something; gives how many are left behind it.
    pub(super) fn pop(&self, timeout: Duration) -> Option<(Came, u64, usize)> {
        lock(&self.assembly).give_back_late();
        self.waiting.wait(timeout, |w| {
            w.in_hand = false;
            let (came, at_ns) = w.came.pop_front()?;
            w.in_hand = true;
            w.bytes -= came.bytes();
            Some((came, at_ns, w.came.len()))
        })
    }

    /// Takes the body of a frame back, whose memory serves for the next one.
    pub(super) fn give_back(&self, body: Vec<u8>) {
        lock(&self.assembly).give_back(body);
    }

    /// Messages that were dropped since this was last asked.
    pub(super) fn dropped(&self) -> u64 {
        std::mem::take(&mut self.waiting.lock().dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Begin, Frame, Piece};

    #[test]
    fn it_does_not_matter_where_a_message_is_cut() {
        let mut message = Vec::new();
        Piece { seq: 1, at: 0, checksum: crate::crc_of(0, b"four"), data: b"four" }.encode(&mut message);
        for cut in 0..=message.len() {
            let inbox = Inbox::default();
            inbox.expect(100);
            let mut begin = Vec::new();
            Data::Begin(Begin { frame: Frame { seq: 1, ..Frame::default() }, len: 4, own: None }).encode(&mut begin);
            let (one, two) = begin.split_at(cut.min(begin.len()));
            inbox.push(Message(&[one, two]));
            let (one, two) = message.split_at(cut);
            inbox.push(Message(&[one, &[], two]));
            let came = inbox.pop(Duration::ZERO);
            assert!(
                matches!(&came, Some((Came::Frame(_, Arrived::Memory(body)), ..)) if body == b"four"),
                "{cut}: {came:?}"
            );
        }
    }

    #[test]
    fn a_sender_that_floods_fills_nothing() {
        let inbox = Inbox::default();
        for _ in 0..1000 {
            inbox.push(Message(&[&[0; 10]]));
        }
        assert_eq!(inbox.dropped(), 1000 - MOST as u64);
        let mut taken = 0;
        while inbox.pop(Duration::ZERO).is_some() {
            taken += 1;
        }
        assert_eq!((taken, inbox.dropped()), (MOST, 0));
        inbox.push(Message(&[&vec![0; MOST_BYTES + 1]]));
        assert_eq!(inbox.dropped(), 0);
        inbox.push(Message(&[&[0]]));
        assert_eq!(inbox.dropped(), 1);
        inbox.expect(MOST_BYTES);
        inbox.push(Message(&[&[0]]));
        assert_eq!(inbox.dropped(), 0);
    }
}

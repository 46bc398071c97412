//! Frames that travel in pieces, so that all stages of their way are at work at once: put together, and hashed as they
//! come. Taken apart they are in `underway.rs`.

use crate::draft::Draft;
use crate::mirror::{Drafts, Mirror};
use crate::wire::{Begin, Body as Sent, Data, Piece};
use shmx::abi::hash;
use std::iter;
use std::time::{Duration, Instant};
use thiserror::Error;

/// So many bytes are copied and then summed at a time, while they are in the nearest cache.
pub(crate) const BLOCK: usize = 16 << 10;

/// CRC-32 of a body so far, and more of it.
#[must_use]
pub fn crc_of(before: u32, more: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(before);
    hasher.update(more);
    hasher.finalize()
}

/// Why a frame that came in pieces cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PieceError {
    /// It would be larger than its region has frames, or as memory allows.
    #[error("it has {len} bytes, and {most} are allowed")]
    TooLarge {
        /// Its bytes.
        len: u32,
        /// The most there may be.
        most: usize,
    },
    /// A piece is missing, or is there twice.
    #[error("byte {at} comes where {have} bytes have come")]
    Gap {
        /// Bytes that have come.
        have: usize,
        /// Where the piece begins.
        at: u32,
    },
    /// There is more than was said.
    #[error("its pieces have more than the {len} bytes that it has")]
    Long {
        /// Its bytes.
        len: u32,
    },
    /// Another message comes before its last piece.
    #[error("it breaks off after {have} of {len} bytes")]
    BrokenOff {
        /// Bytes that have come.
        have: usize,
        /// Its bytes.
        len: u32,
    },
    /// The data is not what was sent.
    #[error("the checksum is wrong")]
    Checksum,
    /// It was overwritten before all of it was sent.
    #[error("its origin has given it up")]
    GivenUp,
}

/// A frame that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The number of its message.
    pub seq: u64,
    /// Why.
    pub error: PieceError,
    /// Its beginning as a message, where that is known: what it says of the directory counts all the same.
    pub begin: Option<Vec<u8>>,
}

/// What a message did to a frame in pieces.
#[derive(Debug)]
pub enum Fed {
    /// It is no part of one.
    Other,
    /// It was taken in; there is more to come.
    More,
    /// The frame is whole: its beginning as a message, and its body.
    Whole {
        /// The message.
        begin: Vec<u8>,
        /// The body.
        body: Arrived,
    },
}

/// Where the body of a frame lies that came in pieces.
#[derive(Debug)]
#[non_exhaustive]
pub enum Arrived {
    /// In memory.
    Memory(Vec<u8>),
    /// In a slot of its mirror.
    Slot(Draft),
}

impl Arrived {
    /// Its bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Memory(body) => body.len(),
            Self::Slot(draft) => draft.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes more in; `None` if there is no room. Memory grows with what has come.
    fn take(&mut self, data: &[u8]) -> Option<()> {
        match self {
            Self::Memory(body) => {
                body.extend_from_slice(data);
                Some(())
            }
            Self::Slot(draft) => draft.write(data),
        }
    }
}

/// A frame that takes longer than this on its way holds no slot of its mirror meanwhile.
const QUICK: Duration = Duration::from_millis(100);

struct Open {
    seq: u64,
    begin: Vec<u8>,
    body: Arrived,
    len: u32,
    crc: u32,
    /// The producer's own checksum, and how that of the body stands.
    own: Option<u32>,
    state: u64,
    begun: Instant,
}

impl Open {
    /// Takes more in; false if there is no room.
    fn take(&mut self, block: &[u8]) -> bool {
        let taken = self.body.take(block);
        match self.own {
            Some(_) => self.state = hash::update(self.state, block),
            None => self.crc = crc_of(self.crc, block),
        }
        taken.is_some()
    }
}

/// Puts frames together out of their pieces. Takes no more memory than came, and gives nothing away whose checksum is
/// wrong.
///
/// ```
/// use shmx_bridge::{Arrived, Assembly, Fed, crc_of};
/// use shmx_bridge::wire::{Begin, Body, Data, Frame, Piece};
///
/// let mut assembly = Assembly::default();
/// assembly.expect(100);
/// let begin = Begin { frame: Frame { seq: 1, ..Frame::default() }, len: 4, own: None };
/// assert!(matches!(assembly.feed(&Data::Begin(begin)), Ok(Fed::More)));
/// let piece = Piece { seq: 1, at: 0, checksum: crc_of(0, b"body"), data: b"body" };
/// let Ok(Fed::Whole { body: Arrived::Memory(body), .. }) = assembly.feed(&Data::Piece(piece)) else { panic!("it is whole") };
/// assert_eq!(body, b"body");
/// ```
#[derive(Default)]
pub struct Assembly {
    open: Option<Open>,
    /// Most bytes of a body.
    most: usize,
    /// A body that was used, for the next one.
    spare: Vec<u8>,
    /// Slots of the mirror.
    drafts: Option<Drafts>,
    /// Frames come quickly, and nothing is waiting for the mirror: the next one can go into a slot.
    quick: bool,
    busy: bool,
}

impl std::fmt::Debug for Assembly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assembly").field("most", &self.most).finish_non_exhaustive()
    }
}

impl Assembly {
    /// Bodies may be so large from now on. Before that there are none.
    pub const fn expect(&mut self, most: usize) {
        self.most = most;
    }

    /// Frames that are sent as they are go into slots of this mirror while they come, from now on, where one can be had
    /// and they come quickly.
    pub fn write_to(&mut self, mirror: &Mirror) {
        self.drafts = mirror.drafts();
    }

    /// Whether something that came before still waits to be published: then nothing goes into a slot, as slots are
    /// published in the order in which they were claimed.
    pub(crate) const fn set_busy(&mut self, busy: bool) {
        self.busy = busy;
    }

    /// Bytes of the frame that is not whole.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.as_ref().map_or(0, |o| o.body.len())
    }

    /// Whether no frame has begun.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.open.is_none()
    }

    /// Takes a body back for the next frame.
    pub fn give_back(&mut self, body: Vec<u8>) {
        if self.spare.capacity() < body.capacity() {
            self.spare = body;
        }
    }

    /// Gives the slot back of a frame that takes too long; what has come of it goes on in memory.
    pub fn give_back_late(&mut self) {
        let Some(open) = &mut self.open else { return };
        if open.begun.elapsed() < QUICK {
            return;
        }
        self.quick = false;
        if let Arrived::Slot(_) = open.body
            && let Arrived::Slot(draft) = std::mem::replace(&mut open.body, Arrived::Memory(Vec::new()))
        {
            open.body = Arrived::Memory(draft.into_memory(std::mem::take(&mut self.spare)));
        }
    }

    /// Takes a message in. An error is about a frame that is gone then, with whatever follows of it; where another one
    /// begins, that was taken in.
    ///
    /// # Errors
    ///
    /// [`Broken`]: which frame, and why it cannot be had.
    pub fn feed(&mut self, data: &Data<'_>) -> Result<Fed, Broken> {
        match data {
            Data::Begin(begin) => self.begin(begin),
            Data::Piece(piece) => self.feed_piece(piece, &[]),
            &Data::GivenUp { seq } => {
                let given_up = self.open.as_ref().is_some_and(|o| o.seq == seq);
                Err(match self.break_off() {
                    Some(broken) if given_up => Broken { error: PieceError::GivenUp, ..broken },
                    Some(broken) => broken,
                    None => Broken { seq, error: PieceError::GivenUp, begin: None },
                })
            }
            // They overtake the rest.
            Data::Alive(_) => Ok(Fed::Other),
            Data::Frame(_) | Data::Directory { .. } | Data::End(_) => self.break_off().map_or(Ok(Fed::Other), Err),
        }
    }

    fn break_off(&mut self) -> Option<Broken> {
        let Open { seq, begin, body, len, .. } = self.open.take()?;
        let have = body.len();
        self.drop_body(body);
        Some(Broken { seq, error: PieceError::BrokenOff { have, len }, begin: Some(begin) })
    }

    fn begin(&mut self, begin: &Begin<'_>) -> Result<Fed, Broken> {
        let broken = self.break_off();
        let (seq, len, most) = (begin.frame.seq, begin.len, self.most);
        let mut message = Vec::new();
        Data::Begin(*begin).encode(&mut message);
        if len as usize > most {
            return Err(Broken { seq, error: PieceError::TooLarge { len, most }, begin: Some(message) });
        }
        let drafts =
            self.drafts.as_ref().filter(|_| self.quick && !self.busy && matches!(begin.frame.body, Sent::Whole(_)));
        let body = drafts.and_then(|drafts| drafts.begin(len)).map_or_else(
            || {
                let mut body = std::mem::take(&mut self.spare);
                body.clear();
                Arrived::Memory(body)
            },
            Arrived::Slot,
        );
        self.open = Some(Open {
            seq,
            begin: message,
            body,
            len,
            crc: 0,
            own: begin.own,
            state: hash::SEED,
            begun: Instant::now(),
        });
        broken.map_or(Ok(Fed::More), Err)
    }

    /// As [`Assembly::feed`], for a piece whose data goes on in further parts.
    ///
    /// # Errors
    ///
    /// As for [`Assembly::feed`].
    pub fn feed_piece(&mut self, piece: &Piece<'_>, more: &[&[u8]]) -> Result<Fed, Broken> {
        let &Piece { seq, at, checksum, data } = piece;
        let parts = || iter::once(&data).chain(more);
        // What is left of one that is gone already.
        let Some(mut open) = self.open.take_if(|o| o.seq == seq) else { return Ok(Fed::More) };
        let (have, len) = (open.body.len(), open.len);
        let wrong = if at as usize != have {
            Some(PieceError::Gap { have, at })
        } else if parts().map(|part| part.len()).sum::<usize>() > len as usize - have {
            Some(PieceError::Long { len })
        } else {
            let whole = parts().flat_map(|part| part.chunks(BLOCK)).all(|block| open.take(block));
            let is_right = match open.own {
                Some(own) => open.body.len() < len as usize || own == hash::fold32(open.state),
                None => open.crc == checksum,
            };
            // Its slot may have no room for it.
            let wrong = if whole { PieceError::Checksum } else { PieceError::TooLarge { len, most: have } };
            (!whole || !is_right).then_some(wrong)
        };
        if let Some(error) = wrong {
            self.drop_body(open.body);
            return Err(Broken { seq, error, begin: Some(open.begin) });
        }
        if open.body.len() < len as usize {
            self.open = Some(open);
            self.give_back_late();
            return Ok(Fed::More);
        }
        self.quick = open.begun.elapsed() < QUICK;
        if let (Arrived::Slot(draft), Some(_)) = (&mut open.body, open.own) {
            draft.set_hashed(open.state);
        }
        Ok(Fed::Whole { begin: open.begin, body: open.body })
    }

    fn drop_body(&mut self, body: Arrived) {
        if let Arrived::Memory(body) = body {
            self.give_back(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::underway::{Body, Rest, Underway};
    use crate::wire::{Frame, PIECE};

    impl PartialEq for Fed {
        fn eq(&self, other: &Self) -> bool {
            matches!((self, other), (Self::Other, Self::Other) | (Self::More, Self::More))
        }
    }

    fn begin(seq: u64, len: usize) -> Data<'static> {
        Data::Begin(Begin {
            frame: Frame { seq, body: Sent::Parts(b""), ..Frame::default() },
            len: len as u32,
            own: None,
        })
    }

    fn fed(assembly: &mut Assembly, message: &[u8]) -> Result<Fed, Broken> {
        assembly.feed(&Data::decode(message).unwrap())
    }

    #[test]
    fn what_was_taken_apart_is_put_together() {
        let mut assembly = Assembly::default();
        assembly.expect(1 << 20);
        for (seq, len) in [1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 500_000].into_iter().enumerate() {
            let body: Vec<u8> = (0..len).map(|i| ((i * 7) >> 3) as u8).collect();
            let seq = seq as u64 + 1;
            let first = begin(seq, len);
            assert_eq!(assembly.feed(&first), Ok(Fed::More));
            let mut underway = Underway::new(seq, Body::Parts(body.clone()), false, false);
            let (mut out, mut pieces, mut whole) = (Vec::new(), 0, None);
            while underway.next(&mut out) == Rest::Piece {
                pieces += 1;
                assert_eq!(assembly.feed(&Data::Alive(crate::wire::Alive::default())), Ok(Fed::Other));
                if let Fed::Whole { begin, body: Arrived::Memory(body) } = fed(&mut assembly, &out).unwrap() {
                    whole = Some((begin, body));
                }
            }
            let (begin, came) = whole.expect("it is whole");
            assert!(came == body && Data::decode(&begin) == Ok(first) && pieces == len.div_ceil(PIECE));
            assembly.give_back(came);
            assert!(assembly.is_empty());
        }
    }

    #[test]
    fn a_frame_with_a_checksum_of_its_own_needs_no_other() {
        let body: Vec<u8> = (0..2 * PIECE + 100).map(|i| ((i * 7) >> 3) as u8).collect();
        let (len, own) = (body.len() as u32, Some(hash::checksum32(&body)));
        let frame = Frame { seq: 1, has_checksum: true, ..Frame::default() };
        for damaged in [None, Some(0), Some(1), Some(2)] {
            let mut assembly = Assembly::default();
            assembly.expect(1 << 20);
            assert_eq!(assembly.feed(&Data::Begin(Begin { frame, len, own })), Ok(Fed::More));
            let mut underway = Underway::new(1, Body::Parts(body.clone()), false, true);
            let (mut out, mut done) = (Vec::new(), Ok(Fed::More));
            for n in 0..3 {
                assert_eq!(underway.next(&mut out), Rest::Piece);
                let Ok(Data::Piece(piece)) = Data::decode(&out) else { panic!("a piece") };
                assert_eq!(piece.checksum, 0);
                if damaged == Some(n) {
                    let last = out.len() - 1;
                    out[last] ^= 1;
                }
                assert_eq!(done, Ok(Fed::More));
                done = fed(&mut assembly, &out);
            }
            match (damaged, done) {
                (None, Ok(Fed::Whole { body: Arrived::Memory(came), .. })) => assert!(came == body),
                (Some(_), Err(Broken { seq: 1, error: PieceError::Checksum, .. })) => {}
                (_, done) => panic!("{damaged:?}: {done:?}"),
            }
        }
    }

    #[test]
    fn a_piece_may_come_in_parts() {
        let body: Vec<u8> = (0..100_000_u32).map(|i| ((i * 7) >> 3) as u8).collect();
        let own = hash::checksum32(&body);
        for own in [None, Some(own)] {
            let frame = Frame { seq: 1, has_checksum: own.is_some(), ..Frame::default() };
            for cut in [0, 1, 20_000, 99_999, 100_000] {
                let mut assembly = Assembly::default();
                assembly.expect(1 << 20);
                assert_eq!(assembly.feed(&Data::Begin(Begin { frame, len: 100_000, own })), Ok(Fed::More));
                let (data, more) = body.split_at(cut);
                let piece = Piece { seq: 1, at: 0, checksum: crc_of(0, &body), data };
                let (one, two) = more.split_at(more.len() / 3);
                let Ok(Fed::Whole { body: Arrived::Memory(came), .. }) = assembly.feed_piece(&piece, &[one, &[], two])
                else {
                    panic!("it is whole")
                };
                assert!(came == body);
                let begin = Data::Begin(Begin { frame, len: 100_000, own });
                assert_eq!(assembly.feed(&begin), Ok(Fed::More));
                let fed = assembly.feed_piece(&piece, &[one, two, &[0]]);
                assert!(matches!(fed, Err(Broken { error: PieceError::Long { len: 100_000 }, .. })), "{fed:?}");
            }
        }
    }

    #[test]
    fn pieces_that_do_not_fit_together_make_nothing() {
        let (one, two) = ([1; 4], [2; 4]);
        let both = crc_of(0, &[1, 1, 1, 1, 2, 2, 2, 2]);
        let first = Piece { seq: 1, at: 0, checksum: crc_of(0, &one), data: &one };
        let second = Piece { seq: 1, at: 4, checksum: both, data: &two };
        let (long, more) = ([2; 5], begin(2, 8));
        let end = Data::End(crate::wire::Ended { seq: 2, session: 0, published: 0, reason: String::new() });
        let mut beginning = Vec::new();
        begin(1, 8).encode(&mut beginning);
        let broken = |error| Broken { seq: 1, error, begin: Some(beginning.clone()) };
        let cases = [
            (Data::Piece(Piece { at: 5, ..second }), PieceError::Gap { have: 4, at: 5 }),
            (Data::Piece(Piece { at: 0, ..second }), PieceError::Gap { have: 4, at: 0 }),
            (Data::Piece(Piece { checksum: 0, ..second }), PieceError::Checksum),
            (Data::Piece(Piece { data: &long, ..second }), PieceError::Long { len: 8 }),
            (more, PieceError::BrokenOff { have: 4, len: 8 }),
            (end, PieceError::BrokenOff { have: 4, len: 8 }),
            (Data::GivenUp { seq: 1 }, PieceError::GivenUp),
            (Data::GivenUp { seq: 2 }, PieceError::BrokenOff { have: 4, len: 8 }),
        ];
        for (bad, error) in cases {
            let mut assembly = Assembly::default();
            assert_eq!(assembly.feed(&begin(1, 8)), Err(broken(PieceError::TooLarge { len: 8, most: 0 })));
            assembly.expect(8);
            assert_eq!(assembly.feed(&begin(1, 8)), Ok(Fed::More));
            assert_eq!(assembly.feed(&Data::Piece(first)), Ok(Fed::More));
            assert_eq!(assembly.len(), 4);
            assert_eq!(assembly.feed(&bad), Err(broken(error)));
            // What comes after that belongs to nothing.
            assert_eq!(assembly.feed(&Data::Piece(second)), Ok(Fed::More));
        }
    }
}

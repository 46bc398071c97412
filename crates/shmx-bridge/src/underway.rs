//! A frame that is being sent, taken apart.

use crate::pieces::{BLOCK, crc_of};
use crate::wire::{PIECE, Piece};
use shmx::FramePieces;
use shmx::error::ReadError;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Where the body of a frame that is being sent comes from.
pub(crate) enum Body {
    /// The region.
    There(Box<FramePieces>),
    Parts(Vec<u8>),
}

/// A frame that is being sent.
pub(crate) struct Underway {
    seq: u64,
    body: Body,
    at: usize,
    /// CRC-32 of what was copied; none where the producer's own checksum travels.
    crc: Option<u32>,
    /// Messages of the next pieces.
    made: VecDeque<Vec<u8>>,
    /// All that is left is copied before more is sent.
    at_once: bool,
    /// When the last message was written, and whether one took long to send.
    written: Option<Instant>,
    slow: bool,
}

/// A piece that takes longer than this is held up by the link.
const HELD_UP: Duration = Duration::from_millis(4);

/// What is left of a frame that is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The message of the next piece was written.
    Piece,
    Nothing,
    /// The producer has overwritten it.
    Lost,
    /// Its checksum is wrong.
    Damaged,
}

impl Underway {
    /// `at_once`: all of it is copied before the first piece is sent. `is_sealed`: the producer's own checksum travels.
    pub(crate) fn new(seq: u64, body: Body, at_once: bool, is_sealed: bool) -> Self {
        let crc = (!is_sealed).then_some(0);
        Self { seq, body, at: 0, crc, made: VecDeque::new(), at_once, written: None, slow: false }
    }

    /// Whether the link is slow: then the next frame had better not wait in the region until it is sent.
    pub(crate) const fn is_slow(&self) -> bool {
        self.slow
    }

    /// Number of its message.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }

    fn left(&self) -> usize {
        match &self.body {
            Body::There(pieces) => pieces.left(),
            Body::Parts(parts) => parts.len() - self.at,
        }
    }

    /// Writes the message of the next piece.
    ///
    /// As long as the link keeps up, each piece is copied out of the region when its turn comes. Once one is held up the
    /// rest is copied at once, before the producer comes round.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Rest {
        if self.written.is_some_and(|written| written.elapsed() > HELD_UP) {
            self.slow = true;
            self.at_once = true;
        }
        let there = matches!(self.body, Body::There(_));
        while self.left() > 0 && (self.made.is_empty() || there && self.at_once) {
            match self.make(self.left(), std::mem::take(out)) {
                Ok(message) => self.made.push_back(message),
                Err(ReadError::Checksum { .. }) => return Rest::Damaged,
                Err(_) => return Rest::Lost,
            }
        }
        self.written = Some(Instant::now());
        match self.made.pop_front() {
            Some(message) => {
                *out = message;
                Rest::Piece
            }
            None => Rest::Nothing,
        }
    }

    /// Makes the message of the next piece, in the memory of one that was sent.
    fn make(&mut self, left: usize, mut message: Vec<u8>) -> Result<Vec<u8>, ReadError> {
        let (seq, at, bytes) = (self.seq, self.at as u32, left.min(PIECE));
        // Most of it was as long before, so that little is filled with zeros.
        message.resize(Piece::HEAD + bytes, 0);
        let data = &mut message[Piece::HEAD..];
        for data in data.chunks_mut(BLOCK) {
            match &mut self.body {
                Body::There(pieces) => drop(pieces.copy(data)?),
                Body::Parts(parts) => data.copy_from_slice(&parts[self.at..self.at + data.len()]),
            }
            self.crc = self.crc.map(|crc| crc_of(crc, data));
            self.at += data.len();
        }
        Piece { seq, at, checksum: self.crc.unwrap_or(0), data: &[] }.write_head(&mut message);
        Ok(message)
    }
}

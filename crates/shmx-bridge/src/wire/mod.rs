//! The messages between bridges. Whatever arrives is input: it is read once, checked, and nothing in it is believed.
//!
//! Each message begins with `SHMB`, its version, its kind and a byte that is 0. The head of [`Attach`], its two
//! versions, and [`Refused`] stay as they are in every version, so that bridges of different versions can say so.

mod back;
mod bytes;
mod data;
mod error;
mod hello;

pub use back::{Back, FROM};
pub use data::{Addition, Alive, Begin, Body, Data, Ended, Frame, Part, Parts, Piece};
pub use error::{OLDEST, VERSION, WireError};
pub use hello::{Answer, Attach, AttachError, Geometry, Offer, Offers, Refused, Welcome, Why, Wish};

use bytes::{Reader, Writer};

const MAGIC: [u8; 4] = *b"SHMB";
/// Bodies of frames that are longer are sent in pieces.
pub const ALONE: usize = 60 << 10;
/// Bytes of a piece: with its head and a key, one fills four batches of zenoh, which spends as much on a short message
/// as on a long one.
pub const PIECE: usize = 252 << 10;
/// Most bytes of a name in a message; those of regions are shorter.
const NAME_MAX: usize = 255;
/// Most bytes of an explanation.
const TEXT_MAX: usize = 1024;

/// Kinds of messages.
mod kind {
    pub(super) const ATTACH: u8 = 1;
    pub(super) const WELCOME: u8 = 2;
    pub(super) const REFUSED: u8 = 3;
    pub(super) const OFFERS: u8 = 4;
    pub(super) const FRAME: u8 = 16;
    pub(super) const DIRECTORY: u8 = 17;
    pub(super) const END: u8 = 18;
    pub(super) const ALIVE: u8 = 19;
    pub(super) const BEGIN: u8 = 20;
    pub(super) const PIECE: u8 = 21;
    pub(super) const GIVEN_UP: u8 = 22;
    pub(super) const ACK: u8 = 32;
    pub(super) const KEEP: u8 = 33;
    pub(super) const CONTROL: u8 = 34;
    pub(super) const BYE: u8 = 35;
}

fn head(out: &mut Vec<u8>, kind: u8) -> Writer<'_> {
    out.clear();
    out.extend_from_slice(&MAGIC);
    let mut w = Writer(out);
    w.u16(VERSION);
    w.u8(kind);
    w.u8(0);
    w
}

/// Version and kind of a message, whatever the version is.
fn open(message: &[u8]) -> Result<(u16, u8, Reader<'_>), WireError> {
    let mut r = Reader(message);
    if r.take(MAGIC.len()) != Ok(&MAGIC[..]) {
        return Err(WireError::Foreign);
    }
    let (version, kind) = (r.u16()?, r.u8()?);
    r.u8()?;
    Ok((version, kind, r))
}

/// The kind of a message of a version that is known.
fn open_known(message: &[u8]) -> Result<(u8, Reader<'_>), WireError> {
    let (version, kind, r) = open(message)?;
    if !(OLDEST..=VERSION).contains(&version) {
        return Err(WireError::Version { found: version });
    }
    Ok((kind, r))
}

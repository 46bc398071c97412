//! Regions across hosts, without a network: which may leave, the names under which they travel, the messages, the sender
//! that lets the newest frame win, and the mirror that makes a region of what arrives.
//!
//! | part | |
//! |---|---|
//! | [`Patterns`], [`keys`] | which regions; under which keys |
//! | [`wire`] | messages, and their versions |
//! | [`Relay`], [`flow`] | a region on its way to one peer: what is sent when |
//! | [`Assembly`] | large frames out of the pieces in which they travel |
//! | [`Mirror`], [`check()`](check::check) | a region out of what another host sends, once it is checked |
//! | [`Origin`], [`Source`] | where a mirror and each of its frames come from |
//! | [`Bridge`] | both sides at work, on any [`Backend`] |
//! | [`fake`] | a network in memory, for tests |
//!
//! Nothing here opens a connection: `bridges/zenoh` does. The project's `docs/bridge.md` describes the whole.
#![forbid(unsafe_code)]

pub mod check;
pub mod clock;
pub mod conformance;
pub mod fake;
pub mod flow;
pub mod keys;
pub mod wire;

mod allow;
mod backend;
mod body;
mod codec;
mod draft;
mod mark;
mod mirror;
mod outcome;
mod pace;
mod pieces;
mod relay;
mod run;
mod underway;

/// Times as people type them.
pub use shmx_record::duration;
/// What other hosts wrote, made harmless for terminals; and errors on one line.
pub use shmx_record::escape::{one_line, safe};

pub use allow::Patterns;
pub use backend::{
    Backend, BackendError, Message, OnMessage, OnPresence, OnQuestion, Respond, Standing, Stands, Urgency,
};
pub use body::{BodyError, Compress, Selection, payload_of};
pub use codec::{Codec, CodecError, Codecs, NoCodecs, Picture};
pub use draft::Draft;
pub use mark::{MARK_ID, MARK_NAME, MARK_WORDS, Origin, Source, is_mirror};
pub use mirror::{Mirror, MirrorOptions};
pub use outcome::{Accepted, MirrorCounts, MirrorError, RejectedFrame};
pub use pieces::{Arrived, Assembly, Broken, Fed, PieceError, crc_of};
pub use relay::{Export, Relay, RelayCounts, Turn, bounds_of};
pub use run::{
    Bridge, BridgeOffers, Event, Import, MirrorStatus, Options, OptionsError, RelayStatus, Stale, Status, Tell,
    ask_offers, remove_stale,
};

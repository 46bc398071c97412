//! Frames of typed streams between processes on one machine, through named shared memory.
//!
//! A [`Server`] publishes frames into a ring of slots; any number of [`Client`]s take the latest one, or each one;
//! slow readers miss frames and never see a torn one. Each reader has a control ring back to the server. A directory
//! makes the region self-describing, an [`Inspector`] looks into everything without disturbing it, and a [`Tap`] follows
//! every frame in the same way.
//!
//! The format is SHMX 2.0, shared with the C++ headers and the Python package `shmx`; see the project's
//! `docs/wire-format.md` for the format, `docs/streams.md` for streams and what they mean, and `docs/architecture.md`
//! for how the crates fit together.
//!
//! # Example
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use shmx::{Client, Server, Stream};
//! use std::time::Duration;
//!
//! const TICK: Stream<u64> = Stream::new(1, "tick");
//! const POSITION: Stream<[f32; 3]> = Stream::new(2, "position");
//!
//! let name = format!("doc-{}", std::process::id());
//! let mut server = Server::builder(&name).stream(TICK, 1).stream(POSITION, 100).create()?;
//! let mut client = Client::open(&name)?;
//!
//! let mut frame = server.begin_frame()?;
//! frame.append_stream(TICK, &[7])?;
//! frame.append_stream(POSITION, &[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])?;
//! frame.publish_frame(0.5)?;
//!
//! let frame = client.wait(Duration::from_secs(1))?.expect("a frame was published");
//! assert_eq!(frame.value(TICK)?, 7);
//! assert_eq!(frame.get(POSITION)?[1], [3.0, 4.0, 5.0]);
//! # Ok(()) }
//! ```
//!
//! # Features
//!
//! * `async` (off by default): `Client::into_stream`, frames as a `futures_core::Stream` for any executor.
//! * `tokio` (off by default, Unix): `Client::into_tokio_stream`, the same in a tokio runtime and without a thread.
#![deny(unsafe_code)]

pub mod error;

mod align;
mod attachment;
mod client;
mod cursor;
mod frame;
mod life;
mod lock;
mod observe;
mod readers;
mod region;
mod remove;
mod schema;
mod server;
mod slot;
mod wait;

pub use align::{AlignBy, Aligned, Aligner, Source};
pub use client::{Client, ClientOptions, ControlSender, Following, Hold, KeptPart, Order, Part, Step};
#[cfg(feature = "async")]
pub use client::{FrameStream, IntoStreamError};
#[cfg(all(feature = "tokio", unix))]
pub use client::{IntoTokioStreamError, TokioFrameStream};
pub use cursor::{ReadStats, Start};
pub use frame::{ChecksumState, Frame, OwnedFrame};
pub use observe::{
    ControlFill, ControlTap, FrameOutline, FramePieces, HeaderField, HeaderReport, Inspector, Listed, PeekedMsg,
    RegionChange, RegionEvent, RegionEvents, RegionKind, SeenControl, SeenControls, ServerState, SlotBrief,
    SlotContent, SlotState, SlotView, StreamPart, Tap, TapOptions, list, list_matching,
};
pub use readers::ReaderInfo;
pub use remove::{Removed, remove};
pub use schema::asked::StreamRef;
pub use schema::directory::{Directory, StreamInfo};
pub use schema::key::StreamKey;
pub use schema::meta;
pub use schema::spec::StreamSpec;
pub use schema::stream::{Stream, StreamId};
pub use server::{
    Checksum, ControlBatch, ControlMsg, DamagedRing, Filling, FrameWriter, NameLoss, Server, ServerBuilder,
    SharedServer, StreamFill,
};
pub use slot::verify::Verify;
pub use wait::notice::Token;
pub use wait::set::{Interrupter, WaitSet, Waitable};

pub use half::{bf16, f16};
pub use shmx_abi as abi;
pub use shmx_abi::{Element, ElementLayout, ElementType, PlainElement};
pub use shmx_os::{LockState, RegionEntry};

/// Nanoseconds of the machine's steady clock: the one of publish times and heartbeats, and of an acquisition time with
/// the clock [`meta::Clock::Monotonic`].
#[must_use]
pub fn now_ticks() -> u64 {
    shmx_os::clock::ticks()
}

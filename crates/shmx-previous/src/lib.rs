//! Frames of typed streams between processes on one machine, through named shared memory.
//!
//! A [`Server`] publishes frames into a ring of slots; any number of [`Client`]s take the latest one, or each one;
//! slow readers drop frames and never see a torn one. Each reader has a control ring back to the server. A directory
//! makes the region self-describing, an [`Inspector`] looks into everything without disturbing it, and a [`Tap`] follows
//! every frame in the same way.
//!
//! The format is SHMX 2.0, shared with the C++ headers and the Python package `shmx`; see the project's
//! `docs/wire-format.md` for the format and `docs/architecture.md` for how the crates fit together.
//!
//! # Example
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use shmx_previous::{Client, Config, Server, StaticStream};
//! use std::time::Duration;
//!
//! let name = format!("doc-{}", std::process::id());
//! let server = Server::create(
//!     &Config::new(&name),
//!     &[StaticStream::of::<u64>(1, "tick"), StaticStream::of::<[f32; 3]>(2, "position")],
//! )?;
//! let mut client = Client::open(&name)?;
//!
//! let mut frame = server.begin_frame()?;
//! frame.append_stream(1, &[7_u64])?;
//! frame.append_stream(2, &[[0.0_f32, 1.0, 2.0], [3.0, 4.0, 5.0]])?;
//! frame.publish_frame(0.5)?;
//!
//! let frame = client.wait(Duration::from_secs(1))?.expect("a frame was published");
//! assert_eq!(frame.get::<[f32; 3]>(2)?[1], [3.0, 4.0, 5.0]);
//! # Ok(()) }
//! ```
//!
//! # Features
//!
//! * `async` (off by default): `Client::into_stream`, frames as a `futures_core::Stream` for any executor.
#![deny(unsafe_code)]

pub mod error;

mod buffer;
mod client;
mod frame;
mod header_report;
mod inspector;
mod listing;
mod region;
mod remove;
mod server;
mod stream;
mod tap;
mod view;

pub use client::{Client, ClientOptions, ClientStats};
#[cfg(feature = "async")]
pub use client::{FrameStream, IntoStreamError, Order};
pub use frame::Frame;
pub use header_report::{HeaderField, HeaderReport};
pub use inspector::{
    ControlFill, FrameOutline, Inspector, PeekedMsg, ServerState, SlotBrief, SlotContent, SlotState, SlotView,
    StreamPart,
};
pub use listing::{Listed, RegionKind, list};
pub use remove::{Removed, remove};
pub use server::{Config, ControlBatch, ControlMsg, DamagedRing, ReaderInfo, Server};
pub use shmx::meta;
pub use stream::{StaticState, StaticStream, StreamInfo};
pub use tap::{FrameBuf, Tap, TapOptions, TapState, TapStats};
pub use view::{ChecksumState, FrameRef, FrameView};

pub use half::{bf16, f16};
pub use shmx_abi as abi;
pub use shmx_abi::{Element, ElementLayout, ElementType};
pub use shmx_os as os;

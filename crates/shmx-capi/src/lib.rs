//! The C interface of SHMX, installed as `libshmx` with the headers `shmx.h` and `shmx.hpp`. See `docs/cpp.md`.
//!
//! | file | |
//! |---|---|
//! | `consts` | constants, versions, the clock |
//! | `args` | what C passes, and the one place that follows its pointers |
//! | `status` | statuses, the text of the last error, the border that no panic crosses |
//! | `lend` | a reader and the frame that it has lent, side by side in one handle |
//! | `server`, `options`, `writer`, `fill` | the producer |
//! | `client`, `tap`, `view`, `frame`, `follow` | the readers, frames lent, kept, and followed while they are written |
//! | `waits`, `aligner` | several readers at once |
//! | `inspector`, `region`, `names`, `events` | looking at regions |
//! | `directory`, `stream`, `messages` | streams, and messages to the server |
//!
//! `include/shmx.h` is made from these files by `cargo xtask capi-header`, with their comments: they are written for
//! readers of the header.
#![allow(non_camel_case_types, reason = "the names are those of the header")]

mod aligner;
mod args;
mod client;
mod consts;
mod directory;
mod events;
mod fill;
mod follow;
mod frame;
mod inspector;
mod lend;
mod messages;
mod names;
mod options;
mod region;
mod server;
mod status;
mod stream;
mod tap;
mod view;
mod waits;
mod writer;

/// What the header promises of threads, held against the types.
const _: () = {
    const fn may_move<T: Send>() {}
    const fn may_be_shared<T: Send + Sync>() {}
    may_move::<shmx::Server>();
    may_move::<shmx::FrameWriter<'static>>();
    may_move::<shmx::Client>();
    may_move::<shmx::Tap>();
    may_move::<shmx::Frame<'static>>();
    may_move::<shmx::Following<'static>>();
    may_move::<shmx_aligner>();
    may_move::<shmx_events>();
    may_be_shared::<shmx_wait_set>();
    may_be_shared::<shmx::SharedServer>();
    may_be_shared::<shmx::ControlSender>();
    may_be_shared::<shmx::OwnedFrame>();
    may_be_shared::<shmx::Inspector>();
    may_be_shared::<shmx::Directory>();
};

pub use aligner::*;
pub use args::{Array, Bytes, Fill, FillArray, Give, In, Out, Places, Room, Text, Versioned};
pub use client::*;
pub use consts::*;
pub use directory::*;
pub use events::*;
pub use fill::*;
pub use follow::*;
pub use frame::*;
pub use inspector::*;
pub use messages::*;
pub use names::*;
pub use options::*;
pub use region::*;
pub use server::*;
pub use status::*;
pub use stream::*;
pub use tap::*;
pub use view::*;
pub use waits::*;
pub use writer::*;

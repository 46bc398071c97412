//! The SHMX wire format, version 2.0, as plain data.
//!
//! This crate is everything a foreign reader needs: the structs as they lie in a region, the constants, the arithmetic
//! that says where each section starts, parsers for the stream directory, frames and control rings, and the hash. It
//! works on byte slices, allocates nothing, needs no operating system, and knows nothing about how bytes are shared
//! between processes; the protocol that keeps a reader from seeing a half-written frame lives in `shmx-ring`.
//!
//! The format itself is described in the project's `docs/wire-format.md`, which is normative; every module here names
//! the section it implements.
//!
//! # Trust
//!
//! A region may be written by any process that can open it, so every parser here treats its input as hostile: lengths
//! and offsets are checked with arithmetic that cannot wrap, and a bad value is an error, never a panic.
//!
//! # Example
//!
//! ```
//! # fn show(bytes: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! use shmx_abi::region::RegionRef;
//!
//! let region = RegionRef::parse(bytes)?;
//! for stream in region.directory()? {
//!     let stream = stream?;
//!     println!("{}: {:?}", stream.stream_id, stream.name_str());
//! }
//! if let Some(slot) = region.latest()? {
//!     for item in slot.streams() {
//!         let item = item?;
//!         println!("{} has {} elements", item.stream_id, item.elem_count);
//!     }
//! }
//! # Ok(()) }
//! ```
#![no_std]
#![deny(unsafe_code)]
#![warn(missing_docs)]

#[cfg(test)]
extern crate std;

pub mod consts;
pub mod control;
pub mod directory;
pub mod element;
pub mod extension;
pub mod frame;
pub mod hash;
pub mod layout;
#[cfg(test)]
mod messages;
pub mod region;
pub mod tlv;
pub mod wire;

pub use consts::*;
pub use element::{Element, ElementLayout, ElementType, PlainElement, check_element};
pub use layout::{LayoutError, RegionLayout, RegionParams};
pub use wire::{FrameHeader, GlobalHeader, ReaderSlot};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

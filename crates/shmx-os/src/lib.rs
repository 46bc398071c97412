//! Operating-system backend of SHMX: named shared memory, and what must come from the kernel with it.
//!
//! The crate knows nothing of rings, frames or headers. It offers
//!
//! * creation of an object that nobody can see until it is complete ([`Pending`]), with its file mode set and
//!   every page reserved, so that a full filesystem is an error at creation and not a `SIGBUS` later;
//! * opening without mapping ([`Existing`]), read-write mapping ([`Region`]) and read-only mapping
//!   ([`ReadOnlyRegion`]);
//! * liveness locks ([`LockByte`]) that the kernel releases when their holder dies, however it dies, and that
//!   are not inherited by forked children;
//! * sleeping on a word of shared memory ([`Region::wait`], [`ReadOnlyRegion::wait`]), on many at once ([`WaitMany`]),
//!   or waiting for it by a descriptor in an event loop ([`WaitFd`]);
//! * learning of names that come and go ([`NameWatch`]);
//! * the clock of the wire format ([`clock`]), random numbers and the question whether a process lives.
//!
//! # Platforms
//!
//! | | Linux | macOS | Windows | other |
//! |---|---|---|---|---|
//! | create, map, read-only | yes | yes | yes | no |
//! | invisible until published | yes | no (see [`Pending`]) | no | – |
//! | pages reserved | yes | no | yes (commit charge) | – |
//! | name of a dead creator | stays | stays | goes with it | – |
//! | liveness locks | yes | no | yes, in objects of this crate | – |
//! | [`Region::wait`] | sleeps (futex) | sleeps from 14.4 on, else polls | sleeps (named events) | – |
//! | [`ReadOnlyRegion::wait`] | sleeps | the same | sleeps | – |
//! | [`WaitMany`] | sleeps | polls | sleeps, up to 63 words | polls |
//! | [`WaitFd`] | yes | no | no | no |
//! | [`NameWatch`] | inotify | no | polls | no |
//! | [`list`] | yes | no | yes | no |
//!
//! Linux and Windows are tested with real processes, macOS is compiled.
//!
//! # Memory that other processes write
//!
//! A mapping is seen as `&[AtomicU8]`. A plain `&[u8]` would promise that nobody writes, which a peer process can
//! break at any time; atomic bytes make such a write an ordinary race between atomics. The base address is always a
//! page boundary, so that wider atomics may be laid over it by whoever knows the layout. Getting at the bytes is
//! `unsafe`: a layer above may hold a part of them as plain memory, which nobody in this process may store to then.
//!
//! What cannot be prevented here: a peer with write permission can *shrink* the object, and touching a page past the
//! new end is then a `SIGBUS`. [`Existing::read_at`] reads without a mapping for those who must be safe from that.
//!
//! # Example
//!
//! ```
//! # #[cfg(target_os = "linux")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::atomic::Ordering;
//! use shmx_os::{CreateOptions, LockByte, LockState, Pending, Region, RegionName};
//!
//! let name = RegionName::new(&format!("/shmx-doc-{}", shmx_os::process_id()))?;
//! let pending = Pending::create(&name, &CreateOptions { len: 4096, ..CreateOptions::default() })?;
//! // SAFETY: nobody can see the object yet.
//! let memory = unsafe { pending.bytes() };
//! memory[0].store(7, Ordering::Relaxed);
//! let server = pending.publish()?;
//! assert!(server.try_lock(LockByte::Server)?);
//!
//! let client = Region::open(&name)?;
//! // SAFETY: nobody makes plain slices of this object.
//! assert_eq!(unsafe { client.bytes() }[0].load(Ordering::Relaxed), 7);
//! assert_eq!(client.lock_state(LockByte::Server), LockState::Held);
//! assert!(server.remove()?);
//! # Ok(())
//! # }
//! # #[cfg(not(target_os = "linux"))]
//! # fn main() {}
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(target_os = "macos")]
mod apple_wait;
pub mod clock;
mod create_options;
mod dump;
mod entry;
mod error;
mod existing;
pub mod futex;
mod listing;
mod lock;
mod machine;
mod many_wake;
mod name;
mod name_changes;
mod name_watch;
mod owner;
mod pages;
mod pending;
mod process;
mod read_only;
mod region;
mod region_word;
#[cfg(target_os = "macos")]
mod shared_mapping;
pub mod signal;
mod space;
mod wait_fd;
mod wait_fd_kind;
mod wait_many;
mod wait_word;
mod wake;

// The platform is chosen here and nowhere else. Every module offers the same items.
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as sys;

#[cfg(target_os = "macos")]
mod unix;
#[cfg(target_os = "macos")]
use unix as sys;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as sys;

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod unsupported;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
use unsupported as sys;

// The waits likewise, where the platform has some of its own.
#[cfg(any(target_os = "linux", windows))]
use sys as waits;
#[cfg(not(any(target_os = "linux", windows)))]
mod polled;
#[cfg(not(any(target_os = "linux", windows)))]
use polled as waits;

// What platforms share that lack it.
#[cfg(not(target_os = "linux"))]
mod no_shared_word;
#[cfg(not(target_os = "linux"))]
mod no_wait_fd;
#[cfg(not(target_os = "linux"))]
mod polled_names;
#[cfg(not(any(target_os = "linux", windows)))]
mod polled_words;

pub use create_options::CreateOptions;
pub use dump::MAX_DUMP_LEN;
pub use entry::RegionEntry;
pub use error::{CreateError, OpenError, OsError};
pub use existing::Existing;
pub use listing::{list, peek};
pub use lock::{LOCK_BASE, LockByte, LockState};
pub use machine::{group_of_process, memory_limits, page_size, space};
pub use many_wake::ManyWake;
pub use name::{NAME_MAX_LEN, NameError, RegionName};
pub use name_changes::{NameChanges, NameWatchKind};
pub use name_watch::NameWatch;
pub use owner::Owner;
pub use pending::{Pending, PublishError};
pub use process::{process_alive, process_id, process_is_stopped, process_name, random_u64};
pub use read_only::ReadOnlyRegion;
pub use region::Region;
pub use region_word::RegionWord;
pub use space::{MemoryLimit, Space};
pub use wait_fd::WaitFd;
pub use wait_fd_kind::WaitFdKind;
pub use wait_many::{Interrupter, WaitMany};
pub use wait_word::{WaitSource, WaitWord};

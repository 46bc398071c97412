//! The SHMX frame slot ring and control rings as lock-free primitives over borrowed atomics.
//!
//! `no_std`, no allocation, no knowledge of names, files or processes. Everything works on references to atomic
//! structs, so the code cannot tell a mapping shared between processes from a boxed test buffer or a loom model.
//!
//! * [`view`]: the wire structs as atomics, and the checked casts that lay them over bytes;
//! * [`writer`]: claiming, publishing and abandoning slots;
//! * [`reader`]: finding the newest slot, reading it by copy or by lease;
//! * [`control`]: the ring from a reader back to the producer;
//! * [`readers`]: attaching, detaching, and clearing after the dead;
//! * [`doorbell`]: who sleeps and who must be woken;
//! * [`bytes`]: copies between shared and private memory.
//!
//! # Slot protocol
//!
//! The stamp of a slot is even while its content is stable and odd while a writer owns it.
//!
//! | step | writer | ordering and what it forbids |
//! |---|---|---|
//! | W1 | stamp: even s to s+1 by compare-exchange | Relaxed; W2's fence keeps what the previous owner did before |
//! | W2 | fence SeqCst, load lease bits | `[P3 lease-or-claim]` with R3: one of the two sees the other |
//! | W2' | any bit set: stamp back to s | Release |
//! | W3 | payload_bytes = 0, then content | `[P2 torn]` W2's fence with R5: who sees content sees the odd stamp |
//! | W4 | frame header, then payload_bytes Release | for readers that know no stamps |
//! | W5 | stamp = s+2, Release | `[P1 slot-published]` with R1 |
//! | W6 | write_index, frame_seq, Release | `[P4 newest]` with R0: who sees the number finds the slot stable |
//! | W7 | fence SeqCst, load doorbell | `[P5 doorbell]` with S2: either the sleeper sees the frame or we see the sleeper |
//!
//! | step | reader | ordering and what it forbids |
//! |---|---|---|
//! | R0 | load write_index | Relaxed and a fence Acquire, pairs with W6 |
//! | R1 | load stamp, must be even | Relaxed and a fence Acquire (for a lease R3's), pairs with W5 |
//! | R2 | lease only: set own bit | Relaxed, the fence orders it |
//! | R3 | lease only: fence SeqCst, load stamp, must be unchanged, else clear the bit | pairs with W2 |
//! | R4 | read content | Relaxed, word by word, when copying; plain while leased |
//! | R5 | copy only: fence Acquire, load stamp, must be unchanged | pairs with W3 |
//! | R6 | lease only: clear own bit | Release, pairs with the Acquire load of W2: reads stay before the overwrite |
#![no_std]
#![deny(unsafe_code)]
#![warn(missing_docs)]

#[cfg(test)]
extern crate std;

pub mod bytes;
pub mod control;
pub mod doorbell;
pub mod reader;
pub mod readers;
pub mod sync;
pub mod view;
pub mod writer;

//! The SHMX frame slot ring and control rings as lock-free primitives over borrowed atomics.
//!
//! `no_std`, no allocation, no knowledge of names, files or processes. Everything works on references to atomic
//! structs, so the code cannot tell a mapping shared between processes from a boxed test buffer or a loom model.
//!
//! * [`view`]: the wire structs as atomics, and the checked casts that lay them over bytes;
//! * [`writer`]: claiming, publishing and abandoning slots;
//! * [`reader`]: finding the newest slot, reading it by copy or by lease;
//! * [`hold`]: several leases of one reader on one slot;
//! * [`progress`]: reading a frame while it is written;
//! * [`load`]: loads of words, fit for mappings that may only be read;
//! * [`control`]: the ring from a reader back to the producer;
//! * [`readers`]: attaching, detaching, and clearing after the dead;
//! * [`every_frame`]: what readers that want every frame have taken;
//! * [`control_bell`]: the server sleeps, and readers wake it;
//! * [`doorbell`]: who sleeps and who must be woken;
//! * `prefetch`: asking for cache lines early;
//! * [`bytes`]: copies between shared and private memory.
//!
//! # Slot protocol
//!
//! The stamp of a slot is even while its content is stable and odd while a writer owns it.
//!
//! | step | writer | ordering and what it forbids |
//! |---|---|---|
//! | W1 | stamp: even s to s+1 by compare-exchange | SeqCst `[P3 lease-or-claim]`; Acquire: the last owner is done |
//! | W2 | load lease bits | SeqCst `[P3 lease-or-claim]` with R2 and R3: one of the two sees the other |
//! | W2' | any bit set: stamp back to s | Release |
//! | W3 | fence, payload_bytes = 0, then content | Release `[P2 torn]` with R5: who sees content sees the odd stamp |
//! | W4 | frame header, then payload_bytes Release | for readers that know no stamps |
//! | W5 | stamp = s+2, Release | `[P1 slot-published]` with R1 |
//! | W6 | frame_seq, then write_index by swap | Release `[P4 newest]` with R0: who sees them finds the slot stable |
//! | W7 | the swap of W6, then load doorbell | SeqCst `[P5 doorbell]` with S2: one of the two sees the other |
//!
//! | step | reader | ordering and what it forbids |
//! |---|---|---|
//! | R0 | load write_index or frame_seq | Relaxed and a fence Acquire, pairs with W6 |
//! | R1 | load stamp, must be even | Relaxed and a fence Acquire (for a lease R3), pairs with W5 |
//! | R2 | lease only: set own bit | SeqCst `[P3 lease-or-claim]` |
//! | R3 | lease only: load stamp, must be unchanged, else clear the bit | SeqCst `[P3 lease-or-claim]`; as R1 |
//! | R4 | read content | Relaxed, word by word, when copying; plain while leased |
//! | R5 | copy only: fence Acquire, load stamp, must be unchanged | pairs with W3 |
//! | R6 | lease only: clear own bit | Release, pairs with W2: reads stay before the overwrite |
//!
//! Of readers that want every frame, and a writer that asks:
//!
//! | step | who | ordering and what it forbids |
//! |---|---|---|
//! | K1 | reader that attaches: its slot, count of changes, fence, load stamps | SeqCst `[P7 every frame]` |
//! | K2 | writer: W1, load the count of changes, then the reader slots | SeqCst `[P7 every frame]` with K1 |
//! | K3 | reader: last_frame_seen | Release, with the writer's Acquire: reads stay before the overwrite |
//!
//! Why one of the two sees the other (P3): W1, W2, R2 and R3 are sequentially consistent and so have one order. If W2
//! came before R2, then W1, which is before W2, came before R3, which therefore finds the odd stamp; otherwise W2 finds
//! the bit. The doorbell (P5) is the same with a fence on the sleeper's side, where its cost does not matter. No fence
//! stands on the producer's way because a full one takes longer there than all the rest of a claim: the atomic
//! exchanges that are needed anyway order what they must.
#![no_std]
#![deny(unsafe_code)]
#![warn(missing_docs)]

#[cfg(test)]
extern crate std;

pub mod bytes;
pub mod control;
pub mod control_bell;
pub mod doorbell;
pub mod every_frame;
pub mod hold;
pub mod load;
#[cfg(not(loom))]
pub mod prefetch;
pub mod progress;
pub mod reader;
pub mod readers;
pub mod sync;
pub mod view;
pub mod writer;

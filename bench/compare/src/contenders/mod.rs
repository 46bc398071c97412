//! Who is compared.

#[cfg(feature = "peers")]
mod iox;
mod own;
mod raw;
pub(crate) mod reference;
#[cfg(feature = "peers")]
mod rf;

use crate::end::{End, Pair};
use crate::transport::Opts;
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// A contender, or one way of using it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Line,
    Raw,
    RawMany,
    RawCopy,
    Ringfire,
    RingfireBlob,
    Iceoryx2,
    Reference,
    ShmxLease,
    ShmxWarm,
    ShmxFollow,
    ShmxFollowHash,
    ShmxLeaseAlways,
    ShmxLeaseHash,
    ShmxCopy,
    ShmxCopyHash,
    ShmxDefault,
    ShmxChecked,
}

impl Kind {
    pub(crate) const ALL: [Self; 18] = [
        Self::Line,
        Self::Raw,
        Self::RawMany,
        Self::RawCopy,
        Self::Ringfire,
        Self::RingfireBlob,
        Self::Iceoryx2,
        Self::Reference,
        Self::ShmxLease,
        Self::ShmxWarm,
        Self::ShmxFollow,
        Self::ShmxFollowHash,
        Self::ShmxLeaseAlways,
        Self::ShmxLeaseHash,
        Self::ShmxCopy,
        Self::ShmxCopyHash,
        Self::ShmxDefault,
        Self::ShmxChecked,
    ];

    /// The name in tables, as in the JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Raw => "raw",
            Self::RawMany => "raw-many",
            Self::RawCopy => "raw-copy",
            Self::Ringfire => "ringfire",
            Self::RingfireBlob => "ringfire-blob",
            Self::Iceoryx2 => "iceoryx2",
            Self::Reference => "reference",
            Self::ShmxLease => "shmx-lease",
            Self::ShmxWarm => "shmx-warm",
            Self::ShmxFollow => "shmx-follow",
            Self::ShmxFollowHash => "shmx-follow-hash",
            Self::ShmxLeaseAlways => "shmx-lease-always",
            Self::ShmxLeaseHash => "shmx-lease-hash",
            Self::ShmxCopy => "shmx-copy",
            Self::ShmxCopyHash => "shmx-copy-hash",
            Self::ShmxDefault => "shmx-default",
            Self::ShmxChecked => "shmx-checked",
        }
    }

    /// What it is.
    pub(crate) const fn about(self) -> &'static str {
        match self {
            Self::Line => "a counter on a cache line, no payload",
            Self::Raw => "one buffer and a counter, written and read in place, no protocol",
            Self::RawMany => "as many buffers as SHMX has slots, in turn, and a counter",
            Self::RawCopy => "the same, copied from and to private buffers",
            Self::Ringfire => "ringfire, records of fixed size (they are copied in and out)",
            Self::RingfireBlob => "ringfire, blobs written with `push_with` and read with `view`, both in place",
            Self::Iceoryx2 => "iceoryx2, slices loaned uninitialised and read in place",
            Self::Reference => "the reference's C++ headers, appended and hashed, read in place",
            Self::ShmxWarm => {
                "the same by a server that keeps one frame (`history(1)`) and so writes where it wrote last"
            }
            Self::ShmxFollow => {
                "SHMX without hash, each frame read while it is written (`fill_stream`, `follow_next`, `history(1)`)"
            }
            Self::ShmxFollowHash => "the same, hashed and verified",
            Self::ShmxLease => {
                "SHMX without hash, written in the slot, read by lease (under 192 bytes by copy, as by default)"
            }
            Self::ShmxLeaseAlways => "the same, the smallest frames by lease too",
            Self::ShmxLeaseHash => "SHMX with hash, written in the slot, read by lease and verified",
            Self::ShmxCopy => "SHMX without hash, appended from a private buffer and read into one",
            Self::ShmxCopyHash => "SHMX with hash, appended from a private buffer, read into one and verified",
            Self::ShmxDefault => "SHMX as it comes, written in the slot and read by lease",
            Self::ShmxChecked => "the same, each frame hashed and verified",
        }
    }

    /// Whether it has a payload.
    pub(crate) const fn carries(self) -> bool {
        !matches!(self, Self::Line)
    }

    /// Whether it is part of the common tables; if not, it has its own.
    pub(crate) const fn common(self) -> bool {
        !matches!(self, Self::ShmxLeaseAlways | Self::ShmxDefault | Self::ShmxChecked)
    }

    /// Whether it can carry payloads of this size.
    pub(crate) const fn fits(self, bytes: usize) -> bool {
        match self {
            Self::Line => bytes == 64,
            // Its records pass over the stack.
            Self::Ringfire => matches!(bytes, 64 | 4096 | 65536),
            _ => true,
        }
    }

    /// Whether a frame can be passed on without anybody touching the payload.
    pub(crate) const fn can_leave_untouched(self) -> bool {
        !matches!(
            self,
            Self::RawCopy
                | Self::Ringfire
                | Self::Reference
                | Self::ShmxCopy
                | Self::ShmxCopyHash
                | Self::ShmxFollow
                | Self::ShmxFollowHash
        )
    }

    /// Whether frames are read while they are written.
    pub(crate) const fn follows(self) -> bool {
        matches!(self, Self::ShmxFollow | Self::ShmxFollowHash)
    }

    /// Whether readers can sleep.
    pub(crate) const fn can_sleep(self) -> bool {
        !matches!(self, Self::Line | Self::RingfireBlob | Self::Reference)
    }

    /// Frames that may be under way at once: one where there is one buffer, or where only the newest can be read.
    pub(crate) const fn window(self) -> u64 {
        match self {
            Self::Raw | Self::Reference => 1,
            _ => 2,
        }
    }

    /// Makes one process's end: it sends under `out` and will receive from `back`.
    pub(crate) fn end(self, out: Option<&str>, back: Option<&str>, opts: &Opts) -> Result<Box<dyn End>> {
        use own::{FollowRx, FollowTx, PlainRx, PlainTx, ShmxRx, ShmxTx};
        use raw::{MANY, RawRx, RawTx};
        use reference::{RefRx, RefTx};
        #[cfg(feature = "peers")]
        use {
            iox::{IoxRx, IoxTx},
            rf::{BlobRx, BlobTx, FixedRx, FixedTx},
        };
        fn pair<T: crate::transport::Tx + 'static, R: crate::transport::Rx + 'static>(
            out: Option<&str>,
            back: Option<&str>,
            opts: &Opts,
        ) -> Result<Box<dyn End>> {
            Ok(Box::new(Pair::<T, R>::new(out, back, opts)?))
        }
        match self {
            Self::Line => pair::<RawTx<0, false>, RawRx<0, false>>(out, back, opts),
            Self::Raw => pair::<RawTx<1, false>, RawRx<1, false>>(out, back, opts),
            Self::RawMany => pair::<RawTx<MANY, false>, RawRx<MANY, false>>(out, back, opts),
            Self::RawCopy => pair::<RawTx<MANY, true>, RawRx<MANY, true>>(out, back, opts),
            #[cfg(feature = "peers")]
            Self::Ringfire => match opts.bytes {
                64 => pair::<FixedTx<8>, FixedRx<8>>(out, back, opts),
                4096 => pair::<FixedTx<512>, FixedRx<512>>(out, back, opts),
                65536 => pair::<FixedTx<8192>, FixedRx<8192>>(out, back, opts),
                other => bail!("no record of {other} bytes"),
            },
            #[cfg(feature = "peers")]
            Self::RingfireBlob => pair::<BlobTx, BlobRx>(out, back, opts),
            #[cfg(feature = "peers")]
            Self::Iceoryx2 => pair::<IoxTx, IoxRx>(out, back, opts),
            #[cfg(not(feature = "peers"))]
            Self::Ringfire | Self::RingfireBlob | Self::Iceoryx2 => bail!("built without peers"),
            Self::Reference => pair::<RefTx, RefRx>(out, back, opts),
            Self::ShmxLease => pair::<ShmxTx<false, true>, ShmxRx<false, true, false>>(out, back, opts),
            Self::ShmxWarm => pair::<ShmxTx<false, true, 1>, ShmxRx<false, true, false>>(out, back, opts),
            Self::ShmxFollow => pair::<FollowTx<false>, FollowRx<false>>(out, back, opts),
            Self::ShmxFollowHash => pair::<FollowTx<true>, FollowRx<true>>(out, back, opts),
            Self::ShmxLeaseAlways => pair::<ShmxTx<false, true>, ShmxRx<false, true, true>>(out, back, opts),
            Self::ShmxLeaseHash => pair::<ShmxTx<true, true>, ShmxRx<true, true, false>>(out, back, opts),
            Self::ShmxCopy => pair::<ShmxTx<false, false>, ShmxRx<false, false, false>>(out, back, opts),
            Self::ShmxDefault => pair::<PlainTx<false>, PlainRx<false>>(out, back, opts),
            Self::ShmxChecked => pair::<PlainTx<true>, PlainRx<true>>(out, back, opts),
            Self::ShmxCopyHash => pair::<ShmxTx<true, false>, ShmxRx<true, false, false>>(out, back, opts),
        }
    }
}

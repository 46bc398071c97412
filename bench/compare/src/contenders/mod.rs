//! Who is compared.

mod own;
mod raw;

use crate::end::{End, Pair};
use crate::transport::Opts;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// A contender, or one way of using it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A flag on a cache line, no payload.
    Line,
    /// One buffer and a flag.
    Raw,
    /// As many buffers as SHMX has slots, in turn, and a flag.
    RawMany,
    /// SHMX, hash off, written in place and read by lease.
    ShmxLease,
    /// The same with the hash.
    ShmxLeaseHash,
    /// SHMX, hash off, appended from a private buffer and read into one.
    ShmxCopy,
    /// The same with the hash.
    ShmxCopyHash,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Line,
        Self::Raw,
        Self::RawMany,
        Self::ShmxLease,
        Self::ShmxLeaseHash,
        Self::ShmxCopy,
        Self::ShmxCopyHash,
    ];

    /// The name in tables, as in the JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Raw => "raw",
            Self::RawMany => "raw-many",
            Self::ShmxLease => "shmx-lease",
            Self::ShmxLeaseHash => "shmx-lease-hash",
            Self::ShmxCopy => "shmx-copy",
            Self::ShmxCopyHash => "shmx-copy-hash",
        }
    }

    /// Whether it has a payload.
    pub(crate) const fn carries(self) -> bool {
        !matches!(self, Self::Line)
    }

    /// Whether a frame can be passed on without anybody touching the payload.
    pub(crate) const fn can_leave_untouched(self) -> bool {
        !matches!(self, Self::ShmxCopy | Self::ShmxCopyHash)
    }

    /// Makes one process's end: it sends under `out` and will receive from `back`.
    pub(crate) fn end(self, out: &str, back: &str, opts: &Opts) -> Result<Box<dyn End>> {
        use own::{ShmxRx, ShmxTx};
        use raw::{RawRx, RawTx};
        Ok(match self {
            Self::Line => Box::new(Pair::<RawTx<0>, RawRx<0>>::new(out, back, opts)?),
            Self::Raw => Box::new(Pair::<RawTx<1>, RawRx<1>>::new(out, back, opts)?),
            Self::RawMany => Box::new(Pair::<RawTx<{ raw::MANY }>, RawRx<{ raw::MANY }>>::new(out, back, opts)?),
            Self::ShmxLease => Box::new(Pair::<ShmxTx<false, true>, ShmxRx<true>>::new(out, back, opts)?),
            Self::ShmxLeaseHash => Box::new(Pair::<ShmxTx<true, true>, ShmxRx<true>>::new(out, back, opts)?),
            Self::ShmxCopy => Box::new(Pair::<ShmxTx<false, false>, ShmxRx<false>>::new(out, back, opts)?),
            Self::ShmxCopyHash => Box::new(Pair::<ShmxTx<true, false>, ShmxRx<false>>::new(out, back, opts)?),
        })
    }
}

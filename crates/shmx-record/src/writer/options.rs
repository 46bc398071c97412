//! How recordings are written.

use crate::error::RecordError;
use std::time::Duration;

/// How chunks are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all: the fastest.
    #[default]
    None,
    /// lz4: fast, some gain.
    Lz4,
    /// zstd: slower, more gain.
    Zstd,
}

impl Compression {
    pub(super) fn to_mcap(self) -> Result<Option<mcap::Compression>, RecordError> {
        match self {
            Self::None => Ok(None),
            #[cfg(feature = "lz4")]
            Self::Lz4 => Ok(Some(mcap::Compression::Lz4)),
            #[cfg(not(feature = "lz4"))]
            Self::Lz4 => Err(RecordError::Compression { name: "lz4" }),
            #[cfg(feature = "zstd")]
            Self::Zstd => Ok(Some(mcap::Compression::Zstd)),
            #[cfg(not(feature = "zstd"))]
            Self::Zstd => Err(RecordError::Compression { name: "zstd" }),
        }
    }
}

/// When the system is asked to bring a file to the disk, so that it outlives a loss of power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sync {
    /// Never: the system does so when it likes, within half a minute as a rule. A crash of the recorder loses nothing
    /// by it.
    #[default]
    Never,
    /// When a file is finished.
    File,
    /// With every chunk: what a loss of power costs at most is what a crash of the recorder does.
    Chunk,
}

/// How a recording is written.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WriterOptions {
    /// Compression of chunks. Default none. It is done by the thread that writes, and by no other: the producer needs
    /// the rest of the machine.
    pub compression: Compression,
    /// How hard to compress; `None` is what the compression itself takes for usual (3 for zstd).
    pub level: Option<u32>,
    /// A chunk is finished when it has this many bytes, before compression. Default 4 MiB.
    pub chunk_bytes: u64,
    /// A chunk is finished when it is this old: what a killed recorder loses at most. Default 1 second.
    pub flush_after: Duration,
    /// Whether streams also get messages that viewers decode by themselves. Default true.
    pub views: bool,
    /// Streams whose message of numbers or points would be longer than this are in the whole frame only. Images have
    /// no limit. Default 1 MiB.
    pub view_bytes: usize,
    /// Only these streams of each region, by name or number; all if there are none. A frame that has none of them is
    /// left out ([`Written::left_out`](crate::Written::left_out)), one whose records make no sense is rejected, and the
    /// checksum of the others is made anew. The directory is recorded whole.
    pub streams: Vec<String>,
    /// Begin a new file when one has this many bytes.
    pub rotate_bytes: Option<u64>,
    /// Begin a new file when the index that is kept in memory for the end of one has this many bytes, about. It bounds
    /// the memory of recordings that last for days. Default 32 MiB: some 40 hours with ten channels. The same bounds what
    /// is kept of a time before the first frame.
    pub index_bytes: u64,
    /// Begin a new file when one is this old.
    pub rotate_after: Option<Duration>,
    /// Remove the oldest files of this recording so that all together have at most this many bytes.
    pub keep_bytes: Option<u64>,
    /// Replace files that exist; with `discard_empty` not before the first frame. Default false.
    pub overwrite: bool,
    /// When files are brought to the disk. Default never.
    pub sync: Sync,
    /// End with [`RecordError::Room`] when the file system has less room than this, and finish the file. Looked at with
    /// each chunk; nothing where the platform does not tell (Windows).
    pub min_free: Option<u64>,
    /// Keep no file of a recording without a frame, and leave one that it would have replaced. Default false.
    pub discard_empty: bool,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            compression: Compression::None,
            level: None,
            chunk_bytes: 4 << 20,
            flush_after: Duration::from_secs(1),
            views: true,
            view_bytes: 1 << 20,
            streams: Vec::new(),
            rotate_bytes: None,
            index_bytes: 32 << 20,
            rotate_after: None,
            keep_bytes: None,
            overwrite: false,
            sync: Sync::Never,
            min_free: None,
            discard_empty: false,
        }
    }
}

impl WriterOptions {
    pub(super) fn rotates(&self) -> bool {
        self.rotate_bytes.is_some() || self.rotate_after.is_some() || self.keep_bytes.is_some()
    }

    pub(crate) fn check(&self) -> Result<(), RecordError> {
        let bad = |what: &str| Err(RecordError::Options(what.to_owned()));
        if self.chunk_bytes == 0 {
            return bad("a chunk needs at least one byte");
        }
        match (self.compression, self.level) {
            (_, None) | (Compression::Zstd, Some(1..=22)) | (Compression::Lz4, Some(1..=12)) => {}
            (Compression::None, Some(_)) => return bad("a level is for lz4 or zstd; choose one of them, too"),
            (Compression::Lz4, Some(_)) => return bad("the levels of lz4 are 1 to 12"),
            (Compression::Zstd, Some(_)) => return bad("the levels of zstd are 1 to 22"),
        }
        match (self.keep_bytes, self.rotate_bytes) {
            (Some(keep), Some(one)) if one > keep / 2 => {
                bad("the total size must be at least twice the size of one file; give a larger total or smaller files")
            }
            (Some(keep), _) if keep < 64 << 10 => bad("a total size below 64 KiB holds no recording; give more"),
            _ => Ok(()),
        }
    }

    /// Size at which a file ends.
    pub(super) fn file_limit(&self) -> Option<u64> {
        self.rotate_bytes.or(self.keep_bytes.map(|k| k / 4))
    }
}

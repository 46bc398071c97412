//! The bytes of a dump file, held in memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::AtomicU8;

use crate::error::{OpenError, OsError};

/// Longest file that [`ReadOnlyRegion::from_file`](crate::ReadOnlyRegion::from_file) reads, in bytes: 4 GiB, the most that the wire format can address.
pub const MAX_DUMP_LEN: u64 = 1 << 32;

/// Alignment of the first byte.
const ALIGNMENT: usize = 64;

/// The contents of a file, 64-byte aligned and followed by zeros up to the next multiple of 64 bytes.
pub(crate) struct Dump {
    storage: Vec<AtomicU8>,
    start: usize,
    len: usize,
}

impl Dump {
    pub(crate) fn read(path: &Path) -> Result<Self, OpenError> {
        let name = || path.display().to_string();
        let fail = |step, source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => OpenError::NotFound { name: name() },
            io::ErrorKind::PermissionDenied => OpenError::PermissionDenied { name: name(), source, owner: None },
            _ => OpenError::Os { name: name(), source: OsError::Os { step, source } },
        };
        // Before opening, because opening a pipe would wait for its other end.
        let metadata = std::fs::metadata(path).map_err(|source| fail("look at the file", source))?;
        if !metadata.is_file() {
            return Err(OpenError::NotSharedMemory { name: name() });
        }
        let mut file = File::open(path).map_err(|source| fail("open the file", source))?;
        let too_large = |len| OpenError::TooLarge { name: name(), len, limit: MAX_DUMP_LEN };
        let file_len = metadata.len();
        if file_len > MAX_DUMP_LEN {
            return Err(too_large(file_len));
        }
        let expected = usize::try_from(file_len).map_err(|_| too_large(file_len))?;
        let out_of_memory = || fail("hold the file in memory", io::ErrorKind::OutOfMemory.into());
        // Room to align the start, and to round the end up.
        let capacity = expected.checked_add(2 * ALIGNMENT).ok_or_else(out_of_memory)?;
        let mut storage = Vec::new();
        storage.try_reserve_exact(capacity).map_err(|_| out_of_memory())?;
        storage.resize_with(capacity, || AtomicU8::new(0));
        // The vector neither grows nor shrinks from here on, so the alignment stays.
        let start = storage.as_ptr().align_offset(ALIGNMENT);
        if start >= ALIGNMENT {
            return Err(out_of_memory());
        }
        // A file that grew meanwhile is cut at its first length; one that shrank is shorter.
        let mut chunk = vec![0_u8; 64 * 1024];
        let mut len = 0;
        while len < expected {
            let room = chunk.len().min(expected - len);
            match file.read(&mut chunk[..room]) {
                Ok(0) => break,
                Ok(count) => {
                    let target = &mut storage[start + len..start + len + count];
                    for (to, from) in target.iter_mut().zip(&chunk) {
                        *to.get_mut() = *from;
                    }
                    len += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(fail("read the file", error)),
            }
        }
        if len == 0 {
            return Err(OpenError::Empty { name: name() });
        }
        Ok(Self { storage, start, len })
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        &self.storage[self.start..self.start + self.len]
    }
}

//! Additions to the stream directory.

use super::state::Server;
use crate::error::{StaticError, StreamError};
use crate::schema::directory::{Directory, StreamInfo};
use crate::schema::spec::StreamSpec;
use parking_lot::MutexGuard;
use shmx_abi::directory::Directory as Entries;
use shmx_abi::{TLV_ALIGN, hash, tlv};
use shmx_ring::bytes;
use shmx_ring::sync::Ordering;
use shmx_ring::view::Slots;
use std::sync::Arc;

impl Server {
    /// Adds a stream to the directory. Readers see it when they look for a stream the next time.
    ///
    /// Frames must have room for it: see [`ServerBuilder::frame_bytes`](crate::ServerBuilder::frame_bytes).
    ///
    /// # Errors
    ///
    /// [`StaticError`].
    pub fn add_stream(&self, stream: impl Into<StreamSpec>) -> Result<(), StaticError> {
        let _order = self.lock_directory()?;
        let mut bytes = Vec::new();
        stream.into().append_to(&self.directory().streams, &mut bytes)?;
        self.append(&bytes)
    }

    /// Appends raw records to the static area: directory entries, or records of types of one's own.
    ///
    /// # Errors
    ///
    /// [`StaticError`]; the bytes must be whole records padded to 16 bytes.
    pub fn write_static_append(&self, records: &[u8]) -> Result<(), StaticError> {
        let _order = self.lock_directory()?;
        let mut sum = 0;
        for record in tlv::Tlvs::new(records) {
            let record = record.map_err(|_| StaticError::Malformed)?;
            sum += tlv::step(record.body.len() as u32);
        }
        if sum != records.len() as u64 {
            return Err(StaticError::Malformed);
        }
        self.append(records)
    }

    /// The right to change the directory.
    fn lock_directory(&self) -> Result<MutexGuard<'_, ()>, StaticError> {
        // First, as a lock that another thread held at the fork stays locked in the child.
        self.check_region()?;
        Ok(self.append_order.lock())
    }

    /// The caller holds `append_order`.
    fn append(&self, records: &[u8]) -> Result<(), StaticError> {
        self.check_region()?;
        if records.is_empty() {
            return Ok(());
        }
        let old = self.directory();
        let used = old.bytes.len();
        // A directory taken from elsewhere may end without its last record's padding.
        let mut all = old.bytes.clone();
        all.resize(used.next_multiple_of(TLV_ALIGN as usize), 0);
        all.extend_from_slice(records);
        let capacity = self.region.layout.static_bytes_cap();
        let full = StaticError::Full { needed: records.len() as u64, used: used as u32, capacity };
        let place = self.region.static_area().get(used..all.len()).ok_or(full)?;
        let (generation, hash) = (old.generation.wrapping_add(1), hash::fnv1a64(&all));
        let new =
            Directory::parse(self.producing.session_id, (generation, hash, all)).map_err(|_| StaticError::Malformed)?;
        // What is there already may end in bytes that make the new records part of one of their own.
        let added = Entries::new(records).map_while(Result::ok).map(StreamInfo::from);
        if !new.streams.iter().skip(old.streams.len()).cloned().eq(added) {
            return Err(StaticError::Malformed);
        }
        let mut ids: Vec<u32> = new.streams.iter().map(|s| s.id).collect();
        ids.sort_unstable();
        if let Some(w) = ids.windows(2).find(|w| w[0] == w[1]) {
            return Err(StreamError::DuplicateId { id: w[0] }.into());
        }
        bytes::store_bytes(&new.bytes[used..], place);
        let h = self.region.header();
        // Release each: a reader that sees the length sees the bytes; it checks the hash and the generation as well.
        h.static_bytes_used.store(new.bytes.len() as u32, Ordering::Release);
        h.static_hash.store(hash, Ordering::Release);
        h.static_gen.store(generation, Ordering::Release);
        *self.directory.write() = Arc::new(new);
        Ok(())
    }
}

//! Objects for those who only look.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use windows_sys::Win32::System::Memory::FILE_MAP_READ;

use super::bell;
use super::locks;
use super::view::View;
use crate::error::OpenError;
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;
use crate::owner::Owner;
use crate::wake::Wake;

pub(crate) struct ReadOnly {
    pub(super) view: View,
    peer: locks::Peer,
}

impl ReadOnly {
    pub(crate) fn open(name: &RegionName) -> Result<Self, OpenError> {
        let view = View::open(name, FILE_MAP_READ)?;
        view.let_go();
        Ok(Self { view, peer: locks::Peer::default() })
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.view.bytes()
    }

    pub(crate) fn lock_state(&self, _name: &RegionName, lock: LockByte) -> LockState {
        locks::state(&self.view, lock, &self.peer)
    }

    pub(crate) fn is_current(&self, name: &RegionName) -> bool {
        self.view.is_current(name)
    }

    pub(crate) fn wait(&self, name: &RegionName, word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
        bell::sleep(&self.view, name, word, expected, timeout)
    }

    /// Nobody can shrink an object here.
    pub(crate) fn owner(&self) -> Option<Owner> {
        None
    }

    pub(crate) fn is_used_by(&self, _pid: u32) -> Option<bool> {
        None
    }

    pub(crate) fn len_now(&self) -> Option<u64> {
        Some(self.view.len as u64)
    }
}

/// Through a mapping, because there is no other way.
pub(crate) fn peek(name: &RegionName, buf: &mut [u8]) -> Result<(usize, u64), OpenError> {
    let object = ReadOnly::open(name)?;
    let bytes = object.bytes();
    for (to, from) in buf.iter_mut().zip(bytes) {
        // Relaxed: the copy as a whole is not atomic anyway.
        *to = from.load(Ordering::Relaxed);
    }
    Ok((buf.len().min(bytes.len()), bytes.len() as u64))
}

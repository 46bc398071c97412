//! A view and the locks taken through it.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Mutex;

use windows_sys::Win32::System::Memory::FILE_MAP_READ;

use super::handle::guard;
use super::locks;
use super::view::View;
use crate::error::{OpenError, OsError};
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;

/// A view and the locks taken through it, which are released with it.
pub(super) struct Object {
    pub(super) view: View,
    held: Mutex<BTreeSet<LockByte>>,
    /// The last holder that was looked at.
    peer: locks::Peer,
}

impl Object {
    pub(super) fn new(view: View) -> Self {
        Self { view, held: Mutex::default(), peer: locks::Peer::default() }
    }

    pub(super) fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        let mut held = guard(&self.held);
        if held.contains(&lock) {
            return Ok(true);
        }
        let word = locks::word(&self.view, lock).ok_or(OsError::Unsupported { step: locks::STEP })?;
        let done = locks::take(word, &self.peer)?;
        if done {
            held.insert(lock);
        }
        Ok(done)
    }

    pub(super) fn unlock(&self, lock: LockByte) {
        if guard(&self.held).remove(&lock)
            && let Some(word) = locks::word(&self.view, lock)
        {
            locks::give_back(word);
        }
    }

    pub(super) fn state(&self, lock: LockByte) -> LockState {
        if guard(&self.held).contains(&lock) { LockState::Held } else { locks::state(&self.view, lock, &self.peer) }
    }

    /// Gives up the name. Whether it is gone: others may hold it too.
    pub(super) fn remove(&self, name: &RegionName) -> bool {
        if guard(&self.view.handle).take().is_none() {
            return false;
        }
        matches!(View::open(name, FILE_MAP_READ), Err(OpenError::NotFound { .. }))
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        for lock in mem::take(&mut *guard(&self.held)) {
            if let Some(word) = locks::word(&self.view, lock) {
                locks::give_back(word);
            }
        }
    }
}

//! Liveness locks: a word that names its holder, and the holder's process object as the proof of life.
//!
//! A word is 0, or a process id in its high half and the low half of that process's creation time. It is taken by
//! compare-exchange from 0 or from a holder that is dead. Dead means: there is no such process, one with another
//! creation time has its id, or its process object is signalled, which the system does at its end, however it ends.
//!
//! Why not a named mutex or event that exists while it is held: to ask about it means to open it, and while somebody
//! asks it exists, so that askers keep each other's answer wrong; a handle inherited by a child keeps a dead holder
//! alive. And a mutex is owned by a thread, whereas these locks belong to an object that moves between threads.

use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, FILETIME, HANDLE};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetProcessTimes, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE,
};

use super::handle::{guard, last_error, own};
use super::process::still_runs;
use super::view::View;
use crate::error::OsError;
use crate::lock::{LOCK_BASE, LockByte, LockState};

pub(super) const STEP: &str = "lock an object of another program, or this many reader locks";

/// A holder with its process object, kept because the same one is asked about again and again.
#[derive(Default)]
pub(super) struct Peer(Mutex<Option<(u64, OwnedHandle)>>);

/// The word of `lock`; `None` where the object has no tail or too few words.
pub(super) fn word(view: &View, lock: LockByte) -> Option<&AtomicU64> {
    view.tail()?.lock(&view.mapping, usize::try_from(lock.offset() - LOCK_BASE).ok()?)
}

/// Takes the lock for this process if nobody alive has it.
pub(super) fn take(word: &AtomicU64, peer: &Peer) -> Result<bool, OsError> {
    let own = this_process().map_err(|error| OsError::os("tell this process's creation time", error))?;
    // Each failed exchange means that another process took or released it: a few rounds do.
    for _ in 0..16 {
        let holder = word.load(Ordering::Relaxed);
        if holder != 0 && alive(holder, peer) {
            return Ok(false);
        }
        // AcqRel: what the last holder did before it released is seen, what we do stays behind.
        if word.compare_exchange(holder, own, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Releases a lock that this process has.
pub(super) fn give_back(word: &AtomicU64) {
    if let Ok(own) = this_process() {
        // A word that is not ours any more was overwritten by somebody who breaks the rules, and stays.
        // Release: see `take`.
        let _ = word.compare_exchange(own, 0, Ordering::Release, Ordering::Relaxed);
    }
}

pub(super) fn state(view: &View, lock: LockByte, peer: &Peer) -> LockState {
    let Some(word) = word(view, lock) else { return LockState::Unsupported };
    // Relaxed: read-only views permit nothing else, and the answer is a snapshot.
    match word.load(Ordering::Relaxed) {
        0 => LockState::Free,
        holder if alive(holder, peer) => LockState::Held,
        _ => LockState::Free,
    }
}

fn id_of(holder: u64) -> u32 {
    (holder >> 32) as u32
}

/// The low half of a process's creation time, in steps of 100 ns; it repeats every seven minutes.
fn created(process: HANDLE) -> io::Result<u32> {
    let mut times = [FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 }; 4];
    let [creation, exit, kernel, user] = &mut times;
    // SAFETY: the handle is open with the right to query, and the four places are valid for writes.
    let done = unsafe { GetProcessTimes(process, creation, exit, kernel, user) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(times[0].dwLowDateTime) }
}

fn this_process() -> io::Result<u64> {
    static OWN: OnceLock<u64> = OnceLock::new();
    if let Some(&own) = OWN.get() {
        return Ok(own);
    }
    // SAFETY: a pseudo-handle that needs no closing.
    let process = unsafe { GetCurrentProcess() };
    let own = u64::from(std::process::id()) << 32 | u64::from(created(process)?);
    Ok(*OWN.get_or_init(|| own))
}

fn alive(holder: u64, peer: &Peer) -> bool {
    if this_process().is_ok_and(|own| own == holder) {
        return true;
    }
    let mut peer = guard(&peer.0);
    if let Some((known, process)) = &*peer
        && *known == holder
    {
        // Its id is not given to another process while the handle is open.
        return still_runs(process);
    }
    // SAFETY: a plain call without pointers.
    let handle = unsafe { OpenProcess(PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION, 0, id_of(holder)) };
    let (code, _) = last_error();
    // SAFETY: null or just opened.
    let Some(process) = (unsafe { own(handle) }) else {
        // A process that we may not look at has that id: take it for the holder.
        return code == ERROR_ACCESS_DENIED;
    };
    if !created(process.as_raw_handle()).is_ok_and(|time| time == holder as u32) || !still_runs(&process) {
        return false;
    }
    *peer = Some((holder, process));
    true
}

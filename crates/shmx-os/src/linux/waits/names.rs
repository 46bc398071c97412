//! Names that come and go in `/dev/shm`: by inotify, else by reading the directory again and again.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirEntryExt;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

use super::{FOREVER, Fd, now, ready, timespec};
use crate::entry::PENDING_MARK;
use crate::error::OsError;
use crate::linux::fork::Birth;
use crate::linux::object::DIRECTORY;
use crate::name::RegionName;
use crate::name_changes::{NameChanges, NameWatchKind, differing};

const STEP: &str = "watch the names in /dev/shm";
/// Between two looks at the directory.
const INTERVAL: Duration = Duration::from_millis(20);
/// Events of one answer. What is beyond stays for the next.
const MOST: usize = 4096;

pub(crate) struct NameWatch {
    fd: Fd,
    birth: Birth,
    /// What was found at the last look; none with inotify.
    known: Option<Listing>,
}

/// Inode numbers by name.
type Listing = BTreeMap<RegionName, u64>;

impl NameWatch {
    pub(crate) fn new() -> Result<Self, OsError> {
        let birth = Birth::now(ready()?);
        let watch = || {
            let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            add(&fd)?;
            Ok::<_, Errno>(Fd::new(fd))
        };
        match watch() {
            Ok(fd) => Ok(Self { fd, birth, known: None }),
            // Used up, or not there.
            Err(_) => Self::polling(),
        }
    }

    pub(crate) fn polling() -> Result<Self, OsError> {
        let birth = Birth::now(ready()?);
        let fail = |error| OsError::os(STEP, error);
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK);
        let fd = Fd::new(fd.map_err(fail)?);
        let spec = Itimerspec { it_interval: timespec(INTERVAL), it_value: timespec(INTERVAL) };
        timerfd_settime(&fd, TimerfdTimerFlags::empty(), &spec).map_err(fail)?;
        Ok(Self { fd, birth, known: Some(listing()?) })
    }

    pub(crate) fn kind(&self) -> NameWatchKind {
        if self.known.is_some() { NameWatchKind::Polling } else { NameWatchKind::Events }
    }

    pub(crate) fn next(&mut self, timeout: Duration) -> Result<Option<NameChanges>, OsError> {
        self.birth.check(STEP)?;
        let deadline = if timeout < FOREVER { now() + timeout } else { Duration::MAX };
        loop {
            let found = match &mut self.known {
                Some(known) => look_again(&self.fd, known)?,
                None => read(&self.fd)?,
            };
            if found.is_some() {
                return Ok(found);
            }
            let left = if deadline == Duration::MAX { None } else { Some(deadline.saturating_sub(now())) };
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            let mut polled = [PollFd::from_borrowed_fd(self.fd.as_fd(), PollFlags::IN)];
            match rustix::event::poll(&mut polled, left.map(timespec).as_ref()) {
                Ok(_) if polled[0].revents().contains(PollFlags::NVAL) => return Err(OsError::os(STEP, Errno::BADF)),
                Ok(_) => {}
                Err(Errno::INTR) => return Ok(None),
                Err(error) => return Err(OsError::os(STEP, error)),
            }
        }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn add(fd: impl AsFd) -> Result<(), Errno> {
    let names = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
    // The writer of an object that was made in steps closes it when it is complete.
    inotify::add_watch(fd, DIRECTORY, names | WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR)?;
    Ok(())
}

/// Takes the events that are there.
fn read(fd: &Fd) -> Result<Option<NameChanges>, OsError> {
    let fail = |error| OsError::os(STEP, error);
    let mut names = Vec::new();
    let mut any = false;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(fd, &mut buffer);
    while names.len() < MOST || !reader.is_buffer_empty() {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(fail(error)),
        };
        let flags = event.events();
        any |= flags.intersects(ReadFlags::QUEUE_OVERFLOW | ReadFlags::IGNORED | ReadFlags::UNMOUNT);
        if flags.contains(ReadFlags::IGNORED) {
            // The directory went. There may be another one.
            add(fd).map_err(fail)?;
        }
        if flags.contains(ReadFlags::ISDIR) {
            continue;
        }
        let name = event.file_name().and_then(|name| name.to_str().ok());
        // An object that was made without a name: when its maker closes it, or dies, the kernel knows no other.
        any |= name.is_some_and(|name| name.strip_prefix('#').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())));
        names.extend(name.and_then(region_name));
    }
    if any {
        return Ok(Some(NameChanges::Any));
    }
    names.sort();
    names.dedup();
    Ok((!names.is_empty()).then_some(NameChanges::Names(names)))
}

/// Compares the directory with what was known of it.
fn look_again(timer: &Fd, known: &mut Listing) -> Result<Option<NameChanges>, OsError> {
    match rustix::io::read(timer, &mut [0_u8; 8]) {
        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
        Err(error) => return Err(OsError::os(STEP, error)),
    }
    let found = listing()?;
    let before = std::mem::replace(known, found);
    let names = differing(known, &before);
    Ok((!names.is_empty()).then_some(NameChanges::Names(names)))
}

fn listing() -> Result<Listing, OsError> {
    let fail = |source| OsError::Os { step: STEP, source };
    let mut found = Listing::new();
    for entry in std::fs::read_dir(DIRECTORY).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if let Some(name) = entry.file_name().to_str().and_then(region_name) {
            found.insert(name, entry.ino());
        }
    }
    Ok(found)
}

/// `None` for names that are none of a region, or hidden ones of objects that are being made.
fn region_name(name: &str) -> Option<RegionName> {
    if name.contains(PENDING_MARK) { None } else { RegionName::new(name).ok() }
}

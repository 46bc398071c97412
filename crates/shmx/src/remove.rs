//! Taking a region's name away: for servers that follow a dead one, and for tools that tidy up.

use crate::error::RemoveError;
use crate::life::end_of;
use crate::region::{Mapped, VISIBLE_AT_ONCE, header_of};
use shmx_abi::RegionLayout;
use shmx_abi::extension::Features;
use shmx_abi::wire::{self, GlobalHeader};
use shmx_os::{Existing, LockByte, LockState, OsError, RegionName};
use shmx_ring::doorbell;
use shmx_ring::sync::Ordering;
use shmx_ring::view::Slots;
use std::time::{Duration, Instant};

/// What a name led to that has been removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removed {
    /// What a dead server left.
    Dead,
    /// A region that holds no lock, removed because the caller insisted.
    Unlocked,
    /// No region at all, removed because the caller insisted.
    Foreign,
    /// Nothing: it was gone already, or has just been replaced by another object.
    Nothing,
}

/// Removes what a dead server has left under a name; its readers are told. What they have mapped stays theirs.
///
/// The region of a live server is never removed. With `force` goes what has no lock as well: regions made by other
/// implementations, whose servers may be running, and objects that are no regions.
///
/// # Errors
///
/// [`RemoveError`]; the name is still there then. The readers of a dead server's region may have been told already;
/// else nothing was changed.
pub fn remove(name: &str, force: bool) -> Result<Removed, RemoveError> {
    let name = RegionName::new(name)?;
    if let Err(e @ shmx_os::OpenError::NotFound { .. }) = shmx_os::peek(&name, &mut []) {
        return Err(e.into());
    }
    clear(&name, force)
}

/// How long a lock must be held to be a living server's. Who tidies up after a dead one holds it for microseconds, or
/// as long as the system keeps it waiting.
const PATIENCE: Duration = Duration::from_millis(100);

/// Removes what has the name if that is allowed.
pub(crate) fn clear(name: &RegionName, force: bool) -> Result<Removed, RemoveError> {
    let existing = match Existing::open(name) {
        Ok(e) => e,
        Err(shmx_os::OpenError::NotFound { .. }) => return Ok(Removed::Nothing),
        Err(shmx_os::OpenError::NotSharedMemory { .. }) => {
            return Err(RemoveError::NotAnObject { name: name.to_string() });
        }
        Err(e) => return Err(e.into()),
    };
    let mut head = [0; size_of::<GlobalHeader>()];
    let have = existing.read_at(0, &mut head).unwrap_or(0);
    let header: Option<GlobalHeader> = if have == head.len() { wire::read_at(&head, 0) } else { None };
    let ours = header.is_some_and(|h| h.magic == shmx_abi::MAGIC && Features::of(&h).has(Features::LOCKS));
    let is_region = header.is_some_and(|h| h.magic == shmx_abi::MAGIC);
    // Begun a moment ago, perhaps. Where a name can be removed, being asked to remove it is enough.
    if VISIBLE_AT_ONCE && (cfg!(windows) || !force) && header.is_some_and(|h| h.magic == 0) {
        return Err(RemoveError::Unfinished { name: name.to_string() });
    }
    // Whoever holds the lock is alive; while we hold it nobody else can decide the same.
    let (start, mut told) = (Instant::now(), false);
    loop {
        match take_from_the_dead(&existing, ours, &mut told) {
            Ok(true) => break,
            // Without locks on this platform, or on this object, it is not ours.
            Err(OsError::Unsupported { .. }) => break,
            Ok(false) if !existing.is_current() => return Ok(Removed::Nothing),
            // Somebody else may be doing what we are about to do, or the server is leaving.
            Ok(false) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_micros(200)),
            Ok(false) => {
                // Of another process namespace, perhaps, where it is another process's.
                let pid = header.filter(|_| ours).map(|h| h.ext_server_pid).filter(|&p| p != 0);
                // Windows has one space of process ids, and its lock words name their holders by the same.
                let pid = pid.filter(|&p| cfg!(windows) || existing.is_used_by(p) == Some(true));
                return Err(RemoveError::HeldByLiveServer { name: name.to_string(), pid });
            }
            Err(e) => return Err(e.into()),
        }
    }
    if !ours && !force {
        let name = name.to_string();
        return Err(if is_region { RemoveError::ReferenceMade { name } } else { RemoveError::NotARegion { name } });
    }
    if cfg!(windows) && !existing.is_current() {
        return Ok(Removed::Nothing);
    }
    // Elsewhere it looks by itself what the name leads to, and tells if it cannot.
    if !existing.remove()? {
        return if cfg!(windows) { Err(RemoveError::InUse { name: name.to_string() }) } else { Ok(Removed::Nothing) };
    }
    tracing::info!(%name, "the name of a region without live server is removed");
    Ok(if ours {
        Removed::Dead
    } else if is_region {
        Removed::Unlocked
    } else {
        Removed::Foreign
    })
}

/// Takes the server's lock if nobody has it. The readers of a region of ours are told first: who finds the lock held
/// reads the feature word again, and so never takes us for the server.
fn take_from_the_dead(existing: &Existing, ours: bool, told: &mut bool) -> Result<bool, OsError> {
    if ours && !*told {
        if existing.lock_state(LockByte::Server) == LockState::Held {
            return Ok(false);
        }
        // A server has its lock from before the region can be seen until it has left or died.
        tell_readers(existing);
        *told = true;
    }
    existing.try_lock(LockByte::Server)
}

/// Marks a dead server's region as closed and wakes its readers.
fn tell_readers(dead: &Existing) {
    // Not by name: that may lead to a successor by now.
    let Ok(region) = dead.map_again() else { return };
    let Some(header) = header_of(&region) else { return };
    let Ok(layout) = RegionLayout::from_header(&header, region.len() as u64) else { return };
    let Some(mapped) = Mapped::new(region, layout) else { return };
    let h = mapped.header();
    // One that has left in good order has said so, and its name stayed all the same.
    let said = Features::from_wire(h.ext_features.load(Ordering::Acquire), 0, header.session_id);
    if end_of(said).is_none() {
        // SeqCst: `ring` looks for sleepers after it, as after a frame.
        h.ext_features.fetch_or((Features::CLOSED | Features::DIED) as u32, Ordering::SeqCst);
    }
    if let Some(value) = doorbell::ring(&h.ext_doorbell) {
        mapped.os.wake_all(&h.ext_doorbell, value);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::error::{OpenError, ServerEnd};
    use crate::life::judge;
    use crate::{Client, Inspector, Server, ServerState, Stream};
    use std::sync::atomic::{AtomicBool, AtomicU32};

    fn serve(tag: &str) -> Server {
        static N: AtomicU32 = AtomicU32::new(0);
        let name = format!("shmx-remove-{tag}-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed));
        Server::builder(name).stream(Stream::<u64>::new(1, "t"), 1).create().unwrap()
    }

    /// The region of a server that was killed: a copy, on which nobody has a lock. Goes with the value.
    struct Dead(RegionName);

    impl Dead {
        fn of(server: &Server) -> Self {
            let name = format!("{}-dead", server.name());
            std::fs::copy(format!("/dev/shm/{}", server.name()), format!("/dev/shm/{name}")).unwrap();
            Self(RegionName::new(&name).unwrap())
        }
    }

    impl Drop for Dead {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(format!("/dev/shm/{}", self.0));
        }
    }

    /// A reader that waited for a server once opened what a dead one had left, because its successor held the lock.
    #[test]
    fn who_takes_a_dead_servers_name_is_not_taken_for_the_server() {
        let server = serve("taken");
        let dead = Dead::of(&server);
        let name = dead.0.as_str();
        let inspector = Inspector::open(name).unwrap();
        let unmarked = inspector.features();
        assert_eq!(inspector.server_state(), ServerState::Died, "nobody has the lock");
        let existing = Existing::open(&dead.0).unwrap();
        assert!(take_from_the_dead(&existing, true, &mut false).unwrap());
        assert_eq!(inspector.server_lock(), LockState::Held);
        assert_eq!(inspector.server_state(), ServerState::Died);
        let end = ServerEnd::Died;
        assert!(matches!(Client::open(name), Err(OpenError::ServerGone { end: e, .. }) if e == end));
        // Who had read the word before it was marked reads it once more.
        assert_eq!(judge(unmarked, || inspector.server_lock(), || inspector.features()), Some(end));
        assert_eq!(judge(unmarked, || LockState::Held, || unmarked), None, "so it is with a live server");
    }

    #[test]
    fn the_lock_of_a_dead_server_is_never_held_before_its_readers_are_told() {
        let server = serve("order");
        for _ in 0..100 {
            let dead = Dead::of(&server);
            let inspector = Inspector::open(dead.0.as_str()).unwrap();
            let (looking, done) = (AtomicBool::new(false), AtomicBool::new(false));
            std::thread::scope(|s| {
                let watching = s.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(inspector.server_state(), ServerState::Died);
                        looking.store(true, Ordering::Relaxed);
                    }
                });
                while !looking.load(Ordering::Relaxed) && !watching.is_finished() {
                    std::thread::yield_now();
                }
                let removed = clear(&dead.0, false);
                done.store(true, Ordering::Relaxed);
                assert_eq!(removed.unwrap(), Removed::Dead);
            });
        }
    }

    #[test]
    fn the_readers_of_a_live_server_are_told_nothing() {
        let server = serve("live");
        let name = RegionName::new(server.name()).unwrap();
        assert!(matches!(clear(&name, true), Err(RemoveError::HeldByLiveServer { .. })));
        assert!(!Inspector::open(server.name()).unwrap().features().has(Features::CLOSED));
    }

    /// The readers were once told by name, which may lead to a successor's region when it is opened again.
    #[test]
    fn a_successor_is_not_told_of_its_predecessors_death() {
        let dead = serve("successor");
        let name = dead.name().to_owned();
        let (existing, old) =
            (Existing::open(&RegionName::new(&name).unwrap()).unwrap(), Inspector::open(&name).unwrap());
        std::fs::remove_file(format!("/dev/shm/{name}")).unwrap();
        let _successor = Server::builder(&name).stream(Stream::<u64>::new(1, "t"), 1).create().unwrap();
        tell_readers(&existing);
        assert!(old.features().has(Features::CLOSED), "the readers of what was checked are told");
        assert!(!Inspector::open(&name).unwrap().features().has(Features::CLOSED));
        drop(dead);
    }

    /// A server that could not remove its name was once said to have died.
    #[test]
    fn who_left_in_good_order_is_not_said_to_have_died() {
        let name = format!("shmx-remove-left-{}", std::process::id());
        let server = Server::builder(&name).stream(Stream::<u64>::new(1, "t"), 1).create().unwrap();
        let existing = Existing::open(&RegionName::new(&name).unwrap()).unwrap();
        let seen = Inspector::open(&name).unwrap();
        drop(server);
        assert!(seen.features().has(Features::CLOSED));
        tell_readers(&existing);
        assert!(seen.features().has(Features::CLOSED) && !seen.features().has(Features::DIED));
    }
}

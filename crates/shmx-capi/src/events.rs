//! Regions that come and go.

use crate::args::{Array, Fill, Give, Out, Text, Versioned, hand_out, put};
use crate::consts::duration;
use crate::region::shmx_server_state;
use crate::status::{Fault, guard, guard_value, shmx_status};
use shmx::{RegionChange, RegionEvents};
use std::ffi::{CString, c_char};

/// What happened to a name.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_change {
    /// Something that this version does not know.
    Unknown = 0,
    /// There is a region with a server that lives.
    Appeared = 1,
    /// Another server has the name now. What became of the one before may not have been seen.
    Replaced = 2,
    /// The region's server is gone, or its name was taken away.
    Ended = 3,
}

/// Tells when regions appear, end or are replaced.
#[derive(Debug)]
pub struct shmx_events {
    events: RegionEvents,
    /// The name of the last one told.
    name: CString,
}

/// A change of a region.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_event {
    /// sizeof(shmx_event).
    pub size: usize,
    /// Name of the region, without leading `/`; valid until the next event is asked for.
    pub name: *const c_char,
    /// A `shmx_change`.
    pub change: u32,
    /// How the server ended, a `shmx_server_state`; SHMX_SERVER_STATE_LIVE if only its name was taken away.
    pub server: u32,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers and pointers only.
unsafe impl Versioned for shmx_event {
    const FIRST: usize = size_of::<Self>();
}

fn get(events: Option<&mut shmx_events>) -> Result<&mut shmx_events, Fault> {
    events.ok_or_else(|| Fault::null("events"))
}

/// Watches these names; all regions of the machine if there are none. Read-only: it takes no reader slot.
///
/// Threads: any; each handle is used by one thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_events_open(names: Array<Text>, count: usize, out: Out<*mut shmx_events>) -> shmx_status {
    guard("shmx_events_open", || {
        out.need("out")?;
        let names = names.get(count, "names")?;
        let names = names.iter().map(|name| name.get("names")).collect::<Result<Vec<_>, _>>()?;
        hand_out(out, shmx_events { events: RegionEvents::of(&names)?, name: CString::default() });
        Ok(shmx_status::Ok)
    })
}

/// The next event; SHMX_STATUS_NOTHING when the time is up. The first ones are a SHMX_CHANGE_APPEARED for each region
/// whose server lives. Of two changes in quick succession only the later one may be reported.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_events_next(
    events: Option<&mut shmx_events>,
    timeout_ns: u64,
    out: Fill<shmx_event>,
) -> shmx_status {
    guard("shmx_events_next", || {
        let (events, place) = (get(events)?, out.check("out")?);
        let Some(event) = events.events.next(duration(timeout_ns))? else { return Ok(shmx_status::Nothing) };
        let (change, server) = match event.change {
            RegionChange::Appeared => (shmx_change::Appeared, shmx_server_state::Live),
            RegionChange::Replaced => (shmx_change::Replaced, shmx_server_state::Live),
            RegionChange::Ended(end) => (shmx_change::Ended, end.into()),
            _ => (shmx_change::Unknown, shmx_server_state::Unknown),
        };
        // A name in a file system has no zero byte.
        events.name = CString::new(event.name).unwrap_or_default();
        place.fill(shmx_event {
            size: size_of::<shmx_event>(),
            name: events.name.as_ptr(),
            change: change as u32,
            server: server as u32,
        });
        Ok(shmx_status::Ok)
    })
}

/// A descriptor for an event loop: readable when there may be events. Then ask for them with a timeout of 0 until there
/// is none. Do not read from it and do not close it: it is the handle's. SHMX_STATUS_UNSUPPORTED where the system
/// has none.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_events_wait_fd(events: Option<&mut shmx_events>, fd: Out<i32>) -> shmx_status {
    guard("shmx_events_wait_fd", || {
        put(fd, "fd", descriptor(&get(events)?.events)?)?;
        Ok(shmx_status::Ok)
    })
}

#[cfg(target_os = "linux")]
#[allow(clippy::unnecessary_wraps, reason = "other systems refuse")]
fn descriptor(events: &RegionEvents) -> Result<i32, Fault> {
    use std::os::fd::{AsFd, AsRawFd};
    Ok(events.as_fd().as_raw_fd())
}

#[cfg(not(target_os = "linux"))]
fn descriptor(_: &RegionEvents) -> Result<i32, Fault> {
    Err(Fault::new(shmx_status::Unsupported, "there is no descriptor for names here; ask with a timeout"))
}

/// Ends the watch. Leaves null behind, so that doing it twice does nothing.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_events_free(events: Give<shmx_events>) {
    guard_value("shmx_events_free", (), || drop(events.take()));
}

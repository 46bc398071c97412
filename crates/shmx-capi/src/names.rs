//! Regions by name.

use crate::args::{Fill, Give, Out, Text, Versioned, hand_out, put_if_wanted};
use crate::region::shmx_server_state;
use crate::status::{Fault, guard, guard_value, shmx_status};
use shmx::{RegionKind, Removed};
use std::ffi::{CString, c_char};

/// What a name led to that was removed.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_removed {
    /// Nothing: it was gone already.
    Nothing = 0,
    /// What a dead server had left.
    Dead = 1,
    /// A region without a liveness lock.
    Unlocked = 2,
    /// No region.
    Foreign = 3,
}

/// What a shared-memory object is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_kind {
    /// Something else's.
    Foreign = 0,
    /// A region.
    Region = 1,
    /// It begins like a region and makes no sense.
    Damaged = 2,
    /// It cannot be opened.
    Unreadable = 3,
}

/// The shared-memory objects of the machine at one moment.
#[derive(Debug)]
pub struct shmx_listing {
    objects: Vec<Object>,
}

#[derive(Debug)]
struct Object {
    name: CString,
    bytes: u64,
    kind: shmx_kind,
    server: shmx_server_state,
}

/// One of them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_listed {
    /// sizeof(shmx_listed).
    pub size: usize,
    /// Its name, without leading `/`; valid as long as the listing.
    pub name: *const c_char,
    /// Its length.
    pub bytes: u64,
    /// A `shmx_kind`.
    pub kind: u32,
    /// Of a region: what is known of its server, a `shmx_server_state`.
    pub server: u32,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers and pointers only.
unsafe impl Versioned for shmx_listed {
    const FIRST: usize = size_of::<Self>();
}

/// Removes what a dead server has left under a name. With `force` goes what has no liveness lock as well. The region of a
/// live server is never removed. `what`, which may be null, gets a `shmx_removed`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_remove(name: Text, force: u32, what: Out<u32>) -> shmx_status {
    guard("shmx_remove", || {
        let removed = match shmx::remove(name.get("name")?, force != 0)? {
            Removed::Dead => shmx_removed::Dead,
            Removed::Unlocked => shmx_removed::Unlocked,
            Removed::Foreign => shmx_removed::Foreign,
            _ => shmx_removed::Nothing,
        };
        put_if_wanted(what, removed as u32);
        Ok(shmx_status::Ok)
    })
}

/// All shared-memory objects of the machine with what they are, sorted by name.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_list(out: Out<*mut shmx_listing>) -> shmx_status {
    guard("shmx_list", || {
        out.need("out")?;
        let objects = shmx::list()?.into_iter().filter_map(|listed| {
            let (kind, server) = match listed.kind {
                RegionKind::Region { server, .. } => (shmx_kind::Region, server.into()),
                RegionKind::Damaged(_) => (shmx_kind::Damaged, shmx_server_state::Unknown),
                RegionKind::Unreadable(_) => (shmx_kind::Unreadable, shmx_server_state::Unknown),
                _ => (shmx_kind::Foreign, shmx_server_state::Unknown),
            };
            let name = CString::new(listed.object.name.as_str()).ok()?;
            Some(Object { name, bytes: listed.object.len, kind, server })
        });
        hand_out(out, shmx_listing { objects: objects.collect() });
        Ok(shmx_status::Ok)
    })
}

/// How many objects there are; 0 for null.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_listing_count(listing: Option<&shmx_listing>) -> usize {
    guard_value("shmx_listing_count", 0, || listing.map_or(0, |l| l.objects.len()))
}

/// Object number `index`; SHMX_STATUS_NOTHING past the last one.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_listing_at(listing: Option<&shmx_listing>, index: usize, out: Fill<shmx_listed>) -> shmx_status {
    guard("shmx_listing_at", || {
        let listing = listing.ok_or_else(|| Fault::null("listing"))?;
        let place = out.check("out")?;
        let Some(o) = listing.objects.get(index) else { return Ok(shmx_status::Nothing) };
        place.fill(shmx_listed {
            size: size_of::<shmx_listed>(),
            name: o.name.as_ptr(),
            bytes: o.bytes,
            kind: o.kind as u32,
            server: o.server as u32,
        });
        Ok(shmx_status::Ok)
    })
}

/// Frees a listing. Leaves null behind, so that doing it twice does nothing.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_listing_free(listing: Give<shmx_listing>) {
    guard_value("shmx_listing_free", (), || drop(listing.take()));
}

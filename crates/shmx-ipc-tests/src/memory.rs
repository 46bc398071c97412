//! The bytes of an object, for actors that go past the library. The only file here with unsafe code.
#![allow(unsafe_code)]

use shmx_os::Region;
use shmx_ring::sync::{AtomicU8, AtomicU64};
use shmx_ring::view::{self, View};

/// All bytes of a mapping that the caller opened for itself.
pub(crate) fn bytes(region: &Region) -> &[AtomicU8] {
    // SAFETY: the mapping is the actor's own and lends nothing. What an actor stores that breaks the protocol it stores
    // from a process of its own, in which nobody holds a slice that others could change.
    unsafe { region.bytes() }
}

/// A struct of the region.
pub(crate) fn view<T: View>(region: &Region, at: usize) -> Option<&T> {
    // SAFETY: as above; no actor accesses one place in two widths.
    unsafe { view::cast(bytes(region), at) }
}

/// Words of the object.
pub(crate) fn words(region: &Region, at: usize, len: usize) -> Option<&[AtomicU64]> {
    // SAFETY: as above.
    unsafe { view::words(bytes(region), at, len) }
}

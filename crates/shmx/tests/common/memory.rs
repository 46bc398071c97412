//! A region's bytes, for tests that play another process: one that breaks the rules, or another implementation.

use shmx_os::Region;
use shmx_ring::sync::AtomicU8;
use shmx_ring::view::{View, cast};

/// All bytes of a mapping of the test's own.
pub(crate) fn bytes(region: &Region) -> &[AtomicU8] {
    // SAFETY: the mapping is the test's own: what it stores comes to the library's mappings as another process's stores
    // do, and no slice is lent out of this one. A test that stores under a lent slice looks at how the library takes
    // it, as it would have to from any process that ignores the protocol.
    unsafe { region.bytes() }
}

/// A struct of the region.
pub(crate) fn view<T: View>(region: &Region, at: usize) -> &T {
    // SAFETY: as above. Each test accesses a place in one width while others may store to it.
    unsafe { cast(bytes(region), at) }.expect("it lies in the region")
}

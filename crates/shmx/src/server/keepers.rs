//! What readers that want every frame have taken, as far as the server knows.

use crate::region::Mapped;
use parking_lot::Mutex;
use shmx_os::Region;
use shmx_ring::every_frame::Taken;
use shmx_ring::view::Slots;

/// What readers that want every frame have taken. Threads share it.
#[derive(Debug)]
pub(super) struct Keepers {
    taken: Taken,
    /// Held while the reader slots are looked through.
    scanning: Mutex<()>,
}

impl Keepers {
    pub(super) fn new() -> Self {
        Self { taken: Taken::new(), scanning: Mutex::new(()) }
    }

    /// Whether they have all taken this frame.
    #[inline]
    pub(super) fn permit(&self, region: &Mapped<Region>, frame_id: u64) -> bool {
        self.taken.permits(region.header(), frame_id) || self.permit_now(region, frame_id)
    }

    /// The same with a look at the reader slots.
    #[cold]
    fn permit_now(&self, region: &Mapped<Region>, frame_id: u64) -> bool {
        let _scanning = self.scanning.lock();
        let header = region.header();
        // Another thread may have looked meanwhile.
        self.taken.permits(header, frame_id) || {
            let readers = (0..region.layout.reader_slots()).filter_map(|i| region.reader(i));
            self.taken.scan(header, readers);
            self.taken.permits(header, frame_id)
        }
    }

    /// What they have all taken, as it was last looked at.
    pub(super) fn least(&self) -> u64 {
        self.taken.least()
    }
}

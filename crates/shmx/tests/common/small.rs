//! A region with one small stream, for what each operation of the facade promises.

use super::unique;
use shmx::{Client, Hold, Server, SharedServer, StreamSpec, Verify};
use std::time::Duration;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn small(tag: &str) -> (SharedServer, String) {
    let name = unique(tag);
    let builder = Server::builder(&name).slots(3).frame_bytes(1024);
    let server = builder.stream(StreamSpec::of::<u64>(1, "tick"), 100).create().unwrap();
    (server.into_shared(), name)
}

pub(crate) fn publish(server: &SharedServer, value: u64) -> u64 {
    let mut f = server.begin_frame().unwrap();
    f.append_stream(1, &[value]).unwrap();
    f.publish_frame(value as f64).unwrap()
}

/// Leases frames of every size.
pub(crate) fn leasing(name: &str) -> Client {
    Client::options().copy_up_to(0).hold(Hold::Lease).verify(Verify::Always).open(name).unwrap()
}

/// Slots that the one reader of a server leases.
pub(crate) fn leased_slots(server: &SharedServer) -> u32 {
    server.snapshot_readers().iter().map(|r| r.leased_slots).sum()
}

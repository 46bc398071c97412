//! Mutations that no test notices, and why none can: file, mutation, reason.

const WRITER: &str = "crates/shmx-ring/src/writer.rs";
const READER: &str = "crates/shmx-ring/src/reader.rs";
const READERS: &str = "crates/shmx-ring/src/readers.rs";
const HOLD: &str = "crates/shmx-ring/src/hold.rs";
const READ: &str = "crates/shmx/src/slot/read.rs";

pub(super) const EXPLAINED: &[(&str, &str, &str)] = &[
    (WRITER, "replace < with <= in Claimer<F>::claim_any", "no slot has the number of slots for its own"),
    (WRITER, "replace | with ^ in Claim::odd_stamp", "bit 0 is clear: a slot is opened once"),
    (WRITER, "replace | with ^ in Publisher::publish", "count and marks have no bit in common"),
    (WRITER, "replace + with * in Publisher::publish", "the newest ticket is never published again, so < is <="),
    (READER, "replace | with ^ in leases", "the two halves have no bit in common"),
    (READERS, "replace | with ^ in attach", "the flags have no bit in common"),
    (HOLD, "replace << with >>", "differs while another thread ends the last lease, which loom's models go through"),
    (HOLD, "replace | with ^ in Hold::from_bits", "the two marks have no bit in common"),
    (HOLD, "replace | with ^ in Holds::begin", "the two marks have no bit in common"),
    (HOLD, "replace | with ^ in Holds::count", "count and mark have no bit in common"),
    (
        READ,
        "replace match guard reader::validate(slot, meta).is_err() with false in copy",
        "differs where the slot is written between two loads of one call",
    ),
];

//! Mutations that no test notices, and why none can: file, mutation, reason.

const WRITER: &str = "crates/shmx-ring/src/writer.rs";
const READER: &str = "crates/shmx-ring/src/reader.rs";
const READERS: &str = "crates/shmx-ring/src/readers.rs";
const HOLD: &str = "crates/shmx-ring/src/hold.rs";
const BELL: &str = "crates/shmx-ring/src/control_bell.rs";
const EVERY: &str = "crates/shmx-ring/src/every_frame.rs";
const PROGRESS: &str = "crates/shmx-ring/src/progress.rs";
const LOAD: &str = "crates/shmx-ring/src/load.rs";
const PREFETCH: &str = "crates/shmx-ring/src/prefetch.rs";
const SYNC: &str = "crates/shmx-ring/src/sync.rs";
const VIEW: &str = "crates/shmx-ring/src/view.rs";
const HASH: &str = "crates/shmx-abi/src/hash/mod.rs";
const ELEMENT: &str = "crates/shmx-abi/src/element.rs";
const EXTENSION: &str = "crates/shmx-abi/src/extension.rs";
const READ: &str = "crates/shmx/src/slot/read.rs";

/// Loom's models in `tests/loom.rs`: some of them fail then.
const BETWEEN: &str = "differs where another reader changes the word between load and exchange: loom's models find it";
const HALVES: &str = "not built here; found under `--cfg shmx_split_loads`, as `test-32bit` runs the tests";
const TIME_ONLY: &str = "asks for cache lines early, which changes nothing but the time";

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
    (BELL, "replace | with ^", "the two flags have no bit in common"),
    (BELL, "replace match guard !is_asleep(now) with true in wake", BETWEEN),
    (BELL, "replace match guard !is_asleep(now) with false in wake", BETWEEN),
    (BELL, "delete ! in wake", BETWEEN),
    (EVERY, "replace announced with ()", "a fence, which loom's models go through"),
    (EVERY, "replace | with ^ in changes", "the two counts and the 1 have no bit in common"),
    (EVERY, "replace | with ^ in changes", "the two counts and the 1 have no bit in common"),
    (PROGRESS, "replace | with ^ in Claim::open", "the mark is clear while a stamp is odd"),
    (LOAD, "replace - with +", HALVES),
    (LOAD, "replace - with /", HALVES),
    (LOAD, "replace imp::word -> u64 with 0", HALVES),
    (LOAD, "replace imp::word -> u64 with 1", HALVES),
    (LOAD, "replace imp::count -> u64 with 0", HALVES),
    (LOAD, "replace imp::count -> u64 with 1", HALVES),
    (LOAD, "replace imp::halves -> &[AtomicU32; 2] with Box::leak(Box::new([Default::default(); 2]))", HALVES),
    (LOAD, "replace | with ^ in join", "the two halves have no bit in common"),
    (PREFETCH, "replace * with +", TIME_ONLY),
    (PREFETCH, "replace * with /", TIME_ONLY),
    (PREFETCH, "replace will_read with ()", TIME_ONLY),
    (PREFETCH, "replace will_lease with ()", TIME_ONLY),
    (PREFETCH, "replace will_write with ()", TIME_ONLY),
    (PREFETCH, "replace ask with ()", TIME_ONLY),
    (PREFETCH, "replace <= with > in ask", TIME_ONLY),
    (PREFETCH, "replace + with - in ask", TIME_ONLY),
    (PREFETCH, "replace + with * in ask", TIME_ONLY),
    (PREFETCH, "replace / with * in ask", TIME_ONLY),
    (PREFETCH, "replace line with ()", TIME_ONLY),
    (SYNC, "replace sc_access_fence with ()", "is nothing but under loom"),
    (VIEW, "replace a32 -> AtomicU32 with Default::default()", "is 0 as well"),
    (VIEW, "replace a64 -> AtomicU64 with Default::default()", "is 0 as well"),
    (HASH, "replace * with +", "how much is hashed at a time changes nothing but the time"),
    (HASH, "replace < with == in update", "both ways give the same hash"),
    (HASH, "replace < with <= in update", "both ways give the same hash"),
    (HASH, "replace Kernel::is_supported -> bool with true", "a machine that runs every kernel cannot tell"),
    (ELEMENT, "replace check_element with ()", "asserts while it compiles, which a documentation test finds"),
    (EXTENSION, "replace | with ^ in Features::from_wire", "the two words have no bit in common here"),
    (EXTENSION, "replace | with ^ in Features::publish_time", "the two flags have no bit in common"),
    (EXTENSION, "replace | with ^ in PublishTime::from_wire", "the two halves have no bit in common"),
    (
        READ,
        "replace match guard reader::validate(slot, meta).is_err() with false in copy",
        "differs where the slot is written between two loads of one call",
    ),
];

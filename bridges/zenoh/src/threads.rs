//! How zenoh divides its work among threads. It takes that from the environment, and from nowhere else.

use std::num::NonZero;
use std::thread::available_parallelism;

/// Where zenoh looks.
const VARIABLE: &str = "ZENOH_RUNTIME";

/// In zenoh one thread sees that a link has data, and wakes another one that reads it; while that is at work, it is
/// interrupted for everything that comes. Here the threads that read see for themselves: a tenth less of a processor,
/// and frames are a tenth younger (docs/bridge.md). But a thread that reads sees then, too, that a link has room again,
/// and where it waits for room itself, nothing does, until zenoh gives the link up after 5 s. So this is for bridges that
/// send nothing but short answers: those that only import.
fn importing(processors: usize) -> String {
    let reading = (processors / 2).clamp(1, 2);
    format!("(net: (handover: rx), acc: (handover: rx), rx: (worker_threads: {reading}))")
}

/// Settles it for a bridge that only imports, unless the user has.
///
/// Nothing else may be running in this process yet.
pub(crate) fn import_only() {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let value = importing(available_parallelism().map_or(1, NonZero::get));
    // SAFETY: the process has one thread as yet (`main` calls this before it starts any), so nobody reads the environment
    // meanwhile.
    #[expect(unsafe_code, reason = "zenoh takes it from nowhere else")]
    unsafe {
        std::env::set_var(VARIABLE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_one_that_reads() {
        for (processors, reading) in [(1, 1), (2, 1), (3, 1), (4, 2), (64, 2)] {
            assert!(importing(processors).contains(&format!("rx: (worker_threads: {reading}))")), "{processors}");
        }
    }
}

//! How zenoh divides its work among threads. It takes that from the environment, and from nowhere else.

use serde_json::Value;
use std::num::NonZero;
use std::thread::available_parallelism;

/// Where zenoh looks.
const VARIABLE: &str = "ZENOH_RUNTIME";

/// The threads that read links also watch them.
///
/// By itself zenoh has one thread that sees that a link has data and wakes another one, which reads it, and which is
/// interrupted for whatever comes meanwhile. Without that, images are a tenth younger and take less of a processor
/// (docs/bridge.md, "Figures").
fn reading_ones(processors: usize) -> String {
    let reading = (processors / 2).clamp(1, 2);
    format!("(net: (handover: rx), rx: (worker_threads: {reading}))")
}

/// Whether a bridge that exports nothing can do with that: it must hardly send. Threads that watch links also see when
/// one has room again; where they wait for room themselves, nobody does, until zenoh gives that link up after 5 s. So
/// such a bridge neither carries what others send to each other, nor has links that it did not ask for.
pub(crate) fn hardly_sends(zenoh: &Value) -> bool {
    let has_none = |endpoints: &Value| endpoints.as_array().is_some_and(Vec::is_empty);
    matches!(zenoh["mode"].as_str(), Some("peer" | "client"))
        && has_none(&zenoh["listen"]["endpoints"])
        && zenoh.get("routing").is_none()
}

/// Has the threads that read links watch them, unless the user has said otherwise.
///
/// # Safety
///
/// No other thread of this process reads or writes the environment meanwhile.
#[expect(unsafe_code, reason = "zenoh takes it from nowhere else")]
pub(crate) unsafe fn watch_by_reading() {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let value = reading_ones(available_parallelism().map_or(1, NonZero::get));
    // SAFETY: the caller answers for other threads.
    unsafe { std::env::set_var(VARIABLE, value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{defaults, merge};
    use serde_json::json;

    #[test]
    fn there_is_always_one_that_reads() {
        for (processors, reading) in [(1, 1), (2, 1), (3, 1), (4, 2), (64, 2)] {
            assert!(reading_ones(processors).contains(&format!("rx: (worker_threads: {reading}))")), "{processors}");
        }
    }

    #[test]
    fn who_may_have_to_send_is_left_alone() {
        let of = |more: Value| {
            let mut zenoh = defaults();
            merge(&mut zenoh, more);
            hardly_sends(&zenoh)
        };
        assert!(of(json!({ "connect": { "endpoints": ["tcp/robot:7447"] } })));
        assert!(of(json!({ "mode": "client" })));
        for more in [
            json!({ "mode": "router" }),
            json!({ "mode": { "peer": "peer" } }),
            json!({ "listen": { "endpoints": ["tcp/127.0.0.1:7447"] } }),
            json!({ "listen": { "endpoints": { "peer": ["tcp/127.0.0.1:7447"] } } }),
            json!({ "routing": { "peer": { "mode": "linkstate" } } }),
        ] {
            assert!(!of(more.clone()), "{more}");
        }
    }
}

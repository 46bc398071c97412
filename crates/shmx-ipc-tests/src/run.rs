//! `run`: the scenarios one after the other, each judged by its answer and by what it leaves behind.

use crate::common::{PREFIX, Scale, objects};
use crate::opts::Opts;
use crate::{child, foreign, interop, killed, scenarios};
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::Instant;

type Scenario = fn(&Scale) -> Result<String>;

const SCENARIOS: &[(&str, Scenario)] = &[
    ("one producer, four readers", scenarios::four_readers),
    ("frames read while they are written", scenarios::followed),
    ("paced producer, sleeping readers", scenarios::paced),
    ("the producer laps its readers", scenarios::lapping),
    ("two producer threads", scenarios::two_producers),
    ("attach and detach storm", scenarios::attach_storm),
    ("control rings wrap", scenarios::control_rings),
    ("the directory grows under readers", scenarios::static_append),
    ("a server leaves and another comes", scenarios::sessions),
    ("a second live server is refused", scenarios::second_server),
    ("inspector at full speed", scenarios::inspector),
    ("a killed reader gives its leases back", killed::reader),
    ("a killed reader frees a full ring", killed::holder),
    ("a killed producer is noticed", killed::producer),
    ("killed creators leave nothing", killed::creators),
    #[cfg(target_os = "linux")]
    ("a stopped reader keeps its slot and leases", crate::liveness::stopped_reader),
    #[cfg(target_os = "linux")]
    ("sleeping readers are told of a killed producer", crate::liveness::sleepers_are_told),
    #[cfg(target_os = "linux")]
    ("a neighbour scribbles where readers write", crate::hostile::where_readers_write),
    #[cfg(target_os = "linux")]
    ("a neighbour scribbles everywhere", crate::hostile::everywhere),
];

/// Runs everything and says whether all passed.
pub(crate) fn run(opts: &Opts) -> Result<bool> {
    let cx = Scale { quick: opts.has("quick") };
    let only = opts.text("only").unwrap_or("");
    let mine = format!("{PREFIX}{}-", std::process::id());
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    if let Some(words) = opts.text("readers") {
        child::set_readers(words);
    }
    let mut one = |name: &str, scenario: &mut dyn FnMut() -> Result<String>| {
        if !name.contains(only) {
            return;
        }
        let start = Instant::now();
        let result = scenario().and_then(|figures| {
            let left = objects(&mine);
            ensure!(left.is_empty(), "left behind: {left:?}");
            Ok(figures)
        });
        let took = start.elapsed().as_secs_f64();
        match result {
            Ok(figures) => {
                passed += 1;
                println!("ok {name} ({figures}) [{took:.1} s]");
            }
            Err(e) => {
                failed += 1;
                println!("FAILED {name}: {e:#} [{took:.1} s]");
                // So that the next scenario is judged by itself.
                for name in objects(&mine) {
                    let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
                }
            }
        }
    };
    for (name, scenario) in SCENARIOS {
        one(name, &mut || scenario(&cx));
    }
    match opts.text("foreign") {
        Some(program) => {
            for (name, pairing) in foreign::PAIRINGS {
                one(name, &mut || pairing(Path::new(program)));
            }
        }
        None if opts.has("readers") => {}
        None => {
            skipped += foreign::PAIRINGS.len();
            println!("skipped {} pairings with the peer in C: no --foreign", foreign::PAIRINGS.len());
        }
    }
    match opts.text("python") {
        Some(python) => {
            for (name, pairing) in interop::PAIRINGS {
                one(name, &mut || pairing(python));
            }
        }
        None if opts.has("readers") => {}
        None => {
            skipped += interop::PAIRINGS.len();
            println!("skipped {} pairings with the reference package: no --python", interop::PAIRINGS.len());
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0)
}

//! Bridges as processes: over the loopback address, and between hosts of their own where this is root.
//!
//! `--figures` measures instead; `--only TEXT` picks scenarios, or figures (images, overload, small).

mod bridge;
mod children;
mod deaths;
mod delay;
mod figures;
mod hosts;
mod links;
mod local;
mod words;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// A name, the program that it needs, and what is done.
type Scenario = (&'static str, &'static str, fn());

const LOCAL: &[Scenario] = &[
    ("frames arrive byte for byte", "", local::bytes),
    ("a backend does what it must", "", local::conformance),
    ("who comes late has the newest frame", "", local::late),
    ("over a link that takes 50 ms each way the newest wins", "", local::far),
    ("ls shows what is offered", "", words::ls),
    ("a bridge that is stopped holds no other one up", "", deaths::stopped),
    ("wrong usage ends with 2", "", words::usage),
    ("nobody is there", "", words::alone),
    ("errors are told to whoever wants no more", "", words::quiet),
    ("a killed bridge leaves no region", "", deaths::killed_importer),
    ("nor does one whose helper was killed", "", deaths::killed_helper),
    ("a helper stands still", "", deaths::stopped_helper),
    ("a bridge has stood still itself", "", deaths::stood_still),
    ("a mirror is cut short", "", deaths::cut),
    ("it ends beside one that stands still", "", deaths::frozen),
    ("it ends though nobody reads what it writes", "", deaths::stuck),
    ("a terminal hangs up", "", deaths::hung_up),
    ("an origin's bridge is killed and started again", "", deaths::killed_exporter),
    ("a producer is killed and started again", "", deaths::killed_producer),
    ("what nobody reads is no failure", "", words::unread),
    ("compressed streams come back", "", local::compressed),
    ("control messages go back", "", local::control),
    ("a peer that talks rubbish changes nothing", "", local::rubbish),
    ("nothing listens beyond loopback", "", local::listens),
    ("another authority's certificate is refused", "openssl", local::tls),
];

/// These need hosts of their own.
const LINKED: &[Scenario] = &[
    ("frames arrive byte for byte over a link that loses packets", "nft", links::lossy),
    ("a link is cut and comes back", "", links::cut),
    ("a link of 2 MB/s under 60 MB/s", "", links::slow),
    ("three hosts that mirror everything", "", links::circle),
];

fn main() -> ExitCode {
    shmx_testkit::hear_signals();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = children::run(&args) {
        return code;
    }
    let only = args.iter().position(|a| a == "--only").and_then(|i| args.get(i + 1)).map(String::as_str);
    if args.iter().any(|a| a == "--figures") {
        figures::all(only);
        return ExitCode::SUCCESS;
    }
    let chosen = |s: &&Scenario| only.is_none_or(|text| s.0.contains(text));
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let mut run = |(name, program, scenario): &Scenario| {
        if !hosts::has(program) {
            println!("SKIPPED {name}: there is no {program} here");
            skipped += 1;
            return;
        }
        let start = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(scenario));
        let seconds = start.elapsed().as_secs_f64();
        match done {
            Ok(()) => passed += 1,
            Err(_) => failed += 1,
        }
        println!("{} {name} [{seconds:.1} s]", if done.is_ok() { "ok" } else { "FAILED" });
    };
    LOCAL.iter().filter(chosen).for_each(&mut run);
    let impossible = hosts::impossible();
    if impossible.is_none() {
        LINKED.iter().filter(chosen).for_each(&mut run);
    }
    if let Some(why) = impossible {
        for (name, ..) in LINKED.iter().filter(chosen) {
            println!("SKIPPED {name}: no network namespaces here: {why}");
            skipped += 1;
        }
    }
    let left = left_over();
    if !left.is_empty() {
        println!("FAILED nothing is left in /dev/shm: {left:?}");
        failed += 1;
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Regions of this run that are still there.
fn left_over() -> Vec<String> {
    let mine = format!("-{}-", std::process::id());
    let all = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let names = all.filter_map(|e| e.file_name().into_string().ok());
    names.filter(|n| n.contains("shmx-t-zb-") && n.contains(&mine)).collect()
}

//! Project tasks: `cargo xtask help`.
#![forbid(unsafe_code)]

mod bench;
mod capi;
mod chaos;
mod cross;
mod fuzz;
mod house;
mod instructions;
mod interop;
mod layers;
mod litmus;
mod nightly;
mod orderings;
mod python;
mod readme;
mod record;
mod screens;
mod step;
mod tests;
mod tsan;
mod video;

use anyhow::{Result, bail};
use std::process::ExitCode;
use step::Tally;

const HELP: &str = "\
usage: cargo xtask <command>

test                every check in order, ending at the first that fails
ci                  the same; what cannot be set up is a failure instead of a skip
test-ipc [--quick] [--only TEXT]
                    scenarios with real processes, and pairings with the reference package where Python can be set up
chaos [--seconds N] [--seed N]
                    kill and stop producers and readers at random, thousands of times; nothing may be torn, lost, stuck
                    or left behind (60 s)
video               a real clip through shmx publish and shmx cat, compared byte by byte
record-test         recordings read back by the packages of others, and a real clip recorded, replayed, recorded
record-bench [--realtime]
                    figures: publish times with and without a recorder, 1920x1080 at 60 Hz, replay at 1 kHz;
                    with --realtime under `chrt -f 10`, for machines that have other work
patterns-screens    draw the pictures of docs/patterns.md
orderings [--quick | --only TEXT,TEXT]
                    weaken each memory ordering of shmx-ring in turn; a loom model must notice
litmus              the orderings under the full memory model, in fragments, where herd7 is installed
fuzz [--minutes N] [--target T] [--reproduce FILE]
                    libFuzzer with AddressSanitizer over shared bytes, N minutes for each target; needs nightly
tsan [--quick]      threads under ThreadSanitizer, and weakened orderings that it must notice; needs nightly
screens             draw the pictures of docs/cli.md
bench [--quick] [--json FILE] [--docs] [--only NAME,..] [--what NAME,..] [--bytes N,..]
                    processes passing frames, SHMX beside its peers; --docs puts the figures into docs/performance.md
bench --render FILE the figures of an earlier run into docs/performance.md
bench --micro       criterion: hash, append, publish, read, decode, control
instructions [--update]
                    instructions per operation, counted by callgrind, against a baseline
test-windows|test-arm|test-32bit [--quick]
                    tests and scenarios on that platform: under Wine, under qemu, in 32 bits; sets up what it needs on
                    Debian
test-others         the three in their quick forms, and test-python
test-capi [--quick] the C and C++ interfaces: header, programs at either end against Rust and the original, the drop-in
                    for the original's headers, memory checkers, the installation as others use it
install --prefix DIR
                    libraries, headers, CMake and pkg-config packages, the command, manual pages, completions; DESTDIR
                    in the environment goes before DIR
uninstall --prefix DIR
                    remove what install put there
capi-speed          times of the C++ interfaces beside Rust and the original, as ratios
capi-header [--check]
                    make shmx.h, or compare it with what is committed
test-python [--quick]
                    the Python packages under each Python from 3.11 on: tests, lints, stubs, and the probes beside the
                    original package
wheel               the wheels of both Python packages, in target/wheels
bench-python [--quick]
                    figures of the Python package beside other ways between two processes
layers              no crate depends on one above it
house               no circle of imports among the files of a crate, no file over 500 lines without a reason
help                this text

With CI=true in the environment every command has the rules of `ci`.
The last line sums up: `N passed, N failed, N skipped`.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut tally = Tally::default();
    let result = dispatch(&args, &mut tally);
    if let Err(e) = &result {
        eprintln!("xtask: {e:#}");
        tally.failed += u64::from(tally.failed == 0);
    }
    if tally.any() {
        println!("{tally}");
    }
    if result.is_ok() && tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn dispatch(args: &[String], tally: &mut Tally) -> Result<()> {
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
    let in_ci = std::env::var("CI").is_ok_and(|v| v == "true");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["test"] => tests::all(tally, in_ci),
        ["ci"] => tests::all(tally, true),
        ["test-ipc", rest @ ..] => tests::ipc(tally, rest, in_ci),
        ["chaos", rest @ ..] => chaos::run(tally, rest),
        ["test-others"] => cross::others(tally, in_ci).and_then(|()| python::test(tally, &[], in_ci)),
        ["test-python", rest @ ..] => python::test(tally, rest, in_ci),
        ["wheel"] => python::wheel(tally),
        ["bench-python", rest @ ..] => python::bench(tally, rest),
        [name @ ("test-windows" | "test-arm" | "test-32bit"), rest @ ..] => cross::test(tally, name, rest, in_ci),
        ["video"] => tests::video(tally, in_ci),
        ["record-test"] => record::test(tally, in_ci),
        ["record-bench"] => record::bench(tally, false),
        ["record-bench", "--realtime"] => record::bench(tally, true),
        ["patterns-screens"] => record::screens(tally),
        ["orderings", rest @ ..] => orderings::replay(tally, &tests::target_dir()?, rest),
        ["litmus"] => litmus::run(tally, &tests::target_dir()?),
        ["fuzz", rest @ ..] => fuzz::command(tally, rest),
        ["tsan", rest @ ..] => tsan::run(tally, rest),
        ["screens"] => screens::write(tally),
        ["bench", rest @ ..] => bench::bench(tally, &tests::target_dir()?, rest, in_ci),
        ["instructions", rest @ ..] => instructions::check(tally, &tests::target_dir()?, rest, in_ci),
        ["capi-header", rest @ ..] => capi::header(tally, rest),
        ["test-capi", rest @ ..] => capi::test(tally, rest, in_ci),
        ["capi-speed"] => capi::speed(tally, in_ci),
        ["install", rest @ ..] => capi::install(tally, rest, false),
        ["uninstall", rest @ ..] => capi::install(tally, rest, true),
        ["layers"] => step::check(tally, "layers", layers::check),
        ["house"] => step::check(tally, "house rules", house::check),
        ["help" | "-h" | "--help"] | [_, "-h" | "--help"] => {
            println!("{HELP}");
            Ok(())
        }
        [] => bail!("no command\n{HELP}"),
        _ => bail!("unknown arguments {args:?}\n{HELP}"),
    }
}

//! Project tasks: `cargo xtask help`.
#![forbid(unsafe_code)]

mod bench;
mod bridge;
mod capi;
mod chaos;
mod cross;
mod examples;
mod fuzz;
mod house;
mod instructions;
mod interop;
mod kill_steps;
mod layers;
mod lint_workflows;
mod litmus;
mod live;
mod model;
mod mutants;
mod nightly;
mod orderings;
mod python;
mod readme;
mod record;
mod release;
mod screens;
mod sid;
mod step;
mod supply;
mod tests;
mod tsan;
mod video;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use step::Tally;

/// Project tasks.
///
/// With CI=true in the environment what cannot be set up is a failure instead of a skip. The last line sums up: `N
/// passed, N failed, N skipped`.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", max_term_width = 110)]
struct Line {
    /// Fail when fewer tests and steps passed, so that a run of nothing is no success
    #[arg(long, value_name = "N", global = true, default_value_t = 0, hide_default_value = true)]
    at_least: u64,
    #[command(subcommand)]
    task: Task,
}

#[derive(Args, Clone, Copy)]
struct Quick {
    /// Less of everything
    #[arg(long)]
    quick: bool,
}

#[derive(Subcommand)]
enum Task {
    /// What to run before a commit, in minutes: format, lints, layers, house rules, the tests of all crates
    Test,
    /// Every other check of this machine in order, ending at the first that fails
    Ci,
    /// Licences, sources and advisories of all dependencies, by cargo-deny
    Deny,
    /// The public interfaces against the last release, by cargo-semver-checks
    Semver,
    /// Build the published crates with the oldest versions of dependencies that they ask for; needs nightly
    MinimalVersions,
    /// The packages as they would be published, in their order, each built from its own files
    Package,
    /// The command for this platform, its completions and manual pages, and on Linux the C package: archives in
    /// target/dist
    Dist,
    /// Set the version of everything, or say that it is the same everywhere
    Version {
        #[arg(value_name = "X.Y.Z")]
        version: Option<String>,
    },
    /// Whether a tag is the version, and the changelog has it
    ReleaseCheck { tag: String },
    /// The suites of the crates that this platform can run, by its own tools
    TestNative(Quick),
    /// Scenarios with real processes, and pairings with the reference package where Python can be set up
    TestIpc {
        #[command(flatten)]
        quick: Quick,
        /// Only scenarios with this in their names
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
    },
    /// Kill and stop producers and readers at random, thousands of times: nothing may be torn, lost, stuck or left
    Chaos {
        #[arg(long, value_name = "N", default_value_t = 60.0)]
        seconds: f64,
        /// Of the dice, as an earlier run printed it
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
    },
    /// Chaos in a region of small frames, run after run, as many checked frames as the time gives; their sum is kept in
    /// target/soak.tsv
    Soak {
        #[arg(long, value_name = "N", default_value_t = 1.0)]
        hours: f64,
    },
    /// Kill a process behind every instruction that others can notice, operation by operation, and let others recover
    KillSteps {
        #[command(flatten)]
        quick: Quick,
        /// Only operations with this in their names
        #[arg(long, value_name = "OP")]
        only: Option<String>,
        /// Instead: put faults into a copy of the library, each of which must be found
        #[arg(long, conflicts_with_all = ["quick", "only"])]
        faults: bool,
    },
    /// The lifecycle in models for Spin, crashes included, and seeded faults that they must find
    Model {
        #[command(flatten)]
        quick: Quick,
        /// Only this model
        #[arg(long, value_name = "MODEL")]
        only: Option<String>,
        /// The steps that lead to what is wrong
        #[arg(long, value_name = "MODEL[:FAULT]", conflicts_with = "only")]
        replay: Option<String>,
    },
    /// A real clip through `shmx publish` and `shmx cat`, compared byte by byte
    Video,
    /// Recordings read back by the packages of others, and a real clip recorded, replayed, recorded
    RecordTest,
    /// Figures: publish times with and without a recorder, 1920x1080 at 60 Hz, replay at 1 kHz
    RecordBench {
        /// Under `chrt -f 10`, for machines that have other work
        #[arg(long)]
        realtime: bool,
    },
    /// Draw the pictures of docs/patterns.md
    PatternsScreens,
    /// Weaken each memory ordering of shmx-ring in turn; a loom model must notice
    Orderings {
        #[command(flatten)]
        quick: Quick,
        /// Only orderings with one of these in their names
        #[arg(long, value_name = "TEXT,TEXT", conflicts_with = "quick")]
        only: Option<String>,
    },
    /// The orderings under the full memory model, in fragments, where herd7 is installed
    Litmus,
    /// Break each function of shmx-abi, of shmx-ring and of the slot reader of shmx in turn; a test must notice. By
    /// cargo-mutants, hours
    Mutants {
        /// Only files with this in their paths
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// A part of the mutants of each file, as `2/8`
        #[arg(long, value_name = "K/N")]
        shard: Option<String>,
    },
    /// libFuzzer with AddressSanitizer over shared bytes; needs nightly
    Fuzz {
        /// For each target
        #[arg(long, value_name = "N")]
        minutes: Option<f64>,
        /// Only this target
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// Run a finding again
        #[arg(long, value_name = "FILE", conflicts_with = "minutes")]
        reproduce: Option<PathBuf>,
    },
    /// Threads under ThreadSanitizer, and weakened orderings that it must notice; needs nightly
    Tsan(Quick),
    /// Draw the pictures of docs/cli.md
    Screens,
    /// Processes passing frames, SHMX beside its peers
    Bench(bench::Choice),
    /// Instructions per operation, counted by callgrind, against a baseline
    Instructions {
        /// Make these the baseline
        #[arg(long)]
        update: bool,
    },
    /// Tests and scenarios on Windows, under Wine; sets up what it needs on Debian
    TestWindows(Quick),
    /// Tests and scenarios on 64-bit Arm, under qemu; sets up what it needs on Debian
    TestArm(Quick),
    /// Tests and scenarios in 32 bits; sets up what it needs on Debian
    #[command(name = "test-32bit")]
    Test32bit(Quick),
    /// Those of the three that need no emulator, in their quick forms, and test-python
    TestOthers,
    /// The C and C++ interfaces: header, programs at either end against Rust and the original, the drop-in for the
    /// original's headers, memory checkers, the installation as others use it
    TestCapi(Quick),
    /// Put libraries, headers, CMake and pkg-config packages, the command, manual pages and completions under DIR;
    /// DESTDIR in the environment goes before it
    Install {
        #[arg(long, value_name = "DIR")]
        prefix: PathBuf,
    },
    /// Remove what install put there
    Uninstall {
        #[arg(long, value_name = "DIR")]
        prefix: PathBuf,
    },
    /// The same as a Debian package, by cargo-deb, in target/debian; looks into it and tries it
    Deb,
    /// The Windows DLL, import library and headers, in target/cross/dll; tries them under Wine
    WindowsDll,
    /// Times of the C++ interfaces beside Rust and the original, as ratios
    CapiSpeed,
    /// Make shmx.h
    CapiHeader {
        /// Compare it with what is committed instead
        #[arg(long)]
        check: bool,
    },
    /// The Python packages under each Python from 3.11 on: tests, lints, stubs, and the probes beside the original
    TestPython(Quick),
    /// The wheels of both Python packages, in target/wheels
    Wheel,
    /// Figures of the Python package beside other ways between two processes
    BenchPython(Quick),
    /// Make examples/README.md
    Examples,
    /// Make the page of `shmx live`, which is committed
    LivePage {
        /// Compare it with what is committed instead
        #[arg(long)]
        check: bool,
    },
    /// `shmx live`: its tests, and a real browser and a foreign Foxglove client against it
    TestLive(Quick),
    /// A recording and a live region in Rerun's viewer, without a screen
    TestRerun {
        /// Draw the picture of docs/live.md, too
        #[arg(long)]
        draw: bool,
    },
    /// Draw the pictures of docs/live.md
    LiveScreens,
    /// Figures: what `shmx live` takes of a processor, and what it does to its producer
    LiveBench,
    /// `shmx bridge`: on a network in memory, on zenoh, and between hosts of their own where this is root
    TestBridge(Quick),
    /// Figures: what `shmx bridge` adds to the age of frames, and what it takes of the processors
    BenchBridge,
    /// The workflows by actionlint and zizmor
    LintWorkflows,
    /// No crate depends on one above it
    Layers,
    /// No circle of imports among the files of a crate, no file over 500 lines without a reason
    House,
}

fn main() -> ExitCode {
    let Line { at_least, task } = Line::parse();
    let mut tally = Tally::default();
    let result = run(task, &mut tally).and_then(|()| tally.reaches(at_least));
    if let Err(e) = &result {
        eprintln!("xtask: {e:#}");
        tally.failed += u64::from(tally.failed == 0);
    }
    if tally.any() {
        println!("{tally}");
    }
    if result.is_ok() && tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(task: Task, tally: &mut Tally) -> Result<()> {
    // Paths on the line start here.
    let here = std::env::current_dir()?;
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
    let in_ci = std::env::var("CI").is_ok_and(|v| v == "true");
    let target = tests::target_dir()?;
    match task {
        Task::Test => tests::before_commit(tally),
        Task::Ci => tests::rest(tally, in_ci),
        Task::Deny => supply::deny(tally, in_ci),
        Task::Semver => supply::semver(tally, in_ci),
        Task::MinimalVersions => supply::minimal_versions(tally, in_ci),
        Task::Package => release::package(tally, true),
        Task::Dist => release::dist(tally),
        Task::Version { version } => release::version(tally, version.as_deref()),
        Task::ReleaseCheck { tag } => step::check(tally, "release", || release::check_tag(&tag)),
        Task::TestNative(Quick { quick }) => cross::native(tally, quick, in_ci),
        Task::TestIpc { quick: Quick { quick }, only } => tests::ipc(tally, quick, only.as_deref(), in_ci),
        Task::Chaos { seconds, seed } => chaos::run(tally, seconds, seed),
        Task::Soak { hours } => chaos::soak(tally, hours),
        Task::KillSteps { faults: true, .. } => kill_steps::faults(tally, &target),
        Task::KillSteps { quick: Quick { quick }, only, .. } => kill_steps::run(tally, quick, only.as_deref()),
        Task::Model { replay: Some(what), .. } => model::replay(&target, &what),
        Task::Model { quick: Quick { quick }, only, .. } => model::run(tally, &target, quick, only.as_deref()),
        Task::Video => tests::video(tally, in_ci),
        Task::RecordTest => record::test(tally, in_ci),
        Task::RecordBench { realtime } => record::bench(tally, realtime),
        Task::PatternsScreens => record::screens(tally),
        Task::Orderings { quick: Quick { quick }, only } => {
            orderings::replay(tally, &target, quick, only.as_deref().unwrap_or_default())
        }
        Task::Mutants { only, shard } => mutants::run(tally, only.as_deref(), shard.as_deref(), in_ci),
        Task::Litmus => litmus::run(tally, &target),
        Task::Fuzz { minutes, target, reproduce } => {
            fuzz::command(tally, minutes, target.as_deref(), reproduce.map(|file| here.join(file)))
        }
        Task::Tsan(Quick { quick }) => tsan::run(tally, quick),
        Task::Screens => screens::write(tally),
        Task::Bench(choice) => bench::bench(tally, &target, &choice.from(&here), in_ci),
        Task::Instructions { update } => instructions::check(tally, &target, update, in_ci),
        Task::TestWindows(Quick { quick }) => cross::test(tally, &cross::WINDOWS, quick, in_ci),
        Task::TestArm(Quick { quick }) => cross::test(tally, &cross::ARM, quick, in_ci),
        Task::Test32bit(Quick { quick }) => cross::test(tally, &cross::X86, quick, in_ci),
        Task::TestOthers => cross::others(tally, in_ci).and_then(|()| python::test(tally, false, in_ci)),
        Task::TestCapi(Quick { quick }) => capi::test(tally, quick, in_ci),
        Task::Install { prefix } => capi::install(tally, &here.join(prefix), false),
        Task::Uninstall { prefix } => capi::install(tally, &here.join(prefix), true),
        Task::Deb => capi::deb(tally, in_ci),
        Task::WindowsDll => cross::dll(tally),
        Task::CapiSpeed => capi::speed(tally, in_ci),
        Task::CapiHeader { check } => capi::header(tally, check),
        Task::TestPython(Quick { quick }) => python::test(tally, quick, in_ci),
        Task::Wheel => python::wheel(tally),
        Task::BenchPython(Quick { quick }) => python::bench(tally, quick),
        Task::Examples => step::check(tally, "table of examples", examples::write),
        Task::LivePage { check } => live::page(tally, check, in_ci),
        Task::TestLive(Quick { quick }) => live::test(tally, quick, in_ci),
        Task::TestRerun { draw } => live::rerun(tally, draw, in_ci),
        Task::LiveScreens => live::screens(tally),
        Task::LiveBench => live::bench(tally),
        Task::TestBridge(Quick { quick }) => bridge::test(tally, quick, in_ci),
        Task::BenchBridge => bridge::bench(tally),
        Task::LintWorkflows => lint_workflows::run(tally, in_ci),
        Task::Layers => step::check(tally, "layers", layers::check),
        Task::House => step::check(tally, "house rules", house::check),
    }
}

#[test]
fn the_line_is_sound() {
    use clap::CommandFactory;
    Line::command().debug_assert();
}

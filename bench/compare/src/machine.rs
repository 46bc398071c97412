//! What the run took place on.

use crate::report::Machine;
use std::process::Command;
use std::time::SystemTime;

/// How this program was built; the manifest's release profile.
const BUILD: &str = "release: opt-level 3, thin LTO, one codegen unit, baseline processor; C++: -O3 -DNDEBUG";

fn first_line(command: &str, args: &[&str]) -> String {
    let out = Command::new(command).args(args).output();
    let text = out.ok().filter(|o| o.status.success()).and_then(|o| String::from_utf8(o.stdout).ok());
    text.and_then(|t| t.lines().next().map(str::to_owned)).unwrap_or_default()
}

fn version_of(package: &str) -> Option<String> {
    let lock = include_str!("../../Cargo.lock");
    let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(format!("{package} {}", rest.split('"').next()?))
}

/// Load average over the last minute.
pub(crate) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(f64::NAN)
}

pub(crate) fn describe(used: [usize; 2]) -> Machine {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut versions: Vec<String> = ["iceoryx2", "ringfire"].into_iter().filter_map(version_of).collect();
    versions.push("reference shmx 1.0.1".to_owned());
    Machine {
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        commit: first_line("git", &["describe", "--always", "--dirty"]),
        processor: processor.map_or(String::new(), |(_, name)| name.to_owned()),
        processors: std::thread::available_parallelism().map_or(0, usize::from).max(used.len()),
        used,
        kernel: kernel.trim().to_owned(),
        rustc: first_line("rustc", &["--version"]),
        cxx: first_line("g++", &["--version"]),
        versions,
        build: BUILD.to_owned(),
        quick: false,
        rounds: 0,
        round_ms: 0.0,
        priority: rustix::process::getpriority_process(None).is_ok_and(|p| p < 0),
        load_before: load(),
        load_after: f64::NAN,
        clock_ns: f64::NAN,
        hash_kernel: shmx::abi::hash::Kernel::best().name().to_owned(),
        seconds: 0.0,
    }
}

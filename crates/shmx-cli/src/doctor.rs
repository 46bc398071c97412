//! `shmx doctor`: what this machine offers, and what stands in the way.

use crate::common::say;
use crate::escape::safe;
use crate::json;
use crate::look;
use crate::ls;
use crate::names::Only;
use crate::units;
use anyhow::bail;
use clap::Args;
use serde_json::json;
use shmx::abi::hash::Kernel;
use shmx_os::{LockByte, LockState, Pending, ReadOnlyRegion, RegionName, clock, futex};
use std::io::Write;
use std::time::Instant;

mod finding;
mod machine;
mod orphans;

use finding::{Finding, State, finding, good};

/// Check what this machine offers: memory, limits, clock, processors, pages.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints each finding with its remedy. It makes a small region of its own and removes it again.

Exit codes: 0 usable; 1 something is broken; 2 wrong usage.

Examples:
  shmx doctor
  shmx doctor --json | jq -r 'select(.state != \"ok\") | .text'")]
pub(crate) struct Doctor {
    /// Print a JSON object for each finding.
    #[arg(long)]
    json: bool,
}

/// Looks at one thing.
type Check = fn() -> Vec<Finding>;

pub(crate) fn run(a: &Doctor) -> anyhow::Result<()> {
    let checks: [(&str, Check); 9] = [
        ("shared memory", space),
        ("a region of its own", trial),
        ("containers", containers),
        ("regions", regions),
        ("clock", clocks),
        ("processor", processor),
        ("machine", machine::here),
        ("pages", pages),
        ("terminal", terminal),
    ];
    let mut all = Vec::new();
    for (what, check) in checks {
        let (start, before) = (Instant::now(), all.len());
        all.extend(check());
        let (findings, took) = (all.len() - before, units::ns(start.elapsed().as_nanos() as u64));
        tracing::info!(findings, %took, "{what} checked");
    }
    let mut out = std::io::stdout().lock();
    if a.json {
        for f in &all {
            let what = json!({"area": f.area, "state": f.state.word(), "text": f.text, "remedy": f.remedy});
            json::line(&mut out, "finding", what)?;
        }
    } else {
        for f in &all {
            writeln!(out, "{:<8} {:<13} {}", f.state.word(), f.area, safe(&f.text))?;
            if let Some(r) = &f.remedy {
                writeln!(out, "{:22} {}", "", safe(r))?;
            }
        }
    }
    let n = |s| all.iter().filter(|f| f.state == s).count();
    let (warnings, broken) = (n(State::Warning), n(State::Broken));
    say(format_args!(
        "{}, {broken} broken; docs/troubleshooting.md of the project goes by symptom",
        units::count(warnings as u64, "warning")
    ));
    if broken > 0 {
        bail!("this machine cannot be used as it is; the findings say what to do");
    }
    Ok(())
}

/// The first line of a small file of the system's; none elsewhere than on Linux.
fn system_file(path: &str) -> Option<String> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

fn space() -> Vec<Finding> {
    const AREA: &str = "memory";
    let mut found = Vec::new();
    match shmx_os::space() {
        Ok(s) => {
            let limit = |n: Option<u64>| n.map_or_else(|| "unlimited".to_owned(), units::bytes);
            let text = format!("{}: {} free of {}", s.directory, limit(s.available), limit(s.total));
            let small = s.total.is_some_and(|t| t <= 64 << 20);
            let full = s.available.is_some_and(|n| n < 16 << 20);
            found.push(if s.read_only {
                let remedy = "mount -o remount,rw /dev/shm; commands that look work all the same";
                finding(AREA, State::Broken, format!("{text}, mounted read-only"), remedy)
            } else if s.objects_left == Some(0) {
                let remedy = "remove what is not needed, or mount -o remount,nr_inodes=100k /dev/shm";
                finding(AREA, State::Broken, format!("{text}, but no object can be added: out of inodes"), remedy)
            } else if small {
                finding(
                    AREA,
                    State::Warning,
                    format!("{text}, the small default of containers"),
                    "containers: start with --shm-size=1g or --ipc=host; elsewhere: mount -o remount,size=1g /dev/shm",
                )
            } else if full {
                finding(AREA, State::Warning, text, "remove what is not needed: `shmx ls --all`, `shmx prune`")
            } else {
                good(AREA, text)
            });
            if !s.in_memory {
                let text = format!("{} lies on a disk, not in memory: everything works, slowly", s.directory);
                found.push(finding(AREA, State::Warning, text, "mount -t tmpfs -o mode=1777 tmpfs /dev/shm"));
            }
            if let Some(o) = s.owner.filter(|o| o.mode & 0o1777 != 0o1777) {
                let text = format!("{} has mode {:04o} of user {}, not the usual 1777", s.directory, o.mode, o.uid);
                found.push(finding(
                    AREA,
                    State::Warning,
                    text,
                    "chmod 1777 /dev/shm, so that every user can make regions",
                ));
            }
            if let Some(limit) = s.file_size_limit {
                let text = format!("this process may make objects of at most {}", units::bytes(limit));
                found.push(finding(AREA, State::Warning, text, "raise `ulimit -f`"));
            }
            if s.nameless_objects {
                found
                    .push(good(AREA, "regions are made without a name first: a creator that is killed leaves nothing"));
            } else if !s.read_only && s.objects_left != Some(0) {
                found.push(finding(
                    AREA,
                    State::Note,
                    "regions are made under a name of their own first: there is no O_TMPFILE here, or no /proc",
                    "a creator that is killed may leave an object behind; `shmx ls` shows it and `shmx prune` removes it",
                ));
            }
        }
        Err(e) if cfg!(target_os = "linux") => {
            let e = crate::common::one_line(&e.into());
            found.push(finding(AREA, State::Broken, e, "mount it: mount -t tmpfs -o mode=1777 tmpfs /dev/shm"));
        }
        Err(e) => found.push(finding(AREA, State::Note, e.to_string(), "the system's own tools tell the memory left")),
    }
    for l in shmx_os::memory_limits() {
        let (left, of) = (units::bytes(l.available), units::bytes(l.limit));
        let text = format!("control group {}: {left} of {of} left, shared memory included", safe(&l.group));
        found.push(if l.available < 64 << 20 {
            finding(AREA, State::Warning, text, "raise the group's memory limit, or use smaller regions")
        } else {
            good(AREA, text)
        });
    }
    found
}

/// Makes a small object and tries on it what servers and readers need.
fn trial() -> Vec<Finding> {
    const AREA: &str = "trial";
    let mut found = Vec::new();
    let name = format!("shmx-doctor-{}-{:08x}", std::process::id(), shmx_os::random_u64() as u32);
    let result = (|| -> anyhow::Result<(LockState, bool)> {
        let name = RegionName::new(&name)?;
        let options = shmx_os::CreateOptions { len: 4096, ..Default::default() };
        let pending = Pending::create(&name, &options)?;
        let _ = pending.try_lock(LockByte::Server);
        let region = pending.publish()?;
        let seen = ReadOnlyRegion::open(&name).map(|r| r.lock_state(LockByte::Server));
        let removed = region.remove();
        Ok((seen?, removed?))
    })();
    match result {
        Ok((lock, removed)) => {
            found.push(good(AREA, "a region was made, opened read-only and removed again"));
            if !removed && !cfg!(windows) {
                found.push(finding(
                    AREA,
                    State::Warning,
                    "its name went away by itself",
                    "see what tidies /dev/shm up",
                ));
            }
            found.push(match lock {
                LockState::Held => good("locks", "the death of a process is known at once"),
                _ => finding(
                    "locks",
                    State::Warning,
                    "no liveness locks: the death of a process is not known",
                    "use a local tmpfs and a Linux of this decade, or let servers reap readers by heartbeat",
                ),
            });
        }
        Err(e) => {
            let e = crate::common::one_line(&e);
            found.push(finding(AREA, State::Broken, format!("no region can be made: {e}"), "see the findings above"));
        }
    }
    found.push(if futex::is_supported() {
        good("waiting", "readers sleep on a doorbell")
    } else {
        finding("waiting", State::Note, "readers poll on this platform", "allow them some processor time")
    });
    found
}

fn containers() -> Vec<Finding> {
    const AREA: &str = "containers";
    if !cfg!(target_os = "linux") {
        return Vec::new();
    }
    let marks = ["/.dockerenv", "/run/.containerenv"];
    let inside = marks.iter().any(|m| std::path::Path::new(m).exists())
        || std::env::var_os("container").is_some()
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let mut found = vec![if inside {
        finding(
            AREA,
            State::Note,
            "this is a container: it sees its own regions only, and process ids of its own",
            "to share regions, start containers with --ipc=host, or --ipc=container:NAME, or one volume on /dev/shm",
        )
    } else {
        good(AREA, "none noticed")
    }];
    if !std::path::Path::new("/proc/self/fd").exists() {
        let text = "/proc is not there: processes are not named, and creators that are killed leave objects behind";
        found.push(finding(AREA, State::Warning, text, "mount it: mount -t proc proc /proc"));
    }
    found
}

fn regions() -> Vec<Finding> {
    const AREA: &str = "regions";
    let Ok(rows) = ls::rows(&Only::default(), || {}) else { return Vec::new() };
    let n = |s| rows.iter().filter(|r| r.state == s).count() as u64;
    let mut found = vec![good(AREA, format!("{} live", n(ls::State::Live)))];
    let dead: Vec<_> = rows.iter().filter(|r| matches!(r.state, ls::State::Dead | ls::State::Closed)).collect();
    if !dead.is_empty() {
        let size = units::bytes(dead.iter().map(|r| r.size).sum());
        let text = format!("{}, {size}", units::count(dead.len() as u64, "dead region"));
        found.push(finding(AREA, State::Warning, text, "`shmx prune` removes them"));
    }
    for r in rows.iter().filter(|r| r.state == ls::State::Unreadable) {
        let (name, why) = (safe(&r.name), safe(r.note.as_deref().unwrap_or("no reason known")));
        let text = format!("`{name}` is unreadable: {why}");
        found.push(if r.denied {
            // Another user's region is in order as it is.
            finding(AREA, State::Note, text, "nothing, if it is not meant for this user")
        } else {
            let remedy = format!("see `shmx inspect {name} --once`; remove it with `shmx rm --force {name}`");
            finding(AREA, State::Warning, text, remedy)
        });
    }
    if n(ls::State::Reference) > 0 {
        let text = format!("{} reference-made", n(ls::State::Reference));
        found.push(finding(
            AREA,
            State::Note,
            text,
            "they hold no lock; remove them with `shmx rm --force` when unused",
        ));
    }
    found.extend(meanings());
    let left = n(ls::State::Unfinished);
    if left > 0 {
        let text = format!("{} left by creators that were killed", units::count(left, "object"));
        found.push(finding(AREA, State::Warning, text, "`shmx prune` removes them"));
    }
    found.extend(orphans::find());
    found.extend(orphans::removers());
    found
}

/// Streams that describe themselves in a way that cannot be used, or that contradicts them.
fn meanings() -> Vec<Finding> {
    let mut found = Vec::new();
    for listed in shmx::list().unwrap_or_default() {
        let shmx::RegionKind::Region { inspector, .. } = &listed.kind else { continue };
        let Some(directory) = inspector.is_whole().then(|| inspector.directory().ok()).flatten() else { continue };
        for s in &directory.streams {
            let Some(first) = look::problems(s).into_iter().next() else { continue };
            let (region, stream) = (listed.object.name.as_str(), s.name_lossy());
            let text = format!("`{}`, stream {} `{}`: {first}", safe(region), s.id, safe(&stream));
            let remedy = "its frames are whole all the same; correct `extra` where the producer declares the stream";
            found.push(finding("streams", State::Note, text, remedy));
        }
    }
    found
}

fn clocks() -> Vec<Finding> {
    const AREA: &str = "clock";
    const CALLS: u32 = 20_000;
    let start = Instant::now();
    let first = clock::ticks();
    let mut last = first;
    let mut backwards = false;
    for _ in 0..CALLS {
        let now = clock::ticks();
        backwards |= now < last;
        last = now;
    }
    let each = start.elapsed().as_nanos() as u64 / u64::from(CALLS);
    let source = system_file("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let text = format!("{} a reading{}", units::ns(each), source.map(|s| format!(", source {s}")).unwrap_or_default());
    let mut found = vec![if backwards {
        finding(AREA, State::Broken, "the clock runs backwards", "update the system's kernel or its hypervisor")
    } else if each > 500 {
        finding(AREA, State::Warning, format!("{text}: slow"), "use the tsc clock source: clocksource=tsc at boot")
    } else {
        good(AREA, text)
    }];
    let offsets = system_file("/proc/self/timens_offsets").unwrap_or_default();
    let shifted = offsets.lines().any(|l| l.split_whitespace().skip(1).any(|n| n != "0"));
    if shifted {
        let text = "this process is in a time namespace: its clock differs from other processes'";
        found.push(finding(AREA, State::Warning, text, "run all parties in one time namespace"));
    }
    found
}

fn processor() -> Vec<Finding> {
    const AREA: &str = "processor";
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = Kernel::best();
    let text = format!("{}, hash by {}", units::count(cores as u64, "core"), kernel.name());
    let mut found = vec![if cores < 2 {
        finding(AREA, State::Warning, text, "producer and readers take turns on one core; allow two or more")
    } else if kernel == Kernel::Scalar {
        finding(AREA, State::Note, text, "without vector instructions the checksum takes about a second per GB")
    } else {
        good(AREA, text)
    }];
    if cfg!(target_endian = "big") {
        let text = "big-endian: regions of this machine are read on such machines only";
        found.push(finding(AREA, State::Note, text, "all processes of one machine agree anyway"));
    }
    found
}

fn pages() -> Vec<Finding> {
    const AREA: &str = "pages";
    let size = units::bytes(shmx_os::page_size() as u64);
    // The mount decides for its files; the kernel's own setting stands above it only where it denies or forces.
    let whole = system_file("/sys/kernel/mm/transparent_hugepage/shmem_enabled").and_then(|h| chosen(&h));
    let chosen = system_file("/proc/mounts").and_then(|m| huge_of_mount(&m, "/dev/shm"));
    match (chosen, whole.as_deref()) {
        (None, _) => vec![good(AREA, size)],
        (Some(_), Some("deny")) => vec![finding(
            AREA,
            State::Note,
            format!("{size}; huge pages for shared memory: denied"),
            "for `ServerBuilder::huge_pages`: echo never >/sys/kernel/mm/transparent_hugepage/shmem_enabled, and a mount option",
        )],
        (Some(c), _) if c == "never" => vec![finding(
            AREA,
            State::Note,
            format!("{size}; huge pages for shared memory: never"),
            "for `ServerBuilder::huge_pages`: mount -o remount,huge=advise /dev/shm",
        )],
        (Some(c), _) => vec![good(AREA, format!("{size}; huge pages for shared memory: {c}"))],
    }
}

/// The word in brackets, which is the choice in force.
fn chosen(setting: &str) -> Option<String> {
    Some(setting.split_once('[')?.1.split_once(']')?.0.to_owned())
}

/// The `huge` option of the last file system mounted at a place; `never` is the default of the kernel.
fn huge_of_mount(mounts: &str, place: &str) -> Option<String> {
    let of_place = |line: &&str| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(place) && fields.next() == Some("tmpfs")
    };
    let options = mounts.lines().rfind(of_place)?.split(' ').nth(3)?;
    Some(options.split(',').find_map(|o| o.strip_prefix("huge=")).unwrap_or("never").to_owned())
}

fn terminal() -> Vec<Finding> {
    const AREA: &str = "terminal";
    use std::io::IsTerminal;
    if !std::io::stdout().is_terminal() && !std::io::stderr().is_terminal() {
        return Vec::new();
    }
    let Ok((w, h)) = ratatui::crossterm::terminal::size() else { return Vec::new() };
    let text = format!("{w}x{h}");
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|v| std::env::var(v).ok().filter(|s| !s.is_empty()));
    let utf8 = cfg!(windows) || locale.as_ref().is_some_and(|l| l.to_lowercase().replace('-', "").contains("utf8"));
    vec![if w < 80 || h < 24 {
        finding(AREA, State::Note, text, "the dashboard shows everything from 80x24 on")
    } else if !utf8 {
        let text = format!("{text}, locale {}", locale.unwrap_or_else(|| "not set".into()));
        finding(AREA, State::Note, text, "the dashboard draws in UTF-8: set LANG=C.UTF-8 if lines look broken")
    } else {
        good(AREA, text)
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_decides_about_huge_pages() {
        let mounts = "proc /proc proc rw 0 0\ntmpfs /dev/shm tmpfs rw,nosuid,size=1g,huge=advise 0 0\n";
        assert_eq!(huge_of_mount(mounts, "/dev/shm").as_deref(), Some("advise"));
        assert_eq!(huge_of_mount("shm /dev/shm tmpfs rw 0 0", "/dev/shm").as_deref(), Some("never"));
        assert_eq!(huge_of_mount("x /dev/shm ext4 rw 0 0", "/dev/shm"), None);
        assert_eq!(chosen("always within_size advise [never] deny force").as_deref(), Some("never"));
    }
}

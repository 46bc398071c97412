//! What of the machine and of this process's bounds costs time: memory nodes, idle states, quotas, confinement.

use super::finding::{Finding, State, finding, good};
use crate::units;
use std::path::Path;

/// Leaving an idle state that takes longer than this shows in a reader's latency.
const SLOW_WAKE: u64 = 50;

/// The first line of a file below this root; the root is `/` but in tests.
fn line(root: &Path, path: &str) -> Option<String> {
    let text = std::fs::read_to_string(root.join(path)).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

fn number(root: &Path, path: &str) -> Option<u64> {
    line(root, path)?.parse().ok()
}

/// The numbers behind this prefix in the names of a folder, in order.
fn numbered(root: &Path, folder: &str, prefix: &str) -> Vec<u32> {
    let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
    let names = entries.filter_map(|e| e.file_name().into_string().ok());
    let mut all: Vec<u32> = names.filter_map(|n| n.strip_prefix(prefix)?.parse().ok()).collect();
    all.sort_unstable();
    all
}

/// Of this machine.
pub(super) fn here() -> Vec<Finding> {
    if cfg!(target_os = "linux") { all(Path::new("/")) } else { Vec::new() }
}

fn all(root: &Path) -> Vec<Finding> {
    let confined = snap(std::env::var_os("SNAP_INSTANCE_NAME").as_deref()).or_else(|| confined(root));
    [memory_nodes(root), idle(root), quota(root), confined].into_iter().flatten().collect()
}

fn memory_nodes(root: &Path) -> Option<Finding> {
    const AREA: &str = "memory nodes";
    let nodes = numbered(root, "sys/devices/system/node", "node").len();
    Some(match nodes {
        0 => return None,
        1 => good(AREA, "one: all processors are equally near to a region"),
        n => finding(
            AREA,
            State::Note,
            format!("{n}: a region lies in the node of the processor that touched it first, and is slower from others"),
            "keep producer and readers together: numactl --cpunodebind=0 --membind=0 COMMAND",
        ),
    })
}

fn idle(root: &Path) -> Option<Finding> {
    const AREA: &str = "idle states";
    let folder = "sys/devices/system/cpu/cpu0/cpuidle";
    let enabled = numbered(root, folder, "state").into_iter().filter_map(|n| {
        let state = format!("{folder}/state{n}");
        let off = number(root, &format!("{state}/disable")).is_some_and(|v| v != 0);
        let wake = number(root, &format!("{state}/latency")).filter(|_| !off)?;
        Some((wake, line(root, &format!("{state}/name")).unwrap_or_else(|| format!("state{n}"))))
    });
    let (wake, name) = enabled.max()?;
    let text = format!("the deepest, {name}, takes {} to leave", units::ns(wake.saturating_mul(1000)));
    Some(if wake > SLOW_WAKE {
        let text = format!("{text}: a sleeping reader wakes that much later");
        let remedy =
            "where latency counts more than power: cpupower idle-set --disable-by-latency 50, or let the reader spin";
        finding(AREA, State::Note, text, remedy)
    } else {
        good(AREA, text)
    })
}

/// The processor time that the tightest of the control groups allows.
fn quota(root: &Path) -> Option<Finding> {
    const AREA: &str = "quota";
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let own = groups.lines().find_map(|l| l.strip_prefix("0::"))?.trim_matches('/').to_owned();
    let above = std::iter::successors(Some(own), |g| Some(g.rsplit_once('/')?.0.to_owned()));
    let limits = above.filter_map(|group| {
        let text = line(root, &format!("sys/fs/cgroup/{group}/cpu.max"))?;
        let (quota, period) = text.split_once(' ')?;
        let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
        (period > 0.0).then_some((quota / period, period, group))
    });
    let (share, period, group) = limits.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let period = units::ns((period * 1000.0) as u64);
    Some(finding(
        AREA,
        State::Warning,
        format!("control group /{group} allows {share:.2} processors; who uses them up stops for up to {period}"),
        "raise its cpu.max (containers: --cpus, systemd: CPUQuota=); frames are missed while a reader is stopped",
    ))
}

const CONFINED: &str = "confinement";

/// A snap, by what its variable `SNAP_INSTANCE_NAME` says, has a profile of AppArmor that is known.
fn snap(instance: Option<&std::ffi::OsStr>) -> Option<Finding> {
    let text = format!("this is the snap `{}`", instance?.to_string_lossy());
    let remedy = "it may use regions whose names begin with `snap.NAME.`, or those of a `shared-memory` plug";
    Some(finding(CONFINED, State::Note, text, remedy))
}

/// What keeps this process from regions that others can use.
fn confined(root: &Path) -> Option<Finding> {
    let profile = line(root, "proc/self/attr/current").map(|p| p.trim_end_matches('\0').to_owned());
    let profile = profile.filter(|p| !p.is_empty() && !p.starts_with("unconfined") && p.contains(" ("));
    let status = std::fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
    let filtered = status.lines().any(|l| l.strip_prefix("Seccomp:").is_some_and(|v| v.trim() == "2"));
    match (profile, filtered) {
        (Some(profile), _) => Some(finding(
            CONFINED,
            State::Note,
            format!("AppArmor profile {profile}"),
            "where a region is refused, allow it: owner /dev/shm/NAME* rwk, (the names that servers and readers use)",
        )),
        (None, true) => Some(finding(
            CONFINED,
            State::Note,
            "system calls are filtered: where io_uring is forbidden, descriptors to wait on have a thread each",
            "nothing, if that is no burden; `Client::wait_fd_kind` tells",
        )),
        (None, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine as its files tell it.
    struct Machine(std::path::PathBuf);

    impl Machine {
        fn new(files: &[(&str, &str)]) -> Self {
            use std::sync::atomic::{AtomicU32, Ordering};
            static N: AtomicU32 = AtomicU32::new(0);
            let n = N.fetch_add(1, Ordering::Relaxed);
            let root = std::env::temp_dir().join(format!("shmx-cli-machine-{}-{n}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(root)
        }

        fn text(&self, f: fn(&Path) -> Option<Finding>) -> String {
            f(&self.0).map(|f| format!("{} {}", f.state.word(), f.text)).unwrap_or_default()
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn nodes_idle_states_and_quotas_are_read() {
        let idle_state = "sys/devices/system/cpu/cpu0/cpuidle";
        let files = |state: &str, what: &str| format!("{idle_state}/{state}/{what}");
        let m = Machine::new(&[
            ("sys/devices/system/node/node0/x", ""),
            ("sys/devices/system/node/node1/x", ""),
            (&files("state0", "latency"), "0\n"),
            (&files("state1", "latency"), "133\n"),
            (&files("state1", "name"), "C6\n"),
            (&files("state2", "latency"), "900\n"),
            (&files("state2", "disable"), "1\n"),
            ("proc/self/cgroup", "1:cpu:/old\n0::/a/b\n"),
            ("sys/fs/cgroup/a/cpu.max", "50000 100000\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("proc/self/status", "Name:\tx\nSeccomp:\t2\n"),
        ]);
        assert!(m.text(memory_nodes).starts_with("note 2: "), "{}", m.text(memory_nodes));
        assert!(m.text(idle).starts_with("note the deepest, C6, takes 133 µs"), "{}", m.text(idle));
        let quota_text = m.text(quota);
        assert!(quota_text.contains("control group /a allows 0.50 processors"), "{quota_text}");
        assert!(quota_text.contains("up to 100 ms"), "{quota_text}");
        assert!(m.text(confined).contains("filtered"), "{}", m.text(confined));
        assert_eq!(all(&m.0).len(), 4);
        let m = Machine::new(&[
            ("sys/devices/system/node/node0/x", ""),
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/attr/current", "docker-default (enforce)\n"),
        ]);
        assert!(m.text(memory_nodes).starts_with("ok one"), "{}", m.text(memory_nodes));
        assert_eq!([m.text(idle), m.text(quota)], ["", ""]);
        assert!(m.text(confined).contains("docker-default (enforce)"), "{}", m.text(confined));
        let nothing = Machine::new(&[]);
        assert!(all(&nothing.0).is_empty());
    }

    #[test]
    fn confinement_is_told_by_its_kind() {
        let of = |attr: &str, status: &str| {
            let status = format!("Name:\tx\nSeccomp:\t{status}\n");
            Machine::new(&[("proc/self/attr/current", attr), ("proc/self/status", &status)]).text(confined)
        };
        // A profile says its mode; SELinux has a label of another form in the same file, and the kernel ends it with 0.
        for free in ["unconfined\n", "unconfined (complain)\n", "", "kernel\0", "u:r:t:s0-s0:c0.c1023\0"] {
            assert_eq!(of(free, "0"), "", "{free:?}");
            assert!(of(free, "2").starts_with("note system calls are filtered"), "{free:?}");
        }
        for (attr, profile) in [
            ("docker-default (enforce)\n", "docker-default (enforce)"),
            ("/usr/bin/sim (complain)\0", "/usr/bin/sim (complain)"),
            ("lxc-container-default-cgns (enforce)", "lxc-container-default-cgns (enforce)"),
        ] {
            assert_eq!(of(attr, "2"), format!("note AppArmor profile {profile}"), "the closer one first");
        }
        let found = snap(Some(std::ffi::OsStr::new("sim_7"))).unwrap();
        assert!(found.text.contains("`sim_7`") && found.remedy.is_some_and(|r| r.contains("snap.NAME.")));
        assert!(snap(None).is_none());
    }
}

//! Memory limits of control groups, of both versions.
//!
//! Shared memory counts for the group of the process that first touches it. Where a group is at its limit the kernel
//! kills a process instead of failing a call, so whoever reserves memory asks before.

use crate::space::MemoryLimit;
use std::path::Path;

/// Files of one version.
struct Files {
    limit: &'static str,
    used: &'static str,
    /// Keys of `memory.stat` for what the kernel takes back when it needs room.
    reclaimable: [&'static str; 2],
}

const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    reclaimable: ["total_inactive_file", "total_active_file"],
};
const V2: Files = Files { limit: "memory.max", used: "memory.current", reclaimable: ["inactive_file", "active_file"] };

/// Version 1 writes the largest multiple of a page for "no limit".
const NO_LIMIT: u64 = 1 << 60;

pub(crate) fn memory_limits() -> Vec<MemoryLimit> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let swap = swap_free(&read("/proc/meminfo"));
    limits(Path::new("/"), &read("/proc/self/cgroup"), &read("/proc/self/mountinfo"), swap)
}

/// The limits, with all files below `root`.
fn limits(root: &Path, groups: &str, mounts: &str, swap: u64) -> Vec<MemoryLimit> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let files = match controllers {
            "" => &V2,
            list if list.split(',').any(|c| c == "memory") => &V1,
            _ => continue,
        };
        let Some((mount, top)) = mounts.lines().find_map(|line| mounted(line, controllers.is_empty())) else {
            continue;
        };
        // In a container the mount shows a part of the tree, whose path is that of the host.
        let inside = path.strip_prefix(top.trim_end_matches('/')).unwrap_or("").trim_start_matches('/');
        let top = root.join(mount.trim_start_matches('/'));
        let mut folder = if inside.starts_with("..") { top.clone() } else { top.join(inside) };
        loop {
            found.extend(limit_of(&folder, files, swap));
            if folder == top || !folder.pop() {
                break;
            }
        }
    }
    found
}

/// Where a hierarchy is mounted, and which part of it.
fn mounted(line: &str, second: bool) -> Option<(&str, &str)> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ').skip(3);
    let (part, place) = (front.next()?, front.next()?);
    let mut back = back.split(' ');
    let kind = back.next()?;
    let options = back.nth(1).unwrap_or_default();
    let fits = if second { kind == "cgroup2" } else { kind == "cgroup" && options.split(',').any(|o| o == "memory") };
    fits.then_some((place, part))
}

fn limit_of(folder: &Path, files: &Files, swap: u64) -> Option<MemoryLimit> {
    let number = |file: &str| std::fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    // `max` is no number.
    let limit = number(files.limit).filter(|&n| n < NO_LIMIT)?;
    let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let value = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        files.reclaimable.contains(&key).then(|| value.trim().parse::<u64>().ok())?
    };
    let reclaimable: u64 = stat.lines().filter_map(value).sum();
    let used = number(files.used).unwrap_or(0).saturating_sub(reclaimable);
    // Shared memory can be swapped out where there is a place for it.
    let swap = match number("memory.swap.max") {
        Some(max) => swap.min(max.saturating_sub(number("memory.swap.current").unwrap_or(0))),
        None => swap,
    };
    let available = limit.saturating_sub(used).saturating_add(swap);
    Some(MemoryLimit { group: folder.display().to_string(), limit, available })
}

fn swap_free(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("SwapFree:"));
    line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).map_or(0, |kb| kb * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A tree of files that goes with the test.
    struct Tree(PathBuf);

    impl Tree {
        fn new(files: &[(&str, &str)]) -> Self {
            let root =
                std::env::temp_dir().join(format!("shmx-cgroup-{}-{:x}", std::process::id(), crate::random_u64()));
            for (file, text) in files {
                let path = root.join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(root)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn every_group_up_to_the_root_has_its_say() {
        let tree = Tree::new(&[
            ("cg/a/b/memory.max", "max\n"),
            ("cg/a/b/memory.current", "5000\n"),
            ("cg/a/memory.max", "100000\n"),
            ("cg/a/memory.current", "60000\n"),
            ("cg/a/memory.stat", "anon 1\ninactive_file 9000\nactive_file 1000\nfile 50000\n"),
            ("cg/a/memory.swap.max", "0\n"),
        ]);
        let mounts = "30 1 0:26 / /cg rw - cgroup2 cgroup2 rw\n";
        let found = limits(&tree.0, "0::/a/b\n", mounts, 1 << 30);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].limit, found[0].available), (100_000, 50_000), "the cache counts as free, swap is none");
        assert!(found[0].group.ends_with("cg/a"));
    }

    #[test]
    fn the_first_version_and_a_part_of_the_tree() {
        let tree = Tree::new(&[
            ("sys/m/x/memory.limit_in_bytes", "104857600\n"),
            ("sys/m/x/memory.usage_in_bytes", "4857600\n"),
            ("sys/m/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        let mounts = "31 1 0:27 /docker/1 /sys/m rw - cgroup cgroup rw,memory\n32 1 0:28 / /cg2 rw - cgroup2 c rw\n";
        let found = limits(&tree.0, "4:memory:/docker/1/x\n2:cpu:/y\n0::/\n", mounts, 0);
        assert_eq!(found.iter().map(|l| (l.limit, l.available)).collect::<Vec<_>>(), [(104_857_600, 100_000_000)]);
        assert!(limits(&tree.0, "4:memory:/../../other\n", mounts, 0).is_empty(), "outside of what is shown");
        assert_eq!(swap_free("MemTotal: 1 kB\nSwapFree:       8 kB\n"), 8192);
    }
}

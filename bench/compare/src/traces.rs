//! What a run makes in shared memory, and that nothing of it stays.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::Path;

/// How the name of every object of a run begins.
pub(crate) const PREFIX: &str = "shmx-bench-";

/// The same for what iceoryx2 makes. It leaves its management segment behind, by design.
pub(crate) const IOX_PREFIX: &str = "shmx-bench-iox-";

/// Where iceoryx2 has files of its own.
pub(crate) const IOX_FOLDER: &str = "/tmp/shmx-bench-iox";

const SHARED: &str = "/dev/shm";

/// The run's hold on those names. There is one run at a time; a second waits. Removes everything when dropped, so that
/// a run that fails leaves nothing either.
pub(crate) struct Traces {
    _lock: File,
}

impl Traces {
    /// Waits for another run to end, and removes what one that was killed has left.
    pub(crate) fn begin() -> Result<Self> {
        let path = std::env::temp_dir().join("shmx-bench.lock");
        let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        if lock.try_lock().is_err() {
            eprintln!("waiting for another run of the benchmarks to end");
            lock.lock()?;
        }
        let traces = Self { _lock: lock };
        traces.remove();
        Ok(traces)
    }

    /// Removes everything. Nobody has anything open.
    pub(crate) fn remove(&self) -> Vec<String> {
        let left = names();
        for name in &left {
            let _ = fs::remove_file(Path::new(SHARED).join(name));
        }
        let _ = fs::remove_dir_all(IOX_FOLDER);
        left
    }

    /// The same when the other processes have ended: then nothing is there but what peers leave by design.
    pub(crate) fn end(self) -> Result<()> {
        let mut left = self.remove();
        left.retain(|name| !is_by_design(name));
        ensure!(left.is_empty(), "these objects were left in {SHARED}, and are removed now: {}", left.join(", "));
        let stay = names();
        ensure!(stay.is_empty(), "these objects cannot be removed from {SHARED}: {}", stay.join(", "));
        Ok(())
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        self.remove();
    }
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(SHARED).into_iter().flatten().flatten();
    let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
    names.filter(|n| n.starts_with(PREFIX)).collect()
}

fn is_by_design(name: &str) -> bool {
    name.starts_with(IOX_PREFIX) && name.ends_with(".global_mgmt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_peer_leaves_by_design_may_be_left() {
        assert!(is_by_design("shmx-bench-iox-0a1b_node.1_0_10.global_mgmt"));
        assert!(!is_by_design("shmx-bench-iox-0a1b.publisher_data"));
        assert!(!is_by_design("shmx-bench-4711-0-there"));
    }

    #[test]
    fn a_run_that_leaves_something_ends_in_an_error() {
        let traces = Traces::begin().unwrap();
        let name = format!("{PREFIX}{}-test", std::process::id());
        let path = Path::new(SHARED).join(&name);
        fs::write(&path, "").unwrap();
        let e = traces.end().unwrap_err().to_string();
        assert!(e.contains(&name), "{e}");
        assert!(!path.exists());
    }
}

//! Servers that live on under no name, and who takes names away.

use super::finding::{Finding, State, finding};

const AREA: &str = "names";

/// Servers whose region has lost its name: nobody can open it any more. Only processes that may be looked at are found.
pub(super) fn find() -> Vec<Finding> {
    let mut found = Vec::new();
    for pid in processes() {
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        if descriptors.flatten().any(|d| is_nameless_region(&d.path(), pid)) {
            let program = shmx_os::process_name(pid).unwrap_or_default();
            let text = format!("process {pid} {program} serves a region whose name was removed: nobody can find it");
            let remedy = "start it again, and see what removes names: systemd (RemoveIPC), or a Python before 3.13 that \
                          attached by `multiprocessing.shared_memory`";
            found.push(finding(AREA, State::Warning, text, remedy));
        }
    }
    found
}

fn processes() -> impl Iterator<Item = u32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|e| e.file_name().to_str()?.parse().ok())
}

/// Whether a descriptor of this process is that of a region that it serves, which no name leads to.
#[cfg(target_os = "linux")]
fn is_nameless_region(descriptor: &std::path::Path, pid: u32) -> bool {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;
    let there = |link: &std::path::Path| link.to_str().is_some_and(|l| l.starts_with("/dev/shm/"));
    if !std::fs::read_link(descriptor).is_ok_and(|link| there(&link)) {
        return false;
    }
    if !std::fs::metadata(descriptor).is_ok_and(|m| m.is_file() && m.nlink() == 0) {
        return false;
    }
    let mut head = [0; size_of::<shmx::abi::wire::GlobalHeader>()];
    if std::fs::File::open(descriptor).and_then(|mut f| f.read_exact(&mut head)).is_err() {
        return false;
    }
    let header: Option<shmx::abi::wire::GlobalHeader> = shmx::abi::wire::read_at(&head, 0);
    // What a reader of a region that has ended still holds is no trouble.
    header.is_some_and(|h| {
        let features = shmx::abi::extension::Features::of(&h);
        h.magic == shmx::abi::MAGIC && h.ext_server_pid == pid && !features.has(shmx::abi::extension::Features::CLOSED)
    })
}

#[cfg(not(target_os = "linux"))]
fn is_nameless_region(_: &std::path::Path, _: u32) -> bool {
    false
}

/// Whether the system removes the shared memory of users who have logged out.
pub(super) fn removers() -> Option<Finding> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    // Without systemd nobody does.
    std::path::Path::new("/run/systemd/system").exists().then_some(())?;
    let status = read("/proc/self/status")?;
    let uid = status.lines().find_map(|l| l.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?.parse().ok()?;
    let files = ["/usr/lib/systemd/logind.conf", "/etc/systemd/logind.conf"].map(read);
    remove_ipc(uid, &files.into_iter().flatten().collect::<Vec<_>>())
}

/// System users are spared, and so is everybody where the last setting says no.
fn remove_ipc(uid: u32, files: &[String]) -> Option<Finding> {
    const FIRST_USER: u32 = 1000;
    let setting = |l: &str| l.trim().strip_prefix("RemoveIPC=").map(|v| v.trim().to_ascii_lowercase());
    let last = files.iter().flat_map(|f| f.lines()).filter_map(setting).next_back();
    let off = last.is_some_and(|v| ["no", "false", "off", "0"].contains(&v.as_str()));
    if uid < FIRST_USER || off {
        return None;
    }
    let text = format!("systemd removes the regions of user {uid} when the user's last session ends (RemoveIPC)");
    let remedy = "loginctl enable-linger, or RemoveIPC=no in /etc/systemd/logind.conf, or run servers as a system user";
    Some(finding(AREA, State::Note, text, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_told_that_their_regions_go_when_they_do() {
        let files = |text: &str| vec!["[Login]\n#RemoveIPC=yes\n".to_owned(), text.to_owned()];
        assert!(remove_ipc(1000, &files("")).is_some_and(|f| f.text.contains("RemoveIPC")), "the default");
        assert!(remove_ipc(1000, &files("RemoveIPC=no\n")).is_none());
        assert!(remove_ipc(1000, &files("RemoveIPC=no\nRemoveIPC=yes")).is_some(), "the last one counts");
        assert!(remove_ipc(0, &files("")).is_none(), "a system user");
    }
}

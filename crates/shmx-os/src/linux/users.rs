//! Which processes use an object: what `/proc` shows.

use super::object::ObjectId;
use std::os::unix::fs::MetadataExt;

/// Whether the process has the object mapped or open; none if it may not be looked at.
pub(super) fn uses(pid: u32, id: ObjectId) -> Option<bool> {
    // Descriptors first: a server keeps one, and there are few of them.
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"));
    if let Ok(list) = descriptors {
        let is_it = |m: std::fs::Metadata| m.dev() == id.device && m.ino() == id.inode;
        if list.flatten().any(|d| std::fs::metadata(d.path()).is_ok_and(is_it)) {
            return Some(true);
        }
    }
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    // No rights give an empty list here, where every process has mappings.
    if maps.is_empty() {
        return None;
    }
    Some(maps.lines().any(|line| maps_object(line, id)))
}

/// A line of `/proc/PID/maps`: `start-end perms offset major:minor inode path`.
fn maps_object(line: &str, id: ObjectId) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(3);
    let (Some(device), Some(inode)) = (fields.next(), fields.next()) else { return false };
    let Some((major, minor)) = device.split_once(':') else { return false };
    let hex = |s| u32::from_str_radix(s, 16);
    let (Ok(major), Ok(minor)) = (hex(major), hex(minor)) else { return false };
    inode.parse() == Ok(id.inode) && rustix::fs::makedev(major, minor) == id.device
}

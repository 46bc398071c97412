//! Stream directories out of a recording.

use shmx::Directory;
use shmx::abi::directory::Directory as Entries;
use shmx::abi::hash;

/// The directory as a value, for readers of a recording.
pub(crate) fn parse_directory(session_id: u64, bytes: &[u8]) -> Directory {
    let mut directory = Directory::default();
    directory.session_id = session_id;
    directory.generation = 1;
    directory.hash = hash::fnv1a64(bytes);
    directory.bytes = bytes.to_vec();
    directory.streams = Entries::new(bytes).map_while(Result::ok).map(shmx::StreamInfo::from).collect();
    directory
}

/// Streams under their names; a name that is missing or taken is made from the number.
pub(crate) fn stream_names(directory: &Directory) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for s in &directory.streams {
        let name = s.name_lossy().into_owned();
        names.push(if name.is_empty() || names.contains(&name) { format!("#{}", s.id) } else { name });
    }
    names
}

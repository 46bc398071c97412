//! Files that belong together: those of a rotating recording, by their numbers.

use crate::format::{Identity, RECORDING};
use mcap::records::{Record, op};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes at the head of a file in which its recording is looked for; it is the first thing written.
const HEAD: u64 = 64 << 10;

/// A file as it is to be read.
struct Given {
    path: PathBuf,
    /// Folder and name without the number.
    stem: (PathBuf, String),
    identity: Option<Identity>,
}

/// The files in the order in which they are read, and those that are left out: files of a name that are of another
/// recording than the first ones of that name.
pub(super) fn in_order<'p>(paths: impl Iterator<Item = &'p Path>) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut groups: Vec<Vec<Given>> = Vec::new();
    for path in paths {
        let given = Given { path: path.to_owned(), stem: stem(path), identity: identity(path) };
        match groups.iter_mut().find(|g| g[0].stem == given.stem) {
            Some(group) => group.push(given),
            None => groups.push(vec![given]),
        }
    }
    join(&mut groups);
    let (mut files, mut others) = (Vec::new(), Vec::new());
    for mut group in groups {
        let number = |g: &Given| g.identity.as_ref().map(|i| i.file);
        // Where one does not say, the order given is all there is.
        if group.iter().all(|g| g.identity.is_some()) {
            group.sort_by_key(number);
        }
        let wanted = group.iter().find_map(|g| g.identity.as_ref()).map(|i| i.recording.clone());
        for g in group {
            let other = g.identity.as_ref().is_some_and(|i| Some(&i.recording) != wanted.as_ref());
            if other { others.push(g.path) } else { files.push(g.path) }
        }
    }
    (files, others)
}

/// A recording that went on in another file by itself: `run.mcap` belongs to those files `run-0002.mcap` and so on that
/// are of the same recording.
fn join(groups: &mut Vec<Vec<Given>>) {
    let mut at = 0;
    while at < groups.len() {
        let plain = |g: &Given| g.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (folder, _) = &groups[at][0].stem;
        let numbered = (folder.clone(), plain(&groups[at][0]));
        let id = groups[at][0].identity.as_ref().map(|i| i.recording.clone());
        let same = |g: &Given| id.is_some() && g.identity.as_ref().map(|i| &i.recording) == id.as_ref();
        let rest = groups.iter().position(|g| g[0].stem == numbered && g.iter().any(same));
        match rest.filter(|&rest| rest != at) {
            Some(rest) => {
                let mut more = groups.remove(rest);
                let at = if rest < at { at - 1 } else { at };
                groups[at].append(&mut more);
            }
            None => at += 1,
        }
    }
}

/// `run-0003.mcap` is of `run.mcap`.
fn stem(path: &Path) -> (PathBuf, String) {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let numbered = |(_, digits): &(&str, &str)| digits.len() >= 4 && digits.bytes().all(|b| b.is_ascii_digit());
    let stem = name.rsplit_once('-').filter(numbered).map(|(stem, _)| stem.to_owned());
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    // A name without a number is alone.
    (folder, stem.unwrap_or_else(|| path.to_string_lossy().into_owned()))
}

/// What the head of a file says of its recording.
fn identity(path: &Path) -> Option<Identity> {
    let file = File::open(path).ok()?;
    // Opening it for good says what is wrong with it.
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head).ok()?;
    let mut at = mcap::MAGIC.len();
    while let Some((opcode, range)) = super::chunk::record_at(&head, at) {
        if opcode == op::METADATA
            && let Ok(Record::Metadata(m)) = mcap::read::parse_record(opcode, &head[range.clone()])
            && m.name == RECORDING
        {
            return Identity::of(&m.metadata);
        }
        at = range.end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_no_part_of_a_name() {
        let of = |path: &str| stem(Path::new(path)).1;
        assert_eq!([of("a/run-0001.mcap"), of("a/run-0012.mcap")], ["run", "run"]);
        assert_eq!([of("a/run-1.mcap"), of("run.mcap")], ["a/run-1.mcap", "run.mcap"]);
    }
}

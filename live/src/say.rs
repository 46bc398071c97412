//! Words for people.

/// Why the program ends.
pub(crate) fn complain(e: &anyhow::Error) {
    eprintln!("shmx-live: {}", format!("{e:#}").replace('\n', " "));
}

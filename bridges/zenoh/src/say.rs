//! What is written, and who reads it.

use std::io::Write;

/// A closed pipe is no failure.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

/// Messages for people. A closed stderr is no reason to fail.
pub(crate) fn say(quiet: bool, words: std::fmt::Arguments<'_>) {
    if !quiet {
        let _ = writeln!(std::io::stderr(), "{words}");
    }
}

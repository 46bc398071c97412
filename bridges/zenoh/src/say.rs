//! What is written, and who reads it.

use anyhow::Context;
use serde_json::{Value, json};
use std::io::Write;

/// A closed pipe is no failure.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e).context("cannot write to stdout"),
        _ => Ok(()),
    }
}

/// A line of JSON with what all lines of `shmx` have: the version of what it looks like, and what it is.
pub(crate) fn line(kind: &str, more: Value) -> String {
    let mut whole = json!({ "schema": 1, "kind": kind });
    crate::network::merge(&mut whole, more);
    format!("{whole}\n")
}

/// Messages for people. A closed stderr is no reason to fail.
pub(crate) fn say(quiet: bool, words: std::fmt::Arguments<'_>) {
    if !quiet {
        let _ = writeln!(std::io::stderr(), "{words}");
    }
}

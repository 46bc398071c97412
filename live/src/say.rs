//! Words for people, and for programs that read the link. Neither end of a pipe may end the program by a panic.

use shmx_record::escape::one_line;
use std::fmt::Arguments;
use std::io::Write;

/// Why the program ends.
pub(crate) fn complain(e: &anyhow::Error) {
    note(format_args!("{}", one_line(e.chain().map(ToString::to_string))));
}

/// A line on the standard error output. If nobody can read it, the program goes on.
pub(crate) fn note(words: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "shmx-live: {words}");
}

/// Whole lines on the standard output, all at once: who has read the first one may stop reading.
pub(crate) fn print(lines: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    out.flush()
}

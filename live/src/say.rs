//! Words for people, and for programs that read the link. Neither end of a pipe may end the program by a panic.

use shmx_record::escape::safe;
use std::fmt::Arguments;
use std::io::Write;

/// Why the program ends.
pub(crate) fn complain(e: &anyhow::Error) {
    note(format_args!("{}", one_line(e)));
}

/// The error with its causes on one line; one that its parent already tells is not told twice.
fn one_line(e: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in e.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    safe(&line.replace('\n', " ")).into_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_and_steers_nothing() {
        let e = anyhow::anyhow!("gone").context("no memory: gone").context("cannot list\u{1b}[2J");
        assert_eq!(one_line(&e), "cannot list\\u{1b}[2J: no memory: gone");
    }
}

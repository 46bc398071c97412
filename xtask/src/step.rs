//! Steps and their count.

use anyhow::{Context, Result, bail};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

/// What has been run. A step counts as one, or as the tests it reports.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    pub(crate) fn any(self) -> bool {
        self.passed + self.failed + self.skipped > 0
    }

    /// That so many passed. A job whose steps were all skipped would be green otherwise.
    pub(crate) fn reaches(self, floor: u64) -> Result<()> {
        if self.passed < floor {
            bail!("only {} passed, at least {floor} should: something was not run", self.passed);
        }
        Ok(())
    }

    /// Reads `N passed` and the like out of a line, whatever stands between them.
    fn from_line(line: &str) -> Self {
        let words: Vec<&str> = line.split([' ', ';', ',']).filter(|w| !w.is_empty()).collect();
        let mut found = Self::default();
        for pair in words.windows(2) {
            let Ok(n) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => found.passed += n,
                "failed" => found.failed += n,
                "skipped" | "ignored" => found.skipped += n,
                _ => {}
            }
        }
        found
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Begins a step: its heading, and when that is since the first one. A log that ends within a step shows how long it hung.
pub(crate) fn head(name: impl fmt::Display) {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let seconds = FIRST.get_or_init(Instant::now).elapsed().as_secs();
    println!("== {name} [{}:{:02}]", seconds / 60, seconds % 60);
}

pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// A check in this process, counted as one.
pub(crate) fn check(tally: &mut Tally, name: &str, f: impl FnOnce() -> Result<()>) -> Result<()> {
    head(name);
    match f() {
        Ok(()) => {
            tally.passed += 1;
            Ok(())
        }
        Err(e) => {
            tally.failed += 1;
            Err(e.context(format!("{name} failed")))
        }
    }
}

/// A command, counted as one.
pub(crate) fn command(tally: &mut Tally, name: &str, command: &mut Command) -> Result<()> {
    let start = Instant::now();
    check(tally, name, || {
        let status = command.status().with_context(|| format!("start {command:?}"))?;
        if !status.success() {
            bail!("{status}: {command:?}");
        }
        Ok(())
    })?;
    println!("   {name}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// A command whose output reports tests; each of them counts, from the lines for which `is_summary` is true.
pub(crate) fn counted(
    tally: &mut Tally,
    name: &str,
    command: &mut Command,
    is_summary: fn(&str) -> bool,
) -> Result<()> {
    head(name);
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("start {command:?}"))?;
    let stdout = child.stdout.take().context("no stdout")?;
    let mut sum = Tally::default();
    // Said again at the end, where who reads only that finds it.
    let mut failures = String::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        if is_failure(&line) {
            failures.push_str("\n   ");
            failures.push_str(&line);
        }
        if is_summary(&line) {
            sum.add(Tally::from_line(&line));
        }
    }
    let status = child.wait()?;
    if !status.success() {
        sum.failed = sum.failed.max(1);
    }
    tally.add(sum);
    println!("   {name}: {sum}, {:.1} s", start.elapsed().as_secs_f64());
    if !status.success() {
        bail!("{name} failed, {status}: {command:?}{failures}");
    }
    Ok(())
}

/// Whether a line tells of one test that failed, or why it did.
fn is_failure(line: &str) -> bool {
    line.starts_with("FAILED ")
        || (line.starts_with("test ") && line.ends_with(" ... FAILED"))
        || (line.starts_with("thread '") && line.contains(" panicked at "))
}

/// Removes what only the steps behind us needed, if `SHMX_TIDY` is set: on a small disk they do not all have room.
pub(crate) fn tidy(folder: &Path) {
    if std::env::var_os("SHMX_TIDY").is_some() && folder.exists() {
        head(format_args!("remove {}", folder.display()));
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// A step that cannot be done here.
pub(crate) fn skip(tally: &mut Tally, name: &str, why: &str, in_ci: bool) -> Result<()> {
    if in_ci {
        tally.failed += 1;
        bail!("{name} cannot be left out in CI: {why}");
    }
    tally.skipped += 1;
    println!("== {name}: SKIPPED, {why}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Tally, is_failure};

    #[test]
    fn summaries_are_read() {
        let line = "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        let t = Tally::from_line(line);
        assert_eq!((t.passed, t.failed, t.skipped), (12, 0, 3));
        assert_eq!(Tally::from_line(&t.to_string()).to_string(), t.to_string());
    }

    #[test]
    fn a_run_of_nothing_does_not_reach_a_floor() {
        let skipped = Tally { skipped: 3, ..Tally::default() };
        assert!(skipped.reaches(0).is_ok());
        assert!(skipped.reaches(1).is_err());
        assert!(Tally { passed: 2, ..Tally::default() }.reaches(2).is_ok());
    }

    #[test]
    fn failures_are_told_from_summaries() {
        assert!(is_failure("test a_name ... FAILED"));
        assert!(is_failure("thread 'a_name' (7) panicked at tests/a.rs:1:1:"));
        assert!(is_failure("FAILED one producer, four readers: torn [1.0 s]"));
        assert!(!is_failure("test result: FAILED. 1 passed; 1 failed; 0 ignored"));
        assert!(!is_failure("test a_name ... ok"));
    }
}

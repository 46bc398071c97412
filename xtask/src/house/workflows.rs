//! The workflows: what they use is pinned, and no job can pass on nothing. Dependabot: it knows every lock file.

use crate::release;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

const FOLDER: &str = ".github/workflows";
const UPDATES: &str = ".github/dependabot.yml";
/// Tasks that a job may run without a floor, because they make one thing or fail.
const WITHOUT_FLOOR: [&str; 7] = ["dist", "deb", "wheel", "version", "release-check", "package", "semver"];

pub(super) fn check() -> Result<()> {
    let mut broken = Vec::new();
    let entries = fs::read_dir(FOLDER).with_context(|| format!("read {FOLDER}"))?;
    for entry in entries {
        let path = entry?.path();
        broken.extend(faults(&path, &fs::read_to_string(&path)?));
    }
    let updates = fs::read_to_string(UPDATES).with_context(|| format!("read {UPDATES}"))?;
    broken.extend(not_updated(&updates, &release::find(Path::new("."), &["Cargo.lock", "package-lock.json"])?));
    ensure!(broken.is_empty(), "workflows:\n{}", broken.join("\n"));
    Ok(())
}

/// Lock files whose folder is not among those of dependabot.
fn not_updated(updates: &str, locks: &[PathBuf]) -> Vec<String> {
    let known = |lock: &&PathBuf| {
        let folder = lock.parent().and_then(Path::to_str).unwrap_or_default().trim_start_matches('.');
        updates.contains(&format!("\"{}\"", if folder.is_empty() { "/" } else { folder }))
    };
    let unknown = locks.iter().filter(|lock| !known(lock));
    unknown.map(|lock| format!("{UPDATES}: it does not name the folder of {}", lock.display())).collect()
}

fn faults(path: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !text.lines().any(|l| l == "concurrency:") {
        found.push(format!("{file}: no `concurrency`, so that a change may be run twice"));
    }
    if !text.lines().any(|l| l == "permissions:") {
        found.push(format!("{file}: no `permissions`"));
    }
    let jobs = jobs(text);
    if let Some(all) = text.split("\n  all:\n").nth(1) {
        let needs = all.lines().find_map(|l| l.trim().strip_prefix("needs: [")?.strip_suffix(']')).unwrap_or_default();
        let needs: Vec<&str> = needs.split(", ").collect();
        for job in jobs.iter().filter(|job| **job != "all" && !needs.contains(job)) {
            found.push(format!("{file}: `all` does not wait for {job}"));
        }
    }
    for (n, line) in text.lines().enumerate() {
        let mut fault = |what: &str| found.push(format!("{file}:{}: {what}: {}", n + 1, line.trim()));
        let entry = line.trim_start().trim_start_matches("- ");
        if let Some(action) = entry.strip_prefix("uses: ")
            && !is_pinned(action)
        {
            fault("not pinned by a hash with its version beside it");
        }
        if let Some(rest) = entry.split("cargo xtask ").nth(1) {
            let task = rest.split_whitespace().next().unwrap_or_default();
            if !WITHOUT_FLOOR.contains(&task) && !rest.contains("--at-least ") {
                fault("no `--at-least N`");
            }
        } else if entry.contains("cargo test") || entry.contains("pytest") {
            fault("tests that nobody counts; make it a task of xtask");
        }
    }
    found
}

/// Names of the jobs of a workflow.
fn jobs(text: &str) -> Vec<&str> {
    let jobs = text.lines().skip_while(|l| *l != "jobs:").skip(1);
    let names = jobs.filter_map(|l| l.strip_prefix("  ")?.strip_suffix(':'));
    names.filter(|name| !name.starts_with([' ', '#'])).collect()
}

/// `owner/action@HASH # vN.N.N`
fn is_pinned(action: &str) -> bool {
    let Some((name, version)) = action.split_once(" # v") else { return false };
    let hash = name.split_once('@').map_or("", |(_, hash)| hash.trim());
    hash.len() == 40
        && hash.bytes().all(|b| b.is_ascii_hexdigit())
        && version.split('.').count() == 3
        && version.split('.').all(|n| n.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::{faults, not_updated};
    use std::path::Path;

    const HEAD: &str = "permissions:\nconcurrency:\n";

    fn of(body: &str) -> Vec<String> {
        faults(Path::new("a.yml"), &format!("{HEAD}{body}\n"))
    }

    #[test]
    fn what_a_job_uses_is_pinned() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(of(&format!("      - uses: a/b@{hash} # v1.2.3")), [""; 0]);
        for uses in ["a/b@v4".to_owned(), format!("a/b@{hash}"), format!("a/b@{hash} # v4"), "a/b@main # v1.2.3".into()]
        {
            assert_eq!(of(&format!("      - uses: {uses}")).len(), 1, "{uses}");
        }
    }

    #[test]
    fn a_job_has_a_floor() {
        assert_eq!(of("      - run: cargo xtask litmus --at-least 38"), [""; 0]);
        assert_eq!(of("      - run: cargo xtask dist"), [""; 0]);
        assert_eq!(of("      - run: cargo xtask litmus").len(), 1);
        assert_eq!(of("      - run: cargo test -p shmx").len(), 1);
        assert_eq!(faults(Path::new("a.yml"), "").len(), 2);
    }

    #[test]
    fn the_last_job_waits_for_all_others() {
        let jobs = "jobs:\n  a:\n    steps:\n  b:\n    steps:\n  all:\n    needs:";
        assert_eq!(of(&format!("{jobs} [a, b]")), [""; 0]);
        assert_eq!(of(&format!("{jobs} [a]")), ["a.yml: `all` does not wait for b"]);
        assert_eq!(of(&format!("{jobs} []")).len(), 2);
    }

    #[test]
    fn the_folder_of_every_lock_file_is_updated() {
        let locks = ["./Cargo.lock", "./live/Cargo.lock", "./live/web/package-lock.json"].map(Into::into);
        assert_eq!(not_updated(r#"directories: ["/", "/live", "/live/web"]"#, &locks), [""; 0]);
        let found = not_updated(r#"directories: ["/", "/live/web"]"#, &locks);
        assert!(found.len() == 1 && found[0].ends_with("./live/Cargo.lock"), "{found:?}");
        assert_eq!(not_updated(r#"directory: "/live""#, &locks).len(), 2);
    }
}

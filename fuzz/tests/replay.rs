//! Every target over its seeds and over past findings, on the stable toolchain; over another corpus too, if
//! `SHMX_FUZZ_CORPUS` names its folder (`target/fuzz/corpus` after a fuzzing run).

use shmx_fuzz::TARGETS;
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|e| e.path()).filter(|p| p.is_file()).collect();
    files.sort();
    files
}

/// Objects of this process that are left.
fn left() -> Vec<String> {
    let mine = format!("shmx-fuzz-{}-", std::process::id());
    let all = shmx_os::list().unwrap_or_default();
    all.into_iter().map(|e| e.name.as_str().to_owned()).filter(|n| n.starts_with(&mine)).collect()
}

#[test]
fn seeds_and_findings_pass() {
    let mut replayed = 0;
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(seeds.len() >= 8, "{} has seeds", target.name);
        for (name, bytes) in &seeds {
            println!("{} seed {name}", target.name);
            (target.run)(bytes);
            // Cut short, and with one byte changed, in a few places.
            for n in 0..12 {
                (target.run)(&bytes[..bytes.len() * n / 12]);
                let mut changed = bytes.clone();
                let at = (n * 977 + name.len()) % changed.len();
                changed[at] ^= 1 << (n % 8);
                (target.run)(&changed);
            }
            replayed += 25;
        }
        let more = std::env::var_os("SHMX_FUZZ_CORPUS").map(PathBuf::from);
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
        for folder in more.iter().chain([&kept]) {
            for path in files(&folder.join(target.name)) {
                println!("{} {}", target.name, path.display());
                (target.run)(&std::fs::read(&path).expect("it is readable"));
                replayed += 1;
            }
        }
    }
    println!("{replayed} inputs replayed");
    assert_eq!(left(), Vec::<String>::new());
}

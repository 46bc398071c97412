//! Exit codes: those that each command's help lists, each of them brought about.

#![cfg(target_os = "linux")]

use crate::common::{self, Folder, Running, cannot_run, run, serve, shmx, unique, words};
use std::collections::{BTreeMap, BTreeSet};

/// What a command line is to end with.
type Case<'a> = (u8, &'a [&'a str]);

/// Codes that other tests bring about, as they need a stage of their own.
const ELSEWHERE: [(&str, u8, &str); 11] = [
    ("ls", 1, "a platform without a list of objects"),
    ("top", 1, "a platform without a list of objects"),
    ("prune", 1, "tests/others.rs: /dev/shm that cannot be written"),
    ("doctor", 0, "tests/others.rs: as the machine is"),
    ("doctor", 1, "tests/others.rs: reasons"),
    ("read", 3, "tests/dialect.rs: a miss under --all"),
    ("cat", 3, "tests/dialect.rs: a miss"),
    ("record", 3, "tests/dialect.rs: a recording with gaps"),
    ("play", 3, "tests/signals.rs: frames that were skipped"),
    ("rec", 3, "tests/rec.rs: a file that is recovered; tests/files.rs: an export"),
    ("demo", 1, "below: an interrupt"),
];

/// The codes in a command's help.
fn listed(command: &str) -> BTreeSet<u8> {
    let help = String::from_utf8(run(&[command, "--help"]).stdout).unwrap();
    let text = help.split("Exit codes:").nth(1).unwrap().split("\n\n").next().unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    let begins = |i: usize| i == 0 || words[i - 1].ends_with(';');
    (0..words.len())
        .filter(|&i| begins(i))
        .map(|i| words[i].parse().unwrap_or_else(|_| panic!("{command}: {text}")))
        .collect()
}

#[test]
fn each_code_that_the_help_lists_is_brought_about() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("exits");
    let (name, dead, other, nobody) = (unique("exits"), unique("dead"), unique("other"), unique("nobody"));
    let _serve = serve(&name, &["--slots", "64"]);
    std::fs::copy(format!("/dev/shm/{}", &*name), format!("/dev/shm/{}", &*dead)).unwrap();
    let [file, more, part, dump, absent, table, man] =
        ["a.mcap", "b.mcap", "c.mcap", "a.bin", "none.mcap", "a.csv", "man"].map(|f| folder.path(f));
    // In order: what one makes the next one uses.
    let cases: [(&str, &[Case<'_>]); 22] = [
        ("ls", &[(0, &["--seconds", "0"]), (2, &["--seconds", "-1"])]),
        ("top", &[(0, &["--once", "--interval", "50ms"]), (2, &["--sort", "colour"])]),
        ("inspect", &[(0, &[&name, "--once"]), (1, &[&nobody, "--once"]), (2, &[&name, "--limit", "1"])]),
        ("read", &[(0, &[&name, "--frames", "1"]), (1, &[&nobody]), (2, &[&name, "--frames", "0"])]),
        ("cat", &[(0, &[&name, "--stream", "42", "--frames", "1"]), (1, &[&name, "--stream", "none"]), (2, &[&name])]),
        ("hz", &[(0, &[&name, "--seconds", "3"]), (1, &[&nobody, "--seconds", "0.1"]), (2, &[])]),
        ("wait", &[(0, &[&name]), (1, &[&nobody, "--timeout", "10ms"]), (2, &[&name, "--gone", "--frames", "1"])]),
        ("send", &[(0, &[&name, "user"]), (1, &[&nobody, "user"]), (2, &[&name, "nonsense"])]),
        ("dump", &[(0, &[&name, &dump]), (1, &[&nobody, &dump]), (2, &[&name])]),
        ("rm", &[(0, &[&dead]), (1, &[&name]), (2, &[])]),
        ("prune", &[(0, &["--dry-run", &dead]), (2, &["--dry-run", "--yes"])]),
        ("doctor", &[(2, &["--fix"])]),
        ("demo", &[(0, &["--seconds", "0.3"]), (2, &["--hz", "-1"])]),
        (
            "serve",
            &[(0, &[&other, "--seconds", "0.1"]), (1, &[&name, "--seconds", "0.1"]), (2, &["--hz", "0", &other])],
        ),
        (
            "publish",
            &[
                (0, &[&other, "--stream", "1:a:u8"]),
                (1, &[&name, "--stream", "1:a:u8"]),
                (2, &[&other, "--stream", "1:a:u7"]),
            ],
        ),
        ("completions", &[(0, &["bash"]), (2, &["tcl"])]),
        ("man", &[(0, &["--dir", &man]), (1, &["--dir", "/proc/none"]), (2, &["nonsense"])]),
        (
            "record",
            &[
                (0, &[&name, "-o", &file, "--frames", "1"]),
                (1, &[&nobody, "-o", &more, "--seconds", "10ms"]),
                (2, &["-o", &more]),
            ],
        ),
        ("play", &[(0, &[&file, "--prefix", "x-"]), (1, &[&absent]), (2, &[&file, "--rate", "0"])]),
        ("info", &[(0, &[&file]), (1, &[&absent]), (2, &[])]),
        ("rec", &[(0, &[&file, "-o", &part]), (1, &[&absent, "-o", &more]), (2, &[&file, "-o", &table])]),
        ("view", &[(0, &[&file, "--once"]), (1, &[&absent, "--once"]), (2, &[&file, "--size", "1x1", "--once"])]),
    ];
    let mut seen: BTreeMap<&str, BTreeSet<u8>> = BTreeMap::new();
    for (command, cases) in cases {
        for (code, args) in cases {
            let o = run(&[&[command], *args].concat());
            assert_eq!(o.status.code(), Some((*code).into()), "{command} {args:?}: {}", words(&o));
            // Who fails says why on one line, the last one.
            let last = words(&o).lines().last().unwrap_or_default().to_owned();
            assert!(*code == 0 || last.starts_with("shmx: "), "{command} {args:?}: {last}");
            seen.entry(command).or_default().insert(*code);
        }
    }
    for (command, code, _) in ELSEWHERE {
        seen.entry(command).or_default().insert(code);
    }
    // Other programs decide how `bridge` and `live` end: tests/outside.rs.
    let commands: BTreeSet<String> = {
        let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
        let list = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
        list.lines()
            .filter_map(|l| l.split_whitespace().next())
            .filter(|n| !["help", "bridge", "live"].contains(n))
            .map(str::to_owned)
            .collect()
    };
    let known: BTreeSet<String> = seen.keys().map(|c| (*c).to_owned()).collect();
    assert_eq!(commands, known, "each command has its cases");
    for (command, codes) in seen {
        assert_eq!(listed(command), codes, "{command}");
    }
}

/// Interrupted before it was done is not done; interrupted where that is how it ends is.
#[test]
fn an_interrupt_is_an_end_or_a_failure() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("interrupt");
    let (name, nobody, own) = (unique("interrupt"), unique("nobody"), unique("own"));
    let _serve = serve(&name, &["--slots", "64"]);
    let file = folder.path("a.mcap");
    for (code, args) in [
        (1, &["wait", &*nobody][..]),
        (1, &["demo", "--seconds", "600"]),
        (0, &["serve", &own]),
        (0, &["record", &name, "-o", &file, "--flush", "10ms"]),
    ] {
        let mut c = Running::start(shmx(args));
        match args[0] {
            "wait" | "demo" => common::until(|| hears(&c)),
            "record" => common::until(|| std::fs::metadata(&file).is_ok_and(|m| m.len() > 4096)),
            _ => drop(c.line()),
        }
        let o = common::end_by(c, "INT");
        let ended = o.status.code() == Some(code) || (args[0] == "record" && o.status.code() == Some(3));
        assert!(ended, "{args:?}: {:?} {}", o.status, words(&o));
    }
}

/// Whether a command has set up what hears SIGINT.
fn hears(c: &Running) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", c.child.id())).unwrap_or_default();
    let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 0b10 != 0)
}

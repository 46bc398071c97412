//! Commands that look change nothing: not one byte of the region, and they could not if they wanted to.

#![cfg(target_os = "linux")]

use crate::common::pty::Terminal;
use crate::common::{Folder, Running, cannot_run, run, serve, shmx, signal, unique, until, words};
use std::io::{BufRead, BufReader};
use std::path::Path;

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(Path::new("/dev/shm").join(name)).unwrap()
}

/// Whether every thread of a process is stopped.
fn stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.flatten().all(|thread| {
        // `pid (name) state ...`; a name may hold anything.
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}

/// Producer and reader are stopped, so every change of a byte would be a watcher's.
#[test]
fn looking_changes_no_byte_of_a_region() {
    if cannot_run() {
        return;
    }
    let name = unique("quiet");
    let serve = serve(&name, &["--echo", "--slots", "5"]);
    let mut reader = Running::start(shmx(&["read", &name, "--attach", "--timeout", "600"]));
    let mut out = BufReader::new(reader.child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    signal(&serve.child, "STOP");
    signal(&reader.child, "STOP");
    // A signal takes its time.
    until(|| stopped(serve.child.id()) && stopped(reader.child.id()));
    let before = bytes(&name);
    let folder = Folder::new("quiet");
    let dump = folder.path("dump");
    let commands: [(&[&str], i32); 14] = [
        (&["ls", "--seconds", "0.1"], 0),
        (&["ls", "--all", "--json"], 0),
        (&["inspect", &name, "--once"], 0),
        (&["inspect", &name, "--json"], 0),
        (&["read", &name, "--frames", "1"], 0),
        (&["read", &name, "--all", "--json", "--timeout", "0.3"], 1),
        (&["read", &name, "--stream", "tick_seq", "--every", "1", "--frames", "1"], 0),
        (&["cat", &name, "--stream", "42", "--frames", "1"], 0),
        (&["cat", &name, "--stream", "echo", "--timeout", "0.2"], 1),
        (&["hz", &name, "--seconds", "0.3"], 1),
        (&["dump", &name, &dump], 0),
        (&["doctor"], 0),
        (&["prune", "--dry-run"], 0),
        (&["rm", &name], 1),
    ];
    for (args, code) in commands {
        let o = run(args);
        assert_eq!(o.status.code(), Some(code), "{args:?}: {}", words(&o));
        assert!(before == bytes(&name), "{args:?} changed the region");
    }
    assert!(before == std::fs::read(&dump).unwrap(), "the dump is the region");
    let mut t = Terminal::start(&["inspect", &name, "--interval", "0.02"], 120, 40, &[]);
    for page in ["1", "2", "3", "4", "5", "6"] {
        t.press(page);
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    t.shows(&["sections of"]);
    assert!(before == bytes(&name), "the dashboard changed the region");
    t.press("q");
    assert!(t.ends().success());
    assert!(before == bytes(&name), "leaving the dashboard changed the region");
    // The comparison can fail: one that takes a slot is noticed.
    assert_eq!(run(&["send", &name, "user", "--timeout", "0.2"]).status.code(), Some(1));
    assert!(before != bytes(&name));
    signal(&serve.child, "CONT");
    signal(&reader.child, "CONT");
}

/// Every mapping and every descriptor of the region that a process has, by what it may do.
fn access(pid: u32, name: &str) -> Vec<String> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let mut found: Vec<String> = (maps.lines().filter(|l| l.ends_with(name)))
        .filter_map(|l| l.split_whitespace().nth(1).map(|rights| format!("map {rights}")))
        .collect();
    for fd in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        if std::fs::read_link(fd.path()).is_ok_and(|to| to.ends_with(name)) {
            let info = format!("/proc/{pid}/fdinfo/{}", fd.file_name().to_str().unwrap());
            let info = std::fs::read_to_string(info).unwrap_or_default();
            let flags = info.lines().find_map(|l| l.strip_prefix("flags:")).unwrap_or("").trim().to_owned();
            // The last octal digit: 0 is reading, 1 and 2 are writing.
            found.push(format!("fd {}", flags.chars().last().unwrap_or('?')));
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn what_looks_cannot_write_and_takes_no_slot() {
    if cannot_run() {
        return;
    }
    let name = unique("rights");
    let _serve = serve(&name, &[]);
    let lasting: [&[&str]; 3] =
        [&["read", &name, "--timeout", "600"], &["cat", &name, "--stream", "42"], &["hz", &name]];
    for args in lasting {
        let mut watcher = Running::start(shmx(args));
        let mut out = BufReader::new(watcher.child.stdout.take().unwrap());
        // It is at work when data comes.
        assert!(!out.fill_buf().unwrap().is_empty());
        assert_eq!(access(watcher.child.id(), &name), ["fd 0", "map r--s"], "{args:?}");
        let i = shmx::Inspector::open(&name).unwrap();
        assert!(i.snapshot_readers().iter().all(|r| !r.in_use), "{args:?}");
    }
    let mut t = Terminal::start(&["inspect", &name], 80, 24, &[]);
    t.shows(&["newest frame", "nobody reads"]);
    assert_eq!(access(t.id(), &name), ["fd 0", "map r--s"]);
    t.press("q");
    assert!(t.ends().success());
    // The check can fail: a reader that says so has rights.
    let mut reader = Running::start(shmx(&["read", &name, "--attach"]));
    let mut out = BufReader::new(reader.child.stdout.take().unwrap());
    assert!(!out.fill_buf().unwrap().is_empty());
    let rights = access(reader.child.id(), &name);
    assert!(rights.contains(&"map rw-s".to_owned()) && rights.contains(&"fd 2".to_owned()), "{rights:?}");
}

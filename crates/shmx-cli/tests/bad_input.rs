//! Bad input gets one line that says what is wrong and what to do, exit code 2 for usage and 1 for failure.

#![cfg(target_os = "linux")]

use crate::common::{Folder, Running, cannot_run, run, serve, shmx, unique, words};
use std::io::Write;
use std::process::Stdio;

/// The command, its exit code, and words that its one line holds.
type Case<'a> = (&'a [&'a str], i32, &'a [&'a str]);

fn check(cases: &[Case]) {
    for (args, code, says) in cases {
        let o = run(args);
        let text = words(&o);
        assert_eq!(o.status.code(), Some(*code), "{args:?}: {text}");
        let line = text.lines().last().unwrap_or_default();
        assert!(line.starts_with("shmx: "), "{args:?}: {text}");
        assert!(says.iter().all(|s| line.contains(s)), "{args:?} does not say {says:?}: {line}");
        // `read` and the like also say how far they came.
        assert!(text.lines().count() <= 2, "{args:?}: {text}");
        assert!(*code == 1 || o.stdout.is_empty(), "{args:?} wrote data");
    }
}

#[test]
fn wrong_usage_is_one_line_and_2() {
    if cannot_run() {
        return;
    }
    check(&[
        (&["frobnicate"], 2, &["unrecognized subcommand 'frobnicate'", "shmx --help"]),
        (&["lss"], 2, &["unrecognized", "'ls'"]),
        (&["read"], 2, &["<NAME>", "`shmx read --help`"]),
        (&["serve", "x", "--hz", "0"], 2, &["'0' for '--hz <HZ>'", "give 0.0001 to", "`shmx serve --help`"]),
        (&["serve", "x", "--hz", "many"], 2, &["give a number of frames per second"]),
        (&["serve", "x", "--slots", "-1"], 2, &["'-1' for '--slots <N>'", "`shmx serve --help`"]),
        (&["read", "x", "--timeout", "-1"], 2, &["not negative"]),
        (&["read", "x", "--every", "0"], 2, &["neither a number of frames", "0.5s"]),
        (&["read", "x", "--frames", "0"], 2, &["--frames"]),
        (&["cat", "x"], 2, &["--stream"]),
        (&["hz", "x", "--seconds", "0"], 2, &["give more than 0 seconds"]),
        (&["inspect", "--file"], 2, &["--file <DUMP>"]),
        (&["inspect", "x", "--file", "y"], 2, &["cannot be used with"]),
        (&["inspect", "--once"], 2, &["give the name of a region", "`shmx ls`"]),
        (&["inspect"], 2, &["no terminal to pick one"]),
        (&["inspect", "x", "--interval", "0"], 2, &["0.02 to 10"]),
        (&["send", "x"], 2, &["<TYPE>"]),
        (&["send", "x", "0"], 2, &["not a message type", "user"]),
        (&["send", "x", "user", "--u8", "256"], 2, &["`256` is not a valid u8"]),
        (&["send", "x", "user", "--hex", "abc"], 2, &["odd number"]),
        (&["send", "x", "user", "--hex", "zz"], 2, &["more than hex digits"]),
        (&["dump", "x"], 2, &["<FILE>"]),
        (&["rm"], 2, &["<NAME>"]),
        (&["prune", "--yes", "--dry-run"], 2, &["cannot be used with"]),
        (&["publish", "x"], 2, &["--stream"]),
        (&["publish", "x", "--stream", "1:a:u9"], 2, &["not an element type", "f32"]),
        (&["completions", "tcsh"], 2, &["'tcsh'", "bash"]),
        (&["man", "nothing"], 2, &["no command `nothing`", "inspect"]),
        (&["ls", "--seconds", "nan"], 2, &["--seconds"]),
    ]);
}

#[test]
fn a_name_that_cannot_be_is_one_line_and_1() {
    if cannot_run() {
        return;
    }
    let long = "x".repeat(300);
    for name in ["", "/", "a/b", "..", long.as_str()] {
        let mut cases: Vec<Case> =
            vec![(&["inspect"], 1, &["region name"]), (&["read"], 1, &["region name"]), (&["hz"], 1, &["region name"])];
        for c in &mut cases {
            if name == ".." {
                c.2 = &["not region names"];
            }
            let o = run(&[c.0[0], name, if c.0[0] == "inspect" { "--once" } else { "--json" }]);
            let text = words(&o);
            assert_eq!(o.status.code(), Some(1), "{name:?}: {text}");
            let line = text.lines().last().unwrap();
            assert!(line.starts_with("shmx: ") && c.2.iter().all(|s| line.contains(s)), "{name:?}: {line}");
        }
        let o = run(&["serve", name, "--seconds", "0.1"]);
        assert_eq!(o.status.code(), Some(1), "{name:?}: {}", words(&o));
    }
}

#[test]
fn what_is_not_there_is_one_line_and_1() {
    if cannot_run() {
        return;
    }
    let name = unique("nobody");
    let folder = Folder::new("bad");
    let (text, missing) = (folder.path("text"), folder.path("missing"));
    std::fs::write(&text, "no region at all, but more than a hundred and twenty-eight bytes".repeat(4)).unwrap();
    std::fs::write(folder.path("empty"), "").unwrap();
    check(&[
        (&["inspect", &name], 1, &[&name, "check the name"]),
        (&["inspect", &name, "--json"], 1, &[&name, "check the name"]),
        (&["read", &name], 1, &[&name, "check the name"]),
        (&["read", &name, "--attach"], 1, &[&name, "check the name"]),
        (&["cat", &name, "--stream", "s"], 1, &[&name, "check the name"]),
        (&["hz", &name], 1, &[&name, "check the name"]),
        (&["send", &name, "user"], 1, &[&name, "check the name"]),
        (&["dump", &name, &missing], 1, &[&name, "check the name"]),
        (&["rm", &name], 1, &["cannot remove", &name]),
        (&["read", &name, "--wait-server", "0.1"], 1, &[&name]),
        (&["inspect", "--file", &missing], 1, &["missing"]),
        (&["inspect", "--file", &folder.dir().to_string_lossy()], 1, &["not a shared-memory object"]),
        (&["inspect", "--file", &folder.path("empty")], 1, &["empty"]),
        (&["inspect", "--file", &text], 1, &["damaged or no region", "start it again"]),
        (&["man", "--dir", "/dev/null/x"], 1, &["/dev/null/x"]),
    ]);
    assert!(!std::path::Path::new(&missing).exists(), "a dump that failed leaves nothing");
}

#[test]
fn what_does_not_fit_a_live_region_is_one_line_and_1() {
    if cannot_run() {
        return;
    }
    let name = unique("live");
    let mut server = serve(&name, &["--control-bytes", "64"]);
    let long = "x".repeat(100);
    check(&[
        (&["read", &name, "--stream", "nope"], 1, &["no stream `nope`", "tick_seq, tick_sim"]),
        (&["cat", &name, "--stream", "7"], 1, &["no stream `7`"]),
        (&["send", &name, "user", "--text", &long], 1, &["100 bytes does not fit", "longest is 40"]),
        (&["send", &name, "user", "--file", "/nonexistent"], 1, &["/nonexistent"]),
        (&["rm", &name], 1, &["cannot remove", "held by a live server"]),
        (&["rm", "--force", &name], 1, &["cannot remove", "held by a live server"]),
        (&["serve", &name], 1, &["held by a live server", "another name"]),
        (&["dump", &name, "/nonexistent/x"], 1, &["cannot write `/nonexistent/x`"]),
    ]);
    let refused = words(&run(&["rm", "--force", &name]));
    assert!(refused.contains("held by a live server") && refused.contains("stop it"), "{refused}");
    assert_eq!(refused.lines().count(), 1, "one region needs no count: {refused}");
    server.child.kill().unwrap();
    server.wait();
    check(&[
        (&["send", &name, "user"], 1, &["has died", "start it again"]),
        (&["hz", &name, "--seconds", "0.2"], 1, &["died without leaving in order"]),
    ]);
    assert!(run(&["rm", &name]).status.success());
}

#[test]
fn without_a_terminal_a_view_says_what_needs_none() {
    if cannot_run() {
        return;
    }
    let name = unique("view");
    let view = || {
        let o = run(&["view", &name]);
        assert_eq!((o.status.code(), o.stdout.len(), words(&o).lines().count()), (Some(1), 0, 1), "{o:?}");
        words(&o)
    };
    let missing = view();
    assert!(missing.starts_with("shmx: cannot open region `") && missing.contains("check the name"), "{missing}");
    let _serve = serve(&name, &[]);
    let told = view();
    assert!(
        ["there is no terminal; ", "`--once`", "`--json`", "`--svg FILE`"].iter().all(|s| told.contains(s)),
        "{told}"
    );
}

#[test]
fn a_server_that_does_not_listen_is_told() {
    if cannot_run() {
        return;
    }
    let name = unique("deaf");
    let server = shmx::Server::builder(&*name).control_bytes(64).create().unwrap();
    check(&[(
        &["send", &name, "user", "--u64", "1", "--timeout", "0.2"],
        1,
        &["has not taken the message", "--no-wait"],
    )]);
    let sent = server.poll_control(10).messages;
    assert_eq!((sent.len(), sent[0].ty, sent[0].data.as_slice()), (1, 0x3000, &1_u64.to_le_bytes()[..]));
    // Without waiting it is no failure. What comes from stdin goes behind the rest.
    let mut command = shmx(&["send", &name, "user+1", "--u8", "9", "--file", "-", "--no-wait"]);
    command.stdin(Stdio::piped());
    let mut send = Running::start(command);
    send.child.stdin.take().unwrap().write_all(b"abc").unwrap();
    assert!(send.output().status.success());
    let sent = server.poll_control(10).messages;
    assert_eq!((sent[0].ty, sent[0].data.as_slice()), (0x3001, &b"\x09abc"[..]));
    drop(server);
    let _server = shmx::Server::builder(&*name).control_bytes(0).create().unwrap();
    check(&[(&["send", &name, "user"], 1, &["no control rings", "control_bytes"])]);
}

/// Bytes of a region scrambled in many ways: every way of looking says something and none crashes.
#[test]
fn damaged_dumps_are_shown_and_crash_nothing() {
    if cannot_run() {
        return;
    }
    let name = unique("scramble");
    let mut server = serve(&name, &["--echo", "--slots", "4"]);
    let folder = Folder::new("scramble");
    let good = folder.path("good");
    assert!(run(&["dump", &name, &good]).status.success());
    server.child.kill().unwrap();
    server.wait();
    let bytes = std::fs::read(&good).unwrap();
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut regions, mut damaged) = (0, 0);
    for round in 0..60 {
        let mut bad = bytes.clone();
        if round % 6 == 0 {
            bad.truncate(random() as usize % bytes.len());
        }
        // Most of the damage where the structure is: the header, the directory, the slots' first bytes.
        let places = [0..128, 128..4224, 4224..5248, 5248..70784, 70784..71000];
        for _ in 0..1 + round % 8 {
            let range = places[random() as usize % places.len()].clone();
            let at = range.start + random() as usize % range.len();
            if let Some(b) = bad.get_mut(at) {
                *b = random() as u8;
            }
        }
        let file = folder.path("bad");
        std::fs::write(&file, &bad).unwrap();
        for how in ["--once", "--json"] {
            let o = run(&["inspect", "--file", &file, how]);
            let text = words(&o);
            match o.status.code() {
                Some(0) => regions += 1,
                Some(1) => {
                    damaged += 1;
                    assert_eq!(text.lines().count(), 1, "{text}");
                    assert!(text.starts_with("shmx: "), "{text}");
                }
                other => panic!("round {round}, {how}: {other:?}: {text}"),
            }
        }
    }
    assert!(regions > 10 && damaged > 10, "{regions} shown as regions, {damaged} as damaged");
}

/// Of a tool for shared memory a bare "No space left on device" sounds as if that were full.
#[test]
fn a_full_disk_behind_stdout_is_told_as_such() {
    if cannot_run() {
        return;
    }
    let name = unique("full");
    let _serve = serve(&name, &["--slots", "64"]);
    for args in [
        &["ls", "--seconds", "0"][..],
        &["ls", "--seconds", "0", "--json"],
        &["inspect", &name, "--once"],
        &["read", &name, "--frames", "1"],
        &["cat", &name, "--stream", "42", "--frames", "1"],
        &["hz", &name, "--seconds", "0.3"],
        &["wait", &name, "--json"],
        &["dump", &name, "-"],
        &["doctor"],
        &["completions", "bash"],
        &["--help"],
        &["hz", "-h"],
        &["--version"],
    ] {
        let mut c = shmx(args);
        c.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let o = Running::start(c).output();
        assert_eq!(o.status.code(), Some(1), "{args:?}: {}", words(&o));
        let last = words(&o).lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("shmx: cannot write to stdout: No space left"), "{args:?}: {last}");
    }
}

//! Other users, other namespaces, other limits, and names that others chose.

#![cfg(target_os = "linux")]

use crate::common::{self, Folder, Name, Running, cannot_run, lines, run, serve, signal, unique, until, words};
use shmx::Server;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output, Stdio};

/// The user and the group of the tests that need another one. They need not exist.
const STRANGER: &str = "61234";

/// Runs a shell script with `$0` as the command; the last part of the script is the command itself.
fn sh(script: &str, args: &[&str]) -> Output {
    let mut c = Command::new("sh");
    c.args(["-c", script, env!("CARGO_BIN_EXE_shmx")]).args(args).env_remove("RUST_LOG");
    c.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::start(c).output()
}

/// Whether a preparation that needs rights works here. Says so if not.
fn can(what: &str, script: &str) -> bool {
    let able = Command::new("sh").args(["-c", script]).stderr(Stdio::null()).stdout(Stdio::null()).status();
    let able = able.is_ok_and(|s| s.success());
    if !able {
        eprintln!("not tried: {what} cannot be had here");
    }
    able
}

/// A `/dev/shm` of the script's own.
fn own_shm(options: &str, script: &str) -> String {
    format!("exec unshare -m sh -c 'mount -t tmpfs -o {options} none /dev/shm && {{ {script}; }}' \"$0\" \"$@\"")
}

fn findings(o: &Output) -> Vec<(String, String, String)> {
    let text = |v: &serde_json::Value, k: &str| v[k].as_str().unwrap_or_default().to_owned();
    lines(o).iter().map(|v| (text(v, "state"), text(v, "text"), text(v, "remedy"))).collect()
}

#[test]
fn the_doctor_finds_a_server_whose_name_was_taken() {
    if cannot_run() {
        return;
    }
    let name = unique("taken");
    let serve = serve(&name, &[]);
    let about = format!("process {} ", serve.child.id());
    let told = |o: &Output| findings(o).into_iter().find(|f| f.1.contains(&about));
    assert_eq!(told(&run(&["doctor", "--json"])), None);
    std::fs::remove_file(format!("/dev/shm/{}", &*name)).unwrap();
    let found = told(&run(&["doctor", "--json"])).expect("it is told");
    assert!(found.0 == "warning" && found.2.contains("RemoveIPC") && found.2.contains("Python"), "{found:?}");
}

/// A server whose name was taken away goes on, ends or comes back, as it was told; each time it says so.
#[test]
fn a_server_whose_name_was_taken_does_what_it_was_told() {
    if cannot_run() {
        return;
    }
    for (what, code) in [("warn", Some(0)), ("end", Some(1)), ("come-back", Some(0))] {
        let name = unique(what);
        let mut serve = serve(&name, &["--on-name-loss", what]);
        let object = format!("/dev/shm/{}", &*name);
        let id = || std::fs::metadata(&object).ok().map(|m| m.ino());
        let before = id();
        std::fs::remove_file(&object).unwrap();
        let mut words = serve.line();
        while !words.contains("the name") {
            words = serve.line();
        }
        if what == "come-back" {
            until(|| id().is_some_and(|now| Some(now) != before));
            assert!(run(&["read", &name, "--frames", "3", "--timeout", "20"]).status.success(), "readers find it");
        }
        if what == "end" {
            let last = serve.line();
            assert!(last.contains("--on-name-loss come-back") && !last.contains("`come_back`"), "{last}");
        } else {
            signal(&serve.child, "INT");
        }
        assert_eq!(serve.wait().code(), code, "{what}");
    }
}

#[test]
fn a_region_is_made_for_other_users_and_says_whose_it_is() {
    if cannot_run()
        || !can("another user", &format!("setpriv --reuid {STRANGER} --regid {STRANGER} --clear-groups true"))
    {
        return;
    }
    let as_other = |args: &[&str]| {
        let script = format!("exec setpriv --reuid {STRANGER} --regid {STRANGER} --clear-groups \"$0\" \"$@\"");
        sh(&script, args)
    };
    if !as_other(&["--version"]).status.success() {
        eprintln!("not tried: another user may not run the command here");
        return;
    }
    let (closed, open) = (unique("closed"), unique("open"));
    let _closed = serve(&closed, &[]);
    let _open = serve(&open, &["--mode", "0640", "--group", STRANGER]);
    let meta = std::fs::metadata(format!("/dev/shm/{}", &*open)).unwrap();
    assert_eq!((meta.mode() & 0o777, meta.gid().to_string().as_str()), (0o640, STRANGER));
    assert!(as_other(&["read", &open, "--frames", "1"]).status.success());
    let o = as_other(&["read", &closed, "--frames", "1"]);
    assert_eq!(o.status.code(), Some(1));
    assert!(words(&o).contains("user 0, group 0, mode 0600") && words(&o).contains("--mode"), "{}", words(&o));
    let o = as_other(&["ls", "--json", "--seconds", "0"]);
    let row = lines(&o).into_iter().find(|r| r["name"] == *closed).unwrap();
    assert!(row["note"].as_str().unwrap().contains("mode 0600"), "{row}");
    // What is another user's is in order as it is.
    let about = findings(&as_other(&["doctor", "--json"])).into_iter().find(|f| f.1.contains(&*closed)).unwrap();
    assert!(about.0 == "note" && !about.2.contains("rm"), "{about:?}");
}

#[test]
fn a_process_is_named_only_if_it_is_seen_to_use_the_region() {
    if cannot_run() || !can("a process namespace", "unshare -pf --mount-proc true") {
        return;
    }
    let name = unique("inside");
    let mut c = Command::new("unshare");
    c.args(["-pf", "--kill-child", "--mount-proc", env!("CARGO_BIN_EXE_shmx"), "serve", &name, "--hz", "100"]);
    let mut serve = Running::start({
        c.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        c
    });
    assert!(serve.line().contains(&*name));
    let i = shmx::Inspector::open(&name).unwrap();
    assert_eq!(i.header().ext_server_pid, 1, "in there it is the first process");
    let row = lines(&run(&["ls", "--json", "--seconds", "0"])).into_iter().find(|r| r["name"] == *name).unwrap();
    assert!(row["state"] == "live" && row["pid"].is_null() && row["program"].is_null(), "{row}");
    let once = String::from_utf8(run(&["inspect", &name, "--once"]).stdout).unwrap();
    assert!(once.contains("pid 1 (not seen here)"), "{once}");
    let o = run(&["serve", &name]);
    assert!(o.status.code() == Some(1) && words(&o).contains("held by a live server"), "{}", words(&o));
    assert!(!words(&o).contains("process 1"), "{}", words(&o));
    // Of this namespace it is named.
    let own = unique("here");
    let here = common::serve(&own, &[]);
    let o = run(&["serve", &own]);
    assert!(words(&o).contains(&format!("process {}", here.child.id())), "{}", words(&o));
    // With the namespace's parent its server is killed, a moment later; only then can its region go.
    drop(serve);
    until(|| shmx::remove(&name, true).is_ok());
}

/// The folder of this process's memory group, and the file of its limit.
fn memory_group() -> Option<(String, &'static str)> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let of = |controllers: &str| {
        let fields = |l: &str| Some((l.split(':').nth(1)?.to_owned(), l.splitn(3, ':').nth(2)?.to_owned()));
        groups.lines().filter_map(fields).find(|f| f.0 == controllers).map(|f| f.1)
    };
    match of("memory") {
        Some(path) => Some((format!("/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes")),
        None => Some((format!("/sys/fs/cgroup{}", of("")?), "memory.max")),
    }
}

/// A control group that goes with the test.
struct Group(String);

impl Drop for Group {
    fn drop(&mut self) {
        let end = std::time::Instant::now() + common::DEADLINE;
        while std::fs::remove_dir(&self.0).is_err() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

#[test]
fn the_memory_limit_of_a_group_is_an_error_and_no_death() {
    if cannot_run() {
        return;
    }
    let made = memory_group().and_then(|(parent, limit)| {
        let group = Group(format!("{parent}/{}", &*unique("group")));
        std::fs::create_dir(&group.0).ok()?;
        std::fs::write(format!("{}/{limit}", group.0), "104857600").ok()?;
        Some(group)
    });
    let Some(group) = made else {
        eprintln!("not tried: no control group can be made here");
        return;
    };
    let name = unique("tight");
    let script = format!("echo $$ >{}/cgroup.procs && exec \"$0\" \"$@\"", group.0);
    let o = sh(&script, &["serve", &name, "--frame-bytes", "100000000", "--seconds", "1"]);
    assert_eq!(o.status.code(), Some(1), "{:?}: {}", o.status, words(&o));
    assert!(words(&o).contains("control group") && words(&o).contains("raise its memory limit"), "{}", words(&o));
    let o = sh(&script, &["serve", &name, "--seconds", "0.1"]);
    assert!(o.status.success(), "{}", words(&o));
    let o = sh(&script, &["doctor", "--json"]);
    let short = group.0.rsplit('/').next().unwrap();
    assert!(findings(&o).iter().any(|f| f.1.contains(short) && f.1.contains("100 MiB")), "{}", words(&o));
}

#[test]
fn names_that_carry_controls_steer_nothing() {
    const NASTY: &str = "\u{1b}[2J\u{9b}31m\u{202e}\u{7f}\u{2066}";
    if cannot_run() {
        return;
    }
    let name = Name(format!("{}{NASTY}", &*unique("nasty")));
    let stream = shmx::StreamSpec::new(1, format!("s{NASTY}"), shmx::ElementType::U64, 1);
    let mut server = Server::builder(&*name).slots(64).stream(stream, 1).create().unwrap();
    let mut publish = || {
        let mut frame = server.begin_frame().unwrap();
        frame.append_stream(1, &[5_u64]).unwrap();
        frame.publish_frame(0.0).unwrap();
    };
    publish();
    let folder = Folder::new("nasty");
    let (file, dump) = (folder.path("a.mcap"), folder.path("a.bin"));
    let harmful = |c: char| {
        c != '\n'
            && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c))
    };
    for (args, codes) in [
        (&["ls", "--seconds", "0"][..], &[0][..]),
        (&["ls", "--seconds", "0", "--json"], &[0]),
        (&["inspect", &name, "--once"], &[0]),
        (&["inspect", &name, "--json"], &[0]),
        (&["inspect", &name, "--json", "--raw"], &[0]),
        (&["read", &name, "--frames", "1"], &[0]),
        (&["read", &name, "--frames", "1", "--json"], &[0]),
        (&["read", &name, "--stream", "nope"], &[1]),
        (&["cat", &name, "--stream", "nope"], &[1]),
        (&["hz", &name, "--seconds", "0.1"], &[1]),
        (&["wait", &name], &[0]),
        (&["doctor"], &[0, 1]),
        (&["serve", &name], &[1]),
        (&["rm", &name], &[1]),
        (&["send", &name, "user", "--timeout", "0.1", "-v"], &[1]),
        (&["dump", &name, &dump], &[0]),
        (&["record", &name, "-o", &file, "--seconds", "0.2"], &[0, 3]),
        (&["info", &file], &[0]),
        (&["info", &file, "--json"], &[0]),
        (&["view", &name, "--once"], &[0]),
        (&["view", &file, "--once"], &[0]),
        (&["play", &file, "--prefix", "x", "--rate", "max"], &[0]),
        (&["read", &format!("nobody{NASTY}")], &[1]),
    ] {
        let o = run(args);
        assert!(codes.contains(&o.status.code().unwrap()), "{args:?}: {}", words(&o));
        for text in [String::from_utf8_lossy(&o.stdout).into_owned(), words(&o)] {
            assert!(!text.contains(harmful), "{args:?}: {text:?}");
        }
    }
    // JSON gives the name back as it is.
    let rows = lines(&run(&["ls", "--seconds", "0", "--json"]));
    assert!(rows.iter().any(|r| r["name"] == *name));
    let frame = &lines(&run(&["read", &name, "--frames", "1", "--json"]))[0];
    assert_eq!(frame["streams"][format!("s{NASTY}")], serde_json::json!([5]));
}

#[test]
fn every_reason_is_the_reason_and_has_its_remedy() {
    if cannot_run() || !can("a mount namespace", "unshare -m mount -t tmpfs none /dev/shm") {
        return;
    }
    let serve = "exec \"$0\" serve a --seconds 0.1";
    let stranger = format!("exec setpriv --reuid {STRANGER} --regid {STRANGER} --clear-groups \"$0\" serve a");
    let doctor = "exec \"$0\" doctor --json";
    for (options, script, says) in [
        ("ro", serve, &["Read-only file system", "remount,rw"][..]),
        // Of its three processes the one that failed first is heard.
        ("ro", "exec \"$0\" demo", &["the producer failed", "Read-only file system", "remount,rw"]),
        ("mode=0755", &stranger, &["mode 0755", "chmod 1777"]),
        ("nr_inodes=2", &format!("touch /dev/shm/x; {serve}"), &["No space left", "nr_inodes"]),
        ("size=64k", serve, &["bytes of shared memory are needed but", "available"]),
    ] {
        let version = stranger.replace("serve a", "--version");
        if script == stranger && !sh(&version, &[]).status.success() {
            eprintln!("{options} not tried: another user may not run the command here");
            continue;
        }
        let o = sh(&own_shm(options, script), &[]);
        assert_eq!(o.status.code(), Some(1), "{options}: {}", words(&o));
        let text = words(&o);
        assert!(text.lines().count() == 1 && says.iter().all(|s| text.matches(s).count() == 1), "{options}: {text}");
        assert!(!text.contains("cannot create shared memory"), "{options}: {text}");
    }
    let broken = |options: &str, script: &str, says: &str| {
        let o = sh(&own_shm(options, script), &[]);
        let all = findings(&o);
        assert!(all.iter().any(|f| f.0 != "ok" && f.1.contains(says)), "{options}: {all:#?}");
        all
    };
    let all = broken("ro", doctor, "mounted read-only");
    assert!(!all.iter().any(|f| f.1.contains("made without a name")), "{all:#?}");
    broken("mode=0755", doctor, "mode 0755");
    let all = broken("nr_inodes=2", &format!("touch /dev/shm/x; {doctor}"), "out of inodes");
    assert!(!all.iter().any(|f| f.1.contains("O_TMPFILE")), "the one reason is the inodes: {all:#?}");
    let all = broken("size=100m", &format!("mount -t tmpfs none /proc; {doctor}"), "/proc is not there");
    assert!(!all.iter().any(|f| f.1.contains("made without a name")), "no contradiction: {all:#?}");
    let folder = Folder::new("disk");
    let on_disk = format!("mount --bind {} /dev/shm; {doctor}", folder.dir().display());
    if can("a disk", &format!("test \"$(stat -f -c %T {})\" != tmpfs", folder.dir().display())) {
        broken("size=1m", &on_disk, "lies on a disk");
    }
}

#[test]
fn what_a_killed_creator_left_is_shown_and_pruned() {
    if cannot_run() || !can("a mount namespace", "unshare -m mount -t tmpfs none /dev/shm") {
        return;
    }
    let script = "cd /dev/shm; head -c 5000 /dev/zero >.shmx-pending-0123456789abcdef; \
        cp .shmx-pending-0123456789abcdef a.shmx-pending-0123456789abcdef; touch -d \"5 minutes ago\" .s* a.*; \
        echo young >.shmx-pending-fedcba9876543210; \
        \"$0\" ls --json --seconds 0; \"$0\" prune --yes --json; ls -A";
    let o = sh(&own_shm("size=10m", script), &[]);
    let text = String::from_utf8(o.stdout.clone()).unwrap();
    assert_eq!(text.matches("\"state\":\"unfinished\"").count(), 4, "two listed, two pruned: {text}");
    let left: Vec<&str> = text.lines().filter(|l| !l.starts_with('{')).collect();
    assert_eq!(left, [".shmx-pending-fedcba9876543210"], "its creator may be at work: {text}");
}

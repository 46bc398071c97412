//! Signals, jobs, limits and cut objects: how a command ends that did not choose to.

#![cfg(target_os = "linux")]

mod common;

use common::pty::Terminal;
use common::{Folder, Running, cannot_run, gone, run, serve, shmx, signal, unique, until, words};
use portable_pty::CommandBuilder;
use shmx::{Client, Hold, Server, Stream};
use std::process::{Command, Stdio};

/// The command behind a shell's preparation, as the same process.
fn prepared(script: &str, args: &[&str]) -> Command {
    shmx_testkit::hear_signals();
    let mut c = Command::new("bash");
    c.args(["-c", &format!("{script}; exec \"$@\""), "bash", env!("CARGO_BIN_EXE_shmx")]).args(args);
    c.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    c
}

fn frames(name: &str) -> u64 {
    shmx::Inspector::open(name).map_or(0, |i| i.header().frame_seq)
}

/// `nohup`, and shells without job control, start programs with some signals ignored.
#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("ignored");
    for ignored in ["HUP", "INT"] {
        let name = unique("ignored");
        let mut serve = Running::start(prepared(&format!("trap '' {ignored}"), &["serve", &name, "--hz", "200"]));
        assert!(serve.line().contains(&*name));
        let file = folder.path(&format!("{ignored}.mcap"));
        let mut others: Vec<Running> =
            [&["record", &name, "-o", &file][..], &["hz", &name], &["cat", &name, "--stream", "42"]]
                .iter()
                .map(|args| {
                    let mut c = prepared(&format!("trap '' {ignored}"), args);
                    Running::start({
                        c.stdout(Stdio::null());
                        c
                    })
                })
                .collect();
        until(|| std::fs::metadata(&file).is_ok_and(|m| m.len() > 2000));
        for p in others.iter().chain([&serve]) {
            signal(&p.child, ignored);
        }
        // Each goes on: what has come by now is passed by far.
        let passed = frames(&name) + 100;
        until(|| frames(&name) > passed);
        for p in others.iter_mut().chain([&mut serve]) {
            assert!(p.child.try_wait().unwrap().is_none(), "{ignored} ended it");
            signal(&p.child, "TERM");
            assert!(matches!(p.wait().code(), Some(0 | 3)));
        }
        assert!(gone(&name));
    }
}

/// A job of a shell with job control: it must not touch the terminal in the background.
#[test]
fn a_player_in_the_background_plays_and_takes_keys_in_the_foreground() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("job");
    let (name, file) = (unique("job"), folder.path("r.mcap"));
    let server = serve(&name, &["--slots", "64"]);
    assert!(common::was_read(&run(&["record", &name, "-o", &file, "--frames", "50"])));
    drop(server);
    let prefix = format!("{}-", &*unique("bg"));
    let played = common::Name(format!("{prefix}{}", &*name));
    let mut shell = CommandBuilder::new("bash");
    shell.args(["--norc", "--noprofile", "-i"]);
    let mut t = Terminal::of(shell, 120, 30, &[("PS1", "ready> ")]);
    t.shows(&["ready> "]);
    t.press(&format!("'{}' play '{file}' --prefix '{prefix}' --loop &\n", env!("CARGO_BIN_EXE_shmx")));
    until(|| frames(&played) > 100);
    t.press("jobs\n");
    t.shows(&["Running"]);
    t.press("fg\n");
    t.shows(&["playing "]);
    t.press(" ");
    t.shows(&["paused "]);
    t.press(" ");
    t.shows(&["playing "]);
    t.press("\x1a");
    t.shows(&["Stopped"]);
    let stopped = frames(&played);
    t.press("bg\n");
    until(|| frames(&played) > stopped + 100);
    t.press("fg\n");
    t.shows(&["playing "]);
    t.press("q");
    t.shows(&["frames published"]);
    t.press("echo the status is $?\n");
    t.shows(&["the status is 0"]);
    t.press("exit\n");
    t.ends();
}

/// What shows how far a command is stands in lines that are the shell's while the command is in the background.
#[test]
fn a_recorder_in_the_background_leaves_the_terminal_alone() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("progress");
    let name = unique("progress");
    let _serve = serve(&name, &["--slots", "64"]);
    let mut shell = CommandBuilder::new("bash");
    shell.args(["--norc", "--noprofile", "-i"]);
    let mut t = Terminal::of(shell, 120, 30, &[("PS1", "ready> ")]);
    t.shows(&["ready> "]);
    let record = format!("'{}' record '{}'", env!("CARGO_BIN_EXE_shmx"), &*name);
    t.press(&format!("{record} --seconds 2 -o '{}' &\n", folder.path("a.mcap")));
    t.shows(&["frames written"]);
    assert!(!t.raw().contains("backlog"), "it drew over the shell");
    t.press(&format!("{record} -o '{}'\n", folder.path("b.mcap")));
    t.shows(&["backlog"]);
    t.press("\x03");
    t.shows(&["ready> "]);
    t.press("exit\n");
    t.ends();
}

#[test]
fn a_limit_on_files_is_an_error_and_no_death() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("limit");
    let name = unique("limit");
    let _serve = serve(&name, &["--slots", "64"]);
    let (file, dump) = (folder.path("r.mcap"), folder.path("a.bin"));
    let o = Running::start(prepared("ulimit -f 16", &["record", &name, "-o", &file, "--flush", "20ms"])).output();
    assert_eq!(o.status.code(), Some(1), "{}", words(&o));
    assert!(words(&o).contains("are kept and readable"), "{}", words(&o));
    let info = run(&["info", &file, "--json"]);
    assert_eq!(info.status.code(), Some(1));
    let len = std::fs::metadata(&file).unwrap().len();
    assert!(words(&info).contains(&format!("readable up to byte {len}")), "the chunk is cut: {}", words(&info));
    let o = Running::start(prepared("ulimit -f 16", &["dump", &name, &dump])).output();
    assert_eq!(o.status.code(), Some(1), "{}", words(&o));
    assert!(words(&o).contains("cannot write"), "{}", words(&o));
    let o = Running::start(prepared("ulimit -f 16", &["serve", &unique("l"), "--frame-bytes", "1M"])).output();
    assert_eq!(o.status.code(), Some(1));
    assert!(words(&o).contains("ulimit -f"), "{}", words(&o));
    let left: Vec<_> = std::fs::read_dir(folder.dir()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["r.mcap"], "nothing half-written is left");
}

#[test]
fn what_was_not_done_is_told_by_the_exit_status() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("undone");
    // A message to a server that does not listen, interrupted.
    let name = unique("undone");
    let server = Server::builder(&*name).create().unwrap();
    let send = Running::start(shmx(&["send", &name, "user", "--timeout", "60"]));
    until(|| server.snapshot_readers().iter().any(|r| r.in_use));
    signal(&send.child, "INT");
    let o = send.output();
    assert_eq!(o.status.code(), Some(1), "{}", words(&o));
    assert!(words(&o).contains("interrupted: ") && words(&o).contains("not taken"), "{}", words(&o));
    // A name that never comes, beside one that is there, and alone.
    let live = unique("there");
    let _serve = serve(&live, &["--slots", "64"]);
    let (file, never) = (folder.path("a.mcap"), unique("never"));
    let o = run(&["record", &live, &never, "-o", &file, "--seconds", "0.3"]);
    assert_eq!(o.status.code(), Some(1), "{}", words(&o));
    assert!(words(&o).contains(&format!("nothing of `{never}` was recorded")), "{}", words(&o));
    assert_eq!(run(&["info", &file]).status.code(), Some(0), "what was there is kept");
    let alone = folder.path("b.mcap");
    let o = run(&["record", &never, "-o", &alone, "--seconds", "0.2"]);
    assert_eq!(o.status.code(), Some(1));
    assert!(!std::path::Path::new(&alone).exists(), "a recording of nothing leaves no file");
    // Reading that was to last longer.
    let read = Running::start(shmx(&["read", &name, "--frames", "5", "--timeout", "60"]));
    until(|| std::fs::read_to_string(format!("/proc/{}/maps", read.child.id())).is_ok_and(|m| m.contains("/dev/shm")));
    signal(&read.child, "INT");
    let o = read.output();
    assert_eq!(o.status.code(), Some(1), "{}", words(&o));
    assert!(words(&o).contains("0 of 5 frames"), "{}", words(&o));
    let wait = Running::start(shmx(&["wait", &never]));
    assert_ne!(common::end_by(wait, "TERM").status.code(), Some(0));
}

/// A recorder that waits says so; one that only keeps writes when it is asked, each time into a file of its own.
#[test]
fn what_a_recorder_waits_for_is_told_and_what_it_keeps_is_written_when_asked() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("kept");
    let (name, file) = (unique("kept"), folder.path("run.mcap"));
    let mut record = Running::start(shmx(&["record", &name, "-o", &file, "--snapshot", "60s"]));
    let mut says = |words: &str| while !record.line().contains(words) {};
    says("kill -USR1");
    says("waiting for");
    let _serve = serve(&name, &["--slots", "64"]);
    says("is there");
    for n in 1..=2 {
        // There is nothing to write before the first frame.
        until(|| {
            signal(&record.child, "USR1");
            run(&["info", &folder.path(&format!("run-{n:04}.mcap"))]).status.success()
        });
    }
    signal(&record.child, "INT");
    let o = record.output();
    assert!(common::was_read(&o), "{}", words(&o));
    assert!(!std::path::Path::new(&file).exists(), "nothing is written by itself");
}

#[test]
fn a_snapshot_that_fails_is_told_and_ends_nothing() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("failed");
    let name = unique("failed");
    let _serve = serve(&name, &["--slots", "64"]);
    assert!(run(&["wait", &name, "--frames", "1"]).status.success());
    let file = folder.path("later/run.mcap");
    let mut record = Running::start(shmx(&["record", &name, "-o", &file, "--snapshot", "60s", "--ring"]));
    let says = |record: &mut Running, words: &str| while !record.line().contains(words) {};
    says(&mut record, "is there");
    until(|| {
        // There is nothing to write before the first frame.
        signal(&record.child, "USR1");
        record.line().contains("a snapshot could not be written: cannot create")
    });
    std::fs::create_dir(folder.dir().join("later")).unwrap();
    until(|| {
        signal(&record.child, "USR1");
        record.line().contains("written to")
    });
    signal(&record.child, "INT");
    let o = record.output();
    assert_eq!(o.status.code(), Some(1), "{}", words(&o));
    assert!(words(&o).contains("could not be written; why is told above"), "{}", words(&o));
}

#[test]
fn what_was_kept_in_vain_is_no_success() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("vain");
    let (name, file) = (unique("vain"), folder.path("run.mcap"));
    let _serve = serve(&name, &["--slots", "64"]);
    assert!(run(&["wait", &name, "--frames", "1"]).status.success());
    let mut record = Running::start(shmx(&["record", &name, "-o", &file, "--snapshot", "60s", "--stream", "nosuch"]));
    let says = |record: &mut Running, words: &str| while !record.line().contains(words) {};
    says(&mut record, "is there");
    says(&mut record, "no stream `nosuch` yet");
    signal(&record.child, "USR1");
    says(&mut record, "nothing was written");
    signal(&record.child, "INT");
    let o = record.output();
    assert_eq!(o.status.code(), Some(1), "{}", words(&o));
    assert!(words(&o).contains("no frame has a stream `nosuch`"), "{}", words(&o));
    assert_eq!(std::fs::read_dir(folder.dir()).unwrap().count(), 0, "there is no file");
}

#[test]
fn a_recorder_without_descriptors_names_what_it_lacks() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("files");
    let servers: Vec<Server> = (0..40)
        .map(|_| {
            let mut server = Server::builder(&*unique("many")).stream(Stream::<u64>::new(1, "t"), 1).create().unwrap();
            let mut frame = server.begin_frame().unwrap();
            frame.append_stream(1, &[1_u64]).unwrap();
            frame.publish_frame(0.0).unwrap();
            server
        })
        .collect();
    let file = folder.path("a.mcap");
    let mut args = vec!["record", "-o", &file, "--seconds", "0.5"];
    args.extend(servers.iter().map(Server::name));
    let o = Running::start(prepared("ulimit -n 30", &args)).output();
    assert_eq!(o.status.code(), Some(1), "{}", words(&o));
    let last = words(&o).lines().last().unwrap_or_default().to_owned();
    assert!(last.contains("nothing of `") && last.contains("ulimit -n"), "{last}");
}

#[test]
fn frames_that_were_skipped_are_told() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("skip");
    let (name, file) = (unique("skip"), folder.path("a.mcap"));
    let server = serve(&name, &["--slots", "2"]);
    assert!(common::was_read(&run(&["record", &name, "-o", &file, "--frames", "20"])));
    drop(server);
    let prefix = format!("{}-", &*unique("held"));
    let played = common::Name(format!("{prefix}{}", &*name));
    let play = Running::start(shmx(&["play", &file, "--prefix", &prefix, "--wait-readers", "1", "--json"]));
    until(|| shmx::Inspector::open(&played).is_ok());
    let mut client = Client::options().hold(Hold::Lease).copy_up_to(0).open(&played).unwrap();
    let mut held = Vec::new();
    // Both slots are kept from the player.
    while held.len() < 2 {
        held.extend(client.next(common::DEADLINE).unwrap().map(shmx::Frame::keep));
    }
    let o = play.output();
    assert_eq!(o.status.code(), Some(3), "{}", words(&o));
    assert!(words(&o).contains("frames were skipped: readers held every slot"), "{}", words(&o));
    assert!(common::lines(&o)[0]["skipped"].as_u64().unwrap() > 0);
}

#[test]
fn a_region_that_is_cut_short_is_told_in_a_line() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("cut");
    let file = folder.path("a.mcap");
    let name = unique("cut");
    let mut all = vec![serve(&name, &["--slots", "8"])];
    let record = ["record", &*name, "-o", &file, "--until-gone"];
    for args in [&["read", &name][..], &["read", &name, "--attach"], &["hz", &name], &record] {
        let mut c = shmx(args);
        c.stdout(Stdio::null());
        all.push(Running::start(c));
    }
    let maps = |p: &Running| std::fs::read_to_string(format!("/proc/{}/maps", p.child.id())).unwrap_or_default();
    until(|| all.iter().all(|p| maps(p).contains("/dev/shm")));
    std::fs::OpenOptions::new().write(true).truncate(true).open(format!("/dev/shm/{}", &*name)).unwrap();
    for (i, p) in all.into_iter().enumerate() {
        let o = p.output();
        let told = words(&o);
        // The recorder may have seen it in time.
        if i == 4 && told.contains("region replaced") {
            continue;
        }
        assert!(o.status.code() == Some(1) && told.contains(" cut"), "process {i}: {:?}: {told}", o.status);
    }
    // What is left is no region, and the advice is one for the command line.
    let o = run(&["serve", &name]);
    assert_eq!(o.status.code(), Some(1));
    assert!(words(&o).contains("--replace") && !words(&o).contains("replace(true)"), "{}", words(&o));
    assert!(run(&["serve", &name, "--replace", "--seconds", "0.1"]).status.success());
}

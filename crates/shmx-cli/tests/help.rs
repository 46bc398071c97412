//! Every example of every `--help` is run, as it stands there but for the names of regions, which are the test's own.

#![cfg(target_os = "linux")]

use crate::common::pty::Terminal;
use crate::common::{self, DEADLINE, Folder, Name, Running, cannot_run, run, signal, unique, until, words};
use shmx_testkit::place_program;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// What stands in for programs that a machine need not have.
const STAND_INS: [(&str, &str); 5] = [
    ("jq", "exec cat"),
    // Two pictures of 640x480.
    ("ffmpeg", "exec head -c 1843200 /dev/zero"),
    ("ffplay", "head -c 1000 >/dev/null"),
    ("shmx-live", "trap 'exit 0' INT; echo http://127.0.0.1:7650/; while :; do sleep 0.05; done"),
    ("shmx-bridge", "[ $1 = ls ] && exit; trap 'exit 0' INT; echo ready; while :; do sleep 0.05; done"),
];

/// Names in the examples that become names of the test.
const NAMES: [&str; 6] = ["clock", "video", "data", "old", "made-by-the-reference", "robot-"];

/// How an example ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// By itself, with exit code 0.
    ByItself,
    /// On SIGINT, once it has written something.
    OnInterrupt,
    /// On `q`; it is run in a terminal.
    OnKey,
}

fn commands() -> Vec<String> {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let list = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<String> =
        list.lines().filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help").map(str::to_owned).collect();
    assert!(names.len() >= 14, "{names:?}");
    names
}

fn examples(command: Option<&str>) -> Vec<String> {
    let args: Vec<&str> = command.into_iter().chain(["--help"]).collect();
    let o = run(&args);
    assert!(o.status.success());
    let help = String::from_utf8(o.stdout).unwrap();
    let what = command.unwrap_or("shmx");
    assert!(help.contains("Exit codes:"), "{what} does not say its exit codes");
    let text = help.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("{what} has no examples"));
    let mut all: Vec<String> = Vec::new();
    for line in text.lines().take_while(|l| l.starts_with("  ")) {
        // Behind two blanks and more there is a remark.
        let line = line.trim_start().split("  ").next().unwrap().trim_end();
        match all.last_mut() {
            Some(open) if open.ends_with('|') => open.push_str(&format!(" {line}")),
            _ => all.push(line.to_owned()),
        }
    }
    assert!(!all.is_empty() && all.iter().all(|e| e.contains("shmx ")), "{what}: {all:?}");
    all
}

fn end_of(example: &str) -> End {
    match example {
        "shmx inspect" | "shmx inspect clock" | "shmx inspect --file clock.bin" | "shmx view clock" | "shmx top" => {
            End::OnKey
        }
        "shmx read clock"
        | "shmx read clock --stream tick_seq --every 0.5s"
        | "shmx hz clock"
        | "shmx serve clock"
        | "shmx serve clock --hz 60"
        | "shmx live"
        | "shmx live clock --rate 10"
        | "shmx bridge run --host robot --export clock --listen tcp/0.0.0.0:7447"
        | "shmx bridge run --import 'robot/*' --connect tcp/robot:7447" => End::OnInterrupt,
        _ => End::ByItself,
    }
}

/// An object that a killed server could have left.
fn orphan(name: &str, like: &str, reference: bool) {
    let path = Path::new("/dev/shm").join(name);
    std::fs::write(&path, std::fs::read(Path::new("/dev/shm").join(like)).unwrap()).unwrap();
    if reference {
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&[0; 4], 20).unwrap();
    }
}

struct Stage {
    folder: Folder,
    path: String,
    names: Vec<(&'static str, Name)>,
}

impl Stage {
    fn new() -> Self {
        let folder = Folder::new("help");
        let bin = folder.dir().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for (program, script) in STAND_INS {
            place_program(&bin.join(program), format!("#!/bin/sh\n{script}\n"));
        }
        // Where the tests run in an emulator, the command needs it too.
        let runner = std::env::var("SHMX_RUNNER").unwrap_or_default();
        let shmx = env!("CARGO_BIN_EXE_shmx");
        place_program(&bin.join("shmx"), format!("#!/bin/sh\nexec {runner} '{shmx}' \"$@\"\n"));
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let names = NAMES.iter().map(|&n| (n, unique(n.trim_end_matches('-')))).collect();
        Self { folder, path, names }
    }

    fn name(&self, of: &str) -> &Name {
        &self.names.iter().find(|n| n.0 == of).unwrap().1
    }

    /// The example with the test's own names.
    fn mine(&self, example: &str) -> String {
        self.names.iter().fold(example.to_owned(), |text, (from, to)| {
            let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '-' && c != '_');
            let mut out = String::new();
            let mut rest = text.as_str();
            while let Some(at) = rest.find(from) {
                let (before, after) = (&rest[..at], &rest[at + from.len()..]);
                let whole = edge(before.chars().last()) && edge(after.chars().next());
                out.push_str(before);
                out.push_str(if whole { to } else { from });
                rest = after;
            }
            out + rest
        })
    }

    fn shell(&self, line: &str) -> Command {
        shmx_testkit::hear_signals();
        let mut c = Command::new("sh");
        c.arg("-c").arg(line).current_dir(self.folder.dir()).env("PATH", &self.path).env_remove("RUST_LOG");
        c.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        c
    }

    /// What has to be there for the example.
    fn set(&self, example: &str) -> Vec<Running> {
        let mut running = Vec::new();
        let starts = |c: &str| example.starts_with(c);
        let clock = self.name("clock");
        let needs_clock = example.contains("clock") && !starts("shmx serve");
        let orphans = starts("shmx rm") || starts("shmx prune");
        if needs_clock || orphans {
            running.push(common::serve(clock, &[]));
        }
        if example.contains("--file clock.bin") {
            assert!(run(&["dump", clock, &self.folder.path(&self.mine("clock.bin"))]).status.success());
        }
        if ["shmx play", "shmx info", "shmx rec ", "shmx view"].iter().any(|c| starts(c))
            && example.contains("clock.mcap")
        {
            let file = self.folder.path(&self.mine("clock.mcap"));
            assert!(common::was_read(&run(&["record", clock, "-o", &file, "--seconds", "1"])));
            // A replay takes the place of what was recorded.
            running.clear();
        }
        if example.contains("video.mcap") {
            let publish = "exec shmx publish video --stream 1:image:u8x3*640x480 --hz 30 --slots 16 </dev/zero";
            let _publish = Running::start(self.shell(&self.mine(publish)));
            let video = self.name("video");
            until(|| shmx::Inspector::open(video).is_ok_and(|i| i.header().frame_seq > 0));
            let file = self.folder.path(&self.mine("video.mcap"));
            assert!(common::was_read(&run(&["record", video, "-o", &file, "--frames", "2"])));
        }
        if orphans {
            orphan(self.name("old"), clock, false);
            orphan(self.name("made-by-the-reference"), clock, true);
            orphan(self.name("robot-"), clock, false);
        }
        std::fs::write(self.folder.path(&self.mine("data.bin")), [7; 12_000]).unwrap();
        let pictures = "shmx publish video --stream 1:image:u8x3*640x480 --hz 30 </dev/zero";
        let other = match example {
            e if e.starts_with("shmx cat video") => Some(pictures),
            e if e.starts_with("shmx cat data") => {
                Some("shmx publish data --stream 1:pos:f32x3*100 --lossless --wait-readers 1 <data.bin")
            }
            e if e.starts_with("shmx publish data") => {
                Some("shmx cat data --stream pos --attach --wait-server 10 >pos.bin")
            }
            _ => None,
        };
        if let Some(line) = other {
            // The shell becomes the command, so that ending it ends the command.
            running.push(Running::start(self.shell(&format!("exec {}", self.mine(line)))));
            if starts("shmx cat video") {
                until(|| shmx::Inspector::open(self.name("video")).is_ok_and(|i| i.header().frame_seq > 0));
            }
        }
        running
    }

    fn play(&self, example: &str) {
        let _running = self.set(example);
        let line = self.mine(example);
        match end_of(example) {
            End::ByItself => {
                let o = Running::start(self.shell(&line)).output();
                // A recorder of a busy machine may miss some.
                let done = o.status.success() || example.starts_with("shmx record") && common::was_read(&o);
                assert!(done, "`{example}`: {:?}: {}", o.status, words(&o));
            }
            End::OnInterrupt => {
                let mut r = Running::start(self.shell(&format!("exec {line}")));
                if example.starts_with("shmx serve") {
                    r.line();
                } else {
                    let mut out = BufReader::new(r.child.stdout.take().unwrap());
                    let mut first = String::new();
                    out.read_line(&mut first).unwrap();
                    assert!(!first.is_empty(), "`{example}` wrote nothing");
                    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
                }
                signal(&r.child, "INT");
                let o = r.output();
                assert_eq!(o.status.code(), Some(0), "`{example}`: {}", words(&o));
            }
            End::OnKey => {
                // The shell is left out here; these examples have nothing for it.
                let file = self.folder.path(&self.mine("clock.bin"));
                let args: Vec<&str> =
                    line.split(' ').skip(1).map(|a| if a.ends_with(".bin") { &file } else { a }).collect();
                let mut t = Terminal::start(&args, 100, 30, &[]);
                t.shows(&["q quit"]);
                t.press("q");
                assert!(t.ends().success(), "`{example}`");
            }
        }
        self.check(example);
    }

    /// What an example must have brought about.
    fn check(&self, example: &str) {
        let there = |name: &str| Path::new("/dev/shm").join(self.name(name).0.as_str()).exists();
        let bytes = |file: &str| std::fs::metadata(self.folder.path(&self.mine(file))).map_or(0, |m| m.len());
        match example {
            "shmx rm old" => assert!(!there("old")),
            "shmx rm --force made-by-the-reference" => assert!(!there("made-by-the-reference")),
            "shmx prune --yes robot-" => assert!(!there("robot-") && there("old"), "only what begins so"),
            "shmx prune --dry-run" => assert!(there("robot-") && there("old")),
            "shmx dump clock clock.bin" => assert!(bytes("clock.bin") > 100_000),
            "shmx completions bash >shmx.bash" => {
                assert!(bytes("shmx.bash") > 1000);
                let o = Running::start(self.shell("! command -v bash || bash -n shmx.bash")).output();
                assert!(o.status.success(), "{}", words(&o));
            }
            "shmx man --dir man1" => {
                let pages: Vec<_> = std::fs::read_dir(self.folder.dir().join("man1")).unwrap().flatten().collect();
                assert_eq!(pages.len(), commands().len() + 1);
            }
            "shmx cat data --stream pos --attach --wait-server 10 >pos.bin" => assert_eq!(bytes("pos.bin"), 12_000),
            _ => {}
        }
    }
}

#[test]
fn every_example_of_every_help_works() {
    if cannot_run() {
        return;
    }
    let mut all = examples(None);
    commands().iter().for_each(|c| all.extend(examples(Some(c))));
    all.dedup();
    assert!(all.len() >= 40, "{} examples", all.len());
    // Those that last longest first.
    all.sort_by_key(|e| !e.contains("--seconds 10"));
    all.reverse();
    let queue = Mutex::new(all);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                loop {
                    let Some(example) = queue.lock().unwrap().pop() else { return };
                    let played = std::panic::catch_unwind(|| Stage::new().play(&example));
                    if played.is_err() {
                        failed.lock().unwrap().push(example);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:#?} (deadline {DEADLINE:?})");
}

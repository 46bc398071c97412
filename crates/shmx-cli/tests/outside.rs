//! Commands that are programs of their own: found beside `shmx` or on the PATH, or not at all.

#![cfg(target_os = "linux")]

use crate::common::Folder;
use shmx_testkit::place_program;
use std::path::Path;
use std::process::{Command, Output};

/// The programs, and the folders of a clone that have them.
const PROGRAMS: [(&str, &str); 2] = [("live", "live"), ("bridge", "bridges/zenoh")];

/// Says how it was called, and ends with a code of its own.
fn program(folder: &Path, name: &str, says: &str) {
    std::fs::create_dir_all(folder).unwrap();
    place_program(&folder.join(format!("shmx-{name}")), format!("#!/bin/sh\necho {says} \"$@\"\nexit 7\n"));
}

fn call(shmx: &Path, path: &Path, args: &[&str]) -> Output {
    shmx_testkit::program(shmx).args(args).env("PATH", path).output().unwrap()
}

#[test]
fn the_program_gets_all_that_follows_and_its_end_is_the_end() {
    let folder = Folder::new("outside");
    let (bin, path) = (folder.dir().join("bin"), folder.dir().join("path"));
    std::fs::create_dir_all(&bin).unwrap();
    let shmx = bin.join("shmx");
    place_program(&shmx, std::fs::read(env!("CARGO_BIN_EXE_shmx")).unwrap());

    for (name, source) in PROGRAMS {
        let o = call(&shmx, &path, &[name, "camera"]);
        let words = String::from_utf8(o.stderr).unwrap();
        assert_eq!(o.status.code(), Some(1));
        assert!(words.contains(&format!("`shmx-{name}` is not installed")), "{words}");
        assert!(words.contains(&format!("`cargo install --path {source}`")), "{words}");
        assert_eq!(words.lines().count(), 1, "{words}");

        program(&path, name, "path");
        let o = call(&shmx, &path, &[name, "camera", "--listen", "127.0.0.1:0", "--import=robot/*"]);
        assert_eq!(o.status.code(), Some(7));
        assert_eq!(String::from_utf8(o.stdout).unwrap(), "path camera --listen 127.0.0.1:0 --import=robot/*\n");

        program(&bin, name, "beside");
        let o = call(&shmx, &path, &[name, "-q", "a"]);
        assert_eq!(String::from_utf8(o.stdout).unwrap(), "beside --quiet a\n", "the one beside comes first");
    }
}

/// By the environment: a level of RUST_LOG that is set already stays.
#[test]
fn what_is_said_before_the_command_is_handed_on() {
    let folder = Folder::new("handed-on");
    place_program(&folder.dir().join("shmx-live"), "#!/bin/sh\necho \"$RUST_LOG,$NO_COLOR,$CLICOLOR_FORCE $@\"\n");
    for (args, log, said) in [
        (&["live", "a"][..], "", ",, a"),
        (&["-v", "live", "a"], "", "info,, a"),
        (&["live", "-vv", "a"], "", "debug,, a"),
        (&["live", "-v", "a"], "shmx=trace", "shmx=trace,, a"),
        (&["--color", "never", "live", "a"], "", ",1, a"),
        (&["live", "--color=always", "a"], "", ",,1 a"),
    ] {
        let mut shmx = shmx_testkit::program(env!("CARGO_BIN_EXE_shmx"));
        shmx.args(args)
            .env("PATH", folder.dir())
            .env("RUST_LOG", log)
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE");
        let said_now = String::from_utf8(shmx.output().unwrap().stdout).unwrap();
        assert_eq!(said_now.trim_end(), said, "{args:?}");
    }
}

/// What these tests write is run while the tests of other threads start programs.
#[test]
fn a_placed_program_can_be_run_at_once() {
    let folder = Folder::new("placed");
    let file = folder.dir().join("program");
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| (0..500).for_each(|_| assert!(Command::new("true").status().unwrap().success())));
        }
        for _ in 0..200 {
            place_program(&file, "#!/bin/sh\nexit 0\n");
            assert!(Command::new(&file).status().unwrap().success());
        }
    });
}

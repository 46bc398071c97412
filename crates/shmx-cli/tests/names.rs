//! Names and patterns of names, the words for counts, and the log: the same in every command.

#![cfg(target_os = "linux")]

mod common;

use common::{Folder, cannot_run, lines, run, serve, unique, words};

fn text(o: &std::process::Output) -> String {
    String::from_utf8(o.stdout.clone()).unwrap()
}

#[test]
fn regions_are_found_by_names_globs_and_expressions() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("names");
    let (one, two) = (unique("names-1"), unique("names-2"));
    let _serve = [serve(&one, &["--slots", "64"]), serve(&two, &["--slots", "64"])];
    let stem = one.strip_suffix(&one[one.find("names-1").unwrap()..]).unwrap().to_owned();
    // Of both names, but for the number in the middle.
    let glob = format!("{stem}names-?{}", &one[one.find("names-1").unwrap() + 7..]);
    let of = |args: &[&str], key: &str| {
        let o = run(args);
        assert!(common::was_read(&o), "{args:?}: {}", words(&o));
        lines(&o).iter().map(|v| v[key].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of(&["ls", "--json", "--seconds", "0", &one], "name"), [&*one]);
    let expression = format!("re:{stem}names-[1-9].*");
    for pattern in [&expression, &format!("re:({}|{})", &*one, &*two)] {
        let mut found = of(&["ls", "--json", "--seconds", "0", pattern], "name");
        found.sort();
        assert_eq!(found, [&*one, &*two], "{pattern}");
    }
    assert!(of(&["ls", "--json", "--seconds", "0", "re:names-1"], "name").is_empty(), "whole names only");
    assert_eq!(of(&["ls", "--json", "--seconds", "0", &glob], "name"), [&*one], "the ends differ");
    assert_eq!(of(&["top", "--json", "--once", "--interval", "50ms", &two], "name"), [&*two]);
    assert_eq!(of(&["hz", "--json", "--seconds", "0.3", &expression, &one], "region").len(), 2, "each once");
    let file = folder.path("a.mcap");
    let o = run(&["record", &expression, "--exclude", &two, "-o", &file, "--frames", "1"]);
    assert!(common::was_read(&o), "{}", words(&o));
    let info = &lines(&run(&["info", &file, "--json"]))[0];
    assert_eq!((info["regions"].as_array().unwrap().len(), &info["regions"][0]["region"]), (1, &(&*one).into()));
    let o = run(&["hz", "re:no such region [0-9]", "--wait-server", "20ms"]);
    assert!(o.status.code() == Some(1) && words(&o).contains("no live region matches"), "{}", words(&o));
    for args in [
        &["ls", "re:("][..],
        &["top", "re:("],
        &["hz", "re:("],
        &["record", "re:("],
        &["record", "x", "--exclude", "re:["],
    ] {
        let o = run(args);
        assert_eq!(o.status.code(), Some(2), "{args:?}");
        assert!(words(&o).contains("is not a pattern of names"), "{args:?}: {}", words(&o));
    }
}

#[test]
fn one_is_not_said_as_many() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("one");
    let name = unique("one");
    let _serve = serve(&name, &["--slots", "64"]);
    let (file, copy, table) = (folder.path("a.mcap"), folder.path("b.mcap"), folder.path("a.csv"));
    for (args, says) in [
        (&["read", &*name, "--frames", "1"][..], "1 frame received"),
        (&["cat", &name, "--stream", "42", "--frames", "1"], "1 frame received"),
        (&["record", &name, "-o", &file, "--frames", "1"], "1 frame written"),
        (&["rec", &file, "-o", &copy], "1 frame copied"),
        (&["rec", &file, "-o", &table, "--stream", "42"], "1 frame of"),
        (&["play", &file, "--prefix", "one-"], "1 frame published"),
    ] {
        let o = run(args);
        assert!(common::was_read(&o) && words(&o).contains(says), "{args:?}: {}", words(&o));
    }
    let info = text(&run(&["info", &file]));
    assert!(info.contains(": 1 frame\n") && !info.contains("1 frames"), "{info}");
}

/// What `-v` adds is about this very command, and `-q` takes it all away.
#[test]
fn every_command_says_more_when_asked() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("verbose");
    let (name, own, old) = (unique("verbose"), unique("own"), unique("old"));
    let _serve = serve(&name, &["--slots", "64"]);
    std::fs::copy(format!("/dev/shm/{}", &*name), format!("/dev/shm/{}", &*old)).unwrap();
    let [file, copy, dump] = ["a.mcap", "b.mcap", "a.bin"].map(|f| folder.path(f));
    for (args, says) in [
        (&["ls", "--seconds", "0"][..], "objects="),
        (&["top", "--once", "--interval", "50ms"], "objects="),
        (&["inspect", &name, "--once"], "session="),
        (&["read", &name, "--frames", "1"], "session="),
        (&["cat", &name, "--stream", "42", "--frames", "1"], "session="),
        (&["hz", &name, "--seconds", "0.2"], "session="),
        (&["wait", &name], "as asked for"),
        (&["send", &name, "user"], "message in the ring"),
        (&["dump", &name, &dump], "session="),
        (&["rm", &old], "to be removed"),
        (&["prune", "--dry-run", "no-such-prefix"], "objects="),
        (&["doctor"], "clock checked"),
        (&["serve", &own, "--seconds", "50ms"], "region created"),
        (&["publish", &own, "--stream", "1:a:u8"], "region created"),
        (&["record", &name, "-o", &file, "--seconds", "1200ms"], "backlog"),
        (&["info", &file], "segments="),
        (&["play", &file, "--prefix", "v-", "--to", "50ms"], "segments="),
        (&["rec", &file, "-o", &copy], "segments="),
        (&["view", &name, "--once"], "session="),
    ] {
        let o = run(&[args, &["-v"]].concat());
        let (said, logged) = (words(&o), |l: &&str| l.contains(" INFO "));
        assert!(said.lines().filter(logged).any(|l| l.contains(says)), "{args:?}: {said}");
    }
    let o = run(&["read", &name, "--frames", "1", "-vv"]);
    assert!(words(&o).contains("frame taken"), "{}", words(&o));
    let o = run(&["read", &name, "--frames", "1", "-q"]);
    assert_eq!(words(&o), "");
}

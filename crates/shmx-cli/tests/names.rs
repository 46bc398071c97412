//! Names and patterns of names, the words for counts, and the log: the same in every command.

#![cfg(target_os = "linux")]

use crate::common::{self, Folder, Running, cannot_run, lines, run, serve, shmx, unique, words};
use shmx_testkit::until_some;

fn text(o: &std::process::Output) -> String {
    String::from_utf8(o.stdout.clone()).unwrap()
}

/// Another process may cut a region short at any time, which ends who has it open.
#[test]
fn what_is_not_listed_is_not_opened() {
    if cannot_run() {
        return;
    }
    let (name, other) = (unique("wanted"), unique("unwanted"));
    let _serve = [serve(&name, &[]), serve(&other, &[])];
    let listing = Running::start(shmx(&["ls", &format!("{}*", &*name), "--seconds", "60"]));
    let maps = format!("/proc/{}/maps", listing.child.id());
    let maps = until_some("the region", || std::fs::read_to_string(&maps).ok().filter(|maps| maps.contains(&*name)));
    common::signal(&listing.child, "INT");
    assert!(!maps.contains(&*other), "{maps}");
    let _ = listing.output();
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
        &["wait", "re:("],
        &["play", "x", "--region", "re:("],
        &["rec", "x", "-o", "y", "--region", "re:("],
        &["view", "x", "--region", "re:("],
    ] {
        let o = run(args);
        assert_eq!(o.status.code(), Some(2), "{args:?}");
        assert!(words(&o).contains("is not a pattern of names"), "{args:?}: {}", words(&o));
    }
}

#[test]
fn regions_of_recordings_are_chosen_by_patterns_too() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("chosen");
    let prefix = unique("chosen");
    let name = |tag: &str| common::Name(format!("{}-{tag}", &*prefix));
    let all = [name("left"), name("right"), name("lidar")];
    let serve = all.each_ref().map(|n| serve(n, &["--slots", "64"]));
    let (file, part) = (folder.path("a.mcap"), folder.path("b.mcap"));
    let o = run(&["record", &format!("{}-*", &*prefix), "-o", &file, "--ring", "--seconds", "0.3"]);
    assert!(common::was_read(&o), "{}", words(&o));
    drop(serve);
    let regions = |file: &str| -> Vec<String> {
        let info = &lines(&run(&["info", file, "--json"]))[0];
        let names = info["regions"].as_array().unwrap().iter().map(|r| r["region"].as_str().unwrap().to_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    assert_eq!(regions(&file), [&*all[0], &*all[2], &*all[1]]);
    for (pattern, wanted) in [
        (format!("{}-*t", &*prefix), vec![&*all[0], &*all[1]]),
        (format!("re:{}-l.*", &*prefix), vec![&*all[0], &*all[2]]),
        (format!("/{}-l?dar", &*prefix), vec![&*all[2]]),
    ] {
        let o = run(&["rec", &file, "-o", &part, "--region", &pattern, "--overwrite"]);
        assert!(o.status.success() && regions(&part) == wanted, "{pattern}: {}", words(&o));
        let o = run(&["play", &file, "--region", &pattern, "--rate", "max", "--lossless", "--json"]);
        assert!(o.status.success(), "{pattern}: {}", words(&o));
        assert_eq!(lines(&o)[0]["segments"], wanted.len(), "{pattern}");
    }
    // For what shows one region one has to match.
    let (csv, one, two) = (folder.path("a.csv"), format!("{}-li*", &*prefix), format!("{}-l*", &*prefix));
    let export = |region: &str| run(&["rec", &file, "-o", &csv, "--stream", "42", "--region", region, "--overwrite"]);
    let view = |region: &str| run(&["view", &file, "--region", region, "--once"]);
    assert!(export(&one).status.success() && view(&one).status.success());
    for o in [export(&two), view(&two)] {
        assert!(o.status.code() == Some(1) && words(&o).contains("choose it by --region: "), "{}", words(&o));
    }
    for args in [
        &["play", &file, "--region", "no such*"][..],
        &["play", &file, "--region", "no such*", "--control"],
        &["rec", &file, "-o", &part, "--overwrite", "--region", "no such*"],
        &["view", &file, "--region", "no such*", "--once"],
    ] {
        let o = run(args);
        assert!(o.status.code() == Some(1) && words(&o).contains("`no such*`"), "{args:?}: {}", words(&o));
    }
}

#[test]
fn one_of_a_pattern_is_waited_for() {
    if cannot_run() {
        return;
    }
    let prefix = unique("await");
    let name = |tag: &str| common::Name(format!("{}-{tag}", &*prefix));
    let (one, two, pattern) = (name("1"), name("2"), format!("{}-?", &*prefix));
    let o = run(&["wait", &pattern, "--timeout", "20ms"]);
    assert_eq!(o.status.code(), Some(1));
    assert!(words(&o).contains("matches no region after 20"), "{}", words(&o));
    let waiting = common::Running::start(common::shmx(&["wait", &pattern, "--frames", "1", "--json"]));
    let first = serve(&one, &[]);
    let v = &lines(&waiting.output())[0];
    assert_eq!((&v["regions"][0], &v["found"][0], &v["state"]), (&(*pattern).into(), &(*one).into(), &"there".into()));
    // One with too little is no hindrance.
    let empty = shmx::Server::builder(&*two).create().unwrap();
    let o = run(&["wait", &pattern, "--frames", "1", "--timeout", "20s", "--json"]);
    assert_eq!(lines(&o)[0]["found"], serde_json::json!([&*one]));
    let o = run(&["wait", &pattern, "--readers", "1", "--timeout", "20ms"]);
    assert!(words(&o).contains("has too few readers"), "{}", words(&o));
    // Gone are all or none.
    drop(first);
    let o = run(&["wait", &pattern, "--gone", "--timeout", "20ms"]);
    assert!(o.status.code() == Some(1) && words(&o).contains("still has a server"), "{}", words(&o));
    drop(empty);
    let o = run(&["wait", &pattern, "--gone", "--timeout", "20s"]);
    assert!(o.status.success(), "{}", words(&o));
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
    let bytes = unique("bytes");
    let (a, b) = (shmx::Stream::<u8>::new(1, "a"), shmx::Stream::<u64>::new(2, "b"));
    let mut server = shmx::Server::builder(&*bytes).stream(a, 2).stream(b, 1).create().unwrap();
    for n in 1..=2_u8 {
        let mut frame = server.begin_frame().unwrap();
        frame.append_stream(a, &[n, n][..n.into()]).unwrap();
        frame.publish_frame(0.0).unwrap();
    }
    let report = text(&run(&["inspect", &bytes, "--once"]));
    assert!(report.contains(", 1 byte per element") && report.contains(", 8 bytes per element"), "{report}");
    assert!(report.contains(", 1 record, "), "{report}");
    let (two, array) = (folder.path("c.mcap"), folder.path("c.npy"));
    assert!(common::was_read(&run(&["record", &bytes, "-o", &two, "--ring", "--frames", "2"])));
    let o = run(&["rec", &two, "-o", &array, "--stream", "a"]);
    assert!(words(&o).contains("frame 2 has 2 elements and those before have 1"), "{}", words(&o));
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

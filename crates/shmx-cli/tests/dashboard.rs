//! The dashboard as its users see it: in a terminal, with keys.

#![cfg(target_os = "linux")]

use crate::common::pty::Terminal;
use crate::common::{self, cannot_run, run, serve, signal, unique, until};
use shmx::{Server, Stream};

const UP: &str = "\x1b[A";
const DOWN: &str = "\x1b[B";
const RIGHT: &str = "\x1b[C";
const ESC: &str = "\x1b";

/// A terminal that says what it can, as the answers of such terminals were recorded.
#[test]
fn images_are_drawn_as_the_terminal_says_it_can() {
    if cannot_run() {
        return;
    }
    let name = unique("image");
    let image = Stream::<[u8; 3]>::new(1, "image");
    let mut server = Server::builder(&*name).image(image, 8, 16, "rgb8").create().unwrap();
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(image, &[[255, 0, 0]; 128]).unwrap();
    frame.publish_frame(0.0).unwrap();
    for (answer, begins) in [
        ("\x1b_Gi=31;OK\x1b\\\x1bP>|kitty(0.35.2)\x1b\\\x1b[?62;c", Some("\x1b_Ga=T,f=24,s=16,v=8,")),
        ("\x1bP>|iTerm2 3.5.0\x1b\\\x1b[?64;1;2;4;6;17;18;21;22c", Some("\x1b]1337;File=inline=1;")),
        ("\x1b[?62;4;22c", Some("\x1bP0;1q\"1;1;16;8#180;2;100;0;0")),
        ("\x1b[?1;2c", None),
    ] {
        let mut t = Terminal::start(&["view", &name], 100, 30, &[]);
        until(|| t.raw().contains("\x1b[>q\x1b[c"));
        t.press(answer);
        match begins {
            Some(begins) => until(|| t.raw().contains(begins)),
            None => t.shows(&["▀▀▀▀"]),
        }
        // Another plot takes its place.
        t.press("m");
        t.shows(&["x against y"]);
        if answer.contains("kitty") {
            until(|| t.raw().contains("\x1b_Ga=d,d=I,i=1"));
        }
        t.press("q");
        let ended = t.ends();
        assert!(ended.success(), "{ended:?} after {answer:?}");
    }
    let mut t = Terminal::start(&["view", &name, "--images", "sixel"], 100, 30, &[]);
    until(|| t.raw().contains("\x1bP0;1q"));
    assert!(!t.raw().contains("\x1b[>q"), "nobody asks");
    t.press("?");
    t.shows(&["kind of plot", "longer and shorter plot over time"]);
    t.press(ESC);
    until(|| !t.text().contains("kind of plot"));
    t.press("q");
    assert!(t.ends().success());
}

#[test]
fn keys_show_every_page() {
    if cannot_run() {
        return;
    }
    let name = unique("keys");
    let _serve = serve(&name, &["--echo", "--slots", "6"]);
    let mut t = Terminal::start(&["inspect", &name], 100, 30, &[]);
    t.shows(&[
        &name,
        "● live",
        "memory:",
        "rate",
        "jitter",
        "bandwidth",
        "newest frame",
        "checksum ok",
        "nobody reads",
    ]);
    t.shows(&["> tick_seq", "tick_sim", "q quit"]);
    // The rate is measured, not guessed.
    t.shows(&["100/s"]);
    t.press("2");
    t.shows(&["tick_seq: stream 42, u64 [1]", "[0]"]);
    t.press(DOWN);
    t.shows(&["> 43", "tick_sim: stream 43, f64 [1]"]);
    t.press(DOWN);
    t.press(&RIGHT.repeat(3));
    t.shows(&["echo: stream 44, u64 [16]", "[15]"]);
    t.press(&UP.repeat(2));
    t.press("\r");
    t.shows(&["last 30 s", "tick_seq = "]);
    t.press("+");
    t.shows(&["last 60 s"]);
    t.press("--");
    t.shows(&["last 15 s"]);
    t.press("4");
    t.shows(&["slots: 6", "█ newest", "▒ frame", "leased by"]);
    t.press("3");
    t.shows(&["readers: 0 of 16", "control ring", "free"]);
    t.press("6");
    t.shows(&["sections of", "directory hash", "stamps doorbell locks publish_time"]);
    t.press("\t");
    t.shows(&["newest frame"]);
    t.press("?");
    t.shows(&["keys", "hold the picture", "the mapping is read-only"]);
    t.press(ESC);
    until(|| !t.text().contains("hold the picture"));
    t.press("p");
    t.shows(&["HELD"]);
    let id = |text: &str| text.lines().find(|l| l.contains(" in slot ")).map(str::to_owned);
    // The screen is read while it is drawn. Another drawing comes after all of the held picture.
    t.press("?");
    t.shows(&["hold the picture"]);
    t.press(ESC);
    until(|| !t.text().contains("hold the picture") && id(&t.text()).is_some());
    let held = t.text();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(id(&held), id(&t.text()));
    t.press("p");
    until(|| id(&held) != id(&t.text()));
    t.press("q");
    assert!(t.ends().success());
}

#[test]
fn every_way_to_end_restores_the_terminal() {
    if cannot_run() {
        return;
    }
    let name = unique("ends");
    let _serve = serve(&name, &[]);
    for how in ["q", "\x03", "TERM", "INT", "HUP"] {
        let mut t = Terminal::start(&["inspect", &name], 80, 24, &[]);
        t.shows(&["newest frame"]);
        match how.len() {
            1 => t.press(how),
            _ => {
                let id = t.id().to_string();
                assert!(std::process::Command::new("kill").args(["-s", how, &id]).status().unwrap().success());
            }
        }
        assert!(t.ends().success(), "{how:?}");
    }
}

#[test]
fn any_size_will_do() {
    if cannot_run() {
        return;
    }
    let name = unique("size");
    let _serve = serve(&name, &["--echo"]);
    let mut t = Terminal::start(&["inspect", &name], 80, 24, &[]);
    t.shows(&["memory:", "rate", "newest frame", "readers: 0 of 16", "q quit"]);
    for (columns, rows) in [(200, 60), (40, 12), (120, 40), (25, 6), (10, 3), (1, 1), (300, 20), (80, 24)] {
        t.resize(columns, rows);
        if columns >= 40 {
            t.shows(&["shmx", "● live", "1 overview"]);
            let widest = || t.text().lines().map(|l| l.chars().count()).max().unwrap_or(0);
            until(|| widest() >= columns as usize - 2);
        }
        assert!(t.is_running(), "{columns}x{rows}");
    }
    t.shows(&["memory:", "rate", "newest frame", "readers: 0 of 16", "q quit"]);
    t.press("q");
    assert!(t.ends().success());
}

#[test]
fn it_waits_for_a_server_and_follows_the_next_one() {
    if cannot_run() {
        return;
    }
    let name = unique("follow");
    let mut t = Terminal::start(&["inspect", &name], 100, 30, &[]);
    t.shows(&["waiting for", "no shared-memory object is named", "○ not there"]);
    let first = serve(&name, &[]);
    t.shows(&["● live", "newest frame", "tick_seq"]);
    signal(&first.child, "KILL");
    t.shows(&["× dead"]);
    drop(first);
    let mut second = serve(&name, &["--slots", "5"]);
    t.shows(&["● live", "restarted 1x", "5 slots"]);
    signal(&second.child, "TERM");
    t.shows(&["○ closed", "waiting for a new server"]);
    second.wait();
    let _third = serve(&name, &[]);
    t.shows(&["● live", "restarted 2x"]);
    t.press("q");
    assert!(t.ends().success());
}

#[test]
fn a_region_is_picked_from_the_list() {
    if cannot_run() {
        return;
    }
    let name = unique("pick");
    let _serve = serve(&name, &[]);
    let mut t = Terminal::start(&["inspect"], 120, 30, &[]);
    t.shows(&["regions of this machine", "Enter watch"]);
    // Other tests have regions too; they come and go.
    until(|| {
        let (selected, wanted) = t.selection(&name);
        let key = match (selected, wanted) {
            (Some(s), Some(w)) if s == w => return true,
            (Some(s), Some(w)) if s > w => UP,
            _ => DOWN,
        };
        t.press(key);
        std::thread::sleep(std::time::Duration::from_millis(50));
        false
    });
    t.press("\r");
    t.shows(&["● live", "memory:"]);
    t.press("o");
    t.shows(&["regions of this machine"]);
    t.press(ESC);
    assert!(t.ends().success(), "from the list, Esc ends it");
}

#[test]
fn colours_can_be_turned_off() {
    if cannot_run() {
        return;
    }
    let name = unique("colour");
    let _serve = serve(&name, &[]);
    for (env, coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let mut t = Terminal::start(&["inspect", &name], 80, 24, env);
        t.shows(&["● live", "newest frame"]);
        assert_eq!(t.raw().contains("\x1b[38;5;"), coloured);
        t.press("q");
        assert!(t.ends().success());
    }
}

#[test]
fn a_damaged_region_is_shown_field_by_field_and_comes_back() {
    if cannot_run() {
        return;
    }
    use std::os::unix::fs::FileExt;
    let name = unique("damaged");
    let serve = serve(&name, &[]);
    let mut t = Terminal::start(&["inspect", &name], 100, 36, &[]);
    t.shows(&["newest frame"]);
    t.press("q");
    assert!(t.ends().success());
    let file = std::fs::OpenOptions::new().write(true).open(format!("/dev/shm/{name}")).unwrap();
    file.write_all_at(&1000_u32.to_ne_bytes(), 64).unwrap();
    let mut t = Terminal::start(&["inspect", &name], 100, 36, &[]);
    t.shows(&["X damaged", "slot_stride", "X not a multiple of 64", "frame_bytes_cap", "ok"]);
    let o = run(&["inspect", &name, "--once"]);
    assert_eq!(o.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&o.stdout).contains("slot_stride         1000  <-- not a multiple of 64"));
    // A dump of it can be made by other means only, and is shown alike.
    file.write_all_at(&65600_u32.to_ne_bytes(), 64).unwrap();
    t.shows(&["● live", "newest frame"]);
    assert!(run(&["inspect", &name, "--once"]).status.success());
    // Cut short under its eyes: no signal, but what is left; or a line, if that was while it read.
    signal(&serve.child, "STOP");
    file.set_len(4096).unwrap();
    let damaged = ["X damaged", "the object has 4096"];
    until(|| !t.is_running() || damaged.iter().all(|d| t.text().contains(d)));
    if !t.is_running() {
        until(|| t.text().contains("cut a region short"));
        assert_eq!(t.ends().exit_code(), 1);
        t = Terminal::start(&["inspect", &name], 100, 36, &[]);
        t.shows(&damaged);
    }
    t.press("q");
    assert!(t.ends().success());
}

#[test]
fn prune_asks() {
    if cannot_run() {
        return;
    }
    let name = unique("prune");
    let mut serve = serve(&name, &[]);
    let t = Terminal::start(&["prune", &name], 80, 24, &[]);
    t.shows(&["no dead regions"]);
    assert!(t.ends().success());
    serve.child.kill().unwrap();
    serve.wait();
    for (answer, says) in
        [("n\r", "nothing was removed"), ("\r", "nothing was removed"), ("y\r", "1 dead region removed")]
    {
        let mut t = Terminal::start(&["prune", &name], 80, 24, &[]);
        t.shows(&[&name, "remove 1 dead region", "[y/N]"]);
        t.press(answer);
        t.shows(&[says]);
        assert!(t.ends().success());
    }
    assert!(common::gone(&name));
}

/// Where the server rings always these commands sleep until a frame or a key comes.
#[test]
fn screens_that_sleep_show_frames_and_hear_keys() {
    if cannot_run() {
        return;
    }
    let name = unique("bell");
    let server = shmx::Server::builder(&*name).ring_always(true).stream(shmx::Stream::<u64>::new(1, "t"), 1);
    let mut server = server.create().unwrap();
    let mut publish = |n: u64| {
        let mut frame = server.begin_frame().unwrap();
        frame.append_stream(1, &[n]).unwrap();
        frame.publish_frame(0.0).unwrap();
    };
    publish(1);
    let mut inspect = Terminal::start(&["inspect", &name], 80, 24, &[]);
    let mut view = Terminal::start(&["view", &name, "--stream", "t"], 80, 24, &[]);
    inspect.shows(&["frame 1 in slot"]);
    view.shows(&["1 of 1 frame,"]);
    for n in 2..=20_u64 {
        publish(n);
        let told = format!("frame {n} in slot");
        inspect.shows(&[&told]);
        view.shows(&[&format!("{n} of {n} frames")]);
    }
    inspect.press("?");
    inspect.shows(&["this help"]);
    inspect.press("?q");
    view.press("q");
    assert!(inspect.ends().success() && view.ends().success());
}

#[test]
fn all_regions_are_watched_at_once() {
    if cannot_run() {
        return;
    }
    let (slow, fast) = (unique("slow"), unique("fast"));
    let serve = |name: &str, hz: &str| common::Running::start(common::shmx(&["serve", name, "--hz", hz]));
    let _servers = [serve(&slow, "20"), serve(&fast, "400")];
    let mut t = Terminal::start(&["top", &slow, &fast, "--interval", "0.2s", "--sort", "rate"], 160, 40, &[]);
    let place = |text: &str, name: &str| text.lines().position(|l| l.starts_with(name));
    let ordered = |t: &Terminal, first: &str, last: &str| {
        let text = t.text();
        let both = place(&text, first).zip(place(&text, last));
        both.is_some_and(|(a, b)| a < b)
    };
    until(|| ordered(&t, &fast, &slow));
    assert!(t.text().contains("sorted by rate"));
    t.press("r");
    until(|| ordered(&t, &slow, &fast));
    t.press("sss");
    t.shows(&["sorted by name"]);
    t.resize(80, 24);
    t.press("q");
    assert!(t.ends().success());
}

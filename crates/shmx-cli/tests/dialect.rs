//! One command line: one way to write times and sizes, one form of data, one meaning of each exit code.

#![cfg(target_os = "linux")]

use crate::common::pty::Terminal;
use crate::common::{self, Folder, Running, cannot_run, lines, run, serve, shmx, unique, until, words};
use shmx::{Server, Stream};
use std::io::Write;
use std::process::{Output, Stdio};

fn text(o: &Output) -> String {
    String::from_utf8(o.stdout.clone()).unwrap()
}

#[test]
fn times_and_sizes_are_written_alike_everywhere() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("units");
    let name = unique("units");
    let _serve = serve(&name, &["--slots", "64"]);
    let (other, file) = (unique("other"), folder.path("a.mcap"));
    for args in [
        &["serve", &other, "--seconds", "50ms", "--frame-bytes", "64K", "--control-bytes", "4KiB"][..],
        &["record", &name, "-o", &file, "--seconds", "100ms", "--backlog", "16M", "--flush", "0.05s"],
        &["read", &name, "--frames", "1", "--timeout", "10s", "--wait-server", "1m"],
        &["cat", &name, "--stream", "42", "--frames", "1", "--timeout", "10000ms"],
        &["hz", &name, "--seconds", "0.3s"],
        &["ls", "--seconds", "10ms"],
        &["send", &name, "user", "--timeout", "20s"],
        &["wait", &name, "--timeout", "10s"],
        &["play", &file, "--prefix", "u-", "--from", "10ms", "--to", "50ms", "--keep", "1ms"],
    ] {
        let o = run(args);
        assert!(common::was_read(&o), "{args:?}: {}", words(&o));
    }
    for args in
        [&["serve", "x", "--frame-bytes", "5G"][..], &["read", "x", "--timeout", "1y"], &["serve", "x", "--mode", "9"]]
    {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
}

/// Every command that can print data prints objects, one on each line, that say what they are.
#[test]
fn json_is_one_object_on_each_line() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("json");
    let name = unique("json");
    let _serve = serve(&name, &["--slots", "64"]);
    let (file, dump) = (folder.path("a.mcap"), folder.path("a.bin"));
    let (dead, other) = (unique("dead"), unique("other"));
    std::fs::copy(format!("/dev/shm/{}", &*name), format!("/dev/shm/{}", &*dead)).unwrap();
    for (args, kind, codes) in [
        (&["ls", "--seconds", "0"][..], "region", &[0][..]),
        (&["top", "--once", "--interval", "50ms"], "region", &[0]),
        (&["inspect", &name], "inspect", &[0]),
        (&["inspect", &name, "--raw"], "inspect-raw", &[0]),
        (&["read", &name, "--frames", "2"], "frame", &[0]),
        (&["hz", &name, "--seconds", "0.2"], "rates", &[0]),
        (&["wait", &name], "wait", &[0]),
        (&["send", &name, "user"], "send", &[0]),
        (&["dump", &name, &dump], "dump", &[0]),
        (&["record", &name, "-o", &file, "--frames", "3"], "record", &[0, 3]),
        (&["info", &file], "recording", &[0]),
        (&["rec", &file, "-o", &folder.path("b.mcap")], "rec", &[0]),
        (&["rec", &file, "-o", &folder.path("b.csv"), "--stream", "42"], "export", &[0]),
        (&["play", &file, "--prefix", "j-"], "play", &[0]),
        (&["view", &file, "--limit", "1"], "view", &[0]),
        (&["view", &name, "--no-data"], "view", &[0]),
        (&["doctor"], "finding", &[0, 1]),
        (&["prune", "--dry-run", &dead], "prune", &[0]),
        (&["rm", &dead], "rm", &[0]),
        (&["serve", &other, "--seconds", "0.1"], "serve", &[0]),
    ] {
        let o = run(&[args, &["--json"]].concat());
        assert!(codes.contains(&o.status.code().unwrap()), "{args:?}: {}", words(&o));
        let all = lines(&o);
        assert!(!all.is_empty() && all.iter().all(|v| v["kind"] == kind), "{args:?}: {all:?}");
        // No messages, if they are not wanted; the data stays.
        let quiet = run(&[args, &["--json", "-q", "--help"]].concat());
        assert!(quiet.status.success(), "{args:?} has no -q");
    }
    let o = run(&["view", &file, "--json", "--at", "0", "--stream", "tick_seq"]);
    let view = &lines(&o)[0];
    assert_eq!(
        (&view["frames"], &view["place"], view["streams"].as_object().unwrap().len()),
        (&3.into(), &0.into(), 1)
    );
    assert!(view["streams"]["tick_seq"][0].is_u64() && view["frame_id"].is_u64(), "{view}");
    let o = run(&["wait", &name, "-q"]);
    assert!(o.status.success() && words(&o).is_empty(), "{}", words(&o));
}

/// A camera: what a machine gets of it, unless it asks for more, is short and as people write it.
#[test]
fn data_for_machines_is_short_and_exact() {
    if cannot_run() {
        return;
    }
    let name = unique("camera");
    let image = Stream::<[u8; 3]>::new(1, "image");
    let mut server = Server::builder(&*name).slots(4).image(image, 480, 640, "bgr8").create().unwrap();
    let pixels = vec![[1_u8, 2, 3]; 640 * 480];
    for _ in 0..3 {
        let mut frame = server.begin_frame().unwrap();
        frame.append_stream(image, &pixels).unwrap();
        frame.publish_frame(0.0).unwrap();
    }
    let o = run(&["inspect", &name, "--json"]);
    let v = &lines(&o)[0];
    assert!(o.stdout.len() < 8192, "{} bytes", o.stdout.len());
    assert_eq!(v["header"]["session_id"], format!("{:#018x}", server.session_id()));
    assert_eq!((&v["streams"][0]["name"], &v["streams"][0]["type"]), (&"image".into(), &"u8x3".into()));
    assert_eq!(v["streams"][0]["meta"]["encoding"], "bgr8");
    assert_eq!(v["latest"]["streams"]["image"], serde_json::json!({"elements": 307_200, "type": "u8x3"}));
    let v = &lines(&run(&["inspect", &name, "--json", "--limit", "2"]))[0];
    assert_eq!(v["latest"]["streams"]["image"]["first"], serde_json::json!([[1, 2, 3], [1, 2, 3]]));
    let frame = |more: &[&str]| lines(&run(&[&["read", &name, "--frames", "1", "--json"], more].concat()))[0].clone();
    assert_eq!(frame(&[])["streams"]["image"].as_array().unwrap().len(), 307_200);
    let some = serde_json::json!({"elements": 307_200, "type": "u8x3", "first": [[1, 2, 3]]});
    assert_eq!(frame(&["--limit", "1"])["streams"]["image"], some);
    assert_eq!(frame(&["--no-data"])["streams"]["image"], serde_json::json!({"elements": 307_200, "type": "u8x3"}));
}

/// A server whose frames are overwritten by the second one after them.
fn two_slots(name: &str) -> Server {
    Server::builder(name).slots(2).stream(Stream::<u64>::new(1, "t"), 1).create().unwrap()
}

fn publish(server: &mut Server, n: u64) {
    for _ in 0..n {
        let mut frame = server.begin_frame().unwrap();
        frame.append_stream(1, &[5_u64]).unwrap();
        frame.publish_frame(0.0).unwrap();
    }
}

/// Stops a command, and waits until it stands.
fn stop(command: &Running) {
    common::signal(&command.child, "STOP");
    until(|| std::fs::read_to_string(format!("/proc/{}/stat", command.child.id())).unwrap().contains(") T "));
}

#[test]
fn a_miss_under_all_is_told_by_the_exit_status() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("all");
    let name = unique("all");
    let mut server = two_slots(&name);
    publish(&mut server, 1);
    for (command, rest) in [("read", &["--all"][..]), ("cat", &["--stream", "t"])] {
        let mut c = shmx(&[&[command, &*name, "--frames", "2", "--timeout", "60"], rest].concat());
        let path = folder.path(command);
        let out = std::fs::File::create(&path).unwrap();
        let reader = Running::start({
            c.stdout(out);
            c
        });
        // It has the one that is there. While it is stopped, ten come and eight of them go.
        until(|| std::fs::metadata(&path).unwrap().len() > 0);
        stop(&reader);
        publish(&mut server, 10);
        common::signal(&reader.child, "CONT");
        let o = reader.output();
        assert_eq!(o.status.code(), Some(3), "{command}: {}", words(&o));
        assert!(words(&o).lines().last().unwrap().contains("missed"), "{}", words(&o));
    }
}

/// The same for `record`, which is to have every frame.
#[test]
fn a_recording_with_gaps_is_told_by_the_exit_status() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("gaps");
    let (name, file) = (unique("gaps"), folder.path("a.mcap"));
    let mut server = two_slots(&name);
    publish(&mut server, 1);
    let mut c = shmx(&["record", &name, "-o", &file, "--flush", "10ms", "--json"]);
    let recorder = Running::start({
        c.stdout(Stdio::piped());
        c
    });
    let recorded = || lines(&run(&["info", &file, "--json"])).first().map(|v| v["regions"][0]["frames_read"].clone());
    until(|| recorded() == Some(1.into()));
    // While the recorder is stopped, ten come and eight of them go.
    stop(&recorder);
    publish(&mut server, 10);
    common::signal(&recorder.child, "CONT");
    until(|| recorded() == Some(3.into()));
    common::signal(&recorder.child, "INT");
    let o = recorder.output();
    assert_eq!(o.status.code(), Some(3), "{}", words(&o));
    assert!(words(&o).lines().last().unwrap().contains("8 frames were missed"), "{}", words(&o));
    assert_eq!((&lines(&o)[0]["frames"], &lines(&o)[0]["missed"]), (&3.into(), &8.into()));
}

#[test]
fn an_orderly_end_means_the_same_to_all() {
    if cannot_run() {
        return;
    }
    // The exit code of a command at work on a region whose server then ends.
    let end = |command: &str, more: &[&str], how: &str| {
        let name = unique("end");
        let mut server = serve(&name, &["--slots", "64"]);
        let mut c = shmx(&[&[command, &*name], more].concat());
        let mut reader = Running::start({
            c.stdout(Stdio::piped());
            c
        });
        let mut out = std::io::BufReader::new(reader.child.stdout.take().unwrap());
        // It is at work when something comes.
        std::io::BufRead::fill_buf(&mut out).unwrap();
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        common::signal(&server.child, how);
        let code = reader.output().status.code().unwrap();
        server.wait();
        code
    };
    let cat = ["--stream", "42"];
    let (endless, many) = (&[][..], &["--frames", "100000"][..]);
    for (command, endless, bounded) in [
        ("read", endless, many),
        ("cat", &cat, &["--stream", "42", "--frames", "100000"]),
        ("hz", endless, &["--seconds", "600"]),
    ] {
        // `cat` may miss some when the machine is busy.
        assert!(matches!(end(command, endless, "TERM"), 0 | 3), "{command}");
        assert_eq!(end(command, bounded, "TERM"), 1, "{command} that was to last longer");
        assert_eq!(end(command, endless, "KILL"), 1, "{command} after a crash");
    }
}

#[test]
fn colours_are_for_eyes() {
    if cannot_run() {
        return;
    }
    let log = |args: &[&str], env: &[(&str, &str)]| {
        let name = unique("colour");
        let mut c = shmx(&[&["serve", &*name, "--seconds", "0.05", "-v"], args].concat());
        c.envs(env.iter().copied());
        let o = Running::start(c).output();
        assert!(words(&o).contains("region created"), "{}", words(&o));
        words(&o).contains('\u{1b}')
    };
    assert!(!log(&[], &[]), "into a pipe");
    assert!(log(&["--color", "always"], &[]) && log(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(
        !log(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")])
            && !log(&["--color=never"], &[("CLICOLOR_FORCE", "1")])
    );
    assert!(
        !text(&run(&["--help"])).contains('\u{1b}') && text(&run(&["--color", "always", "--help"])).contains('\u{1b}')
    );
    let name = unique("screen");
    let _serve = serve(&name, &[]);
    for (args, env, coloured) in
        [(&[][..], &[][..], true), (&["--color", "never"], &[], false), (&[], &[("NO_COLOR", "1")], false)]
    {
        let mut t = Terminal::start(&[&["inspect", &*name], args].concat(), 80, 24, env);
        t.shows(&["newest frame"]);
        let found = t.raw().contains("\u{1b}[38;5;");
        t.press("q");
        assert!(t.ends().success());
        assert_eq!(found, coloured, "{args:?} {env:?}");
    }
}

#[test]
fn an_option_does_not_swallow_the_name() {
    if cannot_run() {
        return;
    }
    let name = unique("name");
    let mut c = shmx(&["publish", "--stream", "1:a:u8", "--stream", "2:b:u8", &name, "--keep", "600"]);
    c.stdin(Stdio::piped());
    let mut publish = Running::start(c);
    assert!(publish.line().contains("2 bytes of stdin per frame"));
    publish.child.stdin.take().unwrap().write_all(&[1, 2]).unwrap();
    let o = run(&["send", "--u64", "7", &name, "user"]);
    assert!(o.status.success() && words(&o).contains("8 B sent"), "{}", words(&o));
    assert!(words(&o).contains("taken by the server"), "{}", words(&o));
}

/// Whether its origin takes it, only the bridge knows.
#[test]
fn a_message_to_a_mirror_is_taken_by_its_bridge() {
    if cannot_run() {
        return;
    }
    let name = unique("mirror");
    let mut c = shmx(&["publish", "--stream", "1:shmx_origin:u8", &name, "--keep", "600"]);
    c.stdin(Stdio::piped());
    let mut publish = Running::start(c);
    assert!(publish.line().contains("1 byte of stdin per frame"));
    publish.child.stdin.take().unwrap().write_all(&[1]).unwrap();
    let o = run(&["send", &name, "user"]);
    assert!(o.status.success() && words(&o).contains("taken by the bridge"), "{}", words(&o));
}

#[test]
fn scripts_wait_for_regions() {
    if cannot_run() {
        return;
    }
    let name = unique("wait");
    let wait = Running::start(shmx(&["wait", &name, "--frames", "3", "--readers", "1", "--timeout", "60s"]));
    let server = serve(&name, &[]);
    let client = shmx::Client::open(&name).unwrap();
    assert!(wait.output().status.success());
    drop(client);
    let o = run(&["wait", &name, "--readers", "5", "--timeout", "50ms"]);
    assert_eq!(o.status.code(), Some(1));
    assert!(words(&o).contains("too few readers after 50.0 ms"), "{}", words(&o));
    let gone = Running::start(shmx(&["wait", &name, "--gone"]));
    common::signal(&server.child, "TERM");
    assert!(gone.output().status.success());
    assert_eq!(run(&["wait", &name, "--timeout", "20ms"]).status.code(), Some(1));
}

#[test]
fn a_shell_is_offered_regions_and_streams() {
    if cannot_run() {
        return;
    }
    let name = unique("offered");
    let _serve = serve(&name, &[]);
    let offers = |line: &[&str]| {
        let mut c = shmx(&[&["--", "shmx"], line].concat());
        c.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", line.len().to_string());
        c.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_SPACE", "true");
        let o = Running::start(c).output();
        assert!(o.status.success(), "{}", words(&o));
        text(&o)
    };
    let start = &name[..name.len() - 2];
    assert!(offers(&["read", start]).lines().any(|l| l == &*name));
    assert!(offers(&["rec"]).lines().any(|l| l == "record"));
    let streams = offers(&["read", &name, "--stream", "tick"]);
    assert!(streams.contains("tick_seq") && streams.contains("tick_sim"), "{streams}");
    assert!(text(&run(&["completions", "bash"])).contains("COMPLETE"));
}

#[test]
fn a_view_shows_what_is_there_and_nothing_else() {
    if cannot_run() {
        return;
    }
    let name = unique("view");
    let seven = Stream::<[f32; 7]>::new(1, "seven");
    let image = Stream::<u8>::new(2, "image");
    let mut server = Server::builder(&*name).stream(seven, 1).image(image, 40, 80, "mono8").create().unwrap();
    let bytes: Vec<u8> = (0..40 * 80).map(|i| (i % 80 * 3) as u8).collect();
    for n in 0..4 {
        let mut frame = server.begin_frame().unwrap();
        let value: [f32; 7] = std::array::from_fn(|c| (n * c) as f32);
        frame.append_stream(seven, &[value]).unwrap();
        frame.append_stream(image, &bytes).unwrap();
        frame.publish_frame(0.0).unwrap();
    }
    let screen = text(&run(&["view", &name, "--once", "--stream", "seven", "--mode", "time", "--frames", "4"]));
    assert!((0..7).all(|c| screen.contains(&format!("[{c}]"))), "all components: {screen}");
    let screen = text(&run(&["view", &name, "--once", "--stream", "image"]));
    assert!(!screen.contains('▀'), "{screen}");
    let row = screen.lines().nth(10).unwrap();
    let shades: Vec<usize> = [" .", ":-", "=+", "*#"].iter().filter_map(|two| row.find(|c| two.contains(c))).collect();
    assert!(shades.len() == 4 && row.contains("%"), "from dark to bright: {row:?}");
    // What does not fit is cut visibly.
    let narrow = text(&run(&["view", &name, "--once", "--stream", "seven", "--size", "40x12"]));
    let all: Vec<&str> = narrow.lines().collect();
    assert!(
        [0, all.len() - 2, all.len() - 1].iter().all(|&l| all[l].ends_with('…')) && all[1].contains('…'),
        "{narrow}"
    );
    let o = run(&["view", &name, "--once", "--stream", "nosuch"]);
    assert_eq!(o.status.code(), Some(1));
    assert!(words(&o).contains("no stream `nosuch`") && words(&o).contains("seven, image"), "{}", words(&o));
    let start = std::time::Instant::now();
    let o = run(&["view", "no-such-file.mcap", "--once"]);
    assert_eq!(o.status.code(), Some(1));
    assert!(words(&o).contains("no file `no-such-file.mcap`"), "{}", words(&o));
    assert!(start.elapsed() < std::time::Duration::from_secs(9), "it waits for no server");
}

#[test]
fn what_does_not_fit_the_dashboard_shows_it() {
    if cannot_run() {
        return;
    }
    let name = unique("cut");
    let mut builder = Server::builder(&*name).slots(3);
    for id in 1..=6 {
        builder = builder.stream(shmx::StreamSpec::new(id, format!("s{id}"), shmx::ElementType::U64, 1), 1);
    }
    let mut server = builder.create().unwrap();
    let mut frame = server.begin_frame().unwrap();
    for id in 1..=6 {
        frame.append_stream(id, &[7_414_234_705_812_u64 * u64::from(id)]).unwrap();
    }
    frame.publish_frame(0.0).unwrap();
    let mut t = Terminal::start(&["inspect", &name], 80, 24, &[]);
    t.shows(&["newest frame", " more"]);
    let screen = t.text();
    // Whole, or cut visibly.
    let whole = screen.contains("7414234705812");
    assert!(whole || screen.contains('…'), "{screen}");
    assert!(!screen.lines().any(|l| l.contains("7414234705│") || l.contains("74142347058│")), "{screen}");
    t.press("q");
    assert!(t.ends().success());
}

//! What the program says, to whom, and with which status it ends.

use crate::bridge::{Bridge, PROGRAM, attach, port, publish, serve, unique, until};
use crate::hosts::sh;
use crate::local::{File, mirror_of, pair};
use std::process::Command;

pub(crate) fn unread() {
    let unread = || std::io::pipe().expect("a pipe").1;
    let code = |args: &[&str]| {
        let mut command = Command::new(PROGRAM);
        let out = command.args(args).env("RUST_LOG", "trace").stdout(unread()).stderr(unread()).status();
        out.expect("the program").code()
    };
    assert_eq!(code(&["config"]), Some(0));
    assert_eq!(code(&["run", "--config", "/nowhere/at/all"]), Some(1));
    let nobody = format!("tcp/127.0.0.1:{}", port());
    assert_eq!(code(&["ls", "--timeout", "0.2", "--connect", &nobody]), Some(1));
}

pub(crate) fn ls() {
    let name = unique("ls");
    let mut server = serve(&name, 1000);
    publish(&mut server, 1, &[1]);
    let (robot, _desk, at) = pair(&name, &[]);
    let _client = attach(&mirror_of(&name));
    robot.says("offers");
    let endpoint = format!("tcp/127.0.0.1:{at}");
    let text = sh(&[PROGRAM, "ls", "--connect", &endpoint]).expect("ls");
    let line = text.lines().find(|l| l.contains(&name)).unwrap_or_else(|| panic!("{text}"));
    assert!(line.starts_with("robot ") && line.ends_with("no"), "{text}");
    let json = sh(&[PROGRAM, "ls", "--json", "--connect", &endpoint]).expect("ls");
    let offer: serde_json::Value = json.lines().find_map(|l| serde_json::from_str(l).ok()).expect("json");
    assert_eq!((&offer["host"], &offer["published"]), (&"robot".into(), &1.into()), "{json}");
    assert_eq!((&offer["schema"], &offer["kind"]), (&1.into(), &"offer".into()), "{json}");
    let status = robot.status();
    assert_eq!((&status["schema"], &status["kind"]), (&1.into(), &"bridge".into()), "{status}");
    // Two hosts of one name are told, as their regions cannot be told apart.
    let other = format!("tcp/127.0.0.1:{}", port());
    let twin = Bridge::start(&[], &["--host", "robot", "--export", &name, "--listen", &other]);
    twin.says("offers");
    let both = until("both answer", || {
        let ls = ["ls", "--json", "--connect", &endpoint, "--connect", &other];
        let out = Command::new(PROGRAM).args(ls).output().expect("ls");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        (out.stdout.iter().filter(|&&b| b == b'\n').count() == 2).then_some(said)
    });
    assert!(both.contains("2 bridges call their host `robot`"), "{both}");
    drop(twin);
    let nobody = format!("tcp/127.0.0.1:{}", port());
    let e = sh(&[PROGRAM, "ls", "--timeout", "0.5", "--connect", &nobody]).expect_err("nobody is there");
    assert!(e.contains("no bridge answers"), "{e}");
    let mut command = Command::new(PROGRAM);
    command
        .args(["ls", "-vv", "--timeout", "0.1", "--connect", &nobody])
        .env_remove("RUST_LOG")
        .env_remove("CLICOLOR_FORCE");
    let said = String::from_utf8(command.output().expect("it runs").stderr).expect("text");
    assert!(said.contains(" DEBUG ") && !said.contains('\x1b'), "a log in a file has no colours: {said}");
}

/// A command line or a file that makes no bridge ends with 2, as the help says; what fails ends with 1.
pub(crate) fn usage() {
    let code = |args: &[&str]| {
        let out = Command::new(PROGRAM).args(args).output().expect("it runs");
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let wrong = File::new(&format!("{}.json5", unique("wrong")), "{ exprt: [] }");
    let file = |text: &str| File::new(&format!("{}.json5", unique("wrong")), text);
    let twice = file("{ host: 'a', host: 'b' }");
    let number = file("{ mirrors: 'many' }");
    let foreign = file("{ zenoh: { lisen: {} } }");
    let nameless = file("{ import: [{ regions: ['a/b'], name: '{Region}' }] }");
    let level = file("{ export: [{ regions: ['a'], compress: [{ stream: '*', codec: 'zstd', level: 23 }] }] }");
    let deep = file(&format!("{{ zenoh: {{ metadata: {}{} }} }}", "[".repeat(20_000), "]".repeat(20_000)));
    let unreadable = file("{ zenoh: { transport: { link: { tls: { connect_certificate: '/nowhere.pem' } } } } }");
    let nowhere = file("{ zenoh: { connect: { endpoints: ['tcp/robot'] } } }");
    for (file, says) in [
        (&deep, "nested more than"),
        (&unreadable, "/nowhere.pem"),
        (&nowhere, "`tcp/robot` is no endpoint"),
        (&twice, "duplicate field `host`"),
        (&number, "line 1 column"),
        (&foreign, "unknown field `lisen`"),
        (&nameless, "only {host} and {region}"),
        (&level, "1 to 22"),
    ] {
        let (code, said) = code(&["run", "--config", file.path(), "--host", "h", "--export", "a"]);
        assert!(code == Some(2) && said.contains(says) && !said.contains(".rs"), "{code:?} {said}");
    }
    for args in [
        &["run"][..],
        &["run", "--import", "no-host"],
        &["run", "--export", "robot/camera"],
        &["run", "--export", ""],
        &["run", "--export", "re:("],
        &["run", "--config", wrong.path(), "--export", "a"],
        &["run", "--host", "a b", "--export", "a"],
        &["run", "--status", "0"],
        &["ls", "--config", wrong.path()],
    ] {
        let (code, said) = code(args);
        assert!(code == Some(2) && !said.contains("panicked"), "{args:?}: {code:?} {said}");
    }
    let (code, said) = code(&["run", "--config", "/nowhere.json5", "--export", "a"]);
    assert!(code == Some(1) && said.contains("/nowhere.json5"), "{code:?} {said}");
    let full = file("");
    let line = "ulimit -f 0; exec \"$0\" config >\"$1\"";
    let out = Command::new("sh").args(["-c", line, PROGRAM, full.path()]).output().expect("it runs");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(1) && said.contains("cannot write to stdout"), "{:?} {said}", out.status);
    for files in ["6", "16"] {
        let line = "ulimit -n $1; exec \"$0\" run --host a --export a --listen tcp/127.0.0.1:0";
        let out = Command::new("sh").args(["-c", line, PROGRAM, files]).output().expect("it runs");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(1) && said.contains("ulimit -n"), "{:?} {said}", out.status);
    }
}

/// Nobody is there, and then somebody who does not have what is wanted.
pub(crate) fn alone() {
    let (name, other) = (unique("alone"), unique("other"));
    let _server = serve(&name, 1000);
    let endpoint = format!("tcp/127.0.0.1:{}", port());
    let (here, missing) = (format!("robot/{name}"), format!("robot/{other}"));
    let imports = ["--import", &here, "--import", &missing, "--connect", &endpoint];
    let desk = Bridge::start(&[], &[&["--host", "desk"], &imports[..]].concat());
    desk.says("no bridge can be reached at");
    let exports = ["--export", &name, "--export", &other, "--listen", &endpoint];
    let robot = Bridge::start(&[], &[&["--host", "robot"], &exports[..]].concat());
    let _client = attach(&mirror_of(&name));
    robot.says(&format!("export of `{other}`: there is no such region"));
    assert!(!robot.has_said(&format!("export of `{name}`")), "{}", robot.all_said());
    desk.says(&format!("import of `{missing}`: no bridge within reach offers"));
    assert!(!desk.has_said(&format!("import of `{here}`")), "{}", desk.all_said());
}

/// Whoever asks for errors only is told of errors.
pub(crate) fn quiet() {
    let name = unique("quiet");
    let _server = serve(&name, 1000);
    let mirror = mirror_of(&name);
    let taken = serve(&mirror, 1000);
    let endpoint = format!("tcp/127.0.0.1:{}", port());
    let _robot = Bridge::start(&[], &["--host", "robot", "--export", &name, "--listen", &endpoint]);
    let import = format!("robot/{name}");
    let quiet = ["--quiet", "--host", "desk", "--import", &import, "--connect", &endpoint];
    let desk = Bridge::start(&[], &quiet);
    desk.says("a live server has that name");
    drop(taken);
    let _client = attach(&mirror);
    assert!(!desk.has_said("mirrors `") && !desk.has_said("listens on"), "{}", desk.all_said());
}

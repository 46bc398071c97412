//! Bridges and producers that are killed, or stand still.

use crate::bridge::{Bridge, PROGRAM, attach, origin, port, publish, serve, unique, until};
use crate::children;
use crate::local::{File, SHORT, compare, mirror_of, pair};
use shmx::Client;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Names of the threads of a process.
fn threads(pid: u32) -> Vec<String> {
    let all = std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
    let name = |t: std::fs::DirEntry| std::fs::read_to_string(t.path().join("comm")).ok();
    all.map_while(Result::ok).filter_map(name).map(|name| name.trim().to_owned()).collect()
}

/// A bridge that only imports has its links read by few threads.
pub(crate) fn stopped() {
    let names = [unique("stopped"), unique("goes-on")];
    let mut servers = names.each_ref().map(|name| serve(name, 300_000));
    let endpoints = [port(), port()].map(|port| format!("tcp/127.0.0.1:{port}"));
    let robots =
        [0, 1].map(|i| Bridge::start(&[], &["--host", "robot", "--export", &names[i], "--listen", &endpoints[i]]));
    let [one, two] = names.each_ref().map(|name| format!("robot/{name}"));
    let importer = ["--host", "desk", "--import", &one, "--import", &two];
    let importer = [&importer[..], &["--connect", &endpoints[0], "--connect", &endpoints[1]]].concat();
    let importer = Bridge::start(&[], &importer);
    let mut clients = names.each_ref().map(|name| attach(&mirror_of(name)));
    compare(&mut servers[0], &mut clients[0], 20);
    // zenoh's threads that watch links and read none: the others leave them out.
    let watches = |bridge: &Bridge| threads(bridge.id()).iter().any(|name| name.starts_with("net-"));
    assert!(!watches(&importer), "{:?}", threads(importer.id()));
    assert!(watches(&robots[1]), "{:?}", threads(robots[1].id()));
    shmx_testkit::signal(robots[0].id(), "STOP");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        compare(&mut servers[1], &mut clients[1], 20);
    }
    shmx_testkit::signal(robots[0].id(), "CONT");
    // By now its mirror may have ended and be made anew.
    let id = publish(&mut servers[0], 1, &[1]);
    until("it goes on", || {
        let mut client = Client::open(&mirror_of(&names[0])).ok()?;
        let frame = client.wait(Duration::from_secs(1)).ok()??;
        (origin(&frame).frame_id == id).then_some(())
    });
}

pub(crate) fn killed_importer() {
    let name = unique("killed");
    let mut server = serve(&name, 1000);
    publish(&mut server, 1, &[1]);
    let (_robot, mut desk, _) = pair(&name, &[]);
    let client = attach(&mirror_of(&name));
    desk.kill();
    let there = Path::new("/dev/shm").join(mirror_of(&name));
    until("the mirror's name is gone", || (!there.exists()).then_some(()));
    assert!(client.server_end().is_some(), "its readers are told");
}

/// The process that removes mirrors if this bridge is killed.
fn helper_of(bridge: &Bridge) -> Option<u32> {
    let children = format!("/proc/{0}/task/{0}/children", bridge.id());
    std::fs::read_to_string(children).expect("its helper").trim().parse().ok()
}

/// A helper that stands still holds nobody up.
pub(crate) fn stopped_helper() {
    let name = unique("still");
    let _server = serve(&name, 1000);
    let (_robot, mut desk, _) = pair(&name, &[]);
    let client = attach(&mirror_of(&name));
    shmx_testkit::signal(helper_of(&desk).expect("a helper"), "STOP");
    shmx_testkit::signal(desk.id(), "TERM");
    assert_eq!(desk.code(), Some(0), "{}", desk.all_said());
    assert!(client.server_end().is_some());
}

/// A bridge that stood still itself does not take its origin for silent.
pub(crate) fn stood_still() {
    let name = unique("asleep");
    let mut server = serve(&name, 1000);
    let (robot, desk, _) = pair(&name, &[]);
    let mut client = attach(&mirror_of(&name));
    desk.says("mirrors");
    shmx_testkit::signal(desk.id(), "STOP");
    let woken = Instant::now() + Duration::from_secs(6);
    while Instant::now() < woken {
        publish(&mut server, 1, &[1]);
        std::thread::sleep(Duration::from_millis(100));
    }
    shmx_testkit::signal(desk.id(), "CONT");
    let last = publish(&mut server, 2, &[2]);
    until("the newest frame", || {
        let frame = client.next(Duration::from_secs(1)).expect("the same mirror")?;
        (origin(&frame).frame_id == last).then_some(())
    });
    assert!(!desk.has_said("has lost its origin"), "{}", desk.all_said());
    drop(robot);
}

/// The helper is ended first, as whoever kills all of a name's processes may do.
pub(crate) fn killed_helper() {
    let name = unique("helper");
    let _server = serve(&name, 1000);
    let (_robot, mut desk, _) = pair(&format!("{name}*"), &[]);
    let _client = attach(&mirror_of(&name));
    let first = helper_of(&desk).expect("a helper");
    shmx_testkit::signal(first, "KILL");
    until("another helper", || helper_of(&desk).filter(|h| *h != first));
    // Once it knows of one more it knows of all.
    let later = format!("{name}-later");
    let _server = serve(&later, 1000);
    let _client = attach(&mirror_of(&later));
    desk.kill();
    let left = [name, later].map(|name| Path::new("/dev/shm").join(mirror_of(&name)));
    until("the mirrors' names are gone", || left.iter().all(|name| !name.exists()).then_some(()));
}

/// Another process makes a mirror smaller while it is in use.
pub(crate) fn cut() {
    let name = unique("cut");
    let mut server = serve(&name, 1000);
    publish(&mut server, 1, &[1]);
    let (_robot, mut desk, _) = pair(&name, &[]);
    desk.says("mirrors");
    // This process has not mapped it.
    let mirror = Path::new("/dev/shm").join(mirror_of(&name));
    std::fs::OpenOptions::new().write(true).open(&mirror).and_then(|f| f.set_len(4096)).expect("cut");
    publish(&mut server, 2, &[2]);
    assert_eq!(desk.code(), Some(1), "{}", desk.all_said());
    desk.says("cut a region short");
    std::fs::remove_file(mirror).expect("the rest of it");
}

/// A bridge behind `nohup` outlives its terminal, and one without ends in good order.
pub(crate) fn hung_up() {
    let name = unique("hung");
    let mut server = serve(&name, 300_000);
    let endpoint = format!("tcp/127.0.0.1:{}", port());
    let ignoring = ["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""].map(str::to_owned);
    let robot = Bridge::start(&ignoring, &["--host", "robot", "--export", &name, "--listen", &endpoint]);
    let import = format!("robot/{name}");
    let mut desk = Bridge::start(&[], &["--host", "desk", "--import", &import, "--connect", &endpoint]);
    let mut client = attach(&mirror_of(&name));
    shmx_testkit::signal(robot.id(), "HUP");
    compare(&mut server, &mut client, 20);
    shmx_testkit::signal(desk.id(), "HUP");
    assert_eq!(desk.code(), Some(0), "{}", desk.all_said());
    assert!(client.server_end().is_some());
}

/// A bridge ends in good order beside one that stands still, whether it waits for a link or for an answer.
pub(crate) fn frozen() {
    let name = unique("frozen");
    let _server = serve(&name, 1000);
    let endpoint = format!("tcp/127.0.0.1:{}", port());
    let robot = Bridge::start(&[], &["--host", "robot", "--export", &name, "--listen", &endpoint]);
    let import = format!("robot/{name}");
    let desk = ["--host", "desk", "--import", &import, "--connect", &endpoint];
    let config = File::new(&format!("{name}.json5"), "{ end_after: 60 }");
    let mut before = Bridge::start(&[], &[&desk[..], &["--config", config.path()]].concat());
    let _client = attach(&mirror_of(&name));
    shmx_testkit::signal(robot.id(), "STOP");
    before.says("has lost its origin");
    let mut after = Bridge::start(&[], &desk);
    after.says("connects to");
    for desk in [&mut before, &mut after] {
        shmx_testkit::signal(desk.id(), "TERM");
        assert_eq!(desk.code(), Some(0), "{}", desk.all_said());
    }
}

/// Nobody reads what it writes, and so it cannot end by itself.
pub(crate) fn stuck() {
    let name = unique("stuck");
    let _server = serve(&name, 1000);
    let (_robot, desk, at) = pair(&name, &[]);
    desk.says("mirrors");
    desk.interrupt();
    let (import, endpoint) = (format!("robot/{name}"), format!("tcp/127.0.0.1:{at}"));
    let desk = ["run", "--status", "0.0001", "--host", "desk", "--import", &import, "--connect", &endpoint];
    let mut command = Command::new(PROGRAM);
    let mut desk = command.args(desk).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the bridge");
    let _client = attach(&mirror_of(&name));
    let pipe = desk.stdout.take().expect("stdout");
    let (mut held, mut since) = (0, Instant::now());
    until("a full pipe", || {
        let now = rustix::io::ioctl_fionread(&pipe).expect("its bytes");
        if now != held {
            (held, since) = (now, Instant::now());
        }
        (held > 0 && since.elapsed() > Duration::from_secs(2)).then_some(())
    });
    shmx_testkit::signal(desk.id(), "TERM");
    let code = until("its end", || desk.try_wait().expect("its end")).code();
    let said = std::io::read_to_string(desk.stderr.take().expect("stderr")).expect("text");
    assert!(code == Some(1) && said.contains("did not end in time"), "{code:?} {said}");
    let there = Path::new("/dev/shm").join(mirror_of(&name));
    until("the mirror's name is gone", || (!there.exists()).then_some(()));
}

pub(crate) fn killed_exporter() {
    let name = unique("again");
    let mut server = serve(&name, 1000);
    let first = publish(&mut server, 1, &[1]);
    let endpoint = format!("tcp/127.0.0.1:{}", port());
    let robot = ["--host", "robot", "--export", &name, "--listen", &endpoint];
    let mut before = Bridge::start(&[], &robot);
    let config = format!("{{ end_after: 60, import: [{{ regions: ['robot/{name}'] }}] }}");
    let config = File::new(&format!("{name}.json5"), &config);
    let desk = Bridge::start(&[], &["--host", "desk", "--config", config.path(), "--connect", &endpoint]);
    let mut client = attach(&mirror_of(&name));
    assert_eq!(client.next(SHORT).expect("a mirror").map(|f| origin(&f).frame_id), Some(first));
    before.kill();
    desk.says("has lost its origin");
    let lost = (2..=5).map(|n| publish(&mut server, n, &[1])).last();
    let _after = Bridge::start(&[], &robot);
    let frame = client.next(Duration::from_secs(60)).expect("the same mirror").expect("a frame");
    assert_eq!(Some(origin(&frame).frame_id), lost);
    desk.says("has its origin again");
    // And for good.
    drop(_after);
}

pub(crate) fn killed_producer() {
    let name = unique("producer");
    let produce = ["--produce", &name, "1000", "200"];
    let mut producer = children::start(&[], &produce);
    let (robot, desk, _) = pair(&name, &[]);
    let mut client = attach(&mirror_of(&name));
    let session = origin(&client.next(SHORT).expect("a mirror").expect("a frame")).session;
    let _ = producer.kill();
    let _ = producer.wait();
    until("the mirror ends", || {
        let ended = client.next(Duration::from_millis(10)).is_err();
        client.server_end().filter(|_| ended)
    });
    desk.says("server died, says its origin");
    let mut producer = children::start(&[], &produce);
    let again = until("a new mirror", || {
        let mut client = Client::open(&mirror_of(&name)).ok()?;
        let frame = client.next(SHORT).ok()??;
        Some(origin(&frame).session)
    });
    assert_ne!(again, session);
    drop((robot, desk));
    let _ = producer.kill();
    let _ = producer.wait();
    shmx::remove(&name, false).expect("what the producer left");
}

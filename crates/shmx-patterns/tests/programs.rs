//! The programs as processes: steering, killing and restarting, pictures.
#![cfg(target_os = "linux")]

use shmx::{Client, Frame, Stream};
use shmx_patterns::control::Command as Control;
use shmx_patterns::streams::{APPLIED, GRAVITY, ID, PAUSED, POSITION, STEP, TIME_STEP, VELOCITY};
use shmx_testkit::{PATIENCE, Running, unique, until};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LOG10_BEST: Stream<f64> = Stream::new(5, "log10_best");
const GENERATION: Stream<u64> = Stream::new(8, "generation");

const SIM: &str = env!("CARGO_BIN_EXE_shmx-sim");
const RENDER: &str = env!("CARGO_BIN_EXE_shmx-render");
const OPTIMISE: &str = env!("CARGO_BIN_EXE_shmx-optimise");

/// A process that removes its region when its value goes.
fn start(program: &str, args: &[&str]) -> Running {
    quiet(Command::new(program).args(args))
}

fn quiet(c: &mut Command) -> Running {
    Running::start(c.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).politely()
}

/// The program behind a shell's preparation, as the same process.
fn prepared(script: &str, program: &str, args: &[&str]) -> Running {
    let script = format!("{script}; exec \"$@\"");
    quiet(Command::new("sh").args(["-c", &script, "sh", program]).args(args))
}

fn open(name: &str) -> Client {
    Client::open_within(name, PATIENCE).unwrap()
}

/// Waits until a frame is as it should be.
fn see(client: &mut Client, what: &str, so: impl Fn(&Frame<'_>) -> bool) {
    until(what, || {
        let frame = client.wait(Duration::from_secs(1)).unwrap();
        frame.is_some_and(|f| so(&f))
    });
}

fn send(client: &mut Client, c: Control) {
    client.control_send(c.ty(), &c.body()).unwrap();
}

#[test]
fn the_simulation_applies_what_it_is_told_and_reports_it() {
    let name = unique("steer");
    let _sim = start(SIM, &[&name, "--stars", "200", "--hz", "200"]);
    let mut c = open(&name);
    see(&mut c, "it runs", |f| f.value(STEP).unwrap() > 5);
    send(&mut c, Control::Gravity(2.5));
    c.control_send(0x3001, b"nonsense bytes").unwrap();
    c.control_send(0x3FFF, b"").unwrap();
    see(&mut c, "gravity", |f| f.value(GRAVITY).unwrap() == 2.5 && f.value(APPLIED).unwrap() == 1);
    send(&mut c, Control::Pause(true));
    send(&mut c, Control::TimeStep(0.002));
    see(&mut c, "a pause", |f| f.value(PAUSED).unwrap() && f.value(TIME_STEP).unwrap() == 0.002);
    let at = {
        let f = c.wait(Duration::from_secs(10)).unwrap().unwrap();
        f.value(STEP).unwrap()
    };
    let still = c.wait(Duration::from_secs(10)).unwrap().unwrap();
    assert_eq!(still.value(STEP).unwrap(), at, "frames go on, steps do not");
    drop(still);
    send(&mut c, Control::Step);
    see(&mut c, "one step", |f| f.value(STEP).unwrap() == at + 1);
    send(&mut c, Control::Reset);
    see(&mut c, "a reset", |f| f.value(STEP).unwrap() == 0 && f.value(APPLIED).unwrap() == 5);
    send(&mut c, Control::Pause(false));
    see(&mut c, "it runs again", |f| f.value(STEP).unwrap() > 5);
    let f = c.wait(Duration::from_secs(10)).unwrap().unwrap();
    assert_eq!(f.get(POSITION).unwrap().len(), 200);
    assert_eq!(f.get(VELOCITY).unwrap().len(), 200);
    assert_eq!(f.get(ID).unwrap()[199], 199);
}

#[test]
fn a_simulation_that_is_killed_is_followed_by_the_next() {
    let name = unique("kill");
    for _ in 0..3 {
        let mut sim = start(SIM, &[&name, "--stars", "50", "--hz", "500"]);
        let mut c = open(&name);
        see(&mut c, "it runs", |f| f.value(STEP).unwrap() > 5);
        sim.child.kill().unwrap();
        sim.child.wait().unwrap();
        until("the reader is told", || c.wait(Duration::from_millis(50)).is_err());
    }
    let _sim = start(SIM, &[&name, "--stars", "50"]);
    let mut c = open(&name);
    see(&mut c, "it runs", |f| f.value(STEP).unwrap() > 1);
}

/// `nohup`, and shells without job control, start programs with some signals ignored.
#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let frames = |name: &str| shmx::Inspector::open(name).map_or(0, |i| i.header().frame_seq);
    for (program, more) in [(SIM, ["--stars", "50"]), (OPTIMISE, ["--slots", "8"])] {
        for ignored in ["HUP", "INT"] {
            let name = unique("ignored");
            let args = [&[name.as_str(), "--hz", "200"][..], &more].concat();
            let mut p = prepared(&format!("trap '' {ignored}"), program, &args);
            until("it publishes", || frames(&name) > 0);
            p.signal(ignored);
            // It goes on: what has come by now is passed by far.
            let passed = frames(&name) + 50;
            until("it goes on", || frames(&name) > passed || p.child.try_wait().unwrap().is_some());
            assert!(p.child.try_wait().unwrap().is_none(), "{ignored} ended {program}");
            p.signal("TERM");
            assert_eq!(p.wait().code(), Some(0));
        }
    }
}

#[test]
fn a_still_shows_stars() {
    let name = unique("still");
    let file = std::env::temp_dir().join(format!("{name}.png"));
    let _sim = start(SIM, &[&name, "--stars", "2000", "--skip", "50"]);
    let mut render = start(RENDER, &[&name, "--png", file.to_str().unwrap(), "--size", "320x180", "--wait", "60"]);
    assert_eq!(render.wait().code(), Some(0));
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&file).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (320, 180));
    let lit = pixels.chunks_exact(3).filter(|p| p.iter().any(|&c| c > 60)).count();
    assert!((500..40_000).contains(&lit), "{lit} lit pixels");
    std::fs::remove_file(file).unwrap();
    let mut none = start(RENDER, &["shmx-t-pat-none", "--png", "/dev/null", "--wait", "0.1"]);
    assert_eq!(none.wait().code(), Some(1));
}

#[test]
fn the_optimiser_finds_the_minimum_and_publishes_each_step() {
    let name = unique("search");
    // It lasts a second or two. Once more if it was over before this process looked.
    let start = || start(OPTIMISE, &[&name, "--once", "--hz", "50", "--slots", "1024"]);
    let (mut search, mut client) = (start(), None);
    until("a search is there", || {
        client = Client::open(&name).ok();
        if client.is_none() && search.child.try_wait().unwrap().is_some() {
            search = start();
        }
        client.is_some()
    });
    let mut c = client.unwrap();
    let (mut best, mut generations) = (f64::INFINITY, 0);
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match c.next(Duration::from_millis(100)) {
            Ok(Some(f)) => {
                let now: f64 = f.value(LOG10_BEST).unwrap();
                assert!(now <= best, "the best never gets worse");
                best = now;
                let n: u64 = f.value(GENERATION).unwrap();
                assert!(n > generations);
                generations = n;
            }
            Ok(None) => {}
            Err(_) => break,
        }
    }
    assert!(best < -12.0 && generations > 30, "10^{best} after {generations} generations");
    assert_eq!(search.wait().code(), Some(0));
}

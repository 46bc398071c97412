//! Camera, detector and logger, the programs in `examples`, while they are killed at random.
#![cfg(target_os = "linux")]

#[path = "../examples/camera.rs"]
mod camera;
#[path = "../examples/detector.rs"]
mod detector;
#[path = "../examples/logger.rs"]
mod logger;

use crate::common::{LIMIT, this_program, unique};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

/// Three programs, each with its arguments. All end with this value.
struct Programs {
    camera: String,
    spot: String,
    running: [Child; 3],
    lines: Receiver<String>,
}

/// Says in a child which of the programs it is.
const PART: &str = "SHMX_TEST_PART";
const NAMES: [&str; 3] = ["camera", "detector", "logger"];

/// This program again, in the part of one of the three. Their arguments are filters to the test harness, too.
fn start(which: usize, camera: &str, spot: &str) -> (Child, Option<Receiver<String>>) {
    let arguments = &[vec![camera], vec![camera, spot], vec![spot]][which];
    let mut command = this_program();
    command
        .args(arguments)
        .args(["three_programs::one_of_the_programs", "--exact", "--nocapture"])
        .env(PART, NAMES[which]);
    let out = if which == 2 { Stdio::piped() } else { Stdio::null() };
    let mut child = command.stdin(Stdio::null()).stdout(out).spawn().unwrap();
    let Some(out) = child.stdout.take() else { return (child, None) };
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        // What the harness says has no commas.
        for line in BufReader::new(out).lines().map_while(Result::ok).filter(|line| line.contains(',')) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    (child, Some(lines))
}

/// Not a test by itself.
#[test]
fn one_of_the_programs() {
    match std::env::var(PART).as_deref() {
        Ok("camera") => camera::main().unwrap(),
        Ok("detector") => detector::main().unwrap(),
        Ok("logger") => logger::main().unwrap(),
        _ => {}
    }
}

impl Programs {
    fn start() -> Self {
        let (camera, spot) = (unique("camera"), unique("spot"));
        let [a, b, c] = [0, 1, 2].map(|which| start(which, &camera, &spot));
        Self { running: [a.0, b.0, c.0], lines: c.1.unwrap(), camera, spot }
    }

    fn kill(&mut self, which: usize) {
        self.running[which].kill().unwrap();
        self.running[which].wait().unwrap();
        let (child, lines) = start(which, &self.camera, &self.spot);
        self.running[which] = child;
        if let Some(lines) = lines {
            self.lines = lines;
        }
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in [&self.camera, &self.spot] {
            let _ = shmx::remove(name, false);
        }
    }
}

/// Each program gets on whichever of the others is killed, a hundred times, and what is logged is right.
#[test]
fn they_survive_a_hundred_kills() {
    let mut programs = Programs::start();
    let mut random = fastrand::Rng::with_seed(7);
    // Per session of the detector, the last frame logged by this logger.
    let mut last: HashMap<String, u64> = HashMap::new();
    for round in 0..100 {
        // Three lines that are newer than the last kill: what is queued already proves nothing.
        while programs.lines.try_recv().is_ok() {}
        let begun = Instant::now();
        for _ in 0..3 {
            let line = programs.lines.recv_timeout(LIMIT.saturating_sub(begun.elapsed()));
            let line = line.unwrap_or_else(|_| panic!("round {round}: nothing is logged any more"));
            // Before the first line the harness says what it runs.
            let parts: Vec<&str> = line.rsplit(' ').next().unwrap().split(',').collect();
            let (id, missed): (u64, u64) = (parts[1].parse().unwrap(), parts[2].parse().unwrap());
            let (x, y): (f32, f32) = (parts[3].parse().unwrap(), parts[4].parse().unwrap());
            assert!((4.0..=636.0).contains(&x) && (4.0..=476.0).contains(&y), "{line}");
            if let Some(before) = last.insert(parts[0].to_owned(), id) {
                assert!(id > before && id - before > missed, "{line} after {before}");
            }
        }
        for (child, name) in programs.running.iter_mut().zip(NAMES) {
            assert!(child.try_wait().unwrap().is_none(), "round {round}: the {name} has ended");
        }
        let which = random.usize(0..3);
        if which == 2 {
            last.clear(); // a new logger begins with what is in the ring
        }
        programs.kill(which);
    }
}

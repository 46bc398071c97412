//! Compiles the test programs and runs them.

use crate::interop::output;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(super) const TESTS: &str = "crates/shmx-capi/tests";
pub(super) const INCLUDE: &str = "crates/shmx-capi/include";
const STRICT: &[&str] =
    &["-O2", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-pedantic", "-Werror"];
/// Longer than any program takes, on any machine.
const DEADLINE: Duration = Duration::from_secs(180);

/// Where programs lie, and the libraries that they use.
pub(super) struct Bench {
    pub(super) dir: PathBuf,
    /// Has `libshmx.so` and `libshmx.a`.
    pub(super) lib: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Shared,
    Static,
    /// No library of ours.
    Nothing,
}

/// How to compile a program.
pub(super) struct Recipe<'a> {
    pub(super) compiler: &'a str,
    pub(super) flags: &'a [&'a str],
    pub(super) sources: &'a [&'a str],
    pub(super) link: Link,
    /// Warnings are errors.
    pub(super) strict: bool,
}

impl Bench {
    /// The libraries of the release build, under the names that they are installed by.
    pub(super) fn new(target: &Path) -> Result<Self> {
        Self::of(target, "release", "capi")
    }

    /// Those that tests were built with.
    pub(super) fn of_tests(target: &Path) -> Result<Self> {
        Self::of(target, "debug/deps", "capi-core")
    }

    fn of(target: &Path, profile: &str, folder: &str) -> Result<Self> {
        let dir = target.join(folder);
        let lib = dir.join("lib");
        fs::create_dir_all(&lib)?;
        for (from, to) in [("libshmx_capi.so", "libshmx.so.0"), ("libshmx_capi.a", "libshmx.a")] {
            let to = lib.join(to);
            let _ = fs::remove_file(&to);
            fs::copy(target.join(profile).join(from), &to).with_context(|| format!("copy {from}"))?;
        }
        fs::copy(lib.join("libshmx.so.0"), lib.join("libshmx.so"))?;
        Ok(Self { dir, lib })
    }

    pub(super) fn compile(&self, name: &str, recipe: &Recipe<'_>) -> Result<PathBuf> {
        let program = self.dir.join(name);
        let mut c = Command::new(recipe.compiler);
        if recipe.strict {
            c.args(STRICT);
        }
        c.args(recipe.flags).args(recipe.sources).arg("-o").arg(&program);
        match recipe.link {
            Link::Shared => {
                let rpath = format!("-Wl,-rpath,{}", self.lib.display());
                c.arg("-I").arg(INCLUDE).arg("-L").arg(&self.lib).arg(rpath).arg("-lshmx")
            }
            Link::Static => c.arg("-I").arg(INCLUDE).arg(self.lib.join("libshmx.a")).args(["-lpthread", "-ldl", "-lm"]),
            Link::Nothing => c.arg("-lrt"),
        };
        c.arg("-pthread");
        output(&mut c).with_context(|| format!("compile {name}"))?;
        Ok(program)
    }
}

/// A name that nobody else uses.
pub(super) fn region() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("shmxt-{}-capi{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Whether an object of this name is left, which is removed then.
pub(super) fn left(name: &str) -> bool {
    fs::remove_file(format!("/dev/shm/{name}")).is_ok()
}

/// Runs a program to its end, and returns what it printed.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let mut child = start(command)?;
    finish(&mut child, command)
}

pub(super) fn start(command: &mut Command) -> Result<Child> {
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    piped.spawn().with_context(|| format!("start {command:?}"))
}

/// Waits for a program, which prints less than a pipe holds.
pub(super) fn finish(child: &mut Child, what: &Command) -> Result<String> {
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > DEADLINE {
            child.kill()?;
            let _ = child.wait();
            bail!("{what:?} did not end in {DEADLINE:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let read = |pipe: &mut dyn std::io::Read| -> Result<String> {
        let mut text = Vec::new();
        pipe.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    let out = child.stdout.take().map_or(Ok(String::new()), |mut p| read(&mut p))?;
    let err = child.stderr.take().map_or(Ok(String::new()), |mut p| read(&mut p))?;
    let tail: Vec<&str> = err.lines().rev().take(40).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    ensure!(status.success(), "{status}: {what:?}\n{}", tail.join("\n"));
    Ok(out)
}

/// A peer: a program, its arguments before the role, and where its regions stay after it.
pub(super) struct Peer {
    pub(super) label: &'static str,
    pub(super) command: Vec<PathBuf>,
    /// It leaves the object behind, by design of the original.
    pub(super) leaves: bool,
    /// Python, which takes longer for everything.
    pub(super) slow: bool,
}

impl Peer {
    fn command(&self, role: &[&str]) -> Result<Command> {
        let (program, args) = self.command.split_first().context("no program")?;
        let mut c = Command::new(program);
        c.args(args).args(role);
        Ok(c)
    }
}

/// One serves, the other reads: every value of every frame is compared.
pub(super) fn pair(server: &Peer, reader: &Peer, ticks: u32) -> Result<()> {
    let name = region();
    // A slow reader takes few frames of a quick server.
    let ticks = match (server.slow, reader.slow) {
        (true, _) => 100,
        (false, true) => 20_000,
        (false, false) => ticks,
    };
    let mut serve = server.command(&["serve", &name, "1"])?;
    let mut read = reader.command(&["read", &name, &ticks.to_string()])?;
    let mut serving = start(&mut serve)?;
    let mut reading = start(&mut read)?;
    let got = finish(&mut reading, &read).with_context(|| format!("{} reads from {}", reader.label, server.label));
    if got.is_err() {
        let _ = serving.kill();
    }
    let sent = finish(&mut serving, &serve).with_context(|| format!("{} serves {}", server.label, reader.label));
    let stayed = left(&name);
    let frames = got?;
    sent?;
    ensure!(frames.starts_with("read ") && frames.trim() != "read 0", "{} read nothing: {frames}", reader.label);
    ensure!(!stayed || server.leaves, "{} left its region behind", server.label);
    Ok(())
}

/// One hands out frames in pieces and is killed in the middle of the last one, of which the other has half: there is no
/// such frame.
pub(super) fn pieces(server: &Peer, reader: &Peer) -> Result<()> {
    let name = region();
    let mut serve = server.command(&["serve", &name])?;
    let mut read = reader.command(&["read", &name])?;
    let mut serving = start(&mut serve)?;
    let mut reading = start(&mut read)?;
    // The reader gives up by itself if nothing comes.
    let mut said = BufReader::new(reading.stdout.take().context("no pipe")?).lines();
    let half = said.next().transpose()?;
    let alive = serving.try_wait()?.is_none();
    let _ = serving.kill();
    let killed = finish(&mut serving, &serve);
    let ended = said.next().transpose()?.unwrap_or_default();
    finish(&mut reading, &read).with_context(|| format!("{} follows {}", reader.label, server.label))?;
    left(&name);
    ensure!(alive, "{} ended by itself: {killed:?}", server.label);
    ensure!(half.as_deref() == Some("half"), "{} said {half:?}", reader.label);
    let words: Vec<&str> = ended.split_whitespace().collect();
    // One frame in seven is given up, which the reader need not see; the last one comes to nothing.
    let ["frames", "52", "voids", voids] = words[..] else { bail!("{} said {ended}", reader.label) };
    ensure!((1..=9).contains(&voids.parse::<u32>()?), "{ended}");
    Ok(())
}

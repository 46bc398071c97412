//! Child processes with line-wise answers and a deadline for each.

use anyhow::{Context, Result, bail, ensure};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longest wait for one answer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The command that plays readers, where it is not this program.
static READERS: OnceLock<String> = OnceLock::new();

/// Lets `words` play the readers from now on.
pub(crate) fn set_readers(words: &str) {
    let _ = READERS.set(words.to_owned());
}

fn command_of(words: &str) -> Result<Command> {
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().context("an empty command")?);
    command.args(words);
    Ok(command)
}

/// A child process; killed when dropped.
pub(crate) struct Proc {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    what: String,
}

impl Proc {
    /// Starts this program in another part, or the build of it that plays the readers.
    pub(crate) fn peer(args: &[&str]) -> Result<Self> {
        let reads = matches!(args.first(), Some(&("reader" | "storm" | "ping" | "hold")));
        let mut command = match READERS.get() {
            Some(words) if reads => command_of(words)?,
            _ => shmx_testkit::program(&std::env::current_exe()?),
        };
        command.args(args);
        Self::start(command, args.join(" "))
    }

    pub(crate) fn start(mut command: Command, what: String) -> Result<Self> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().with_context(|| format!("start {what}"))?;
        let stdout = child.stdout.take().context("no stdout")?;
        let stdin = child.stdin.take();
        let (tx, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if tx.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, stdin, lines, what })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of output.
    pub(crate) fn line(&mut self) -> Result<String> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("no answer within {DEADLINE:?} from: {}", self.what),
            Err(RecvTimeoutError::Disconnected) => bail!("ended without an answer: {}", self.what),
        }
    }

    /// The next line, which must start with `word`; the rest are `key=value` pairs.
    pub(crate) fn expect(&mut self, word: &str) -> Result<Figures> {
        let line = self.line()?;
        self.figures(word, line)
    }

    /// The same, if the line comes within `wait`.
    pub(crate) fn try_expect(&mut self, word: &str, wait: Duration) -> Result<Option<Figures>> {
        match self.lines.recv_timeout(wait) {
            Ok(line) => self.figures(word, line).map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("ended without an answer: {}", self.what),
        }
    }

    fn figures(&self, word: &str, line: String) -> Result<Figures> {
        let mut words = line.split_whitespace();
        ensure!(words.next() == Some(word), "{word:?} expected, {line:?} found, from: {}", self.what);
        let pairs = words.filter_map(|w| w.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Ok(Figures { pairs, line })
    }

    /// Sends a line to the child's stdin.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("stdin is closed")?;
        writeln!(stdin, "{line}")?;
        stdin.flush()?;
        Ok(())
    }

    /// Closes the child's stdin, which asks it to end.
    pub(crate) fn stop(&mut self) {
        self.stdin = None;
    }

    /// Waits for the child to end in good order.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.stop();
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{status}: {}", self.what);
                return Ok(());
            }
            ensure!(Instant::now() < end, "does not end: {}", self.what);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills the child with no chance to clean up (SIGKILL on Unix) and waits for its end.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        // Only this child; fails harmlessly if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The `key=value` pairs of one line.
pub(crate) struct Figures {
    pairs: HashMap<String, String>,
    line: String,
}

impl Figures {
    pub(crate) fn get(&self, key: &str) -> Result<u64> {
        let value = self.pairs.get(key).with_context(|| format!("no {key} in {:?}", self.line))?;
        value.parse().with_context(|| format!("{key} in {:?}", self.line))
    }

    pub(crate) fn line(&self) -> &str {
        &self.line
    }
}

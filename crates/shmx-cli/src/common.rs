//! What the commands share.

use crate::stop;
use anyhow::{Context, anyhow};
use shmx::abi::{CONTROL_BYE, CONTROL_HEARTBEAT, CONTROL_HELLO};
use shmx::error::{OpenError, ServerEnd};
use shmx::{Client, ClientOptions, Server, ServerBuilder};
use std::time::{Duration, Instant};

/// Longest wait before the stop flag is polled.
pub(crate) const SLICE: Duration = Duration::from_millis(100);
/// Readers without a lock are reaped after this time without a sign of life.
const STALE: Duration = Duration::from_secs(5);

/// Messages for people. A closed stderr is no reason to fail.
pub(crate) fn say(words: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{words}");
}

/// The error with its causes on one line; a cause that its parent already tells is not told twice.
pub(crate) fn one_line(e: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in e.chain() {
        let text = cause.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line.replace('\n', " ")
}

pub(crate) fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.chain().any(|c| c.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

/// Bytes from hex digits; blanks between them are allowed.
pub(crate) fn hex_bytes(s: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = s.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() % 2 == 1 {
        return Err(format!("`{s}` has an odd number of hex digits"));
    }
    let byte = |pair: &[char]| Some((pair[0].to_digit(16)? * 16 + pair[1].to_digit(16)?) as u8);
    digits.chunks_exact(2).map(byte).collect::<Option<_>>().ok_or_else(|| format!("`{s}` holds more than hex digits"))
}

/// Does what may wait for somebody on a thread of its own, so that a signal ends the command at once; `None` then.
pub(crate) fn interruptible<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(work()));
    loop {
        match receive.recv_timeout(SLICE) {
            Ok(done) => return Some(done),
            Err(_) if stop::requested() => return None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return None,
        }
    }
}

pub(crate) fn create(name: &str, builder: &ServerBuilder) -> anyhow::Result<Server> {
    builder.create().with_context(|| format!("cannot create region `{name}`"))
}

/// Opens a region, trying for a while if it is not there; `None` if the command is to end.
pub(crate) fn open(name: &str, wait: Duration, options: &ClientOptions) -> anyhow::Result<Option<Client>> {
    let until = Instant::now() + wait;
    loop {
        match options.open(name) {
            Ok(client) => return Ok(Some(client)),
            Err(OpenError::ServerGone { .. } | OpenError::Os(shmx_os::OpenError::NotFound { .. }))
                if Instant::now() < until =>
            {
                if !stop::sleep_until(Instant::now() + Duration::from_millis(2)) {
                    return Ok(None);
                }
            }
            Err(e) => {
                return Err(anyhow::Error::new(e).context(format!("cannot open region `{name}`")));
            }
        }
    }
}

/// What to say of a server that is gone.
pub(crate) fn gone(name: &str, end: ServerEnd) -> anyhow::Error {
    match end {
        ServerEnd::Closed => anyhow!("the server of `{name}` has left; start it again"),
        ServerEnd::Died => {
            anyhow!(
                "the server of `{name}` died without leaving in order; start it again, or see `shmx inspect {name}`"
            )
        }
        other => anyhow!("the server of `{name}` {other}; start it again"),
    }
}

pub(crate) fn cut_short(name: &str) -> anyhow::Error {
    anyhow!("the object of `{name}` was cut short by another process; end its server and start it again")
}

/// Text from shared memory without what would steer a terminal.
pub(crate) fn safe(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect::<String>().into()
}

/// The command line made no sense: exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

pub(crate) fn usage(words: impl Into<String>) -> anyhow::Error {
    Usage(words.into()).into()
}

/// Takes the control messages, tells the usual ones to the log, hands on the rest, and frees the slots of dead readers.
pub(crate) fn attend(server: &Server, mut other: impl FnMut(shmx::ControlMsg)) {
    for m in server.poll_control(4096).messages {
        let what = match m.ty {
            CONTROL_HELLO => "HELLO",
            CONTROL_HEARTBEAT => "HEARTBEAT",
            CONTROL_BYE => "BYE",
            _ => {
                other(m);
                continue;
            }
        };
        tracing::info!(reader = m.reader_index, id = m.reader_id, "{what}");
    }
    for index in server.reap_stale_readers(STALE) {
        tracing::info!(reader = index, "dead reader removed");
    }
}

/// Drift-free pace: the n-th tick is due at start + n / hz, however long each takes.
#[derive(Debug)]
pub(crate) struct Pace {
    start: Instant,
    hz: f64,
    ticks: u64,
}

impl Pace {
    pub(crate) fn new(hz: f64) -> Self {
        Self { start: Instant::now(), hz, ticks: 0 }
    }

    /// When the next tick is due. After more than a second's delay (a suspended machine) the pace starts anew.
    pub(crate) fn next_due(&mut self) -> Instant {
        let due = self.start + Duration::from_secs_f64(self.ticks as f64 / self.hz);
        self.ticks += 1;
        let now = Instant::now();
        if now.saturating_duration_since(due) > Duration::from_secs(1) {
            (self.start, self.ticks) = (now, 1);
            return now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_and_not_sent() {
        assert_eq!(safe("größe/\u{1b}[2J\n"), "größe/\\u{1b}[2J\\n");
        assert!(matches!(safe("größe"), std::borrow::Cow::Borrowed(_)));
    }
}

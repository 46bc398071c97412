//! What the commands share.

use crate::escape::safe;
use crate::exit;
use crate::stop;
use anyhow::{Context, anyhow};
use shmx::abi::layout::RegionLayout;
use shmx::abi::wire::GlobalHeader;
use shmx::abi::{CONTROL_BYE, CONTROL_HEARTBEAT, CONTROL_HELLO};
use shmx::error::{BeginError, CreateError, OpenError, ServerEnd};
use shmx::{Client, ClientOptions, Server, ServerBuilder};
use shmx_record::hex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest wait before the stop flag is polled.
pub(crate) const SLICE: Duration = Duration::from_millis(100);
/// Readers without a lock are reaped after this time without a sign of life.
const STALE: Duration = Duration::from_secs(5);

static QUIET: AtomicBool = AtomicBool::new(false);
/// Whether a command has the whole screen, and nothing else may be written there.
static FULL_SCREEN: AtomicBool = AtomicBool::new(false);

/// Whether messages are left out, but for errors.
pub(crate) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Whether only errors are told.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Holds back the log for as long as a command has the whole screen.
pub(crate) fn set_full_screen(on: bool) {
    FULL_SCREEN.store(on, Ordering::Relaxed);
}

/// Where the log goes.
pub(crate) fn log_writer() -> Box<dyn std::io::Write> {
    use std::io::IsTerminal;
    let stderr = std::io::stderr();
    if FULL_SCREEN.load(Ordering::Relaxed) && stderr.is_terminal() {
        return Box::new(std::io::sink());
    }
    Box::new(stderr)
}

/// Messages for people. A closed stderr is no reason to fail.
pub(crate) fn say(words: std::fmt::Arguments<'_>) {
    if !is_quiet() {
        complain(words);
    }
}

/// The same, also when it is to be quiet. What other processes wrote is in many messages, so nothing in them steers a
/// terminal.
pub(crate) fn complain(words: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let words = words.to_string();
    let _ = writeln!(std::io::stderr().lock(), "{}", safe(&words));
}

fn advice_on_begin(e: &BeginError) -> Option<String> {
    let BeginError::NameLost { name } = e else { return None };
    Some(format!("the name `{name}` was removed by somebody else; start it again, or with --on-name-loss come-back"))
}

/// Files are named by those who write them: what has no name is stdout. Bare, it sounds as if `/dev/shm` were full.
fn full_output(e: &std::io::Error) -> Option<String> {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(e.kind(), FileTooLarge | QuotaExceeded | StorageFull).then(|| format!("cannot write to stdout: {e}"))
}

/// The error with its causes on one line.
pub(crate) fn one_line(e: &anyhow::Error) -> String {
    let mut texts = Vec::new();
    for cause in e.chain() {
        let create = cause.downcast_ref::<CreateError>();
        // A mere heading: the command has said what it was doing.
        if matches!(create, Some(CreateError::Os(_) | CreateError::Step(_) | CreateError::Existing(_))) {
            continue;
        }
        // What the library advises is written for programs; the command has words of its own.
        let text = create.and_then(advice_on_create).or_else(|| advice_on_begin(cause.downcast_ref()?));
        let text = text.or_else(|| full_output(cause.downcast_ref()?).filter(|_| texts.is_empty()));
        texts.push(text.unwrap_or_else(|| cause.to_string()));
    }
    shmx_record::escape::one_line(texts)
}

/// What to do about a region that cannot be created, in terms of the command line.
fn advice_on_create(e: &CreateError) -> Option<String> {
    Some(match e {
        CreateError::ReferenceMade { name } => format!(
            "region `{name}` was made by another SHMX implementation that holds no lock, so nobody can tell whether it is \
             in use; stop its server, then add --replace"
        ),
        CreateError::NotARegion { name } => {
            format!("`{name}` exists and is not an SHMX region; use another name, or add --replace to remove it")
        }
        CreateError::Directory { .. } | CreateError::StrayBytes => "the directory is damaged".to_owned(),
        _ => return None,
    })
}

pub(crate) fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.chain().any(|c| c.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe))
}

/// Bytes from hex digits; blanks between them are allowed.
pub(crate) fn hex_bytes(s: &str) -> Result<Vec<u8>, String> {
    let digits: String = s.chars().filter(|c| !c.is_whitespace()).collect();
    if !digits.len().is_multiple_of(2) {
        return Err(format!("`{s}` has an odd number of hex digits"));
    }
    hex::decode(&digits).ok_or_else(|| format!("`{s}` holds more than hex digits"))
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

/// The beginning of an error.
pub(crate) fn cannot_open(name: &str) -> String {
    format!("cannot open region `{name}`")
}

/// Regions larger than this take a moment to make: all of their memory is reserved and zeroed. It has no name until
/// then, and gets none if a signal came meanwhile, so nothing is left.
const LARGE: u64 = 1 << 30;

pub(crate) fn create(name: &str, builder: &ServerBuilder) -> anyhow::Result<Server> {
    let failed = || format!("cannot create region `{name}`");
    if let Ok(layout) = builder.layout()
        && u64::from(layout.total_bytes()) > LARGE
    {
        let total = crate::units::bytes(layout.total_bytes().into());
        let readers = u64::from(layout.reader_slots());
        let rings = crate::units::bytes(readers * u64::from(layout.control_stride()));
        say(format_args!(
            "reserving {total} of shared memory for `{name}`, {rings} of it for messages of {}",
            crate::units::count(readers, "reader")
        ));
    }
    match builder.create_if(|| !stop::requested()) {
        Err(CreateError::NotWanted) => Err(exit::interrupted(&format!("region `{name}` was not made"))),
        made => made.with_context(failed),
    }
}

/// Opens a region, trying for a while if it is not there; `None` if the command is to end.
pub(crate) fn open(name: &str, wait: Duration, options: &ClientOptions) -> anyhow::Result<Option<Client>> {
    let until = Instant::now() + wait;
    loop {
        match options.open(name) {
            Ok(client) => {
                opened(name, &client.header(), client.layout());
                return Ok(Some(client));
            }
            Err(OpenError::ServerGone { .. } | OpenError::Os(shmx_os::OpenError::NotFound { .. }))
                if Instant::now() < until =>
            {
                if !stop::sleep_until(Instant::now() + Duration::from_millis(2)) {
                    return Ok(None);
                }
            }
            Err(e) => {
                return Err(anyhow::Error::new(e).context(cannot_open(name)));
            }
        }
    }
}

/// Logs which region was opened.
pub(crate) fn opened(name: &str, header: &GlobalHeader, layout: &RegionLayout) {
    tracing::info!(
        region = %safe(name),
        session = format_args!("{:#018x}", header.session_id),
        server_pid = header.ext_server_pid,
        slots = layout.slots(),
        frame_bytes = layout.frame_bytes_cap(),
        readers = layout.reader_slots(),
        published = header.frame_seq,
        "region opened"
    );
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

/// The name of the program that a process runs, if the process is seen to use the region. Ids in a region may be of
/// another process namespace, or used again.
pub(crate) fn program(region: &shmx::Inspector, pid: u32) -> Option<String> {
    let uses = region.is_used_by(pid) == Some(true);
    uses.then(|| shmx_os::process_name(pid)).flatten().map(|name| safe(&name).into_owned())
}

pub(crate) fn cut_short(name: &str) -> anyhow::Error {
    anyhow!("the object of `{name}` was cut short by another process; end its server and start it again")
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
    fn an_error_is_told_once_and_in_words_of_the_command_line() {
        let io = std::io::Error::from_raw_os_error(30);
        let os = shmx_os::CreateError::Os { step: "create a file in /dev/shm", source: io };
        let e = anyhow::Error::new(CreateError::Os(os)).context("cannot create region `a`");
        let line = one_line(&e);
        // What the number means, and what to do about it, is Linux's.
        let words = ["os error 30", "create a file", "remount,rw"];
        let words = if cfg!(target_os = "linux") { &words[..] } else { &words[..2] };
        let once = words.iter().all(|t| line.matches(t).count() == 1);
        assert!(once && !line.contains("cannot create shared memory"), "{line}");
        let e = anyhow::Error::new(CreateError::NotARegion { name: "a\u{1b}[2J".into() });
        let line = one_line(&e);
        assert!(line.contains("add --replace") && !line.contains("replace(true)"), "{line}");
        assert!(line.contains("a\\u{1b}[2J"), "{line}");
    }
}

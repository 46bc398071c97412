//! Signals.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the handler writes. Set once, before the handler is installed.
static WORDS: OnceLock<&'static str> = OnceLock::new();
/// The terminal on stdin as it was, and what puts its screen back.
static TERMINAL: OnceLock<(libc::termios, &'static str)> = OnceLock::new();
static TERMINAL_CHANGED: AtomicBool = AtomicBool::new(false);

pub(crate) fn signal_is_ignored(signal: i32) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one to `now`, which is valid for that.
    let answer = unsafe { libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) };
    // SAFETY: zeroed or written by the kernel; any bits are a `sigaction`, whose handler is a number here.
    let now = unsafe { now.assume_init() };
    answer == 0 && now.sa_sigaction == libc::SIG_IGN
}

pub(crate) fn explain_bus_errors(words: &'static str) {
    if WORDS.set(words).is_err() {
        return;
    }
    // SAFETY: all zeros is a `sigaction`: no flags, an empty mask, the default handler.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) as usize;
    // One that comes within the handler ends the process as it would without.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESETHAND;
    // SAFETY: the handler has the type that the flags announce, lives as long as the program, and makes calls only that
    // are allowed in signal handlers.
    let _ = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) };
}

pub(crate) fn restore_terminal_on_bus_error(screen: Option<&'static str>) {
    if let Some(screen) = screen
        && TERMINAL.get().is_none()
    {
        let mut mode = MaybeUninit::<libc::termios>::zeroed();
        // SAFETY: `mode` is valid for writes of a `termios`.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, mode.as_mut_ptr()) } == 0 {
            // SAFETY: the call has succeeded and filled it.
            let mode = unsafe { mode.assume_init() };
            let _ = TERMINAL.set((mode, screen));
        }
    }
    TERMINAL_CHANGED.store(screen.is_some(), Ordering::Release);
}

fn write(bytes: &[u8]) {
    // SAFETY: the bytes are valid for reads; `write` is allowed in signal handlers.
    let _ = unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

extern "C" fn handle(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    if TERMINAL_CHANGED.load(Ordering::Acquire)
        && let Some((mode, screen)) = TERMINAL.get()
    {
        // SAFETY: the mode was given by the system; `tcsetattr` is allowed in signal handlers.
        let _ = unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw const *mode) };
        write(screen.as_bytes());
    }
    // `get` is a load; nothing is initialised here.
    write(WORDS.get().map_or(b"", |w| w.as_bytes()));
    // SAFETY: ends the process at once, without the handlers of exit, which are not allowed here.
    unsafe { libc::_exit(1) };
}

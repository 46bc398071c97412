//! Keys from a terminal, without waiting for the Enter key.

use crate::job;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What puts the screen back: nothing was drawn but a line.
const LINE: &str = "\r\n";

/// Keys as they come, while this lives and the command has the terminal. Without a terminal there are none.
///
/// A background job must neither read the terminal nor change its mode: the shell would stop it. So this takes the
/// terminal when the command comes to the foreground, and leaves it alone elsewhere.
pub(crate) struct Keys {
    terminal: bool,
    raw: bool,
    resumed: Arc<AtomicBool>,
}

impl Keys {
    /// Takes the keys of stdin if it is a terminal, and stderr too, which shows what they do.
    pub(crate) fn new() -> Self {
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let mut keys = Self { terminal, raw: false, resumed: Arc::default() };
        #[cfg(unix)]
        if terminal {
            let _ = signal_hook::flag::register(signal_hook::consts::SIGCONT, keys.resumed.clone());
        }
        keys.follow();
        keys
    }

    /// Whether keys are heard now.
    pub(crate) const fn on(&self) -> bool {
        self.raw
    }

    /// Takes the terminal or leaves it to whoever has it now.
    fn follow(&mut self) {
        let mine = self.terminal && in_foreground();
        // A stopped job that goes on finds the terminal in the mode that the shell wants.
        if self.resumed.swap(false, Ordering::Relaxed) || !mine {
            self.raw = false;
        }
        if mine && !self.raw {
            shmx_os::signal::restore_terminal_on_bus_error(Some(LINE));
            // The library may believe that its mode is still there, and do nothing.
            let _ = terminal::disable_raw_mode();
            self.raw = terminal::enable_raw_mode().is_ok();
        }
    }

    /// The next key that was pressed, if there is one. Ctrl-C is `q`; Ctrl-Z stops the command, as everywhere.
    pub(crate) fn next(&mut self) -> Option<KeyCode> {
        self.follow();
        while self.raw && event::poll(Duration::ZERO).unwrap_or(false) {
            let Ok(Event::Key(key)) = event::read() else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            return match key.code {
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(KeyCode::Char('q')),
                KeyCode::Char('z') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    self.suspend();
                    continue;
                }
                code => Some(code),
            };
        }
        None
    }

    /// Stops this job, with the terminal as the shell wants it.
    fn suspend(&mut self) {
        let _ = terminal::disable_raw_mode();
        self.raw = false;
        stop_job();
        self.follow();
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if self.raw && in_foreground() {
            let _ = terminal::disable_raw_mode();
        }
        shmx_os::signal::restore_terminal_on_bus_error(None);
    }
}

fn in_foreground() -> bool {
    job::in_foreground(std::io::stdin()) == Some(true)
}

#[cfg(unix)]
fn stop_job() {
    let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
}

#[cfg(not(unix))]
fn stop_job() {}

//! Keys from a terminal, without waiting for the Enter key.

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal;
use std::io::IsTerminal;
use std::time::Duration;

/// Keys as they come, while this lives. Without a terminal there are none.
pub(crate) struct Keys {
    raw: bool,
}

impl Keys {
    /// Takes the keys of stdin if it is a terminal, and stderr too, which shows what they do.
    pub(crate) fn new() -> Self {
        let on = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Self { raw: on && terminal::enable_raw_mode().is_ok() }
    }

    pub(crate) const fn on(&self) -> bool {
        self.raw
    }

    /// The next key that was pressed, if there is one. Ctrl-C is `q`.
    pub(crate) fn next(&self) -> Option<KeyCode> {
        while self.raw && event::poll(Duration::ZERO).unwrap_or(false) {
            if let Ok(Event::Key(key)) = event::read()
                && key.kind != KeyEventKind::Release
            {
                let end = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                return Some(if end { KeyCode::Char('q') } else { key.code });
            }
        }
        None
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if self.raw {
            let _ = terminal::disable_raw_mode();
        }
    }
}

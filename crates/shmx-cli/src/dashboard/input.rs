//! Keys.

use super::model::Action;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What the help shows.
pub(crate) const HELP: [(&str, &str); 12] = [
    ("1-6, Tab", "pages"),
    ("↑ ↓, k j", "stream, or line of a list"),
    ("← →, h l", "element; with [ ] 100 at a time"),
    ("Home End", "first and last element"),
    ("c", "component"),
    ("Enter", "plot the stream"),
    ("+ -", "longer and shorter plot"),
    ("p, Space", "hold the picture; measuring goes on"),
    ("r", "forget the past"),
    ("o, Esc", "regions to pick from"),
    ("?", "this help"),
    ("q, Ctrl-C", "quit"),
];

pub(crate) fn action(key: &KeyEvent) -> Option<Action> {
    // Windows reports releases as well.
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c' | 'd') => Some(Action::Quit),
            _ => None,
        };
    }
    Some(match key.code {
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Esc => Action::Back,
        KeyCode::Char('o') => Action::Regions,
        KeyCode::Char(c @ '1'..='6') => Action::Page(c as usize - '1' as usize),
        KeyCode::Tab => Action::NextPage,
        KeyCode::BackTab => Action::PreviousPage,
        KeyCode::Up | KeyCode::Char('k') => Action::Up(1),
        KeyCode::Down | KeyCode::Char('j') => Action::Down(1),
        KeyCode::PageUp => Action::Up(10),
        KeyCode::PageDown => Action::Down(10),
        KeyCode::Left | KeyCode::Char('h') => Action::Left(1),
        KeyCode::Right | KeyCode::Char('l') => Action::Right(1),
        KeyCode::Char('[') => Action::Left(100),
        KeyCode::Char(']') => Action::Right(100),
        KeyCode::Home => Action::First,
        KeyCode::End => Action::Last,
        KeyCode::Char('c') => Action::Component,
        KeyCode::Enter => Action::Enter,
        KeyCode::Char('p' | ' ') => Action::Pause,
        KeyCode::Char('?') => Action::Help,
        KeyCode::Char('+' | '=') => Action::Wider,
        KeyCode::Char('-') => Action::Narrower,
        KeyCode::Char('r') => Action::Forget,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_meanings() {
        let key = |code, modifiers| action(&KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Action::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Action::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Some(Action::Component));
        assert_eq!(key(KeyCode::Char('6'), KeyModifiers::NONE), Some(Action::Page(5)));
        assert_eq!(key(KeyCode::Char('7'), KeyModifiers::NONE), None);
        let release = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(action(&release), None);
    }
}

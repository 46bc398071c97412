//! Keys.

use super::model::Action;
use crate::screens::keys::{Press, press};
use crate::screens::parts::Key;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

/// What the help shows.
pub(crate) const HELP: [Key; 12] = [
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

/// What a key asks for.
pub(crate) fn action(key: &KeyEvent) -> Option<Action> {
    Some(match press(key)? {
        Press::Quit => Action::Quit,
        Press::Back => Action::Back,
        Press::Help => Action::Help,
        Press::Pause => Action::Pause,
        Press::Up => Action::Up(1),
        Press::Down => Action::Down(1),
        Press::PageUp => Action::Up(10),
        Press::PageDown => Action::Down(10),
        Press::Left => Action::Left(1),
        Press::Right => Action::Right(1),
        Press::First => Action::First,
        Press::Last => Action::Last,
        Press::Longer => Action::Wider,
        Press::Shorter => Action::Narrower,
        Press::Own(code) => match code {
            KeyCode::Char('o') => Action::Regions,
            KeyCode::Char(c @ '1'..='6') => Action::Page(c as usize - '1' as usize),
            KeyCode::Tab => Action::NextPage,
            KeyCode::BackTab => Action::PreviousPage,
            KeyCode::Char('[') => Action::Left(100),
            KeyCode::Char(']') => Action::Right(100),
            KeyCode::Char('c') => Action::Component,
            KeyCode::Enter => Action::Enter,
            KeyCode::Char('r') => Action::Forget,
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::crossterm::event::KeyModifiers;

    #[test]
    fn pages_have_numbers() {
        let key = |c| action(&KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
        assert_eq!(
            [key('1'), key('6'), key('7'), key('q')],
            [Some(Action::Page(0)), Some(Action::Page(5)), None, Some(Action::Quit)]
        );
    }
}

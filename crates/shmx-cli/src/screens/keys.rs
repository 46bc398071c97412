//! What keys mean on every screen; each has some of its own.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Press {
    Quit,
    /// Closes what is open over the screen, or the screen.
    Back,
    Help,
    Pause,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    First,
    Last,
    /// Of a plot: more time, or less.
    Longer,
    Shorter,
    /// None that all have.
    Own(KeyCode),
}

/// None if a key was released, which Windows reports as well.
pub(crate) fn press(key: &KeyEvent) -> Option<Press> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(key.code, KeyCode::Char('c' | 'd')).then_some(Press::Quit);
    }
    Some(match key.code {
        KeyCode::Char('q') => Press::Quit,
        KeyCode::Esc => Press::Back,
        KeyCode::Char('?') => Press::Help,
        KeyCode::Char('p' | ' ') => Press::Pause,
        KeyCode::Up | KeyCode::Char('k') => Press::Up,
        KeyCode::Down | KeyCode::Char('j') => Press::Down,
        KeyCode::Left | KeyCode::Char('h') => Press::Left,
        KeyCode::Right | KeyCode::Char('l') => Press::Right,
        KeyCode::PageUp => Press::PageUp,
        KeyCode::PageDown => Press::PageDown,
        KeyCode::Home => Press::First,
        KeyCode::End => Press::Last,
        KeyCode::Char('+' | '=') => Press::Longer,
        KeyCode::Char('-') => Press::Shorter,
        code => Press::Own(code),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_meanings() {
        let of = |code, modifiers| press(&KeyEvent::new(code, modifiers));
        let plain = |c| of(KeyCode::Char(c), KeyModifiers::NONE);
        assert_eq!(
            ["q", "?", "x"].map(|s| plain(s.chars().next().unwrap())),
            [Some(Press::Quit), Some(Press::Help), Some(Press::Own(KeyCode::Char('x')))]
        );
        assert_eq!(of(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Press::Quit));
        assert_eq!(of(KeyCode::Char('q'), KeyModifiers::CONTROL), None);
        assert_eq!(plain('c'), Some(Press::Own(KeyCode::Char('c'))));
        let release = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(press(&release), None);
    }
}

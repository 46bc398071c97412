//! What the doctor finds.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Good,
    /// Worth knowing.
    Note,
    /// Works, but not well.
    Warning,
    Broken,
}

impl State {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Broken => "BROKEN",
        }
    }
}

pub(super) struct Finding {
    pub(super) area: &'static str,
    pub(super) state: State,
    pub(super) text: String,
    pub(super) remedy: Option<String>,
}

pub(super) fn good(area: &'static str, text: impl Into<String>) -> Finding {
    Finding { area, state: State::Good, text: text.into(), remedy: None }
}

pub(super) fn finding(area: &'static str, state: State, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { area, state, text: text.into(), remedy: Some(remedy.into()) }
}

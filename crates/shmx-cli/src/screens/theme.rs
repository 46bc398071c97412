//! Colours and signs. Every meaning has a sign or a word of its own, so nothing depends on colour alone; the colours
//! are those that people with the common kinds of colour blindness tell apart (after Okabe and Ito), as indexed ones
//! that every terminal of today has.

use crate::look::SlotKind;
use ratatui::style::{Color, Modifier, Style};
use shmx::ServerState;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    colours: bool,
}

const ORANGE: Color = Color::Indexed(214);
const SKY: Color = Color::Indexed(74);
const GREEN: Color = Color::Indexed(36);
const YELLOW: Color = Color::Indexed(227);
const BLUE: Color = Color::Indexed(32);
const VERMILION: Color = Color::Indexed(202);
const PURPLE: Color = Color::Indexed(175);
const GREY: Color = Color::Indexed(245);

impl Theme {
    pub(crate) const fn new(colours: bool) -> Self {
        Self { colours }
    }

    /// By the command line and the environment.
    pub(crate) fn from_environment() -> Self {
        Self::new(crate::colour::on_screen())
    }

    pub(crate) const fn has_colours(self) -> bool {
        self.colours
    }

    fn fg(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    pub(crate) fn title(self) -> Style {
        self.fg(SKY).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn border(self) -> Style {
        self.fg(GREY)
    }

    pub(crate) fn dim(self) -> Style {
        if self.colours { self.fg(GREY) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    pub(crate) fn key(self) -> Style {
        self.fg(ORANGE).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(crate) fn good(self) -> Style {
        self.fg(GREEN)
    }

    pub(crate) fn warning(self) -> Style {
        self.fg(ORANGE).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn bad(self) -> Style {
        self.fg(VERMILION).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn value(self) -> Style {
        self.fg(YELLOW)
    }

    pub(crate) fn series(self, n: usize) -> Style {
        self.fg([GREEN, PURPLE, SKY, ORANGE][n % 4])
    }

    pub(crate) fn section(self, n: usize) -> Style {
        self.fg([GREY, YELLOW, SKY, PURPLE][n % 4])
    }

    pub(crate) fn slot(self, kind: SlotKind) -> Style {
        match kind {
            SlotKind::Empty => self.dim(),
            SlotKind::Frame => self.fg(BLUE),
            SlotKind::Newest => self.fg(GREEN),
            SlotKind::Leased => self.fg(ORANGE).add_modifier(Modifier::BOLD),
            SlotKind::Writing => self.fg(PURPLE).add_modifier(Modifier::BOLD),
            SlotKind::Bad => self.bad(),
        }
    }

    pub(crate) fn server(self, state: ServerState) -> (&'static str, Style) {
        match state {
            ServerState::Live => ("●", self.good().add_modifier(Modifier::BOLD)),
            ServerState::Died => ("×", self.bad()),
            ServerState::Closed => ("○", self.warning()),
            ServerState::Reference => ("◇", self.fg(SKY)),
            _ => ("?", self.dim()),
        }
    }
}

/// The sign of a slot's state in the memory bar.
pub(crate) const fn glyph(kind: SlotKind) -> char {
    match kind {
        SlotKind::Empty => '·',
        SlotKind::Frame => '▒',
        SlotKind::Newest => '█',
        SlotKind::Leased => 'L',
        SlotKind::Writing => 'W',
        SlotKind::Bad => 'X',
    }
}

//! Commands that take the whole screen: `inspect`, `view` and `top`, and what they share.

mod chart;
pub(crate) mod graphics;
mod idle;
pub(crate) mod inspect;
mod keys;
mod parts;
mod svg;
mod terminal;
mod theme;
pub(crate) mod top;
pub(crate) mod view;

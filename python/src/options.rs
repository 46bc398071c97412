//! How regions are opened: words of Python as options of the library.

use crate::wait::duration;
use pyo3::prelude::*;
use shmx::{Client, ClientOptions, Hold, Start, Verify};

/// The arguments, for opening again: as a dict of Python they have the names of the fields.
#[derive(Clone, Debug, IntoPyObject)]
pub(crate) struct Settings {
    pub(crate) copy: Option<bool>,
    pub(crate) start: String,
    pub(crate) verify: String,
    pub(crate) reconnect: bool,
    pub(crate) every_frame: bool,
    pub(crate) require_slot: bool,
    pub(crate) spin: f64,
    pub(crate) prefault: bool,
    pub(crate) huge_pages: bool,
}

impl Settings {
    pub(crate) fn options(&self) -> PyResult<ClientOptions> {
        let hold = match self.copy {
            None => Hold::Auto,
            Some(true) => Hold::Copy,
            Some(false) => Hold::Lease,
        };
        Ok(Client::options()
            .hold(hold)
            .start(start_of(&self.start)?)
            .verify(verify_of(&self.verify)?)
            .reconnect(self.reconnect)
            .every_frame(self.every_frame)
            .require_slot(self.require_slot)
            .spin(duration(self.spin)?)
            .prefault(self.prefault)
            .huge_pages(self.huge_pages))
    }
}

pub(crate) fn start_of(name: &str) -> PyResult<Start> {
    match name {
        "newest" => Ok(Start::Newest),
        "oldest" => Ok(Start::Oldest),
        _ => Err(no_choice("start", name, "\"newest\" or \"oldest\"")),
    }
}

pub(crate) fn verify_of(name: &str) -> PyResult<Verify> {
    match name {
        "auto" => Ok(Verify::Auto),
        "always" => Ok(Verify::Always),
        "never" => Ok(Verify::Never),
        _ => Err(no_choice("verify", name, "\"auto\", \"always\" or \"never\"")),
    }
}

pub(crate) fn no_choice(what: &str, found: &str, choices: &str) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(format!("{what}={found:?}; use {choices}"))
}

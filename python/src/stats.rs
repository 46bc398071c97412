//! Counts.

use pyo3::prelude::*;

/// Counts of a reader or a tap.
#[pyclass(frozen, get_all, eq, module = "pyshmx")]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Stats {
    /// Different frames delivered.
    pub(crate) delivered: u64,
    /// Frames published that were not delivered.
    pub(crate) missed: u64,
    /// Frames rejected because they were damaged or foreign.
    pub(crate) rejected: u64,
    /// Frames copied although they could have been leased, so as to leave the producer enough slots.
    pub(crate) copied_for_room: u64,
    /// How often the reader went over to a successor of its server.
    pub(crate) reconnects: u64,
}

#[pymethods]
impl Stats {
    fn __repr__(&self) -> String {
        let Self { delivered, missed, rejected, copied_for_room, reconnects } = self;
        format!(
            "Stats(delivered={delivered}, missed={missed}, rejected={rejected}, copied_for_room={copied_for_room}, \
             reconnects={reconnects})"
        )
    }
}

//! Whether any bridge is within reach and offers what is imported: if not, the user is told.

use crate::config;
use crate::network::Network;
use crate::say::say;
use serde_json::Value;
use shmx_bridge::{Bridge, safe};
use std::time::{Duration, Instant};

/// How long others have to be there before it is said that they are not.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was seen so far.
#[derive(Debug)]
pub(crate) struct Looks {
    begun: Instant,
    /// What is exported was looked for.
    looked_here: bool,
    /// Since when nobody is reached, and since when somebody is.
    alone: Option<Instant>,
    reached: Option<Instant>,
    /// That nobody is was said.
    told_alone: bool,
    /// What is imported was looked for.
    looked_for: bool,
}

impl Looks {
    pub(crate) fn new() -> Self {
        let (looked_here, looked_for, told_alone) = (false, false, false);
        Self { begun: Instant::now(), looked_here, alone: None, reached: None, told_alone, looked_for }
    }

    /// Called now and then. Each thing is said once; that nobody is reached, each time that it begins.
    pub(crate) fn look(&mut self, network: &Network, bridge: &Bridge, zenoh: &Value) {
        let now = Instant::now();
        if !self.looked_here && now - self.begun >= PATIENCE {
            self.looked_here = true;
            for pattern in bridge.exports_in_vain() {
                let what = "there is no such region; it is offered as soon as there is one";
                say(false, format_args!("export of `{}`: {what}", safe(&pattern)));
            }
        }
        if network.is_alone() {
            self.reached = None;
            // Who only listens can wait.
            let since = *self.alone.get_or_insert(now);
            if !self.told_alone && now - since >= PATIENCE && !config::is_empty(zenoh, "connect") {
                self.told_alone = true;
                let at = &zenoh["connect"]["endpoints"];
                let what = "see whether one listens there and, for TLS, the certificates; it is tried again";
                say(false, format_args!("no bridge can be reached at {at}: {what}"));
            }
            return;
        }
        (self.alone, self.told_alone) = (None, false);
        let reached = *self.reached.get_or_insert(now);
        if !self.looked_for && now - reached >= PATIENCE {
            self.looked_for = true;
            for pattern in bridge.imports_in_vain() {
                let what = "no bridge within reach offers such a region; it is mirrored as soon as one does";
                say(false, format_args!("import of `{}`: {what}", safe(&pattern)));
            }
        }
    }
}

//! What other bridges offer, as far as they can be seen.

use super::shared::Mailbox;
use crate::keys::{OfferKey, offer_of};
use std::collections::BTreeSet;
use std::time::Duration;

/// Regions of others that are remembered, at most.
const OFFERS_MAX: usize = 4096;

/// What others offer now.
#[derive(Default)]
pub(super) struct Presence(Mailbox<BTreeSet<OfferKey>>);

impl Presence {
    pub(super) fn note(&self, key: &str, present: bool) {
        let Some(offer) = offer_of(key) else { return };
        self.0.change(|offers| {
            if !present {
                offers.remove(&offer);
            } else if offers.len() < OFFERS_MAX {
                offers.insert(offer);
            }
        });
    }

    /// Who offers this region of this host.
    pub(super) fn of(&self, host: &str, region: &str) -> Vec<OfferKey> {
        self.0.lock().iter().filter(|o| o.peer.host == host && o.region == region).cloned().collect()
    }

    pub(super) fn wanted(&self, wanted: impl Fn(&OfferKey) -> bool) -> BTreeSet<(String, String)> {
        let offers = self.0.lock();
        offers.iter().filter(|o| wanted(o)).map(|o| (o.peer.host.clone(), o.region.clone())).collect()
    }

    /// Lets some time pass.
    pub(super) fn pause(&self, time: Duration) {
        self.0.wait(time, |_| None::<()>);
    }
}

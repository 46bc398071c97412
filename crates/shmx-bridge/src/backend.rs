//! What a network has to offer.

use std::borrow::Cow;
use thiserror::Error;

/// The network failed.
#[derive(Debug, Error)]
#[error("{what}: {source}")]
pub struct BackendError {
    /// What was tried.
    pub what: &'static str,
    /// Why it failed.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// In order, and whoever sends waits until the link has room.
    Data,
    /// Before data, and nobody waits: it may be lost where there is no room.
    Sign,
}

/// A message as the network has it: in one part or several, which belong one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a>(pub &'a [&'a [u8]]);

impl<'a> Message<'a> {
    /// All of it; copied if it has several parts.
    #[must_use]
    pub fn whole(self) -> Cow<'a, [u8]> {
        match self.0 {
            [] => Cow::Borrowed(&[]),
            [all] => Cow::Borrowed(all),
            parts => Cow::Owned(parts.concat()),
        }
    }
}

/// Something that lasts until it is dropped: a presence, or a subscription.
pub trait Standing: Send + Sync {}
impl<T: Send + Sync> Standing for T {}

/// As [`Standing`].
pub type Stands = Box<dyn Standing>;
/// Answers a question, once.
pub type Respond = Box<dyn FnOnce(Vec<u8>) + Send>;
/// Gets a key, and whether something is present under it.
pub type OnPresence = Box<dyn Fn(&str, bool) + Send + Sync>;
/// Gets a key and a message.
pub type OnMessage = Box<dyn Fn(&str, Message<'_>) + Send + Sync>;
/// Gets a question, and what answers it.
pub type OnQuestion = Box<dyn Fn(&[u8], Respond) + Send + Sync>;

/// A network between bridges: keys with `/` between their parts, and patterns of keys in which `*` stands for one part.
///
/// Callbacks come on threads of the network. They are short and call nothing of it.
pub trait Backend: Send + Sync {
    /// Lets others see that something is present, until what is returned is dropped or the link is gone.
    ///
    /// # Errors
    ///
    /// [`BackendError`].
    fn announce(&self, key: &str) -> Result<Stands, BackendError>;

    /// Tells what is present under keys of this pattern, now and from now on.
    ///
    /// # Errors
    ///
    /// [`BackendError`].
    fn watch(&self, pattern: &str, tell: OnPresence) -> Result<Stands, BackendError>;

    /// Receives messages under keys of this pattern.
    ///
    /// # Errors
    ///
    /// [`BackendError`].
    fn subscribe(&self, pattern: &str, tell: OnMessage) -> Result<Stands, BackendError>;

    /// Sends a message. Nobody may be listening.
    ///
    /// # Errors
    ///
    /// [`BackendError`].
    fn send(&self, key: &str, message: Vec<u8>, urgency: Urgency) -> Result<(), BackendError>;

    /// The same; the memory of a message is left for the next one, where the network has no more use for it.
    ///
    /// # Errors
    ///
    /// [`BackendError`].
    fn send_from(&self, key: &str, message: &mut Vec<u8>, urgency: Urgency) -> Result<(), BackendError> {
        self.send(key, std::mem::take(message), urgency)
    }

    /// Answers questions under a key.
    ///
    /// # Errors
    ///
    /// [`BackendError`].
    fn answer(&self, key: &str, tell: OnQuestion) -> Result<Stands, BackendError>;

    /// Asks under a key or a pattern, and gives all answers that come in time, with the keys of who answered.
    ///
    /// # Errors
    ///
    /// [`BackendError`].
    fn ask(
        &self,
        pattern: &str,
        question: Vec<u8>,
        timeout: std::time::Duration,
    ) -> Result<Vec<(String, Vec<u8>)>, BackendError>;

    /// From now on no answer is waited for: whoever asks is about to end. A network whose answers come at once, or never,
    /// has nothing to do.
    fn stop(&self) {}
}

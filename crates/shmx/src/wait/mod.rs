//! Waiting that fits any program: a descriptor for its event loop, and one sleep for many regions.
//!
//! Both follow one rule. A reader has *possible news* from the moment when something may have happened until a poll of
//! it (`try_next`, `try_wait`) has come back empty. So a program polls each reader that is reported until it finds
//! nothing more, or takes one frame at a time and is told of the same reader again: either way no frame is slept
//! through.
//!
//! The poll that finds nothing does the preparing: it makes the doorbell odd as a sleeper does, looks for news once more,
//! and only then is the reader *armed*, with the doorbell's value from before that look. Whatever is published after
//! the look changes the doorbell, which the sleeping compares with that value in one step with falling asleep.

pub(crate) mod notice;
pub(crate) mod set;
#[cfg(all(test, target_os = "linux"))]
mod tests;

/// Longest sleep before the lives of others are looked at again. In this crate's own tests there is no end to it: what
/// ends a sleep there is a wake-up.
pub(crate) const SLICE: std::time::Duration =
    if cfg!(test) { std::time::Duration::MAX } else { std::time::Duration::from_millis(20) };

//! Random operations against plain models: the slot ring, reader slots, the doorbell and control rings, over buffers
//! of this process. Counters start near their wraps.
//!
//! One thread does everything, so each step has one right answer; what several threads may see is the business of
//! `loom.rs`.
#![cfg(not(loom))]

mod bells;
mod claims;
mod control;
mod every_frame;
mod holds;
mod slots;
mod views;
mod world;

//! The streams of a simulation, for its producer and for its readers, who find them by name.

use shmx::Stream;

/// Where the stars are.
pub const POSITION: Stream<[f32; 3]> = Stream::new(1, "position");
/// How they move.
pub const VELOCITY: Stream<[f32; 3]> = Stream::new(2, "velocity");
/// Their numbers.
pub const ID: Stream<u32> = Stream::new(3, "id");
/// Steps since the beginning.
pub const STEP: Stream<u64> = Stream::new(10, "step");
/// Strength of gravity, relative to the usual one.
pub const GRAVITY: Stream<f64> = Stream::new(11, "gravity");
/// Time between two steps.
pub const TIME_STEP: Stream<f64> = Stream::new(12, "time_step");
/// Whether the simulation is paused.
pub const PAUSED: Stream<bool> = Stream::new(13, "paused");
/// The whole energy.
pub const ENERGY: Stream<f64> = Stream::new(14, "energy");
/// Control messages applied.
pub const APPLIED: Stream<u64> = Stream::new(15, "applied");
/// How long the last step took, milliseconds.
pub const COMPUTE_MS: Stream<f64> = Stream::new(16, "compute_ms");

//! What the programs of this crate share: a simulation, an optimiser, a picture, and the messages between them.
#![forbid(unsafe_code)]

pub mod cmaes;
pub mod control;
pub mod galaxies;
pub mod picture;
pub mod run;
pub mod streams;

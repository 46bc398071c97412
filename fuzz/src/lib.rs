//! The bodies of the fuzz targets.
//!
//! A target takes bytes and panics when a promise is broken. It is a plain function, so that `cargo test` replays
//! seeds and past findings through it on the stable toolchain, and a libFuzzer binary drives it with
//! AddressSanitizer (`cargo xtask fuzz`).
//!
//! | target | input | what runs over it |
//! |---|---|---|
//! | [`abi`] | flags and region bytes | the slice parsers, against an independent walk of the same bytes |
//! | [`inspector`] | flags and region bytes | the inspector on a file and on a live object, against the parsers |
//! | [`client`] | flags, operations, region bytes | a client on a live object made of the bytes |
//! | [`server`] | parameters and operations | a server whose region is scribbled over between its calls |
//! | [`capi`] | flags, operations, region bytes | calls of the C interface on a live object made of the bytes |
//! | [`bridge`] | what it is, messages of another host | what a bridge decodes, and the mirror that it makes of it |
//! | [`state`] | operations | server, three clients and an inspector, against a model, or scribbled over |

pub mod abi;
pub mod bridge;
pub mod capi;
mod capi_state;
pub mod client;
pub mod inspector;
pub mod live;
pub mod mutate;
pub mod ops;
pub mod producer;
pub mod region;
pub mod seeds;
pub mod server;
pub mod state;

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is that of its binary.
    pub name: &'static str,
    /// Its body.
    pub run: fn(&[u8]),
    /// Inputs to start from, each with a name.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "abi", run: abi::run, seeds: seeds::regions },
    Target { name: "inspector", run: inspector::run, seeds: seeds::regions },
    Target { name: "client", run: client::run, seeds: seeds::clients },
    Target { name: "capi", run: capi::run, seeds: seeds::clients },
    Target { name: "bridge", run: bridge::run, seeds: bridge::seeds },
    Target { name: "server", run: server::run, seeds: seeds::servers },
    Target { name: "state", run: state::run, seeds: seeds::states },
];

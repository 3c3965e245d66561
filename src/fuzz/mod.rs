//! Bodies of the fuzz targets: what a run of octets means, and what must hold of it.
//!
//! `tests/fuzz` calls them under libFuzzer; `tests/corpus.rs` replays with them whatever libFuzzer has
//! kept. A body panics when a law of ARCHITECTURE.md does not hold.

mod config;
mod craft;
mod cursor;
mod dialogue;
mod fragments;
mod guard;
mod laws;
mod options;
mod packets;
mod sequences;
mod server;
mod streams;

pub use config::config;
pub use dialogue::dialogue;
pub use fragments::fragments;
pub use options::options;
pub use packets::packets;
pub use sequences::sequences;
pub use streams::streams;

/// Takes the octets of one input.
pub type Body = fn(&[u8]);

/// Each target by its name, which is that of its corpus too.
pub const TARGETS: &[(&str, Body)] = &[
    ("config", config),
    ("dialogue", dialogue),
    ("fragments", fragments),
    ("options", options),
    ("packets", packets),
    ("sequences", sequences),
    ("streams", streams),
];

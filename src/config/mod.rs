//! The configuration language: Cisco's, of the generation that is shown, as far as it says something here.
//!
//! Text to [`Config`] and back; a [`Config`] to a [`crate::policy::Policy`]. One table of commands
//! (`commands`) is the parser, the help, the completion and the reference.
//!
//! Must not know: files, sockets, consoles.

mod command;
mod commands;
mod effect;
mod grammar;
mod guarded;
mod language;
mod load;
mod logging;
mod render;
mod secret;
mod settings;
mod tcp;
mod value;
mod word;

#[cfg(test)]
mod tests;

pub use command::{Command, Deed, Editor, Mode, No, Place, Refused, Run};
pub use commands::commands;
pub use grammar::{Args, Wrong};
pub use language::{Fault, Line, complete, edit, help, is_of_another_version, read};
pub use load::{Loaded, Remark, What, load};
pub use logging::{LogHost, Logging, SEVERITIES, Transport};
pub use secret::Secret;
pub use settings::{Config, Family};
pub use value::{KINDS, Kind, port};

//! The operator's way in: a Unix socket, and telnet for who must have it.
//!
//! Who speaks with an operator has a thread of his own, so nothing that one of them does keeps another
//! waiting, or the guard. What it may hold of his is bounded, and so is the time that he may take.

mod attempts;
mod client;
mod connection;
#[cfg(test)]
#[allow(dead_code, reason = "tests/console uses all of it")]
mod fake;
mod interactive;
mod link;
mod listen;
mod password;
mod protocol;
mod server;
mod session;
mod socket;
mod telnet;
mod text;

pub use client::{Args, run};
pub use connection::Patience;
pub use listen::ListenArgs;
pub use password::{hash_password, is_password_hash, verify_password};
pub use server::{Factory, Listeners};
pub use session::{Said, Session};
pub use socket::{default_socket, telnet_address};

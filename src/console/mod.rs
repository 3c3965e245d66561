//! The operator's way in: a Unix socket, and telnet for who must have it.

mod session;

pub use session::{Said, Session};

//! The operator's side of the running guard: sessions of commands, and what they show.
//!
//! A session is lines in and text out ([`Operator`]); transports are in [`crate::console`], the language is in
//! [`crate::config`], and what it acts on is a [`Guard`].

mod deeds;
mod device;
mod session;
mod show;

#[cfg(test)]
mod tests;

pub use device::{Device, Guard, Passwords, Store};
pub use session::Operator;

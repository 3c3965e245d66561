//! The operator's side of the running guard: sessions of commands, and what they show.
//!
//! A session is lines in and text out ([`Operator`]); transports are in [`crate::console`], the language is in
//! [`crate::config`], and what it acts on is a [`Guard`].

mod deeds;
mod device;
#[cfg(test)]
#[allow(dead_code, reason = "tests/guides.rs uses it too")]
mod fake;
mod session;
mod show;

#[cfg(test)]
mod tests;

#[cfg(test)]
use crate::{
    config::Config,
    counters::{Counters, Event},
    engine::Filter,
    flow::View,
    policy::{Policy, Timeouts},
};

pub use device::{Device, Guard, Passwords, Store};
pub use session::Operator;

//! The whole box in virtual time: an SMTP client and an SMTP server on two smoltcp hosts, four
//! lanes of wire with seeded faults, and the engine between them. Every packet that the engine
//! emits is held against the laws, every stream against a second, plain writing of the policy.
//!
//! `MAILGUARD_SIM_SEEDS=5000 cargo test --test sim` runs more seeds; a failure prints the line
//! that repeats it and leaves captures in `target/sim/`.

#![allow(clippy::print_stdout)]

mod attacker;
mod balance;
mod clean;
mod client;
mod commands;
mod decoys;
mod devices;
mod end;
mod esmtp;
mod guard;
mod host;
mod invariants;
mod kernel;
mod laws;
mod ledger;
mod limits;
mod pace;
mod packet;
mod reference;
mod replies;
mod report;
mod router;
mod scenario;
mod script;
mod server;
mod trace;
mod way;
mod wire;
mod world;

mod evasion;
mod fuzz;
mod loss;
mod loss_table;
mod resets;
mod segmentation;
mod sessions;
mod streams;
mod tuples;
mod twins;
mod typing;
mod wars;

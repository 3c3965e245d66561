//! mailguard: Mailguard of the Cisco PIX and ASA as a userspace, packet-level middlebox.
//!
//! The core does no I/O: it has no socket, clock, thread or randomness. ARCHITECTURE.md has the
//! floors, the walk of one packet and the laws.

pub mod check;
pub mod config;
pub mod console;
pub mod counters;
pub mod device;
pub mod direction;
pub mod engine;
pub mod flow;
#[doc(hidden)]
pub mod fuzz;
pub mod inspect;
pub mod jail;
pub mod keeper;
pub mod limits;
pub mod load;
pub mod observe;
pub mod operator;
pub mod pages;
pub mod personality;
pub mod policy;
pub mod pool;
pub mod report;
pub mod run;
pub mod sink;
pub mod smtp;
pub mod stream;
pub mod tcp;
pub mod time;
pub mod wire;

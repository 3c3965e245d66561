//! `mailguard run` as its users meet it: the binary, in network namespaces made for one test.
//!
//! What needs root says so on standard error and passes without it.

mod arguments;
mod configuration;
mod harness;
mod legs;
mod refusals;
mod traffic;

//! What the operator sees of the guard while it runs: messages, and metrics.
//!
//! Workers hand over reports (`crate::report`); a thread of its own makes messages of them (`message`, `render`), limits
//! their rate (`limiter`) and sends them where they are wanted (`logger`). Another one answers Prometheus (`metrics`,
//! `http`).

mod config;
mod http;
mod latency;
mod limiter;
mod logger;
mod message;
mod metrics;
mod render;
mod ring;
mod tcp;

pub use config::{Device, Host, LogConfig, RATE, Rule, Stamp, Transport};
pub use latency::{Latency, Standing};
pub use logger::{Count, Logger, Reporter};
pub use message::{EDITS, MESSAGES, Message, severity_of};
pub use metrics::{Sources, answer_prometheus};

//! What is said of a panic: one line, and not as often as someone outside can bring it about.

#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

use std::panic::{PanicHookInfo, set_hook};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::limits::LIMIT_LOG_PAUSE;

/// From now on a panic is logged as an error with its place, at most once a second. It is counted
/// either way (`flow-panics`).
pub(super) fn log_panics() {
    let last: Mutex<Option<Instant>> = Mutex::new(None);
    set_hook(Box::new(move |info| {
        let now = Instant::now();
        // Who panics while holding the lock has said so already.
        let Ok(mut last) = last.try_lock() else { return };
        if last.is_none_or(|at| now - at >= LIMIT_LOG_PAUSE) {
            *last = Some(now);
            log::error!("{}", text(info));
        }
    }));
}

fn text(info: &PanicHookInfo<'_>) -> String {
    let current = thread::current();
    let name = current.name().unwrap_or("a thread");
    let place = info.location().map(|place| format!(" at {place}")).unwrap_or_default();
    let why = info.payload_as_str().unwrap_or("no message");
    format!("{name} panicked{place}: {why}; this is a bug of mailguard, please report it")
}

//! What idle inspected connections take.

use core::time::Duration;

use mailguard::device::give_memory_back;
use mailguard::limits::EMBRYONIC_TIMEOUT;

use super::baseline::Figure;
use super::guard::{Guard, Talk};

/// Opens so many connections and leaves them alone for so long.
fn open(guard: &mut Guard, flows: u32, idle: Duration) {
    for number in 0..flows {
        Talk::open(guard, number);
    }
    guard.now = guard.now + idle;
    while guard.engine.next_deadline().is_some_and(|next| next <= guard.now) {
        guard.deadline();
    }
    assert_eq!(guard.engine.counters().flows, u64::from(flows), "a flow was lost");
    give_memory_back();
}

/// Octets of the heap that each of so many connections takes then, that of the table included.
fn octets(flows: u32, idle: Duration) -> u64 {
    let mut guard = Guard::new(Some("mailguard"));
    let info = allocation_counter::measure(|| open(&mut guard, flows, idle));
    u64::try_from(info.bytes_current).unwrap_or(0) / u64::from(flows)
}

/// The resident octets of this process.
fn resident() -> u64 {
    let said = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = said.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Figures that are compared, and one that is told alone.
pub(crate) fn figures() -> Vec<(String, Figure)> {
    let one = |flows: u32, state: &str, idle: Duration| {
        let name = format!("memory: octets of each of {flows} {state} connections");
        (name, Figure { most_octets: octets(flows, idle), ..Figure::default() })
    };
    // After half a minute the first look of the timers, which is for the handshake, is over.
    let idle = 2 * EMBRYONIC_TIMEOUT;
    for (state, time) in [("new", Duration::ZERO), ("idle", idle)] {
        let before = resident();
        let mut guard = Guard::new(Some("mailguard"));
        open(&mut guard, 1_000_000, time);
        let million = resident().saturating_sub(before);
        super::tell!("a million {state} connections, resident: {} MB", million / 1_000_000);
    }
    vec![
        one(100_000, "new", Duration::ZERO),
        one(100_000, "idle", idle),
        one(1_000_000, "idle", idle),
    ]
}

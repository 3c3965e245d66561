//! What idle inspected connections take.

use super::baseline::Figure;
use super::guard::{Guard, Talk};

/// Connections that are built and left alone: octets of the heap that each takes, that of the table
/// included.
fn idle(flows: u32) -> u64 {
    let mut guard = Guard::new(Some("mailguard"));
    let info = allocation_counter::measure(|| {
        for number in 0..flows {
            Talk::open(&mut guard, number);
        }
    });
    assert_eq!(guard.engine.counters().flows, u64::from(flows), "a flow was lost");
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
    let one = |flows: u32| {
        let name = format!("memory: octets of each of {flows} idle connections");
        (name, Figure { most_octets: idle(flows), ..Figure::default() })
    };
    let before = resident();
    let mut guard = Guard::new(Some("mailguard"));
    for number in 0..1_000_000 {
        Talk::open(&mut guard, number);
    }
    let million = resident().saturating_sub(before);
    super::tell!("a million idle connections, resident: {} MB", million / 1_000_000);
    drop(guard);
    vec![one(100_000), one(1_000_000)]
}

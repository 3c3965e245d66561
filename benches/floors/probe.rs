//! What a case is measured with. Only what is handed to [`Probe::measure`] counts.

use std::time::{Duration, Instant};

/// What counts at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Nothing here: callgrind looks on from outside.
    Instructions,
    /// Allocations.
    Allocations,
    /// Seconds.
    Time,
}

/// One case's measure.
#[derive(Debug)]
pub(crate) struct Probe {
    what: What,
    /// Times that something was measured.
    pub(crate) units: u64,
    /// Octets that one unit worked on, where speed in octets means something.
    pub(crate) octets: u64,
    pub(crate) allocations: u64,
    /// The most octets that one unit has allocated.
    pub(crate) most: u64,
    pub(crate) time: Duration,
    pub(crate) longest: Duration,
}

impl Probe {
    pub(crate) fn new(what: What) -> Self {
        let none = Duration::ZERO;
        Self { what, units: 0, octets: 0, allocations: 0, most: 0, time: none, longest: none }
    }

    /// Whether callgrind, which is fifty times as slow, looks on.
    pub(crate) fn is_slow(&self) -> bool {
        self.what == What::Instructions
    }

    /// Measures one unit of work.
    #[expect(clippy::disallowed_methods, reason = "a bench is no part of the core")]
    pub(crate) fn measure(&mut self, mut work: impl FnMut()) {
        self.units += 1;
        match self.what {
            What::Instructions => measured_work(&mut work),
            What::Allocations => {
                let info = allocation_counter::measure(|| measured_work(&mut work));
                self.allocations += info.count_total;
                self.most = self.most.max(info.bytes_total);
            }
            What::Time => {
                let began = Instant::now();
                measured_work(&mut work);
                let took = began.elapsed();
                self.time += took;
                self.longest = self.longest.max(took);
            }
        }
    }

    /// The case is over: callgrind writes down what it has counted.
    pub(crate) fn finish(&self) {
        finished_case(self.units);
    }
}

/// Callgrind counts while this runs, which it finds by name.
#[inline(never)]
fn measured_work(work: &mut dyn FnMut()) {
    work();
}

/// Callgrind writes its counts down when this has returned.
#[inline(never)]
fn finished_case(units: u64) {
    std::hint::black_box(units);
}

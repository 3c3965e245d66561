//! How long packets stay in a worker, from the read until what they cause is written or waits for the batch, as a histogram.

use std::time::Duration;

use crate::counters::Counters;

/// Upper bounds of the buckets, in microseconds. A small packet takes one or two, a super-segment tens.
const BOUNDS_MICROS: [u64; 14] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000];

/// How a worker is.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its number.
    pub worker: usize,
    /// What its engine counted, and what the legs would not take.
    pub counters: Counters,
    /// How long packets stayed in it.
    pub latency: Latency,
}

/// A histogram of times.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Latency {
    /// The last one is for what is beyond all bounds.
    counts: [u64; BOUNDS_MICROS.len() + 1],
    sum: Duration,
}

impl Latency {
    /// One more.
    pub fn add(&mut self, time: Duration) {
        let bucket = BOUNDS_MICROS.partition_point(|&bound| Duration::from_micros(bound) < time);
        self.counts[bucket] += 1;
        self.sum += time;
    }

    /// Each bound in seconds, with how many took no longer.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let mut total = 0;
        BOUNDS_MICROS.iter().zip(&self.counts).map(move |(&bound, count)| {
            total += count;
            (Duration::from_micros(bound).as_secs_f64(), total)
        })
    }

    /// How many were timed.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together, in seconds.
    pub fn sum(&self) -> f64 {
        self.sum.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_counted_in_all_buckets_that_it_fits_into() {
        let mut latency = Latency::default();
        for nanos in [0, 1000, 1001, 3_000_000, 7_000_000_000] {
            latency.add(Duration::from_nanos(nanos));
        }
        let buckets: Vec<_> = latency.buckets().collect();
        assert_eq!(buckets[..2], [(1e-6, 2), (2e-6, 3)]);
        assert_eq!(buckets.last(), Some(&(0.1, 4)));
        assert_eq!((latency.count(), latency.sum()), (5, 7.003_002_001));
    }
}

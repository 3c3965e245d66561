//! What came of a run: tallies, percentiles, and their text and JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies, in nanoseconds with three significant digits up to an hour.
#[derive(Debug)]
pub(super) struct Latency(Option<Histogram<u64>>);

impl Latency {
    fn new() -> Self {
        Self(Histogram::new_with_bounds(100, 3_600_000_000_000, 3).ok())
    }

    /// Records one.
    pub(super) fn add(&mut self, took: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    fn merge(&mut self, other: &Self) {
        if let (Some(into), Some(from)) = (&mut self.0, &other.0) {
            // The bounds are the same, so this cannot fail.
            let _ = into.add(from);
        }
    }

    fn summary(&self) -> Option<Percentiles> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        Some(Percentiles {
            count: histogram.len(),
            mean: histogram.mean() / 1000.0,
            min: micros(histogram.min()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: micros(histogram.max()),
        })
    }
}

/// What one thread counts, and all together.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) connections: u64,
    pub(super) messages: u64,
    /// Messages that errors kept from being accepted.
    pub(super) messages_failed: u64,
    /// Octets of mail data written, headers and transparency dots included.
    pub(super) octets: u64,
    pub(super) helo_fallbacks: u64,
    pub(super) greeting: Latency,
    pub(super) transaction: Latency,
    pub(super) noop: Latency,
    /// Failures by kind. Kinds are few: a reply code or a word, and a stage.
    pub(super) errors: BTreeMap<String, u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            connections: 0,
            messages: 0,
            messages_failed: 0,
            octets: 0,
            helo_fallbacks: 0,
            greeting: Latency::new(),
            transaction: Latency::new(),
            noop: Latency::new(),
            errors: BTreeMap::new(),
        }
    }
}

impl Tally {
    /// Adds another thread's.
    pub(super) fn merge(&mut self, other: Self) {
        self.connections += other.connections;
        self.messages += other.messages;
        self.messages_failed += other.messages_failed;
        self.octets += other.octets;
        self.helo_fallbacks += other.helo_fallbacks;
        self.greeting.merge(&other.greeting);
        self.transaction.merge(&other.transaction);
        self.noop.merge(&other.noop);
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }
}

/// One interval's line.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Interval {
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) messages: u64,
    pub(super) octets: u64,
    pub(super) messages_per_second: f64,
    pub(super) mbit_per_second: f64,
    pub(super) open: u64,
    pub(super) errors: u64,
}

impl Interval {
    /// The line, as iperf would have it.
    pub(super) fn line(&self) -> String {
        format!(
            "[{:7.2}-{:7.2} s] {:>9} messages {:>10.1} msg/s {:>10.2} Mbit/s {:>6} open {:>5} errors",
            self.start,
            self.end,
            self.messages,
            self.messages_per_second,
            self.mbit_per_second,
            self.open,
            self.errors,
        )
    }
}

/// Percentiles in microseconds.
#[derive(Debug, Serialize)]
struct Percentiles {
    count: u64,
    mean: f64,
    min: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct Latencies {
    greeting: Option<Percentiles>,
    transaction: Option<Percentiles>,
    noop: Option<Percentiles>,
}

#[derive(Debug, Serialize)]
struct Errors {
    total: u64,
    kinds: BTreeMap<String, u64>,
}

/// The whole report; its fields are the JSON's.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    target: String,
    connections_at_once: u64,
    threads: u64,
    size: u64,
    seconds: f64,
    connections: u64,
    helo_fallbacks: u64,
    messages: u64,
    messages_failed: u64,
    octets: u64,
    messages_per_second: f64,
    mbit_per_second: f64,
    latency_us: Latencies,
    errors: Errors,
    intervals: Vec<Interval>,
}

/// What was asked for, as far as the report repeats it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) target: String,
    pub(super) connections: u64,
    pub(super) threads: u64,
    pub(super) size: u64,
}

impl Report {
    /// Sums a run up.
    pub(super) fn new(
        asked: Asked,
        tally: Tally,
        took: Duration,
        intervals: Vec<Interval>,
    ) -> Self {
        let seconds = took.as_secs_f64();
        Self {
            target: asked.target,
            connections_at_once: asked.connections,
            threads: asked.threads,
            size: asked.size,
            seconds,
            connections: tally.connections,
            helo_fallbacks: tally.helo_fallbacks,
            messages: tally.messages,
            messages_failed: tally.messages_failed,
            octets: tally.octets,
            messages_per_second: per_second(tally.messages as f64, seconds),
            mbit_per_second: per_second(tally.octets as f64 * 8e-6, seconds),
            latency_us: Latencies {
                greeting: tally.greeting.summary(),
                transaction: tally.transaction.summary(),
                noop: tally.noop.summary(),
            },
            errors: Errors { total: tally.errors.values().sum(), kinds: tally.errors },
            intervals,
        }
    }

    /// The report for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} messages ({} failed) over {} connections in {:.3} s: {:.1} msg/s, {:.2} Mbit/s",
            self.messages,
            self.messages_failed,
            self.connections,
            self.seconds,
            self.messages_per_second,
            self.mbit_per_second,
        );
        if self.helo_fallbacks > 0 {
            let _ = writeln!(text, "{} connections fell back to HELO", self.helo_fallbacks);
        }
        let rows = [
            ("greeting", &self.latency_us.greeting),
            ("transaction", &self.latency_us.transaction),
            ("NOOP", &self.latency_us.noop),
        ];
        let mut title = true;
        for (name, row) in rows {
            let Some(row) = row else { continue };
            if std::mem::take(&mut title) {
                let _ = writeln!(
                    text,
                    "{:<14} {:>9} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11}",
                    "latency (us)", "count", "min", "p50", "p90", "p99", "p99.9", "max"
                );
            }
            let _ = writeln!(
                text,
                "{name:<14} {:>9} {:>11.1} {:>11.1} {:>11.1} {:>11.1} {:>11.1} {:>11.1}",
                row.count, row.min, row.p50, row.p90, row.p99, row.p99_9, row.max
            );
        }
        for (kind, count) in &self.errors.kinds {
            let _ = writeln!(text, "error: {kind}: {count}");
        }
        text
    }

    /// Whether all went well; the `Err` sums up what did not.
    pub(super) fn verdict(&self) -> Result<(), String> {
        if self.errors.total == 0 {
            return Ok(());
        }
        let kinds: Vec<_> =
            self.errors.kinds.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
        Err(format!(
            "{} errors ({}): look at {} and what lies before it",
            self.errors.total,
            kinds.join(", "),
            self.target,
        ))
    }
}

/// A rate, and 0 for no time.
pub(super) fn per_second(amount: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { amount / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Report, Tally};
    use std::time::Duration;

    fn report(tally: Tally) -> Report {
        let asked = Asked { target: "127.0.0.1:25".into(), connections: 1, threads: 1, size: 1024 };
        Report::new(asked, tally, Duration::from_secs(2), Vec::new())
    }

    #[test]
    fn a_report_sums_up() {
        let mut tally = Tally { messages: 10, octets: 1_000_000, ..Tally::default() };
        let mut other = Tally { messages: 10, ..Tally::default() };
        other.transaction.add(Duration::from_millis(1));
        other.errors.insert("timeout at MAIL".into(), 2);
        tally.merge(other);
        let report = report(tally);
        assert!(report.verdict().is_err_and(|why| why.contains("timeout at MAIL: 2")));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["messages_per_second"], 10.0);
        assert_eq!(json["mbit_per_second"], 4.0);
        assert_eq!(json["latency_us"]["transaction"]["count"], 1);
        assert!(json["latency_us"]["noop"].is_null());
        assert_eq!(json["errors"]["total"], 2);
        assert!(report.text().contains("transaction"));
    }

    #[test]
    fn nothing_wrong_is_ok() {
        assert_eq!(report(Tally::default()).verdict(), Ok(()));
    }
}

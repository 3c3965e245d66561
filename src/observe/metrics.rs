//! What Prometheus reads.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::thread;

use crossbeam_channel::{Sender, bounded};
use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use crate::counters::{Counters, DropReason, Event};
use crate::smtp::Verb;

use super::http::serve;
use super::latency::Standing;
use super::logger::{Count, Logger};
use super::message::EDITS;

/// Where the numbers come from.
pub struct Sources {
    /// How each worker is.
    pub workers: Box<dyn Fn() -> Vec<Standing> + Send>,
    /// Who logs.
    pub logger: Option<Logger>,
}

/// Starts the thread that answers on `listener`, once it is told where the numbers come from. `settle` is the first that
/// it does: it gives up what it does not need.
///
/// # Errors
///
/// There is no thread or no descriptor left.
pub fn answer_prometheus(
    listener: TcpListener,
    settle: impl FnOnce() + Send + 'static,
) -> io::Result<Sender<Sources>> {
    let (tell, told) = bounded::<Sources>(1);
    let status = File::open("/proc/self/status")?;
    thread::Builder::new().name("metrics".into()).spawn(move || {
        settle();
        if let Ok(sources) = told.recv() {
            serve(&listener, || {
                let (messages, lost) = match &sources.logger {
                    Some(logger) => (logger.counts(), logger.lost()),
                    None => Default::default(),
                };
                exposition(&(sources.workers)(), &messages, lost, resident(&status))
            });
        }
    })?;
    Ok(tell)
}

/// Resident memory in octets. The file was opened before files were shut off.
fn resident(status: &File) -> Option<u64> {
    let mut room = [0; 8192];
    let len = status.read_at(&mut room, 0).ok()?;
    let text = std::str::from_utf8(room.get(..len)?).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

type Labels<'a> = &'a [(&'a str, &'a str)];

/// Families in the making.
#[derive(Default)]
struct Families(Vec<MetricFamily>);

impl Families {
    fn family(&mut self, name: &str, help: &str, kind: MetricType) -> &mut MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(name.into());
        family.set_help(help.into());
        family.set_field_type(kind);
        self.0.push(family);
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    fn counter(&mut self, name: &str, help: &str) -> &mut MetricFamily {
        self.family(name, help, MetricType::COUNTER)
    }

    fn gauge(&mut self, name: &str, help: &str) -> &mut MetricFamily {
        self.family(name, help, MetricType::GAUGE)
    }
}

fn metric(labels: Labels<'_>) -> Metric {
    let label = |(name, value): &(&str, &str)| {
        let mut label = LabelPair::default();
        label.set_name((*name).into());
        label.set_value((*value).into());
        label
    };
    Metric::from_label(labels.iter().map(label).collect())
}

/// Adds a number to a family of counters or gauges.
fn put(family: &mut MetricFamily, labels: Labels<'_>, value: u64) {
    let mut metric = metric(labels);
    if family.get_field_type() == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value as f64);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value as f64);
        metric.set_gauge(gauge);
    }
    family.mut_metric().push(metric);
}

/// One family with a number of each worker.
fn of_workers(family: &mut MetricFamily, workers: &[Standing], number: impl Fn(&Counters) -> u64) {
    for one in workers {
        put(family, &[("worker", &one.worker.to_string())], number(&one.counters));
    }
}

/// One family with a number of each worker under each of several names.
fn of_each<T: Copy>(
    family: &mut MetricFamily,
    workers: &[Standing],
    label: &str,
    things: &[T],
    name: impl Fn(T) -> &'static str,
    number: impl Fn(&Counters, T) -> u64,
) {
    for one in workers {
        let worker = one.worker.to_string();
        for &thing in things {
            let labels = [("worker", &*worker), (label, name(thing))];
            put(family, &labels, number(&one.counters, thing));
        }
    }
}

/// The text.
fn exposition(
    workers: &[Standing],
    messages: &BTreeMap<u32, Count>,
    (lost, undelivered): (u64, u64),
    resident: Option<u64>,
) -> String {
    let mut families = Families::default();
    let all = &mut families;
    let build = all.gauge("mailguard_build_info", "The version that runs.");
    put(build, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    traffic(all, workers);
    inspection(all, workers);
    latency(all, workers);
    of_workers(
        all.gauge("mailguard_held_bytes", "Octets that wait for a verdict or an acknowledgement."),
        workers,
        |counters| counters.octets_held,
    );
    if let Some(resident) = resident {
        put(
            all.gauge("process_resident_memory_bytes", "Resident memory size in bytes."),
            &[],
            resident,
        );
    }
    let of_messages = |family: &mut MetricFamily, number: fn(&Count) -> u64| {
        for (id, count) in messages {
            put(family, &[("id", &id.to_string())], number(count));
        }
    };
    if !messages.is_empty() {
        let logged = all.counter("mailguard_log_messages_total", "Messages that were logged.");
        of_messages(logged, |count| count.logged);
        let help = "Messages that the rate limit suppressed.";
        let suppressed = all.counter("mailguard_log_suppressed_total", help);
        of_messages(suppressed, |count| count.suppressed);
    }
    let help = "Reports that came faster than they could be logged.";
    put(all.counter("mailguard_log_lost_total", help), &[], lost);
    let help = "Messages that a destination did not take.";
    put(all.counter("mailguard_log_undelivered_total", help), &[], undelivered);
    // A family without a metric is refused: no worker has answered.
    families.0.retain(|family| !family.get_metric().is_empty());
    TextEncoder::new().encode_to_string(&families.0).unwrap_or_default()
}

fn traffic(all: &mut Families, workers: &[Standing]) {
    let packets = all.counter("mailguard_packets_received_total", "Packets taken in.");
    of_workers(packets, workers, |counters| counters.packets_in);
    let help = "Packets sent out, those that the guard made included.";
    let packets = all.counter("mailguard_packets_sent_total", help);
    of_workers(packets, workers, |counters| counters.packets_out);
    let help = "Octets of TCP payload taken in.";
    let octets = all.counter("mailguard_payload_received_bytes_total", help);
    of_workers(octets, workers, |counters| counters.octets_in);
    let flows = all.gauge("mailguard_connections", "Connections in the table.");
    of_workers(flows, workers, |counters| counters.flows);
    let help = "Connections whose handshake has not ended.";
    let half_open = all.gauge("mailguard_half_open_connections", help);
    of_workers(half_open, workers, |counters| counters.half_open);
    let built = all.counter("mailguard_connections_built_total", "Connections that were opened.");
    of_workers(built, workers, |counters| counters.events(Event::FlowBuilt));
    let help = "Connections that ended and were forgotten.";
    let ended = all.counter("mailguard_connections_ended_total", help);
    of_workers(ended, workers, |counters| counters.events(Event::FlowEnded));
}

fn inspection(all: &mut Families, workers: &[Standing]) {
    let edits = all.counter("mailguard_edits_total", "What was changed of what passed, by kind.");
    of_each(edits, workers, "kind", EDITS, Event::label, Counters::events);
    let verbs: Vec<_> = Verb::ALL.iter().copied().map(Some).chain([None]).collect();
    let refusals = all.counter("mailguard_refusals_total", "Commands that were refused, by verb.");
    let name = |verb: Option<Verb>| verb.map_or("other", Verb::name);
    let number =
        |counters: &Counters, verb: Option<Verb>| counters.refusals(verb.map(|verb| verb as usize));
    of_each(refusals, workers, "verb", &verbs, name, number);
    let drops = all.counter("mailguard_drops_total", "Packets that were dropped, by reason.");
    of_each(drops, workers, "reason", DropReason::ALL, DropReason::label, Counters::drops);
    let elsewhere = [Event::FlowBuilt, Event::FlowEnded];
    let is_here = |event: &Event| !EDITS.contains(event) && !elsewhere.contains(event);
    let rest: Vec<_> = Event::ALL.iter().copied().filter(is_here).collect();
    let events = all.counter("mailguard_events_total", "What else happened, by event.");
    of_each(events, workers, "event", &rest, Event::label, Counters::events);
}

fn latency(all: &mut Families, workers: &[Standing]) {
    let help = "How long packets stay in a worker, from the read until what they cause is written or waits for its batch; \
                one in 64 is timed.";
    let family = all.family("mailguard_packet_duration_seconds", help, MetricType::HISTOGRAM);
    for one in workers {
        let bucket = |(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(one.latency.buckets().map(bucket).collect());
        histogram.set_sample_count(one.latency.count());
        histogram.set_sample_sum(one.latency.sum());
        let mut metric = metric(&[("worker", &one.worker.to_string())]);
        metric.set_histogram(histogram);
        family.mut_metric().push(metric);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::observe::latency::Latency;

    fn standing(worker: usize) -> Standing {
        let (mut counters, mut latency) = (Counters::default(), Latency::default());
        counters.packets_in = 7;
        counters.octets_in = 1000;
        counters.happened(Event::FlowBuilt);
        counters.happened(Event::CommandRefused);
        counters.refused(Some(Verb::Ehlo as usize));
        counters.refused(None);
        counters.dropped(DropReason::NotSyn);
        latency.add(Duration::from_micros(3));
        Standing { worker, counters, latency }
    }

    #[test]
    fn every_number_is_there_for_every_worker() {
        let messages = BTreeMap::from([(302_013, Count { logged: 5, suppressed: 2 })]);
        let text = exposition(&[standing(0), standing(1)], &messages, (3, 4), Some(4096));
        for line in [
            "# HELP mailguard_packets_received_total Packets taken in.",
            "# TYPE mailguard_packets_received_total counter",
            "mailguard_packets_received_total{worker=\"1\"} 7",
            "mailguard_payload_received_bytes_total{worker=\"0\"} 1000",
            "mailguard_connections_built_total{worker=\"0\"} 1",
            "mailguard_edits_total{worker=\"0\",kind=\"commands-refused\"} 1",
            "mailguard_refusals_total{worker=\"0\",verb=\"EHLO\"} 1",
            "mailguard_refusals_total{worker=\"0\",verb=\"other\"} 1",
            "mailguard_drops_total{worker=\"1\",reason=\"tcp-not-syn\"} 1",
            "mailguard_events_total{worker=\"1\",event=\"flows-timed-out\"} 0",
            "# TYPE mailguard_packet_duration_seconds histogram",
            "mailguard_packet_duration_seconds_bucket{worker=\"0\",le=\"0.000002\"} 0",
            "mailguard_packet_duration_seconds_bucket{worker=\"0\",le=\"0.000005\"} 1",
            "mailguard_packet_duration_seconds_bucket{worker=\"0\",le=\"+Inf\"} 1",
            "mailguard_packet_duration_seconds_sum{worker=\"0\"} 0.000003",
            "process_resident_memory_bytes 4096",
            "mailguard_log_messages_total{id=\"302013\"} 5",
            "mailguard_log_suppressed_total{id=\"302013\"} 2",
            "mailguard_log_lost_total 3",
            "mailguard_log_undelivered_total 4",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in:\n{text}");
        }
        for reason in DropReason::ALL {
            assert!(text.contains(&format!("reason=\"{}\"", reason.label())));
        }
        for event in Event::ALL.iter().filter(|e| ![Event::FlowBuilt, Event::FlowEnded].contains(e))
        {
            assert_eq!(text.matches(&format!("=\"{}\"", event.label())).count(), 2, "{event:?}");
        }
    }

    #[test]
    fn without_workers_there_is_still_an_answer() {
        let text = exposition(&[], &BTreeMap::new(), (0, 0), None);
        assert!(
            text.contains("mailguard_build_info{version=\"") && !text.contains("worker"),
            "{text}"
        );
    }

    #[test]
    fn resident_memory_is_read_again_and_again() {
        let status = File::open("/proc/self/status").expect("Linux");
        let both = [resident(&status), resident(&status)];
        assert!(
            both.iter().all(|octets| octets.is_some_and(|octets| octets > 1 << 16)),
            "{both:?}"
        );
    }

    /// The names of metrics in `text`.
    fn names(text: &str) -> impl Iterator<Item = &str> {
        let end = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        text.match_indices("mailguard_").map(move |(at, _)| {
            let rest = &text[at..];
            &rest[..end(rest).unwrap_or(rest.len())]
        })
    }

    #[test]
    fn dashboard_and_alerts_ask_for_what_there_is() {
        let messages = BTreeMap::from([(302_013, Count::default())]);
        let text = exposition(&[standing(0)], &messages, (0, 0), None);
        for file in ["dashboard.json", "alerts.yml"] {
            let asked = std::fs::read_to_string(
                std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("netns/monitoring")
                    .join(file),
            )
            .expect("the file");
            let mut count = 0;
            for name in names(&asked) {
                assert!(
                    text.contains(&format!("\n{name}{{")) || text.contains(&format!("\n{name} ")),
                    "{file}: {name}"
                );
                count += 1;
            }
            assert!(count > 4, "{file}");
        }
        let labels = ["verb", "reason", "kind", "event", "worker", "id", "le"];
        let dashboard = std::fs::read_to_string(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("netns/monitoring/dashboard.json"),
        );
        let read: serde_json::Value =
            serde_json::from_str(&dashboard.expect("the file")).expect("JSON");
        for panel in read["panels"].as_array().expect("panels") {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expression = target["expr"].as_str().expect("a query");
                for by in expression.split("by (").skip(1) {
                    let list = by.split(')').next().unwrap_or_default();
                    assert!(list.split(", ").all(|label| labels.contains(&label)), "{expression}");
                }
            }
        }
    }
}

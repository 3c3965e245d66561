//! `mailguard load`: an SMTP load generator in the manner of iperf.
//!
//! With `--json` one object is printed at the end; `--help` has its fields.

#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use self::message::Body;
use self::plan::{Hello, Live, Pipelining, Plan};
use self::report::{Asked, Interval, Report, Tally, per_second};
use self::worker::Worker;

mod dialog;
pub(crate) mod message;
mod outgoing;
mod plan;
mod reply;
mod report;
pub(crate) mod units;
mod worker;

/// The longest pause between looks at the finished threads and at `--hold`.
const LOOK: Duration = Duration::from_millis(20);

/// What `--help` says of `--json`.
const JSON_FIELDS: &str = "\
The fields of the JSON object:
  target                string  address and port
  connections_at_once   number  --connections
  threads               number
  size                  number  octets of one message's body
  seconds               number  from the first connection to the last close
  connections           number  connections opened, failed ones included
  helo_fallbacks        number  connections whose EHLO was refused
  messages              number  messages accepted
  messages_failed       number  messages an error kept from being accepted
  octets                number  mail data written: headers, body, transparency dots
  messages_per_second   number
  mbit_per_second       number  of those octets, 10^6 bit
  latency_us            object  greeting, transaction, noop: null without samples, else
                                count, mean, min, p50, p90, p99, p99_9, max (microseconds)
  errors                object  total: number; kinds: counts by 'what at stage'
  intervals             array   of start, end, messages, octets, messages_per_second,
                                mbit_per_second, open, errors";

/// What `mailguard load` is told.
#[derive(Debug, clap::Args)]
#[command(after_long_help = JSON_FIELDS)]
pub struct Args {
    /// The server.
    #[arg(value_name = "HOST:PORT")]
    target: String,
    /// Connections to keep open at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    connections: u64,
    /// Messages over one connection before it is closed; 0 sends none.
    #[arg(long, value_name = "N", default_value_t = 1)]
    messages: u64,
    /// Messages in total, or connections with `--messages 0` [default: one round of connections].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Begin no message after so many seconds.
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Octets of each message's body, with suffix K, M or G.
    #[arg(long, value_name = "OCTETS", default_value = "1K", value_parser = body_size)]
    size: u64,
    /// Octets of a line of the body, CRLF not counted.
    #[arg(long, value_name = "LEN", default_value_t = 76, value_parser = clap::value_parser!(u16).range(1..=998))]
    lines: u16,
    /// Seed of the random text: the same seed makes the same messages.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Send MAIL, RCPT and DATA as one group: when offered, never, or unasked.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Pipelining::On)]
    pipelining: Pipelining,
    /// Say EHLO, and take its refusal for an error [default: EHLO, then HELO when refused].
    #[arg(long, conflicts_with = "helo")]
    ehlo: bool,
    /// Say HELO at once.
    #[arg(long)]
    helo: bool,
    /// The name behind EHLO and HELO.
    #[arg(long, value_name = "NAME", default_value = "load.example.org", value_parser = word)]
    name: String,
    /// The sender's mailbox.
    #[arg(long, value_name = "MAILBOX", default_value = "load@example.org", value_parser = word)]
    from: String,
    /// The recipient's mailbox.
    #[arg(long, value_name = "MAILBOX", default_value = "sink@example.net", value_parser = word)]
    to: String,
    /// Send so many NOOPs one by one over each connection before its first message.
    #[arg(long, value_name = "N", default_value_t = 0)]
    noop: u32,
    /// Open the connections, greet, keep all idle so many seconds, and QUIT; sends no message.
    #[arg(long, value_name = "SECS", value_parser = seconds, conflicts_with_all = ["messages", "count", "duration"])]
    hold: Option<Duration>,
    /// How long a reply, or progress in sending, may take, in seconds.
    #[arg(long, value_name = "SECS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
    /// Print a line of numbers every so many seconds; 0 prints none.
    #[arg(long, value_name = "SECS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// The local address to connect from.
    #[arg(long, value_name = "ADDR")]
    bind: Option<IpAddr>,
    /// Connect over IPv4 only.
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Connect over IPv6 only.
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Event loops, each in its thread.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    threads: u64,
    /// Print one JSON object at the end and nothing before it.
    #[arg(long)]
    json: bool,
}

/// Sends the load and prints what came of it.
pub fn run(args: Args) -> Result<(), String> {
    // One socket a connection: take what the hard limit gives, and fail later if it is too few.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let target = resolve(&args)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The first signal ends the run in order, the second at once.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| format!("cannot catch signal {signal}: {error}"))?;
    }
    let began = Instant::now();
    let plan = Arc::new(plan(&args, target, stop, began));
    let threads = args.threads.min(args.connections);
    let (done, finished) = mpsc::channel();
    for number in 0..threads {
        let share = args.connections / threads + u64::from(number < args.connections % threads);
        let at_once = usize::try_from(share).unwrap_or(usize::MAX);
        let worker = Worker::new(Arc::clone(&plan), at_once)
            .map_err(|error| format!("cannot make an event loop: {error}"))?;
        let done = done.clone();
        thread::spawn(move || {
            // Nobody listens any more when another thread's failure ended the run.
            let _ = done.send(worker.run());
        });
    }
    drop(done);

    let mut watch = Watch::new(&args, &plan, began);
    let mut tally = Tally::default();
    let mut left = threads;
    while left > 0 {
        match finished.recv_timeout(LOOK) {
            Ok(result) => {
                tally.merge(result.map_err(|error| format!("the event loop failed: {error}"))?);
                left -= 1;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => watch.look(),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err("a thread ended early: report this as a bug".into());
            }
        }
    }
    let took = began.elapsed();
    watch.last();
    let asked = Asked {
        target: target.to_string(),
        connections: args.connections,
        threads,
        size: args.size,
    };
    let report = Report::new(asked, tally, took, watch.intervals);
    let text = if args.json {
        serde_json::to_string(&report).map_err(|error| format!("cannot write JSON: {error}"))?
            + "\n"
    } else {
        report.text()
    };
    // A reader that went away is no failure of the run.
    let _ = io::stdout().write_all(text.as_bytes());
    report.verdict()
}

/// Prints the interval lines and ends `--hold`.
struct Watch<'a> {
    plan: &'a Plan,
    began: Instant,
    every: Duration,
    print: bool,
    at: Instant,
    messages: u64,
    octets: u64,
    intervals: Vec<Interval>,
    connections: u64,
    held_since: Option<Instant>,
}

impl<'a> Watch<'a> {
    fn new(args: &Args, plan: &'a Plan, began: Instant) -> Self {
        Self {
            plan,
            began,
            every: args.interval,
            print: !args.json,
            at: began,
            messages: 0,
            octets: 0,
            intervals: Vec::new(),
            connections: args.connections,
            held_since: None,
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        if !self.every.is_zero() && now - self.at >= self.every {
            self.interval(now);
        }
        let Some(hold) = self.plan.hold else { return };
        match self.held_since {
            None if self.plan.live.settled.load(Ordering::Relaxed) >= self.connections => {
                self.held_since = Some(now);
                eprintln!("{} connections held", self.plan.live.open.load(Ordering::Relaxed));
            }
            Some(since) if now - since >= hold => {
                self.plan.released.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// The rest of a run that had intervals is one, too.
    fn last(&mut self) {
        let messages = self.plan.live.messages.load(Ordering::Relaxed);
        let octets = self.plan.live.octets.load(Ordering::Relaxed);
        if !self.intervals.is_empty() && (messages, octets) != (self.messages, self.octets) {
            self.interval(Instant::now());
        }
    }

    fn interval(&mut self, now: Instant) {
        let live = &self.plan.live;
        let messages = live.messages.load(Ordering::Relaxed);
        let octets = live.octets.load(Ordering::Relaxed);
        let seconds = (now - self.at).as_secs_f64();
        let interval = Interval {
            start: (self.at - self.began).as_secs_f64(),
            end: (now - self.began).as_secs_f64(),
            messages: messages - self.messages,
            octets: octets - self.octets,
            messages_per_second: per_second((messages - self.messages) as f64, seconds),
            mbit_per_second: per_second((octets - self.octets) as f64 * 8e-6, seconds),
            open: live.open.load(Ordering::Relaxed),
            errors: live.errors.load(Ordering::Relaxed),
        };
        if self.print {
            let _ = writeln!(io::stdout(), "{}", interval.line());
        }
        self.intervals.push(interval);
        (self.at, self.messages, self.octets) = (now, messages, octets);
    }
}

fn plan(args: &Args, target: SocketAddr, stop: Arc<AtomicBool>, began: Instant) -> Plan {
    let messages = if args.hold.is_some() { 0 } else { args.messages };
    let round = args.connections.saturating_mul(messages.max(1));
    let unclaimed = match (args.count, args.duration) {
        (Some(count), _) => count,
        (None, Some(_)) => u64::MAX,
        (None, None) => round,
    };
    Plan {
        target,
        bind: args.bind,
        hello: match (args.helo, args.ehlo) {
            (true, _) => Hello::Helo,
            (_, true) => Hello::Ehlo,
            _ => Hello::Either,
        },
        pipelining: args.pipelining,
        noops: args.noop,
        hold: args.hold,
        timeout: args.timeout,
        ehlo: format!("EHLO {}\r\n", args.name).into_bytes(),
        helo: format!("HELO {}\r\n", args.name).into_bytes(),
        mail: format!("MAIL FROM:<{}>\r\n", args.from).into_bytes(),
        rcpt: format!("RCPT TO:<{}>\r\n", args.to).into_bytes(),
        body: Body::new(args.size, usize::from(args.lines), args.seed, &args.from, &args.to),
        messages,
        until: args.duration.and_then(|duration| began.checked_add(duration)),
        stop,
        released: AtomicBool::new(false),
        unclaimed: AtomicU64::new(unclaimed),
        serial: AtomicU64::new(0),
        live: Live::default(),
    }
}

fn resolve(args: &Args) -> Result<SocketAddr, String> {
    let family = args.bind.map_or((args.ipv4, args.ipv6), |bind| (bind.is_ipv4(), bind.is_ipv6()));
    args.target
        .to_socket_addrs()
        .map_err(|error| format!("cannot resolve {}: {error}; give HOST:PORT", args.target))?
        .find(|address| match family {
            (true, _) => address.is_ipv4(),
            (_, true) => address.is_ipv6(),
            _ => true,
        })
        .ok_or_else(|| format!("{} has no address of the family asked for", args.target))
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|&seconds: &f64| seconds <= 1e9)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "give a number of seconds".to_owned())
}

fn body_size(text: &str) -> Result<u64, String> {
    match units::octets(text)? {
        1 => Err("a line has at least its CRLF: give 0, or 2 and more".to_owned()),
        size => Ok(size),
    }
}

/// What may stand in a command without ending it or its path.
fn word(text: &str) -> Result<String, String> {
    if text.len() <= 255 && text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'>') {
        Ok(text.to_owned())
    } else {
        Err("give at most 255 printable octets without spaces and '>'".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{body_size, seconds, word};

    #[test]
    fn options_are_checked() {
        assert!(body_size("1").is_err() && body_size("2").is_ok());
        assert!(seconds("0.5").is_ok());
        assert!(["-1", "nan", "x", "1e10"].iter().all(|text| seconds(text).is_err()));
        assert!(word("a@b").is_ok() && word("a\r\nQUIT").is_err() && word("a>b").is_err());
    }
}

//! `mailguard sink`: an SMTP server that accepts mail, checks, counts and discards it.

#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use mio::Waker;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use self::script::{Script, reply};
use self::server::Server;
use self::totals::Totals;
use crate::load::units;

mod connection;
mod data;
mod message;
mod script;
mod server;
mod session;
mod totals;

/// Failed checks that are printed; the others are only counted.
const COMPLAINTS_MAX: u64 = 100;

/// What `--help` says of `--json`.
const JSON_FIELDS: &str = "\
The fields of the JSON object, all numbers but for last_message without messages, which is null:
  connections        accepted
  commands           command lines received
  unknown_commands   of these, answered with 500
  messages           accepted
  octets             of these messages, transparency dots taken away
  aborted_messages   whose connection ended before they did
  bare_cr, bare_lf   CRs without LF, LFs without CR in mail data
  long_lines         lines of mail data over 1000 octets
  checked            messages whose body is what their X-Mailguard-Load header says
  check_failures     messages whose body is not, or that lack the header under --expect-load
  save_failures      messages that --save could not write
  last_message       when the last one was accepted: seconds since 1970, with their fraction";

/// What `mailguard sink` is told.
#[derive(Debug, clap::Args)]
#[command(after_long_help = JSON_FIELDS)]
pub struct Args {
    /// Where to listen; may be repeated. `[::]` is IPv4, too; port 0 is any free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::]:25")]
    listen: Vec<SocketAddr>,
    /// The text behind 220, `\n` between lines [default: the host name, ESMTP mailguard sink].
    #[arg(long, value_name = "TEXT", value_parser = reply_text)]
    greeting: Option<String>,
    /// The host name in replies.
    #[arg(long, value_name = "NAME", default_value = "sink.example.net", value_parser = reply_text)]
    hostname: String,
    /// An EHLO keyword with its parameters; may be repeated. CHUNKING also turns BDAT on, and
    /// one empty keyword offers none [default: PIPELINING, SIZE, 8BITMIME].
    #[arg(long, value_name = "KW", value_parser = reply_text)]
    keyword: Vec<String>,
    /// Do not know EHLO.
    #[arg(long)]
    no_esmtp: bool,
    /// The largest message taken, in octets with suffix K, M or G; 0 is any.
    #[arg(long, value_name = "OCTETS", default_value = "0", value_parser = units::octets)]
    max_size: u64,
    /// Wait so long before each reply.
    #[arg(long, value_name = "MILLIS")]
    slow: Option<u64>,
    /// End a command line at LF without CR, too, as old servers do.
    #[arg(long)]
    lf_ends_command: bool,
    /// Count a message that `mailguard load` did not make as failing its check.
    #[arg(long)]
    expect_load: bool,
    /// Append every command line received to this file, as `connection line`, escaped.
    #[arg(long, value_name = "FILE")]
    transcript: Option<PathBuf>,
    /// Keep every message in this directory, as 000001.eml and so on.
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Exit after so many messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Event loops, each in its thread.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Count failed checks without printing them.
    #[arg(long)]
    quiet: bool,
    /// Print the totals as one JSON object.
    #[arg(long)]
    json: bool,
}

/// How far the sink's run is.
const SERVING: u8 = 0;
/// All messages of `--count` are there: what is under way may end.
const DRAINING: u8 = 1;
/// A signal came.
const STOPPING: u8 = 2;

/// What all threads share.
#[derive(Debug)]
struct Shared {
    script: Script,
    connections: AtomicU64,
    messages: AtomicU64,
    complaints: AtomicU64,
    state: AtomicU8,
    /// Ends the main thread's wait for a signal.
    end: Option<Handle>,
    transcript: Option<Mutex<File>>,
}

impl Shared {
    fn new(script: Script, transcript: Option<File>, end: Option<Handle>) -> Self {
        Self {
            script,
            connections: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            complaints: AtomicU64::new(0),
            state: AtomicU8::new(SERVING),
            end,
            transcript: transcript.map(Mutex::new),
        }
    }

    /// Ends the run; connections may say QUIT.
    fn finish(&self) {
        let _ =
            self.state.compare_exchange(SERVING, DRAINING, Ordering::Relaxed, Ordering::Relaxed);
        if let Some(end) = &self.end {
            end.close();
        }
    }

    fn is_draining(&self) -> bool {
        self.state.load(Ordering::Relaxed) != SERVING
    }

    fn is_stopping(&self) -> bool {
        self.state.load(Ordering::Relaxed) == STOPPING
    }

    /// Prints what is wrong with a message.
    fn complain(&self, what: &str) {
        if !self.script.quiet && self.complaints.fetch_add(1, Ordering::Relaxed) < COMPLAINTS_MAX {
            eprintln!("{what}");
        }
    }

    /// Writes lines to the transcript, at once, so that it may be read at any time.
    fn write_transcript(&self, lines: &mut Vec<u8>) {
        if let Some(file) = &self.transcript
            && !lines.is_empty()
            && let Err(error) = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(lines)
        {
            self.complain(&format!("cannot write the transcript: {error}"));
        }
        lines.clear();
    }
}

/// Serves until it is told to stop.
pub fn run(args: Args) -> Result<(), String> {
    // One socket a connection: take what the hard limit gives, and wait when it is too few.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let json = args.json;
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| format!("cannot catch signals: {error}"))?;
    let transcript = args
        .transcript
        .as_ref()
        .map(|path| {
            OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
                format!("cannot open {}: {error}; give --transcript a file", path.display())
            })
        })
        .transpose()?;
    if let Some(dir) = &args.save {
        std::fs::create_dir_all(dir).map_err(|error| {
            format!("cannot make {}: {error}; give --save a directory", dir.display())
        })?;
    }
    let mut addresses = args.listen.clone();
    let threads = args.threads;
    let shared = Arc::new(Shared::new(script(args), transcript, Some(signals.handle())));
    let servers = (0..threads)
        .map(|_| Server::new(Arc::clone(&shared), &mut addresses, threads > 1))
        .collect::<Result<Vec<_>, _>>()?;
    for address in &addresses {
        eprintln!("listening on {address}");
    }
    let (threads, wakers): (Vec<_>, Vec<Arc<Waker>>) = servers
        .into_iter()
        .map(|mut server| {
            let waker = server.waker();
            let shared = Arc::clone(&shared);
            let thread = thread::spawn(move || {
                let result = server.run();
                shared.finish();
                result.map(|()| server.into_totals())
            });
            (thread, waker)
        })
        .unzip();

    if signals.forever().next().is_some() {
        shared.state.store(STOPPING, Ordering::Relaxed);
    }
    for waker in wakers {
        waker.wake().map_err(|error| format!("cannot wake a thread: {error}"))?;
    }
    let mut totals = Totals::default();
    for thread in threads {
        let result = thread.join().map_err(|_| "a thread ended early: report this as a bug")?;
        totals.merge(&result.map_err(|error| format!("the event loop failed: {error}"))?);
    }
    let text = if json {
        serde_json::to_string(&totals).map_err(|error| format!("cannot write JSON: {error}"))?
            + "\n"
    } else {
        totals.text()
    };
    // A reader that went away is no failure of the run.
    let _ = io::stdout().write_all(text.as_bytes());
    totals.verdict()
}

fn script(args: Args) -> Script {
    let keywords = if args.keyword.is_empty() {
        vec!["PIPELINING".to_owned(), format!("SIZE {}", args.max_size), "8BITMIME".to_owned()]
    } else {
        args.keyword.into_iter().filter(|keyword| !keyword.is_empty()).collect()
    };
    let protocol = if args.no_esmtp { "SMTP" } else { "ESMTP" };
    let greeting = args
        .greeting
        .unwrap_or_else(|| format!("{} {protocol} mailguard sink", args.hostname))
        .replace("\\n", "\n");
    let hostname = args.hostname.as_str();
    let lines = std::iter::once(hostname).chain(keywords.iter().map(String::as_str));
    Script {
        greeting: reply(220, greeting.split('\n')),
        helo: reply(250, [hostname]),
        ehlo: (!args.no_esmtp).then(|| reply(250, lines)),
        chunking: !args.no_esmtp
            && keywords.iter().any(|keyword| keyword.eq_ignore_ascii_case("CHUNKING")),
        max_size: args.max_size,
        slow: args.slow.filter(|&millis| millis > 0).map(Duration::from_millis),
        lf_ends_command: args.lf_ends_command,
        expect_load: args.expect_load,
        save: args.save,
        quiet: args.quiet,
        count: args.count,
        transcript: args.transcript.is_some(),
    }
}

/// What may stand in a reply without breaking it.
fn reply_text(text: &str) -> Result<String, String> {
    if text.len() <= 4096 && !text.contains(['\r', '\n']) {
        Ok(text.to_owned())
    } else {
        Err("give at most 4096 octets in one line".to_owned())
    }
}

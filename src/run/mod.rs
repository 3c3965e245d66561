//! `mailguard run`: the guard between two legs.

mod bounds;
mod observing;
mod operating;
mod panics;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::net::SocketAddr;
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, select, unbounded};
use nix::sys::signal::{SigSet, Signal};

use crate::config::Config;
use crate::counters::Counters;
use crate::device::{
    Features, OpenLeg, Persistence, Queue, bridge_mtu, give_memory_back, open_bridge, open_leg,
};
use crate::engine::EngineConfig;
use crate::jail::{Cell, Jail, Settle, Warden};
use crate::limits::{STOP_PATIENCE, WORKERS_MAX};
use crate::observe::Sources;
use crate::operator::Device;
use crate::policy::{Bounds, Personality};
use crate::pool::{Hooks, Lane, Pool};
use bounds::BoundsArgs;
use observing::ObserveArgs;
use operating::{OperateArgs, PASSWORDS, Running, serve_consoles};
use panics::log_panics;

/// What `mailguard run` is told.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLE)]
pub struct Args {
    /// TUN leg on the untrusted side. What is routed into it comes from outside.
    ///
    /// Made if it does not exist: 65535 octets MTU, 5000 packets a queue, up. At most 15 octets.
    #[arg(long, value_name = "NAME", default_value = "mg-outside", value_parser = interface_name)]
    outside: String,

    /// TUN leg on the protected side. What is routed into it comes from inside.
    #[arg(long, value_name = "NAME", default_value = "mg-inside", value_parser = interface_name)]
    inside: String,

    /// The device whose behaviour is shown.
    #[arg(long, value_name = "NAME", default_value = "mailguard", value_parser = crate::personality::personalities())]
    personality: &'static Personality,

    /// Sets one knob of the personality: --set greeting=all. Repeat it for more; mailguard personality NAME lists them.
    #[arg(long = "set", value_name = "KNOB=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,

    /// TCP port of the servers that are inspected, 1 to 65535. Repeat it, or give a list: 25,587.
    #[arg(
        long = "port",
        value_name = "PORT",
        default_value = "25",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    ports: Vec<u16>,

    /// Largest TCP segment that a SYN of an inspected connection may announce (Cisco sysopt
    /// connection tcpmss), in either direction. A smaller one stays, and none is added.
    ///
    /// For a path that is narrower than either end knows, and whose ICMP errors get lost: MTU less 40
    /// for IPv4, less 60 for IPv6.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(48..))]
    mss_max: Option<u16>,

    /// Bridges two Ethernet interfaces instead of routing between two TUN legs: the first is the untrusted side, the
    /// second the protected one (Cisco transparent firewall).
    ///
    /// The ends need not know: no address, no route, no rule. Mail goes through the guard, all else (ARP, ND, other
    /// protocols, VLAN tags) passes as it came. The two interfaces must have no address and belong to no other
    /// bridge. When the guard is not there, nothing passes.
    #[arg(
        long,
        num_args = 2,
        value_names = ["OUTSIDE", "INSIDE"],
        conflicts_with_all = ["outside", "inside", "fail_open", "no_offload", "no_io_uring"],
        value_parser = interface_name
    )]
    bridge: Option<Vec<String>>,

    /// Threads that inspect, 1 to 64; each has a queue of both legs, and a flow stays with one.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(WORKERS_MAX))
    )]
    workers: u16,

    /// Microseconds for which a worker that has nothing to do looks for packets before it goes to sleep, up to
    /// 1,000,000.
    ///
    /// A packet that comes meanwhile need not wake anybody: less than half the delay, for a core that is never idle.
    /// With fewer cores to spare than there are workers it makes all slower.
    #[arg(
        long,
        value_name = "MICROS",
        default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(..=1_000_000)
    )]
    busy_poll: u32,

    /// What cannot be inspected is dropped, and so is all when the guard is not there (the default).
    ///
    /// The legs are persistent: when the guard ends, is killed or is stopped, they stay, the routes
    /// through them stay, and what is routed there is swallowed until a guard takes them over again.
    /// To be rid of them: ip link del NAME.
    #[arg(long, conflicts_with = "fail_open")]
    fail_closed: bool,

    /// What cannot be inspected is relayed, and all passes uninspected when the guard is not there.
    ///
    /// The legs vanish with the guard, whether it ends, is killed or is stopped; the routes through
    /// them vanish too, and routing falls through to the kernel's other tables.
    #[arg(long)]
    fail_open: bool,

    /// Packets come one by one and finished, without super-segments and partial checksums.
    ///
    /// A tenth of the throughput: for tests, and for kernels whose offload is broken. A kernel that
    /// has none needs no flag.
    #[arg(long)]
    no_offload: bool,

    /// Each packet to a leg is written by a system call of its own, not small ones in batches by io_uring(7).
    ///
    /// For tests. Where the kernel has no io_uring, or a container may not use it, that is done without this word;
    /// RUST_LOG=debug says so.
    #[arg(long)]
    no_io_uring: bool,

    /// The guard keeps its privileges: for debuggers and profilers.
    ///
    /// Without this word, once the legs are open, it gives up every capability, and can from then on
    /// neither open a file or a socket nor start or trace a program (no_new_privs, Landlock,
    /// seccomp), as far as the kernel knows how; RUST_LOG=debug says what is in force. With --syslog one
    /// thread may still connect to hosts, with --metrics one may still accept.
    #[arg(long)]
    no_jail: bool,

    #[command(flatten)]
    bounds: BoundsArgs,

    #[command(flatten)]
    observe: ObserveArgs,

    #[command(flatten)]
    operate: OperateArgs,
}

const EXAMPLE: &str = "\
Example, for a client behind eth0 and a mail server behind eth1:
  mailguard run --outside mg-outside --inside mg-inside &
  ip route add default dev mg-outside table 100
  ip route add default dev mg-inside table 101
  ip rule add iif eth0 ipproto tcp dport 25 lookup 100
  ip rule add iif eth1 ipproto tcp sport 25 lookup 101
  ip rule add iif eth0 ipproto icmp lookup 100
  ip rule add iif eth1 ipproto icmp lookup 101
The same with ip -6, and ipv6-icmp for icmp. Forwarding must be on, and rp_filter off for the legs
and the wires. ICMP goes through the legs because errors quote sequence numbers, which the guard
translates; all other ICMP is relayed. Errors that this kernel makes itself about what it cannot
forward (path MTU!) go the same way, with accept_local on for the legs, where CLIENTS and SERVERS are
networks:
  ip rule add iif lo ipproto icmp to CLIENTS lookup 101
  ip rule add iif lo ipproto icmp to SERVERS lookup 100

Only the first fragment of a packet has a port: let connection tracking put fragments together before
they are routed (netns/lab shows how), or route all TCP of those who send them (ip rule add from ...
ipproto tcp): the guard puts them together itself. Only with --personality off do fragments pass as
they came.

Signals: SIGINT and SIGTERM stop the guard, and its counters are printed; a second one ends it at
once. SIGUSR1 prints the counters while it runs, SIGHUP reads the configuration again.";

/// An interface name that the kernel takes (`dev_valid_name` in net/core/dev.c) and that names one
/// device.
fn interface_name(name: &str) -> Result<String, String> {
    let bad = |c: char| c.is_ascii_whitespace() || c.is_control() || matches!(c, '/' | ':' | '%');
    if name.len() >= libc::IFNAMSIZ {
        return Err(format!("an interface name has at most {} octets", libc::IFNAMSIZ - 1));
    }
    if name.is_empty() || name == "." || name == ".." || name.contains(bad) {
        return Err("an interface name has no space, slash, colon or percent sign".into());
    }
    Ok(name.into())
}

/// One knob and its value.
fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a setting is KNOB=VALUE")?;
    // What it does with the rest of the personality is seen later; that it does not exist, now.
    Personality::OFF.clone().set(name, value).map_err(|error| error.to_string())?;
    Ok((name.into(), value.into()))
}

impl Args {
    fn features(&self) -> Features {
        if self.no_offload { Features::Plain } else { Features::Offload }
    }

    /// The configuration that the options are.
    fn configuration(&self) -> Config {
        Config {
            mss_max: self.mss_max,
            timeouts: self.bounds.bounds().timeouts,
            ..Config::of_words(self.personality, &self.settings, &self.ports)
        }
    }

    /// The names of the legs, the outside first.
    fn legs(&self) -> [&str; 2] {
        match self.bridge.as_deref() {
            Some([outside, inside]) => [outside, inside],
            _ => [&self.outside, &self.inside],
        }
    }

    fn persistence(&self) -> Persistence {
        if self.fail_open { Persistence::Vanishes } else { Persistence::Stays }
    }
}

/// Runs the guard until it is told to stop.
///
/// # Errors
///
/// One line that names the mend: a leg cannot be opened, a worker ended, or one does not end.
pub fn run(args: Args) -> Result<(), String> {
    let [outside, inside] = args.legs();
    if outside == inside {
        return Err(format!(
            "both legs are called {outside}: give --outside and --inside different names"
        ));
    }
    log_panics();
    // Before the first thread, so that all of them inherit the mask.
    let known = block_signals()?;
    // Before the legs: what is wrong with it is said to whoever asks, and leaves nothing behind.
    let start = args.operate.start()?;
    let (wanted, store) = match start {
        Some(start) => (start.config, start.store),
        None => (args.configuration(), None),
    };
    let mut warden = Warden::new(!args.no_jail);
    // These two have a wider cell than the rest, and what they lack is said before there is a leg.
    let logger = args.observe.logger(&wanted, &mut warden)?;
    let metrics = args.observe.metrics(&mut warden)?;
    let seed = RandomState::new().build_hasher().finish();
    let (lanes, features) = open_lanes(&args, seed)?;
    let bounds = Bounds { timeouts: wanted.timeouts, ..args.bounds.bounds() };
    let config = EngineConfig {
        policy: wanted.policy(),
        seed,
        offload: features == Features::Offload,
        fail_open: args.fail_open,
        midstream: args.bounds.midstream(args.fail_open),
        bounds: bounds.share(args.workers.into()),
    };
    let listeners = args.operate.listen.open()?;
    // Before all other threads, so that all of them are in it.
    let mut jail = if args.no_jail { Jail::default() } else { Jail::enter(Cell::Guard) };
    let signals = signals(known, &mut warden)?;
    let of_workers = if args.bridge.is_some() { Cell::Bridge } else { Cell::Guard };
    let hooks = Hooks {
        busy_poll: Duration::from_micros(args.busy_poll.into()),
        reporter: Some(logger.reporter()),
        settle: lanes.iter().map(|_| warden.settle(of_workers)).collect(),
    };
    let pool = Pool::start(lanes, &config, hooks)
        .map_err(|why| format!("cannot start a worker: {why}"))?;
    let pool = Arc::new(pool);
    let mut address = None;
    if let Some((bound, sources)) = metrics {
        let census = pool.census();
        let workers = Box::new(move || census.take());
        let _ = sources.send(Sources { workers, logger: Some(logger.clone()) });
        address = Some(bound);
    }
    let running = Running::new(pool.clone(), logger.clone(), bounds.memory);
    let device = Arc::new(Device::new(Arc::new(running), store, PASSWORDS, wanted));
    let telnet = listeners.telnet();
    serve_consoles(listeners, &device, &mut warden)?;
    warden.wait()?;
    if !args.no_jail {
        jail.close(Cell::Guard);
    }
    let ready =
        Ready { args: &args, features, metrics: address, telnet, jail: &jail, device: &device };
    let ready = ready.to_string();
    // Nobody need be reading.
    let _ = writeln!(std::io::stderr(), "{ready}");
    logger.say(ready);
    let served = serve(&pool, &signals, &device);
    logger.say(served.as_ref().err().map_or("stopped", String::as_str).into());
    logger.stop();
    served
}

fn serve(pool: &Pool, signals: &Receiver<Signal>, device: &Device) -> Result<(), String> {
    let failure = loop {
        select! {
            recv(signals) -> signal => match signal {
                Ok(Signal::SIGUSR1) => print(&pool.counters()),
                Ok(Signal::SIGHUP) => match device.reload() {
                    Ok(_) => log::info!("the startup configuration is in force"),
                    Err(why) => log::error!("{why}"),
                },
                _ => break None,
            },
            recv(pool.crowds()) -> _ => give_memory_back(),
            recv(pool.failures()) -> failure => {
                break Some(failure.unwrap_or_else(|_| "all workers have ended".into()));
            }
        }
    };
    let (counters, stopped) = pool.stop(STOP_PATIENCE);
    print(&counters);
    failure.map_or(stopped, Err)
}

/// Keeps the signals that the guard knows for who waits for them.
fn block_signals() -> Result<SigSet, String> {
    let known =
        SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGHUP]);
    known.thread_block().map_err(|why| format!("cannot block signals: {why}"))?;
    Ok(known)
}

/// The signals that the guard knows, as they come. The first one that ends it has to have done so
/// after a while, whatever hangs; the second one ends it at once.
fn signals(known: SigSet, warden: &mut Warden) -> Result<Receiver<Signal>, String> {
    let failed = |why: std::io::Error| format!("cannot wait for signals: {why}");
    let (tell, signals) = unbounded();
    let (ending, ends) = bounded(1);
    let mut spawn = |name: &str, work: Settle| {
        let settle = warden.settle(Cell::Guard);
        let settled = move || {
            settle();
            work();
        };
        thread::Builder::new().name(name.into()).spawn(settled).map_err(failed)
    };
    let wait = move || {
        let mut is_ending = false;
        while let Ok(signal) = known.wait() {
            if !matches!(signal, Signal::SIGUSR1 | Signal::SIGHUP) {
                if is_ending {
                    process::exit(1);
                }
                is_ending = true;
                let _ = ending.send(());
            }
            // Whoever listened may have gone, but not the second signal's way.
            let _ = tell.send(signal);
        }
    };
    let last_resort = move || {
        if ends.recv().is_ok() {
            thread::sleep(2 * STOP_PATIENCE);
            process::exit(1);
        }
    };
    spawn("signals", Box::new(wait))?;
    spawn("last-resort", Box::new(last_resort))?;
    Ok(signals)
}

/// Opens both legs, and gives each worker a queue of either.
fn open_lanes(args: &Args, seed: u64) -> Result<(Vec<Lane>, Features), String> {
    if args.bridge.is_some() {
        return Ok((bridge_lanes(args, seed)?, Features::Offload));
    }
    let open = |name: &str, features| {
        open_leg(name, args.workers.into(), features).map_err(|why| why.to_string())
    };
    let mut outside = open(&args.outside, args.features())?;
    let mut inside = open(&args.inside, outside.features)?;
    if inside.features != outside.features {
        // A packet goes out as it came in, so both legs must speak the same.
        drop(outside);
        outside = open(&args.outside, inside.features)?;
    }
    for leg in [&outside, &inside] {
        leg.persist(args.persistence()).map_err(|why| why.to_string())?;
    }
    if !args.no_io_uring {
        let mut queues = outside.queues.iter_mut().chain(&mut inside.queues);
        match queues.try_for_each(Queue::write_in_batches) {
            Ok(()) => log::debug!("small packets leave in batches, by io_uring"),
            Err(why) => log::debug!("each packet is written by itself: no io_uring: {why}"),
        }
    }
    let features = inside.features;
    let OpenLeg { queues: of_outside, .. } = outside;
    let OpenLeg { queues: of_inside, .. } = inside;
    let pairs = of_outside.into_iter().zip(of_inside);
    let lanes = pairs.map(|(outside, inside)| Lane { outside, inside });
    Ok((lanes.collect(), features))
}

/// Opens both interfaces of a bridge, and gives each worker a queue of either.
fn bridge_lanes(args: &Args, seed: u64) -> Result<Vec<Lane>, String> {
    let [outside, inside] = args.legs();
    let open =
        |name: &str| open_bridge(name, args.workers.into(), seed).map_err(|why| why.to_string());
    let (of_outside, of_inside) = (open(outside)?, open(inside)?);
    let mtus = [outside, inside].map(|name| bridge_mtu(name).unwrap_or_default());
    if mtus[0] != mtus[1] {
        log::warn!(
            "{outside} takes {} octets and {inside} {}: what is longer than the smaller is lost \
             without a word: ip link set dev NAME mtu N",
            mtus[0],
            mtus[1]
        );
    }
    let pairs = of_outside.into_iter().zip(of_inside);
    Ok(pairs.map(|(outside, inside)| Lane { outside, inside }).collect())
}

fn print(counters: &Counters) {
    // A reader that has gone away is no reason to stop guarding.
    let _ = write!(std::io::stdout().lock(), "{counters}");
}

/// The line that says that the guard is ready.
struct Ready<'a> {
    args: &'a Args,
    features: Features,
    metrics: Option<SocketAddr>,
    telnet: Option<SocketAddr>,
    jail: &'a Jail,
    device: &'a Device,
}

impl fmt::Display for Ready<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { args, features, metrics, telnet, jail, device } = self;
        let config = device.config();
        let [outside, inside] = args.legs();
        let bridged = if args.bridge.is_some() { ", bridged" } else { "" };
        write!(f, "guarding outside {outside}, inside {inside}{bridged}, port ")?;
        for (place, inspection) in config.policy().inspections.iter().enumerate() {
            let (comma, ports) = (if place == 0 { "" } else { "," }, &inspection.ports);
            write!(f, "{comma}{}", ports.start())?;
            if ports.start() != ports.end() {
                write!(f, "-{}", ports.end())?;
            }
        }
        let workers = args.workers;
        let plural = if workers == 1 { "" } else { "s" };
        let offload = if *features == Features::Offload { "on" } else { "off" };
        write!(f, ", personality {}", config.personality)?;
        for (name, value) in &config.knobs {
            write!(f, " {name}={value}")?;
        }
        write!(f, ", {workers} worker{plural}, offload {offload}")?;
        if let Some(address) = metrics {
            write!(f, ", metrics on {address}")?;
        }
        if let Some(address) = telnet {
            write!(f, ", telnet on {address}")?;
        }
        write!(f, ", {jail}")
    }
}

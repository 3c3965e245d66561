//! The workers: one thread, one queue of each leg and one engine each, run to completion.
//!
//! No lock and no shared state: a flow belongs to one worker, and a packet that the kernel brought
//! to another one goes over a bounded belt. The owner writes to its own queues, which teaches the
//! kernel to bring the rest of the flow there.

#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

mod belt;
mod watch;
mod worker;

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant as Clock};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::counters::Counters;
use crate::device::{Bell, Queue};
use crate::engine::{Control, EngineConfig, Filter, owner};
use crate::flow::View;
use crate::limits::ORDERS_MAX;
use crate::observe::{Reporter, Standing};
use belt::{Belts, Order};
use worker::Worker;

/// How long a worker may take to tell its counters: a round of a busy one takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// What one worker holds of the device.
#[derive(Debug)]
pub struct Lane {
    /// Its queue of the outside leg.
    pub outside: Queue,
    /// Its queue of the inside leg.
    pub inside: Queue,
}

/// What the workers are given besides packets.
#[derive(Default)]
pub struct Hooks {
    /// How long each looks for packets before it goes to sleep.
    pub busy_poll: Duration,
    /// Where they report to.
    pub reporter: Option<Reporter>,
    /// What each does first, if anything.
    pub settle: Vec<Box<dyn FnOnce() + Send>>,
}

/// Which of `workers` owns the flow of a packet, given the seed.
type Owner = fn(&[u8], usize, u64) -> usize;

#[derive(Debug, Clone)]
struct Hand {
    orders: Sender<Order>,
    bell: Arc<Bell>,
}

impl Hand {
    /// Gives an order. A worker that has ended, or that hangs, gets none.
    fn order(&self, order: Order) {
        if self.orders.send_timeout(order, PATIENCE).is_ok() {
            self.bell.ring();
        }
    }
}

/// The running workers.
#[derive(Debug)]
pub struct Pool {
    hands: Vec<Hand>,
    failures: Receiver<String>,
    crowds: Receiver<()>,
    /// Where workers that have ended leave their counters.
    ended: Receiver<Counters>,
}

impl Pool {
    /// Starts one worker for each lane, each with an engine set up as `config` says.
    ///
    /// # Errors
    ///
    /// The process has no descriptor or no thread left.
    pub fn start(lanes: Vec<Lane>, config: &EngineConfig, hooks: Hooks) -> io::Result<Self> {
        Self::start_with(lanes, config, hooks, owner)
    }

    fn start_with(
        lanes: Vec<Lane>,
        config: &EngineConfig,
        hooks: Hooks,
        owner: Owner,
    ) -> io::Result<Self> {
        let mut settle = hooks.settle.into_iter();
        let origin = Clock::now();
        let (report, failures) = unbounded();
        let (gone, crowds) = bounded(1);
        let (end, ended) = bounded(lanes.len());
        let mut hands = Vec::with_capacity(lanes.len());
        for (belts, lane) in Belts::between(lanes.len())?.into_iter().zip(lanes) {
            let (orders, incoming) = bounded(ORDERS_MAX);
            let bell = belts.own_bell();
            let name = format!("worker-{}", belts.own);
            let mut worker = Worker::new(lane, belts, incoming, config, owner, origin);
            worker.tells_of_crowds(gone.clone());
            worker.reports_to(hooks.reporter.clone());
            worker.looks_for(hooks.busy_poll);
            let settle = settle.next();
            let (report, end, tag) = (report.clone(), end.clone(), name.clone());
            thread::Builder::new().name(name).spawn(move || {
                if let Some(settle) = settle {
                    settle();
                }
                let failure = match catch_unwind(AssertUnwindSafe(|| worker.run())) {
                    Ok(end) => end.err(),
                    Err(panic) => Some(format!("{tag} panicked: {}", panic_text(panic.as_ref()))),
                };
                // A worker that dies in silence would swallow its flows for ever.
                if let Some(why) = failure {
                    let _ = report.send(why);
                }
                let _ = end.send(worker.counters());
            })?;
            hands.push(Hand { orders, bell });
        }
        Ok(Self { hands, failures, crowds, ended })
    }

    /// Where a worker says that a crowd of flows has gone, and left much memory free.
    pub fn crowds(&self) -> &Receiver<()> {
        &self.crowds
    }

    /// Where the end of a worker that nobody stopped is reported, as one line. The guard has a hole
    /// from then on: end the process.
    pub fn failures(&self) -> &Receiver<String> {
        &self.failures
    }

    /// Passes `control` to every engine.
    pub fn control(&self, control: &Control) {
        for hand in &self.hands {
            hand.order(Order::Control(control.clone()));
        }
    }

    /// The counters of all workers, summed. One that does not answer in time is left out.
    pub fn counters(&self) -> Counters {
        sum(self.census().take().into_iter().map(|one| one.counters))
    }

    /// One who can ask the workers how they are.
    pub fn census(&self) -> Census {
        Census { hands: self.hands.clone() }
    }

    /// Connections of whom it concerns, `most` of each worker at most, and how many there are.
    pub fn connections(&self, filter: Filter, most: usize) -> (Vec<View>, usize) {
        let (answer, answers) = bounded(self.hands.len());
        for hand in &self.hands {
            hand.order(Order::Show(filter, most, answer.clone()));
        }
        let deadline = Clock::now() + PATIENCE;
        let answers = self.hands.iter().filter_map(|_| answers.recv_deadline(deadline).ok());
        answers.fold((Vec::new(), 0), |(mut all, count), (views, more)| {
            all.extend(views);
            (all, count + more)
        })
    }

    /// Stops the workers and returns the counters, summed, of those that have ended within
    /// `patience`. The error says that others have not: end the process.
    pub fn stop(&self, patience: Duration) -> (Counters, Result<(), String>) {
        let deadline = Clock::now() + patience;
        for hand in &self.hands {
            hand.order(Order::Stop);
        }
        let told = self.hands.iter().map_while(|_| self.ended.recv_deadline(deadline).ok());
        let told: Vec<_> = told.collect();
        let late = self.hands.len() - told.len();
        let all = if late == 0 {
            Ok(())
        } else {
            Err(format!("{late} of {} workers did not stop", self.hands.len()))
        };
        (sum(told.into_iter()), all)
    }
}

/// Asks the workers how they are.
#[derive(Debug)]
pub struct Census {
    hands: Vec<Hand>,
}

impl Census {
    /// What each worker says, in their order. One that does not answer in time is left out.
    pub fn take(&self) -> Vec<Standing> {
        let (answer, answers) = bounded(self.hands.len());
        for hand in &self.hands {
            hand.order(Order::Count(answer.clone()));
        }
        let deadline = Clock::now() + PATIENCE;
        let answers = self.hands.iter().map(|_| answers.recv_deadline(deadline));
        let mut all: Vec<_> = answers.flatten().collect();
        all.sort_unstable_by_key(|standing| standing.worker);
        all
    }
}

fn sum(all: impl Iterator<Item = Counters>) -> Counters {
    all.fold(Counters::default(), |mut sum, one| {
        sum.add(&one);
        sum
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use etherparse::PacketBuilder;

    use super::*;
    use crate::counters::Event;
    use crate::device::TunQueue;
    use crate::policy::{Bounds, Midstream, Personality, Policy};

    /// Long enough for anything that happens at all.
    const LONG: Duration = Duration::from_secs(20);

    /// The far ends of one lane: what is sent here is read by the worker.
    struct Wires {
        outside: UnixDatagram,
        inside: UnixDatagram,
    }

    fn wire() -> (Queue, UnixDatagram) {
        let (near, far) = UnixDatagram::pair().expect("a pair of sockets");
        near.set_nonblocking(true).expect("a non-blocking socket");
        far.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        (Queue::Tun(TunQueue::new(OwnedFd::from(near), false)), far)
    }

    fn lanes(count: usize) -> (Vec<Lane>, Vec<Wires>) {
        let make = |_| {
            let ((outside, far_outside), (inside, far_inside)) = (wire(), wire());
            let wires = Wires { outside: far_outside, inside: far_inside };
            (Lane { outside, inside }, wires)
        };
        (0..count).map(make).unzip()
    }

    fn relay() -> EngineConfig {
        EngineConfig {
            policy: Policy::new(Arc::new(Personality::OFF), &[25]),
            seed: 7,
            offload: false,
            fail_open: false,
            midstream: Midstream::Drop,
            bounds: Bounds::default(),
        }
    }

    fn syn(client_port: u16) -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .tcp(client_port, 25, 1000, 65535)
            .syn()
            .write(&mut packet, &[])
            .expect("a packet in memory");
        packet
    }

    fn received(wire: &UnixDatagram) -> Vec<u8> {
        let mut room = vec![0; 2048];
        let len = wire.recv(&mut room).expect("a packet in time");
        room.truncate(len);
        room
    }

    #[test]
    fn a_packet_crosses_from_leg_to_leg() {
        let (lanes, wires) = lanes(1);
        let pool = Pool::start(lanes, &relay(), Hooks::default()).expect("a worker");
        wires[0].outside.send(&syn(4000)).expect("room in a socket");
        assert_eq!(received(&wires[0].inside)[20..24], syn(4000)[20..24]);
        pool.control(&Control::Install(Policy::default()));
        pool.counters();
        let (counters, stopped) = pool.stop(LONG);
        assert_eq!((counters.drops_total(), stopped), (0, Ok(())));
    }

    #[test]
    fn a_packet_that_came_to_the_wrong_worker_is_handed_to_its_owner() {
        let (lanes, wires) = lanes(3);
        let pool =
            Pool::start_with(lanes, &relay(), Hooks::default(), |_, _, _| 2).expect("workers");
        for (port, wires) in [4000, 4001, 4002].into_iter().zip(&wires) {
            wires.outside.send(&syn(port)).expect("room in a socket");
        }
        let mut ports: Vec<_> =
            (0..3).map(|_| received(&wires[2].inside)[20..22].to_vec()).collect();
        ports.sort();
        assert_eq!(ports, [4000_u16, 4001, 4002].map(|port| port.to_be_bytes().to_vec()));
        assert_eq!(pool.stop(LONG).0.events(Event::HandedOver), 2);
    }

    /// A SYN in two fragments, the later one first.
    fn syn_in_fragments(client_port: u16) -> [Vec<u8>; 2] {
        let whole = syn(client_port);
        let piece = |octets: &[u8], at: u16, more: bool| {
            let mut header = etherparse::Ipv4Header::from_slice(&whole).expect("a header").0;
            header.identification = client_port;
            header.dont_fragment = false;
            header.more_fragments = more;
            header.fragment_offset = (at / 8).try_into().expect("a small offset");
            header.total_len = 20 + octets.len() as u16;
            header.header_checksum = header.calc_header_checksum();
            [&header.to_bytes()[..], octets].concat()
        };
        [piece(&whole[36..], 16, false), piece(&whole[20..36], 0, true)]
    }

    #[test]
    fn fragments_meet_in_one_worker_and_their_packet_goes_to_the_owner_of_its_flow() {
        let (lanes, wires) = lanes(3);
        let policy = Policy::default();
        let config = EngineConfig { policy, ..relay() };
        let pool = Pool::start(lanes, &config, Hooks::default()).expect("workers");
        let mut owners = Vec::new();
        for port in 4000..4040 {
            let [last, first] = syn_in_fragments(port);
            wires[usize::from(port) % 3].outside.send(&last).expect("room in a socket");
            wires[usize::from(port + 1) % 3].outside.send(&first).expect("room in a socket");
            let owner = owner(&syn(port), 3, config.seed);
            assert_eq!(received(&wires[owner].inside)[20..22], port.to_be_bytes());
            owners.push(owner);
        }
        assert!((0..3).all(|worker| owners.contains(&worker)), "{owners:?}");
        let counters = pool.stop(LONG).0;
        assert_eq!(counters.events(Event::DatagramRebuilt), 40);
        assert_eq!((counters.packets_in, counters.drops_total()), (80, 0));
    }

    #[test]
    fn a_worker_that_panics_is_reported() {
        let (lanes, wires) = lanes(2);
        let pool =
            Pool::start_with(lanes, &relay(), Hooks::default(), |_, _, _| panic!("on purpose"))
                .expect("workers");
        wires[1].inside.send(&syn(4000)).expect("room in a socket");
        let failure = pool.failures().recv_timeout(Duration::from_secs(10));
        assert_eq!(failure.as_deref(), Ok("worker-1 panicked: on purpose"));
        pool.counters();
        assert_eq!(pool.stop(LONG).1, Ok(()));
    }

    #[test]
    fn a_worker_that_hangs_keeps_nobody_waiting_for_ever() {
        let (lanes, wires) = lanes(2);
        static HANGS: AtomicBool = AtomicBool::new(false);
        let hang: Owner = |_, _, _| {
            HANGS.store(true, Ordering::Release);
            loop {
                thread::park();
            }
        };
        let pool = Pool::start_with(lanes, &relay(), Hooks::default(), hang).expect("workers");
        wires[1].inside.send(&syn(4000)).expect("room in a socket");
        while !HANGS.load(Ordering::Acquire) {
            thread::yield_now();
        }
        let (_, stopped) = pool.stop(Duration::from_secs(2));
        assert_eq!(stopped, Err("1 of 2 workers did not stop".into()));
    }
}

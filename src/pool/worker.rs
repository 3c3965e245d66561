//! One worker's round: wait, read a batch, inspect, write, look at the deadlines.

use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use crossbeam_channel::{Receiver, Sender};

use super::belt::{Belts, Order};
use super::watch::LimitWatch;
use super::{Lane, Owner};
use crate::counters::{Counters, DropReason, Event};
use crate::device::{Bell, Gone, Incoming, Queue, Readiness, Taken, glance, wait};
use crate::direction::Leg;
use crate::engine::{Arrival, Assembled, Control, Departure, Engine, EngineConfig, Outbox};
use crate::limits::{BATCH_PACKETS_MAX, CROWD_FLOWS_MIN, GLANCES_MAX, LATENCY_SAMPLED_ONE_IN};
use crate::observe::{Latency, Reporter, Standing};
use crate::report::{Report, Severity, What};
use crate::stream::Buffer;
use crate::time::Instant;
use crate::wire::offload::Offload;

type Failure = (Leg, Gone);

/// The way out: the worker's queues, and what they would not take.
#[derive(Debug)]
struct Exit {
    lane: Lane,
    drops: Counters,
    /// Which legs had a packet in the last round, by their number.
    was_ready: [bool; 2],
}

impl Exit {
    fn queue(&self, leg: Leg) -> &Queue {
        match leg {
            Leg::Outside => &self.lane.outside,
            Leg::Inside => &self.lane.inside,
        }
    }

    fn flush(&mut self, outbox: &Outbox, input: &[u8]) -> Result<(), Failure> {
        outbox.departures(input).try_for_each(|departure| self.send(&departure))
    }

    fn send(&mut self, departure: &Departure<'_>) -> Result<(), Failure> {
        let leg = departure.leg;
        let (queue, drops) = self.way_out(leg);
        match queue.send(departure, |reason| drops.dropped(reason)).map_err(|gone| (leg, gone))? {
            Taken::Yes => {}
            Taken::No(reason) => drops.dropped(reason),
        }
        Ok(())
    }

    /// Sends what waits in the queues.
    fn let_go(&mut self) -> Result<(), Failure> {
        [Leg::Outside, Leg::Inside].into_iter().try_for_each(|leg| {
            let (queue, drops) = self.way_out(leg);
            queue.flush(|reason| drops.dropped(reason)).map_err(|gone| (leg, gone))
        })
    }

    fn way_out(&mut self, leg: Leg) -> (&mut Queue, &mut Counters) {
        let queue = match leg {
            Leg::Outside => &mut self.lane.outside,
            Leg::Inside => &mut self.lane.inside,
        };
        (queue, &mut self.drops)
    }

    /// A frame that is not the guard's business goes on.
    fn relay(&mut self, departure: &Departure<'_>) -> Result<(), Failure> {
        self.drops.packets_in += 1;
        self.drops.packets_out += 1;
        self.drops.happened(Event::FrameRelayed);
        self.send(departure)
    }

    fn receive(&mut self, leg: Leg, room: &mut [u8]) -> Result<Incoming, Failure> {
        self.way_out(leg).0.receive(room).map_err(|gone| (leg, gone))
    }

    /// Counts what the kernel had no room for since the last time.
    fn count_lost(&mut self) {
        let lost = self.lane.outside.lost() + self.lane.inside.lost();
        (0..lost).for_each(|_| self.drop_here(DropReason::RingFull));
    }

    /// Something came that is dropped here.
    fn drop_here(&mut self, reason: DropReason) {
        self.drops.packets_in += 1;
        self.drops.dropped(reason);
    }
}

#[derive(Debug)]
pub(super) struct Worker {
    exit: Exit,
    engine: Engine,
    outbox: Outbox,
    room: Buffer,
    belts: Belts,
    bell: Arc<Bell>,
    orders: Receiver<Order>,
    owner: Owner,
    workers: usize,
    seed: u64,
    origin: Clock,
    /// The most flows that were not folded since memory was last given back.
    crowd: u64,
    gone: Option<Sender<()>>,
    limits: LimitWatch,
    reporter: Option<Reporter>,
    latency: Latency,
    /// Packets since one was timed.
    untimed: u32,
    /// Glances since the kernel was asked.
    glances: u32,
    busy_poll: Duration,
}

impl Worker {
    pub(super) fn new(
        lane: Lane,
        belts: Belts,
        orders: Receiver<Order>,
        config: &EngineConfig,
        owner: Owner,
        origin: Clock,
    ) -> Self {
        let mut engine = Engine::new(config.clone());
        // The numbers of all workers together count up, and no two are the same.
        engine.number_connections(belts.own as u64 + 1, belts.workers() as u64);
        Self {
            exit: Exit { lane, drops: Counters::default(), was_ready: [false; 2] },
            engine,
            outbox: Outbox::default(),
            room: Buffer::room(),
            bell: belts.own_bell(),
            workers: belts.workers(),
            belts,
            orders,
            owner,
            seed: config.seed,
            origin,
            crowd: 0,
            gone: None,
            limits: LimitWatch::default(),
            reporter: None,
            latency: Latency::default(),
            untimed: 0,
            glances: 0,
            busy_poll: Duration::ZERO,
        }
    }

    /// The worker is to say when a crowd of flows has gone: giving memory back takes longer than a
    /// packet may wait.
    pub(super) fn tells_of_crowds(&mut self, gone: Sender<()>) {
        self.gone = Some(gone);
    }

    /// How long the worker looks for packets before it goes to sleep.
    pub(super) fn looks_for(&mut self, busy_poll: Duration) {
        self.busy_poll = busy_poll;
    }

    /// Where the worker reports to.
    pub(super) fn reports_to(&mut self, reporter: Option<Reporter>) {
        self.reporter = reporter;
    }

    /// Makes as much of reports as is wanted now.
    fn listen(&mut self) {
        if let Some(reporter) = &self.reporter {
            self.engine.report(reporter.level());
        }
    }

    /// Hands over what the last call has reported.
    fn report(&mut self) {
        let reports = self.engine.reports();
        if let Some(reporter) = self.reporter.as_ref().filter(|_| !reports.is_empty()) {
            reports.drain().for_each(|report| reporter.tell(report));
            let lost = reports.take_lost();
            if lost > 0 {
                reporter.lose(lost);
            }
        }
    }

    fn watch_crowd(&mut self) {
        let flows = self.engine.whole_flows() as u64;
        self.crowd = self.crowd.max(flows);
        let most_have_gone = self.crowd >= CROWD_FLOWS_MIN && flows < self.crowd / 4;
        let all_have_gone = self.engine.next_deadline().is_none();
        if most_have_gone || all_have_gone {
            self.crowd = flows;
            if let Some(gone) = &self.gone {
                // Full: it has been said.
                let _ = gone.try_send(());
            }
        }
    }

    /// Works until it is told to stop.
    ///
    /// # Errors
    ///
    /// A leg is gone, as [`Queue::tell_gone`] says it.
    pub(super) fn run(&mut self) -> Result<(), String> {
        self.work().map_err(|(leg, Gone)| self.exit.queue(leg).tell_gone(leg))
    }

    fn work(&mut self) -> Result<(), Failure> {
        let mut now = self.now();
        loop {
            let limits = self.tell_limits(now);
            let deadlines = [self.engine.next_deadline(), limits];
            let timeout = deadlines.into_iter().flatten().min().map(|at| at.since(now));
            let ready = self.await_work(timeout)?;
            now = self.now();
            self.listen();
            if ready.bell {
                self.bell.silence();
                if !self.obey(now)? {
                    return self.exit.let_go();
                }
                self.unload(now)?;
            }
            for leg in [Leg::Outside, Leg::Inside] {
                if ready.on(leg) {
                    self.drain(leg, now)?;
                }
                self.exit.was_ready[leg as usize] = ready.on(leg);
            }
            self.exit.let_go()?;
            if self.engine.next_deadline().is_some_and(|at| at <= now) {
                self.outbox.clear();
                self.engine.handle_deadline(now, &mut self.outbox);
                self.report();
                self.exit.flush(&self.outbox, &[])?;
                self.exit.let_go()?;
                self.watch_crowd();
            }
        }
    }

    /// Waits for something to do, at most `timeout`: by a glance, by looking again and again for as long as the
    /// operator lets it burn a core, and asleep.
    fn await_work(&mut self, timeout: Option<Duration>) -> Result<Readiness, Failure> {
        let lane = &self.exit.lane;
        let look = |timeout| wait(&lane.outside, &lane.inside, &self.bell, timeout);
        let seen = glance(&lane.outside, &lane.inside);
        if seen.is_any() && self.glances < GLANCES_MAX {
            self.glances += 1;
            return Ok(seen);
        }
        self.glances = 0;
        let burns = timeout.map_or(self.busy_poll, |timeout| timeout.min(self.busy_poll));
        if !burns.is_zero() {
            let is_seen_through = lane.outside.is_seen_through();
            let until = Clock::now() + burns;
            for round in 0_u32.. {
                let seen = if is_seen_through && round % GLANCES_MAX != 0 {
                    glance(&lane.outside, &lane.inside)
                } else {
                    look(Some(Duration::ZERO))?
                };
                if seen.is_any() {
                    return Ok(seen);
                }
                if Clock::now() >= until {
                    break;
                }
                core::hint::spin_loop();
            }
        }
        look(timeout)
    }

    /// Says which limits were reached, and returns when there will be more to say.
    fn tell_limits(&mut self, now: Instant) -> Option<Instant> {
        let reached = self.engine.counters().limits_reached() + self.exit.drops.limits_reached();
        if !self.limits.has_news(reached) {
            return None;
        }
        let counters = self.counters();
        for (name, times, meaning) in self.limits.look(now, &counters) {
            let worker = self.belts.own;
            let what = What::LimitReached { worker, name, times, meaning };
            let wants = |reporter: &&Reporter| reporter.level() >= Some(Severity::Warnings);
            let reporter = self.reporter.as_ref().filter(wants);
            let report = Report { connection: None, what };
            let is_told = reporter.is_some_and(|reporter| reporter.tell_limit(report));
            // Standard error says it once, whoever writes there.
            if !is_told {
                log::warn!("worker {worker}: {name}, {times} times: {}", meaning.trim());
            }
        }
        self.limits.next_look(&counters)
    }

    /// Reads a batch from one leg.
    fn drain(&mut self, leg: Leg, now: Instant) -> Result<(), Failure> {
        // A look at an empty TUN queue is a system call for nothing: who came alone last time comes alone.
        let is_burst = self.exit.queue(leg).is_seen_through() || self.exit.was_ready[leg as usize];
        let most = if is_burst { BATCH_PACKETS_MAX } else { 1 };
        for _ in 0..most {
            if !self.room.is_free() {
                // A flow goes on to hold it.
                self.room = self.engine.room();
            }
            let room = self.room.get_mut().unwrap_or_default();
            let (len, arrival) = match self.exit.receive(leg, room)? {
                Incoming::Packet { len, link, offload } => (len, Arrival { leg, offload, link }),
                Incoming::Foreign { len, link, vnet_header } => {
                    let (leg, offload, packet) = (!leg, Offload::default(), &self.room[..len]);
                    self.exit.relay(&Departure { leg, offload, vnet_header, link, packet })?;
                    continue;
                }
                Incoming::Useless => {
                    self.exit.drop_here(DropReason::Malformed);
                    continue;
                }
                Incoming::Lost => {
                    self.exit.drop_here(DropReason::RingFull);
                    continue;
                }
                Incoming::Empty => break,
            };
            let mut room = core::mem::take(&mut self.room);
            let began = self.is_sampled().then(Clock::now);
            let done = self.take(now, arrival, len, &mut room);
            if let Some(began) = began {
                self.latency.add(began.elapsed());
            }
            self.room = room;
            done?;
        }
        Ok(())
    }

    /// Whether the next packet is timed: a clock costs as much as a small packet does, so it is one in many.
    fn is_sampled(&mut self) -> bool {
        self.untimed += 1;
        let is_due = self.untimed >= LATENCY_SAMPLED_ONE_IN;
        if is_due {
            self.untimed = 0;
        }
        is_due
    }

    /// Takes the packet of `len` octets in `room`: it is this worker's, or goes to whose it is. A
    /// fragment goes to the owner of its datagram first, and what is put together there to the owner
    /// of its flow.
    fn take(
        &mut self,
        now: Instant,
        mut arrival: Arrival,
        mut len: usize,
        room: &mut Buffer,
    ) -> Result<(), Failure> {
        if self.workers > 1 {
            if !self.is_own(arrival, len, room) {
                return Ok(());
            }
            match self.engine.assemble(now, &arrival, &room[..len]) {
                Assembled::Whole => {}
                Assembled::Waits => return Ok(()),
                Assembled::Rebuilt(packet) => {
                    (len, arrival.offload) = (packet.len(), Offload::default());
                    if let Some(room) = room.get_mut() {
                        room[..len].copy_from_slice(&packet);
                    }
                    if !self.is_own(arrival, len, room) {
                        return Ok(());
                    }
                }
            }
        }
        self.outbox.clear();
        self.engine.handle_buffer(now, arrival, room, len, &mut self.outbox);
        let left = self.exit.flush(&self.outbox, &room[..len]);
        self.report();
        left
    }

    /// Whether the packet is this worker's; if not, it has gone to its owner.
    fn is_own(&mut self, arrival: Arrival, len: usize, room: &mut Buffer) -> bool {
        let owner = (self.owner)(&room[..len], self.workers, self.seed);
        if owner != self.belts.own {
            self.hand_over(owner, arrival, len, room);
        }
        owner == self.belts.own
    }

    fn hand_over(&mut self, owner: usize, arrival: Arrival, len: usize, room: &mut Buffer) {
        if self.belts.send(owner, arrival, len, room) {
            self.exit.drops.happened(Event::HandedOver);
        } else {
            self.exit.drop_here(DropReason::BeltFull);
        }
    }

    /// Takes the packets that others handed over.
    fn unload(&mut self, now: Instant) -> Result<(), Failure> {
        for _ in 0..BATCH_PACKETS_MAX {
            let Some(mut parcel) = self.belts.receive() else {
                return Ok(());
            };
            let (arrival, len) = (parcel.arrival, parcel.len);
            self.take(now, arrival, len, &mut parcel.room)?;
            if !parcel.room.is_free() {
                parcel.room = self.engine.room();
            }
            self.belts.done(parcel);
        }
        // There may be more, but the legs have their turn first.
        self.bell.ring();
        Ok(())
    }

    /// Does what was ordered; false when it was to stop.
    fn obey(&mut self, now: Instant) -> Result<bool, Failure> {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Control(control) => self.control(now, control)?,
                // Whoever asked may have gone away.
                Order::Count(answer) => {
                    self.exit.count_lost();
                    drop(answer.try_send(self.standing()));
                }
                Order::Show(filter, most, answer) => {
                    drop(answer.try_send(self.engine.connections(now, filter, most)));
                }
                Order::Stop => {
                    self.exit.count_lost();
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn control(&mut self, now: Instant, control: Control) -> Result<(), Failure> {
        self.outbox.clear();
        self.engine.handle_control(now, control, &mut self.outbox);
        self.report();
        self.exit.flush(&self.outbox, &[])
    }

    fn standing(&self) -> Standing {
        let (worker, latency) = (self.belts.own, self.latency.clone());
        Standing { worker, counters: self.counters(), latency }
    }

    /// What the engine counted, and what the legs would not take.
    pub(super) fn counters(&self) -> Counters {
        let mut counters = self.engine.counters().clone();
        counters.add(&self.exit.drops);
        counters
    }

    fn now(&self) -> Instant {
        let micros = self.origin.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

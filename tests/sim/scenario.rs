//! One connection through the guard, drawn from a seed, run and checked.

use fastrand::Rng;
use mailguard::counters::{Counters, DropReason, Event};
use smoltcp::socket::tcp::CongestionControl;

use crate::attacker::{Attack, Attacker};
use crate::client::{Client, Close, Manners};
use crate::guard::{Given, Guard, Left};
use crate::host::Build;
use crate::laws::Key;
use crate::pace::{Cut, Pace};
use crate::reference::{Judged, Mode, judge};
use crate::script::{self, Step, Taste};
use crate::server::{Habits, Server};
use crate::trace::{Trace, difference};
use crate::wire::Faults;
use crate::world::{Session, World, address};

const SECOND: u64 = 1_000_000;
/// A connection that takes longer than this hangs.
const HANGS: u64 = 3_600 * SECOND;
/// Longer than any time-out of the guard.
const FORGOTTEN: u64 = 48 * 3_600 * SECOND;

/// Everything that decides how a run goes.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) mode: Mode,
    pub(crate) ipv6: bool,
    pub(crate) offload: bool,
    /// Client and server.
    pub(crate) builds: [Build; 2],
    /// By [`crate::world::Lane`].
    pub(crate) faults: [Faults; 4],
    pub(crate) taste: Taste,
    pub(crate) attack: Attack,
    /// The client is on the inside.
    pub(crate) turned: bool,
    /// The client's port.
    pub(crate) port: u16,
    /// What the client says, if it is not drawn.
    pub(crate) script: Option<Vec<Step>>,
    pub(crate) habits: Habits,
    pub(crate) manners: Manners,
    pub(crate) close: Close,
    pub(crate) paces: [Pace; 2],
    /// Decides what is said.
    pub(crate) words: u64,
    /// Decides how it gets there.
    pub(crate) seed: u64,
}

/// What came of a run.
pub(crate) struct Outcome {
    /// Virtual time until both ends had seen the end, in microseconds.
    pub(crate) took: u64,
    pub(crate) fingerprint: u64,
    pub(crate) counters: Counters,
    /// What client and server sent.
    pub(crate) sent: [Vec<u8>; 2],
    /// What server and client received.
    pub(crate) received: [Vec<u8>; 2],
    pub(crate) supers: u64,
    /// Packets of each kind that were sent on each lane.
    pub(crate) counts: [[usize; 4]; 4],
}

/// What went wrong.
pub(crate) struct Failure {
    pub(crate) what: String,
}

impl Failure {
    pub(crate) fn of(what: String) -> Self {
        Self { what }
    }

    /// At that moment of the run.
    pub(crate) fn at(world: &World, what: &str) -> Self {
        Self { what: format!("at {} us: {what}", world.now) }
    }
}

impl Scenario {
    /// Good wires, ordinary hosts, polite ends.
    pub(crate) fn plain(mode: Mode, seed: u64) -> Self {
        Self {
            mode,
            ipv6: false,
            offload: false,
            builds: [Build::PLAIN, Build::PLAIN],
            faults: [Faults::NONE, Faults::NONE, Faults::NONE, Faults::NONE],
            taste: Taste {
                messages: 1,
                message_len: 2_000,
                lines: 4,
                refused: 40,
                longest: 2_500,
                odd_line_ends: false,
                wild: true,
            },
            attack: Attack::None,
            turned: false,
            port: 2525,
            script: None,
            habits: Habits { data_refused: 0, gives_up: 0, think: 0 },
            manners: Manners::Strict,
            close: Close::AfterReply,
            paces: [Pace::PLAIN, Pace::PLAIN],
            words: seed,
            seed,
        }
    }

    /// Anything.
    pub(crate) fn seeded(mode: Mode, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let words = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut scenario = Self::plain(mode, seed);
        scenario.say(words);
        scenario.carry(&mut rng);
        if mode.inspects() {
            scenario.let_replies_come_whole();
        }
        scenario
    }

    /// What a reply has beyond the refusal is held and not acknowledged: a server that waits for
    /// an acknowledgement before it sends the end waits for ever.
    pub(crate) fn let_replies_come_whole(&mut self) {
        self.builds[1].nagle = false;
        self.builds[1].congestion = CongestionControl::None;
    }

    /// Draws what is said.
    pub(crate) fn say(&mut self, words: u64) {
        let mut rng = Rng::with_seed(words);
        self.words = words;
        self.taste = Taste::seeded(&mut rng);
        self.manners = match rng.u8(..8) {
            0..=2 => Manners::Strict,
            3..=6 => Manners::Pipelined,
            _ => Manners::Blast,
        };
        self.close = *rng
            .choice(&[Close::WithQuit, Close::AfterReply, Close::AfterServer])
            .unwrap_or(&Close::AfterReply);
        let blast = self.manners == Manners::Blast;
        self.habits = Habits {
            data_refused: *rng.choice(&[0, 0, 50]).unwrap_or(&0),
            gives_up: if !blast && rng.u8(..8) == 0 { 10 } else { 0 },
            think: *rng.choice(&[0, 0, 30_000, 2_000_000]).unwrap_or(&0),
        };
        self.taste.wild = !(blast && self.habits.data_refused > 0);
    }

    /// Draws how it gets there.
    pub(crate) fn carry(&mut self, rng: &mut Rng) {
        self.seed = rng.u64(..);
        self.ipv6 = rng.bool();
        self.offload = rng.bool();
        self.builds = [0; 2].map(|_| Build::seeded(rng, self.ipv6));
        self.faults = [0; 4].map(|_| Faults::seeded(rng));
        self.paces = [0; 2].map(|_| Pace::seeded(rng));
        // Small buffers and much loss take a long time: smoltcp repeats from the hole on, once a
        // second. Big messages then make the run long and add nothing.
        let loses = self.faults.iter().any(Faults::loses);
        let small = self.builds.iter().any(|build| build.receive_buffer < 4_000);
        for build in &mut self.builds {
            build.capped = !self.faults.iter().all(Faults::are_none);
        }
        if loses || small {
            self.taste.message_len = self.taste.message_len.min(12_000);
        }
        if self.paces.iter().any(|pace| pace.cut == Cut::Octets) {
            self.taste.lines = self.taste.lines.min(5);
        }
    }

    /// The session at `port`, from now.
    pub(crate) fn session(&self, now: u64, port: u16, rng: &mut Rng) -> Session {
        self.session_of((address(self.ipv6, 1), port), now, rng)
    }

    /// The session of that client.
    pub(crate) fn session_of(&self, key: Key, now: u64, rng: &mut Rng) -> Session {
        let mut words = Rng::with_seed(self.words ^ 0x1234_5678);
        let drawn = script::session(&self.taste, &mut words);
        let steps = self.script.clone().unwrap_or(drawn);
        let client =
            Client::new(steps, self.manners, self.close, self.paces[0].clone(), rng.fork());
        let server =
            Server::new(self.habits.clone(), self.paces[1].clone(), words.fork(), rng.fork());
        let builds = [&self.builds[0], &self.builds[1]];
        Session::new(now, key, builds, client, server, rng)
    }

    /// Runs and checks.
    pub(crate) fn run(&self, traced: bool) -> Result<Outcome, Failure> {
        let mut rng = Rng::with_seed(self.seed);
        let mut guard = Guard::new(self.mode, self.offload, self.seed, Trace::new(traced));
        guard.attacker = Attacker::new(self.attack, self.seed);
        guard.turned = self.turned;
        let mut world = World::new(guard, &self.faults, &mut rng);
        let session = self.session(0, self.port, &mut rng);
        world.begin(session);
        self.drive(&mut world).map_err(|what| Failure::at(&world, &what))
    }

    /// Runs, and hands out every packet that the guard was given and every one that left.
    pub(crate) fn run_and_record(&self, traced: bool) -> Result<(Vec<Given>, Vec<Left>), Failure> {
        let mut rng = Rng::with_seed(self.seed);
        let mut guard = Guard::new(self.mode, self.offload, self.seed, Trace::new(traced));
        guard.record = Some(Vec::new());
        let mut world = World::new(guard, &self.faults, &mut rng);
        let session = self.session(0, self.port, &mut rng);
        world.begin(session);
        match self.drive(&mut world) {
            Ok(_) => {
                let given = world.guard.record.take().unwrap_or_default();
                let given = given.into_iter().filter(|given| !given.bytes.is_empty());
                Ok((given.collect(), world.guard.emitted))
            }
            Err(what) => Err(Failure::at(&world, &what)),
        }
    }

    fn drive(&self, world: &mut World) -> Result<Outcome, String> {
        world.run(HANGS)?;
        let session = world.over.pop().ok_or("no session")?;
        let judged = check_session(self.mode, &session)?;
        let flow = world.guard.laws.end(session.key);
        flow.conclude(self.mode, &judged)?;
        world.settle(world.now + FORGOTTEN)?;
        if self.mode.inspects() {
            self.check_counters(world, &judged)?;
        }
        let done = session.done.unwrap_or(world.now);
        Ok(Outcome {
            took: done - session.began,
            fingerprint: world.guard.fingerprint(),
            counters: world.guard.counters().clone(),
            sent: [session.client.writer.sent, session.server.writer.sent],
            received: [session.server.reader.received, session.client.reader.received],
            supers: world.guard.supers,
            counts: [0, 1, 2, 3].map(|lane: usize| world.wires[lane].counts),
        })
    }

    fn check_counters(&self, world: &World, judged: &Judged) -> Result<(), String> {
        let counters = world.guard.counters();
        let equal = [
            ("packets in", counters.packets_in, world.guard.given),
            ("packets out", counters.packets_out, world.guard.taken),
            ("flows", counters.flows, 0),
            ("flows built", counters.events(Event::FlowBuilt), 1),
            ("greetings masked", counters.events(Event::GreetingMasked), 1),
            ("commands refused", counters.events(Event::CommandRefused), judged.refused),
            ("line ends mended", counters.events(Event::LineEndMended), judged.mended),
            ("messages", counters.events(Event::MailData), judged.messages),
            ("resets", counters.events(Event::InspectionReset), 0),
            ("packets rebuilt", counters.events(Event::DatagramRebuilt), world.guard.cut),
            ("inconsistencies", counters.events(Event::Inconsistent), 0),
        ];
        for (what, counted, expected) in equal {
            if counted != expected {
                return Err(format!("counters: {what} {counted}, expected {expected}"));
            }
        }
        // A keep-alive may put an octet where the FIN was.
        let drops =
            counters.drops_total() - counters.drops(DropReason::AfterFin) - world.guard.decoys;
        let clean = self.faults.iter().all(Faults::are_none);
        if drops < world.guard.laws.bad_sums || clean && drops > 0 {
            let named: Vec<_> = DropReason::ALL
                .iter()
                .filter(|reason| counters.drops(**reason) > 0)
                .map(|reason| (reason.label(), counters.drops(*reason)))
                .collect();
            return Err(format!(
                "counters: {named:?} dropped, {} with a wrong checksum came",
                world.guard.laws.bad_sums
            ));
        }
        Ok(())
    }
}

/// Checks the streams of one session against the reference.
pub(crate) fn check_session(mode: Mode, session: &Session) -> Result<Judged, String> {
    let (client, server) = (&session.client, &session.server);
    let mut judged = judge(mode, &client.writer.sent, &server.writer.sent);
    judged.to_client.allow_blanks(mode, &client.reader.received);
    let streams = [
        ("the server", &judged.to_server.octets, &server.reader.received),
        ("the client", &judged.to_client.octets, &client.reader.received),
    ];
    for (who, expected, got) in streams {
        if let Some(text) = difference(expected, got) {
            return Err(format!("what {who} received {text}"));
        }
    }
    for (who, reader) in [("client", &client.reader), ("server", &server.reader)] {
        if reader.reset || !reader.eof {
            let (reset, eof) = (reader.reset, reader.eof);
            return Err(format!("the {who} saw no clean end: reset {reset}, eof {eof}"));
        }
    }
    if mode.inspects() {
        let allowed = ["HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"];
        let seen = server.commands.iter().find(|line| {
            let line = String::from_utf8_lossy(line).to_uppercase();
            ["EXPN", "VRFY", "EHLO", "HELP", "STARTTLS"].iter().any(|verb| line.starts_with(verb))
                && !allowed.iter().any(|verb| line.starts_with(verb))
        });
        if let Some(line) = seen {
            return Err(format!("the server saw {:?}", line.escape_ascii().to_string()));
        }
    }
    let polite = server.messages.len() == client.messages.len();
    if polite && server.messages != client.messages {
        return Err("a message is not the one that was sent".into());
    }
    Ok(judged)
}

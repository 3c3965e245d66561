//! What is measured.

use std::hint::black_box;
use std::time::Duration;

use mailguard::counters::Event;
use mailguard::inspect::{ClientJudge, Edits, Indifferent};
use mailguard::policy::Personality;
use mailguard::smtp::{MailData, Outstanding, Session};
use mailguard::wire::packet::flags;

use super::guard::{Guard, Packet, Talk, Who, mail_lines};
use super::probe::Probe;

/// Name, what it is, and how it is measured.
pub(crate) type Case = (&'static str, fn(&mut Probe));

/// Octets of payload of the longest packet that a device hands in: 45 segments.
const SUPER_SEGMENT: usize = 45 * 1448;

/// How often what is quick is measured.
const ROUNDS: usize = 256;

/// All cases. What a unit is stands beside them.
pub(crate) const CASES: &[Case] = &[
    // One packet in.
    ("relay 1 KB of mail data", |probe| relay(probe, 1024, "mailguard")),
    ("relay 64 KiB of mail data", |probe| relay(probe, SUPER_SEGMENT, "mailguard")),
    ("relay 64 KiB of mail data, modern", |probe| relay(probe, SUPER_SEGMENT, "modern")),
    ("relay 64 KiB of mail data, asa94 with its map", |probe| relay(probe, SUPER_SEGMENT, "asa94")),
    ("relay 1 KB uninspected", |probe| relay_uninspected(probe, 1024)),
    ("relay 64 KiB uninspected", |probe| relay_uninspected(probe, SUPER_SEGMENT)),
    ("edit that keeps the length", |probe| refused(probe, b"HELP\r\n")),
    ("edit that changes the length", |probe| refused(probe, b"X\r\n")),
    ("repeat of 1 KB", repeat),
    ("acknowledgement of 1 KB", |probe| acknowledge(probe, true)),
    ("acknowledgement once more", |probe| acknowledge(probe, false)),
    ("command line", command_line),
    ("reply line", reply_line),
    ("verdict on a command line", verdict),
    // 64 KiB of octets.
    ("scan of 64 KiB", scan),
    // One acknowledgement, of a flow that is another each time.
    ("lookup among 1,000 flows", |probe| lookup(probe, 1_000)),
    ("lookup among many flows", lookup_among_many),
    // One flow.
    ("create a flow: its SYN", |probe| create(probe, false)),
    ("create a flow: its handshake", |probe| create(probe, true)),
    // One call.
    ("expiry: the first call of many", expire),
    ("expiry: the longest call", expire_all),
    ("growth: the longest packet", grow),
];

/// One measured packet.
fn packet(probe: &mut Probe, guard: &mut Guard, packet: &mut Packet) {
    probe.measure(|| guard.handle(packet));
    assert!(!guard.outbox.is_empty(), "the guard has swallowed a packet");
}

/// Segments of mail data, each of which is acknowledged before the next.
fn relay(probe: &mut Probe, len: usize, personality: &str) {
    let mut guard = Guard::new(Some(personality));
    let mut talk = Talk::in_mail_data(&mut guard);
    let payload = mail_lines(len);
    probe.octets = len as u64;
    for round in 0..ROUNDS {
        let mut segment = talk.says(Who::Client, &payload);
        if round < 4 {
            guard.handle(&mut segment);
        } else {
            packet(probe, &mut guard, &mut segment);
        }
        talk.learn(&guard, &segment);
        let ack = talk.acks(Who::Server);
        talk.pass(&mut guard, ack);
    }
}

fn relay_uninspected(probe: &mut Probe, len: usize) {
    let mut guard = Guard::new(None);
    let mut talk = Talk::new(1);
    talk.shake_hands(&mut guard);
    let payload = mail_lines(len);
    probe.octets = len as u64;
    for _ in 0..ROUNDS {
        let mut segment = talk.says(Who::Client, &payload);
        packet(probe, &mut guard, &mut segment);
        talk.learn(&guard, &segment);
    }
}

/// Commands that are refused: traded for NOOP.
fn refused(probe: &mut Probe, line: &[u8]) {
    let mut guard = Guard::new(Some("mailguard"));
    let mut talk = Talk::open(&mut guard, 1);
    for round in 0..ROUNDS {
        let mut segment = talk.says(Who::Client, line);
        if round < 16 {
            guard.handle(&mut segment);
        } else {
            packet(probe, &mut guard, &mut segment);
        }
        talk.learn(&guard, &segment);
        talk.exchange(&mut guard, Who::Server, b"250 ok\r\n");
    }
    let refused = guard.engine.counters().events(Event::CommandRefused);
    assert_eq!(refused, ROUNDS as u64, "they were not refused");
}

/// A segment whose acknowledgement does not come.
fn repeat(probe: &mut Probe) {
    let mut guard = Guard::new(Some("mailguard"));
    let mut talk = Talk::in_mail_data(&mut guard);
    let segment = talk.says(Who::Client, &mail_lines(1024));
    guard.handle(&mut segment.clone());
    for _ in 0..ROUNDS {
        packet(probe, &mut guard, &mut segment.clone());
    }
}

fn acknowledge(probe: &mut Probe, is_new: bool) {
    let mut guard = Guard::new(Some("mailguard"));
    let mut talk = Talk::in_mail_data(&mut guard);
    let payload = mail_lines(1024);
    for _ in 0..ROUNDS {
        if is_new {
            let segment = talk.says(Who::Client, &payload);
            talk.pass(&mut guard, segment);
        }
        packet(probe, &mut guard, &mut talk.acks(Who::Server));
    }
}

/// A command that passes, from segment to verdict.
fn command_line(probe: &mut Probe) {
    let mut guard = Guard::new(Some("mailguard"));
    let mut talk = Talk::open(&mut guard, 1);
    for round in 0..ROUNDS {
        let mut segment = talk.says(Who::Client, b"RSET\r\n");
        if round < 4 {
            guard.handle(&mut segment);
        } else {
            packet(probe, &mut guard, &mut segment);
        }
        talk.learn(&guard, &segment);
        talk.exchange(&mut guard, Who::Server, b"250 ok\r\n");
    }
}

fn reply_line(probe: &mut Probe) {
    let mut guard = Guard::new(Some("mailguard"));
    let mut talk = Talk::open(&mut guard, 1);
    for round in 0..ROUNDS {
        talk.exchange(&mut guard, Who::Client, b"RSET\r\n");
        let mut segment = talk.says(Who::Server, b"250 ok\r\n");
        if round < 4 {
            guard.handle(&mut segment);
        } else {
            packet(probe, &mut guard, &mut segment);
        }
        talk.learn(&guard, &segment);
        let ack = talk.acks(Who::Client);
        talk.pass(&mut guard, ack);
    }
}

/// Edits that go nowhere.
#[derive(Debug, Default)]
struct Passed(usize);

impl Edits for Passed {
    fn pass(&mut self, octets: &[u8]) {
        self.0 += octets.len();
    }

    fn trade(&mut self, _original: usize, octets: &[u8]) {
        self.0 += octets.len();
    }

    fn has_room(&self) -> bool {
        true
    }
}

/// What the judge alone takes for a line.
fn verdict(probe: &mut Probe) {
    let personality = Personality::named("mailguard").expect("a preset");
    let (mut judge, mut session) = (ClientJudge::default(), Session::default());
    session.answered(220).expect("a greeting");
    for _ in 0..ROUNDS {
        let mut edits = Passed::default();
        let line = black_box(b"MAIL FROM:<a@example.com>\r\n");
        probe.measure(|| {
            let judged =
                judge.judge(line, false, &mut session, personality, &mut edits, &mut Indifferent);
            black_box(judged).expect("no fault");
        });
        assert_eq!((edits.0, session.tail()), (line.len(), Some(Outstanding::Mail)));
        session.answered(250).expect("a reply");
    }
}

fn scan(probe: &mut Probe) {
    let text = mail_lines(SUPER_SEGMENT);
    let mut mail_data = MailData::default();
    probe.octets = text.len() as u64;
    for _ in 0..ROUNDS {
        probe.measure(|| {
            assert_eq!(mail_data.take(black_box(&text)), None, "there is no end in it");
        });
    }
}

/// Flows that are idle.
fn crowd(guard: &mut Guard, count: u32) -> Vec<Talk> {
    (0..count).map(|number| Talk::open(guard, number)).collect()
}

fn lookup(probe: &mut Probe, count: u32) {
    let mut guard = Guard::new(Some("mailguard"));
    let mut talks = crowd(&mut guard, count);
    // A stride that meets all of them, far from each other.
    let stride = talks.len() * 5 / 8 + 1;
    for round in 0..8 * ROUNDS {
        let at = round * stride % talks.len();
        packet(probe, &mut guard, &mut talks[at].acks(Who::Server));
    }
}

fn lookup_among_many(probe: &mut Probe) {
    lookup(probe, if probe.is_slow() { 20_000 } else { 1_000_000 });
}

fn create(probe: &mut Probe, is_whole: bool) {
    let mut guard = Guard::new(Some("mailguard"));
    // What grows by doubling is grown.
    crowd(&mut guard, 300);
    for number in 0..ROUNDS as u32 {
        let mut talk = Talk::new(1000 + number);
        let mut syn = talk.packet(Who::Client, flags::SYN, &[]);
        packet(probe, &mut guard, &mut syn);
        talk.learn(&guard, &syn);
        if !is_whole {
            continue;
        }
        probe.units -= 1;
        let mut answer = talk.packet(Who::Server, flags::SYN | flags::ACK, &[]);
        packet(probe, &mut guard, &mut answer);
        talk.learn(&guard, &answer);
        probe.units -= 1;
        packet(probe, &mut guard, &mut talk.acks(Who::Client));
    }
}

/// Flows all of which time out at the same moment.
fn timed_out(count: u32) -> Guard {
    let mut guard = Guard::new(Some("mailguard"));
    crowd(&mut guard, count);
    guard.now = guard.now + Duration::from_secs(24 * 3600);
    guard
}

fn expire(probe: &mut Probe) {
    let mut guard = timed_out(if probe.is_slow() { 5_000 } else { 100_000 });
    probe.measure(|| guard.deadline());
}

/// All calls until nothing is left: first every flow is reset, then it is forgotten.
fn expire_all(probe: &mut Probe) {
    let mut guard = timed_out(if probe.is_slow() { 5_000 } else { 100_000 });
    for _ in 0..2 {
        guard.now = guard.now + Duration::from_secs(3600);
        while guard.engine.next_deadline().is_some_and(|at| at <= guard.now) {
            probe.measure(|| guard.deadline());
        }
    }
    assert_eq!(guard.engine.counters().flows, 0, "flows are left over");
}

fn grow(probe: &mut Probe) {
    let mut guard = Guard::new(Some("mailguard"));
    for number in 0..if probe.is_slow() { 5_000 } else { 100_000 } {
        let mut talk = Talk::new(number);
        packet(probe, &mut guard, &mut talk.packet(Who::Client, flags::SYN, &[]));
    }
}

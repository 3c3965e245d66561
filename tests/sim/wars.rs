//! I35: two ends that answer whatever they get do not fight through the guard: it adds no packet to what
//! they send each other, and lets nothing go round for ever that would not without it.

use fastrand::Rng;
use mailguard::direction::Leg;

use crate::devices::Mode;
use crate::guard::Guard;
use crate::laws::SERVER;
use crate::packet::{self, ACK, FIN, PSH, Packet, RST, SYN};
use crate::report::each_seed;
use crate::scenario::Failure;
use crate::trace::Trace;
use crate::world::address;

const SECOND: u64 = 1_000_000;
/// From one end to the guard.
const DELAY: u64 = 5_000;
const SECONDS: usize = 10;

/// What an end sends for whatever it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// An acknowledgement, as for a segment that it cannot accept (RFC 5961).
    Challenge,
    /// Its last octet again, or a keep-alive.
    Repeat,
    KeepAlive,
    /// Octets far outside of the window; a reset that is not believed; a SYN.
    Beyond,
    Reset,
    Syn,
    /// A FIN that it repeats.
    Fin,
}

const ANSWERS: [Answer; 7] = [
    Answer::Challenge,
    Answer::Repeat,
    Answer::KeepAlive,
    Answer::Beyond,
    Answer::Reset,
    Answer::Syn,
    Answer::Fin,
];

/// One end by hand.
#[derive(Debug)]
struct End {
    leg: Leg,
    next: u32,
    expects: u32,
    answer: Answer,
}

/// A packet of an end that numbers nothing by itself.
fn craft(end: &End, seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, SERVER];
    let mut ports = [2525_u16.to_be_bytes(), 25_u16.to_be_bytes()];
    if end.leg == Leg::Inside {
        (bytes[15], bytes[19]) = (SERVER, 1);
        ports.reverse();
    }
    bytes.extend(ports.concat());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(if flags & ACK == 0 { 0 } else { end.expects }.to_be_bytes());
    bytes.extend([5 << 4, flags, 0x10, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(payload);
    packet::finish(&mut bytes, false);
    bytes
}

impl End {
    fn packet(&self) -> Vec<u8> {
        let last = self.next.wrapping_sub(1);
        match self.answer {
            Answer::Challenge => craft(self, self.next, ACK, b""),
            Answer::Repeat => craft(self, self.next.wrapping_sub(2), ACK | PSH, b"\r\n"),
            Answer::KeepAlive => craft(self, last, ACK, b"\0"),
            Answer::Beyond => craft(self, self.next.wrapping_add(1 << 20), ACK, b"x"),
            Answer::Reset => craft(self, self.next.wrapping_add(100), RST, b""),
            Answer::Syn => craft(self, self.next.wrapping_add(1 << 24), SYN, b""),
            Answer::Fin => craft(self, self.next, ACK | FIN, b""),
        }
    }
}

/// Packets on their way: when they arrive, and at which end or at the guard.
type Wire = Vec<(u64, Leg, bool, Vec<u8>)>;

fn run(seed: u64, traced: bool) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let mut guard = Guard::new(Mode::FEW[1 + seed as usize % 2], false, 1, Trace::new(traced));
    guard.laws.begin((address(false, 1), 2525));
    let mut pick = || ANSWERS[rng.usize(..ANSWERS.len())];
    let (a, b) = (pick(), pick());
    let mut client = End { leg: Leg::Outside, next: 1000, expects: 5000, answer: a };
    let mut server = End { leg: Leg::Inside, next: 5000, expects: 1001, answer: b };
    let mut now = 0;
    let mut say = |guard: &mut Guard, end: &mut End, flags: u8, text: &[u8]| {
        now += DELAY;
        let bytes = craft(end, end.next, flags, text);
        let len = text.len() as u32 + u32::from(flags & SYN != 0);
        end.next = end.next.wrapping_add(len);
        guard.arrive(now, end.leg, bytes).map(|_| ())
    };
    say(&mut guard, &mut client, SYN, b"")?;
    say(&mut guard, &mut server, SYN | ACK, b"")?;
    client.expects = server.next;
    say(&mut guard, &mut client, ACK, b"")?;
    say(&mut guard, &mut server, ACK, b"220 m\r\n")?;
    client.expects = server.next;
    say(&mut guard, &mut client, ACK, b"NOOP\r\n")?;
    server.expects = client.next;
    say(&mut guard, &mut server, ACK, b"250 \r\n")?;
    client.expects = server.next;
    let began = now;
    // Each end says something of its own, and then answers whatever comes.
    let mut wire: Wire = [&client, &server]
        .into_iter()
        .map(|end| (began + DELAY, end.leg, true, end.packet()))
        .collect();
    let (mut came, mut left) = ([0_usize; SECONDS], [0_usize; SECONDS]);
    while let Some(next) = wire.iter().map(|(at, ..)| *at).min() {
        let second = ((next - began) / SECOND) as usize;
        if second >= SECONDS {
            break;
        }
        let at = wire.iter().position(|(at, ..)| *at == next).unwrap_or(0);
        let (_, leg, is_for_guard, bytes) = wire.remove(at);
        if is_for_guard {
            came[second] += 1;
            for (leg, packet) in guard.arrive(next, leg, bytes)? {
                left[second] += 1;
                wire.push((next + DELAY, leg, false, packet));
            }
        } else {
            let end = if leg == Leg::Outside { &client } else { &server };
            // Nobody answers a reset.
            if Packet::read(&bytes).is_ok_and(|read| !read.has(RST)) {
                wire.push((next + DELAY, end.leg, true, end.packet()));
            }
        }
        if wire.len() > 100 {
            return Err(format!("I35: {a:?} against {b:?}: ever more packets"));
        }
    }
    let most = left.iter().zip(&came).find(|(left, came)| *left > &(**came + 4));
    if let Some((left, came)) = most {
        return Err(format!(
            "I35: {a:?} against {b:?}: {left} packets left in a second, {came} came"
        ));
    }
    // The guard answers from half way: two packets go to and fro between it and an end, and bring what
    // they bring for the other end. It must not become more.
    let most = 2 * SECOND / (2 * DELAY) * 2;
    if left.iter().any(|left| *left as u64 > most) || left[SECONDS - 1] > left[0] + 4 {
        return Err(format!("I35: {a:?} against {b:?}: {left:?} packets a second"));
    }
    Ok(())
}

#[test]
fn no_two_ends_fight_through_the_guard() {
    each_seed("wars::no_two_ends_fight_through_the_guard", 150, |seed, traced| {
        run(seed, traced).map_err(Failure::of)
    });
}

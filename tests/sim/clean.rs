//! I33: where nothing is edited, what leaves is what came, octet for octet: one packet for one packet,
//! with the headers of the one that came, but for the words of the greeting.

use mailguard::direction::Leg;

use crate::client::Manners;
use crate::devices::Mode;
use crate::guard::{Given, Left};
use crate::packet::{self, Packet};
use crate::report::each_seed;
use crate::scenario::{Failure, Scenario};
use crate::wire::Faults;

/// An orderly session of allowed commands over wires that lose nothing.
fn allowed(seed: u64) -> Scenario {
    let mut scenario = Scenario::seeded(Mode::FEW[1 + seed as usize % 2], seed);
    scenario.taste.refused = 0;
    scenario.taste.odd_line_ends = false;
    scenario.taste.longest = 1_500;
    scenario.habits.gives_up = 0;
    if scenario.manners == Manners::Blast {
        scenario.manners = Manners::Pipelined;
    }
    for (lane, faults) in scenario.faults.iter_mut().enumerate() {
        *faults = Faults { delay: [500, 9_000][(seed as usize >> lane) & 1], ..Faults::NONE };
    }
    for build in &mut scenario.builds {
        // A probe that repeats an octet need not know it.
        build.keep_alive = 3_600_000;
    }
    // The server is slow enough for no time-out.
    scenario.habits.think = scenario.habits.think.min(30_000);
    scenario
}

/// The packet as a wire carries it, with its sums made.
fn finished(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    packet::finish(&mut bytes, false);
    bytes
}

/// Where the first octets of the server, and so its greeting, begin and end.
fn greeting(given: &[Given]) -> Option<(u32, u32)> {
    let first = given.iter().filter(|given| given.leg == Leg::Inside).find_map(|given| {
        Packet::read(&given.bytes).ok().filter(|read| !read.payload.is_empty()).map(|read| read.seq)
    });
    // The client has heard it once it says something.
    let heard = given.iter().filter(|given| given.leg == Leg::Outside).find_map(|given| {
        Packet::read(&given.bytes).ok().filter(|read| !read.payload.is_empty()).map(|read| read.ack)
    });
    first.zip(heard)
}

fn compare(given: &[Given], emitted: &[Left]) -> Result<(), String> {
    if given.len() != emitted.len() {
        return Err(format!("{} packets came and {} left", given.len(), emitted.len()));
    }
    let masked = greeting(given);
    for (n, (came, left)) in given.iter().zip(emitted).enumerate() {
        let (mut before, mut after) = (finished(&came.bytes), finished(&left.bytes));
        if let Ok(read) = Packet::read(&came.bytes)
            && came.leg == Leg::Inside
            && masked.is_some_and(|(from, to)| read.seq.wrapping_sub(from) < to.wrapping_sub(from))
        {
            before.truncate(read.payload_at);
            after.truncate(read.payload_at);
            // With its text the sum goes.
            let at = read.tcp_at + 16;
            before[at..at + 2].fill(0);
            after[at..at + 2].fill(0);
        }
        if came.leg == left.leg || came.at != left.at || before != after {
            return Err(format!("packet {n} is not what came:\n  {before:02x?}\n  {after:02x?}"));
        }
    }
    Ok(())
}

#[test]
fn without_an_edit_what_leaves_is_what_came() {
    each_seed("clean::without_an_edit_what_leaves_is_what_came", 250, |seed, traced| {
        let mut scenario = allowed(seed);
        scenario.seed -= scenario.seed % 3;
        // Not cut into fragments.
        scenario.seed += 1;
        let (given, emitted) = scenario.run_and_record(traced)?;
        compare(&given, &emitted).map_err(|what| Failure::of(format!("I33: {what}")))
    });
}

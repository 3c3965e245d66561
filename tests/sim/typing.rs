//! Octets one by one: a person types, or an end writes in pieces and waits (Nagle).

use mailguard::counters::Event;

use crate::client::Manners;
use crate::devices::Mode;
use crate::pace::{Cut, Pace};
use crate::report::must;
use crate::scenario::Scenario;

fn typed(mode: Mode, seed: u64, nagle: [bool; 2], gap: u64) -> Scenario {
    let mut scenario = Scenario::plain(mode, seed);
    scenario.ipv6 = seed % 2 == 1;
    scenario.taste.message_len = 300;
    scenario.taste.refused = 60;
    scenario.taste.odd_line_ends = seed.is_multiple_of(3);
    scenario.manners = if seed % 4 < 2 { Manners::Strict } else { Manners::Pipelined };
    let pace = Pace { cut: Cut::Octets, gap, ..Pace::PLAIN };
    scenario.paces[0] = pace;
    for (build, nagle) in scenario.builds.iter_mut().zip(nagle) {
        build.nagle = nagle;
    }
    scenario
}

/// Typing costs no more time than without the guard, but for the round trips of Nagle's algorithm.
#[test]
fn a_typed_session_works() {
    for seed in 0..24 {
        for nagle in [false, true] {
            let took = Mode::FEW.map(|mode| {
                let scenario = typed(mode, seed, [nagle, false], 300);
                must("typing::a_typed_session_works", &scenario).took
            });
            let [off, mailguard, pix40] = took;
            let most = off + off / 4 + 20_000;
            assert!(
                mailguard <= most && pix40 <= most,
                "seed {seed}, Nagle {nagle}: {took:?} us for off, mailguard and pix40"
            );
        }
    }
}

/// A server that writes a reply in two pieces sends the second, under Nagle's algorithm, only when
/// the first is acknowledged: the first must not be held. (smoltcp repeats it after a second, with
/// the second piece in the same segment; others do not.)
#[test]
fn a_server_writes_its_replies_in_pieces() {
    for seed in 0..40 {
        let took = Mode::FEW.map(|mode| {
            let mut scenario = typed(mode, seed, [false, true], 0);
            scenario.taste.refused = 100;
            scenario.paces[0] = Pace::PLAIN;
            scenario.paces[1] = Pace { cut: Cut::Random(40), gap: 500, ..Pace::PLAIN };
            let outcome = must("typing::a_server_writes_its_replies_in_pieces", &scenario);
            (outcome.took, outcome.counters.events(Event::CommandRefused))
        });
        let [(off, _), traded @ ..] = took;
        for (took, refused) in traded {
            let most = off + off / 2 + 100_000 + refused * 1_100_000;
            assert!(took <= most, "seed {seed}: {took} us, {off} with off, {refused} refused");
        }
    }
}

//! One lost segment costs no more time through the guard than without it.

use crate::client::Manners;
use crate::devices::Mode;
use crate::report::{explain, must};
use crate::scenario::Scenario;
use crate::wire::What;
use crate::world::Lane;

/// From one end to the other, in microseconds.
const DELAY: u64 = 10_000;
/// There and back.
const ROUND_TRIP: u64 = 4 * DELAY;

/// Segments of a wire differ a little in number with and without the guard: it may write in one
/// what it has read in two. So the n-th is compared with its neighbours.
const NEIGHBOURS: usize = 3;

/// What the hosts and the device can do.
#[derive(Debug, Clone, Copy)]
struct Variant {
    ipv6: bool,
    offload: bool,
    sack: bool,
}

impl Variant {
    fn all() -> impl Iterator<Item = Self> {
        (0..8).map(|bits| Self { ipv6: bits & 1 != 0, offload: bits & 2 != 0, sack: bits & 4 != 0 })
    }

    /// A message of some twenty segments, pipelined, and one fault.
    fn scenario(self, mode: Mode, lane: Lane, fault: (What, usize)) -> Scenario {
        let mut scenario = Scenario::plain(mode, 4);
        scenario.ipv6 = self.ipv6;
        scenario.offload = self.offload;
        scenario.manners = Manners::Pipelined;
        scenario.taste.message_len = 30_000;
        scenario.taste.lines = 12;
        for build in &mut scenario.builds {
            build.timestamps = self.ipv6;
            build.sack = self.sack;
            build.capped = true;
        }
        for faults in &mut scenario.faults {
            faults.delay = DELAY;
            faults.slot = 20;
        }
        scenario.faults[lane as usize].drop.push(fault);
        scenario
    }
}

fn compare(name: &str, variants: impl Iterator<Item = Variant>, what: What, most: usize) {
    for variant in variants {
        for lane in Lane::ALL {
            let run = |mode, nth| must(name, &variant.scenario(mode, lane, (what, nth))).took;
            let off: Vec<_> = (0..most).map(|nth| run(Mode::OFF, nth)).collect();
            for nth in 0..most {
                let near = nth.saturating_sub(NEIGHBOURS)..(nth + NEIGHBOURS).min(most);
                let limit = off[near].iter().max().copied().unwrap_or(0) + ROUND_TRIP;
                let guarded = run(Mode::MAILGUARD, nth);
                if guarded <= limit {
                    continue;
                }
                let again = variant.scenario(Mode::MAILGUARD, lane, (what, nth));
                panic!(
                    "{name}: {variant:?}, {what:?} {nth} lost on {lane:?}: {guarded} us through \
                     the guard, {} us without it\n{}",
                    off[nth],
                    explain(name, nth as u64, || {
                        again
                            .run(true)
                            .map_err(|failure| failure.what)
                            .and(Err::<(), _>(String::new()))
                    })
                );
            }
        }
    }
}

#[test]
fn a_lost_data_segment_costs_no_more_time() {
    let name = "loss::a_lost_data_segment_costs_no_more_time";
    let variants = Variant::all().filter(|variant| !variant.sack && !variant.offload);
    compare(name, variants, What::Data, 45);
}

/// The sender has agreed on SACK and counts only duplicate acknowledgements, as smoltcp does: the
/// duplicates at the hole come after those before it.
#[test]
fn a_lost_data_segment_costs_no_more_time_with_sack() {
    let name = "loss::a_lost_data_segment_costs_no_more_time_with_sack";
    let variants = Variant::all().filter(|variant| variant.sack && !variant.offload);
    compare(name, variants, What::Data, 45);
}

/// A super-segment behind the hole stands for several duplicate acknowledgements.
#[test]
fn a_lost_data_segment_costs_no_more_time_with_offload() {
    let name = "loss::a_lost_data_segment_costs_no_more_time_with_offload";
    compare(name, Variant::all().filter(|variant| variant.offload), What::Data, 45);
}

#[test]
fn a_lost_acknowledgement_costs_no_more_time() {
    let name = "loss::a_lost_acknowledgement_costs_no_more_time";
    compare(name, Variant::all(), What::Ack, 30);
}

#[test]
fn a_lost_syn_or_fin_costs_no_more_time() {
    let name = "loss::a_lost_syn_or_fin_costs_no_more_time";
    compare(name, Variant::all(), What::Syn, 2);
    compare(name, Variant::all(), What::Fin, 2);
}

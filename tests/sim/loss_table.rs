//! What each kind of fault costs, with the guard and without it, as a table: `loss-table.md` beside this
//! file. The test fails when the table changes; `MAILGUARD_SNAPSHOT=write` writes it anew.

use std::fmt::Write as _;
use std::fs;

use smoltcp::socket::tcp::CongestionControl;

use crate::client::Manners;
use crate::devices::Mode;
use crate::report::must;
use crate::scenario::Scenario;
use crate::wire::What;
use crate::world::Lane;

const NAME: &str = "loss_table::each_fault_costs_what_it_costs_without_the_guard";
const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sim/loss-table.md");

/// From one end of a wire to the other, in microseconds.
const DELAY: u64 = 10_000;
/// There and back, over both wires.
const ROUND_TRIP: u64 = 4 * DELAY;
/// Time that a packet takes on a wire: 12,000 bit at 120 Mbit/s.
const SLOT: u64 = 100;

/// Where in the mail the fault strikes, in percent of the packets of its kind.
const PLACES: [usize; 9] = [15, 20, 30, 40, 50, 60, 70, 80, 90];

/// What happens to packets in a row, counted from the first.
#[derive(Clone, Copy)]
enum Fault {
    Lost(What, usize),
    Late(u64),
    /// The last segments before the client closes.
    TailLost(usize),
}

const FAULTS: [(&str, Fault); 10] = [
    ("a segment lost", Fault::Lost(What::Data, 1)),
    ("3 segments lost", Fault::Lost(What::Data, 3)),
    ("10 segments lost", Fault::Lost(What::Data, 10)),
    ("a segment late by 3", Fault::Late(3)),
    ("a segment late by 10", Fault::Late(10)),
    ("a segment late by 30", Fault::Late(30)),
    ("a segment late by 100", Fault::Late(100)),
    ("the last segment lost", Fault::TailLost(1)),
    ("an acknowledgement lost", Fault::Lost(What::Ack, 1)),
    ("20 acknowledgements lost", Fault::Lost(What::Ack, 20)),
];

/// The lanes on which a kind of packet of the mail travels.
fn lanes(what: What) -> [(&'static str, Lane); 2] {
    match what {
        What::Ack => [("inside", Lane::ServerToGuard), ("outside", Lane::GuardToClient)],
        What::Data | What::Syn | What::Fin => {
            [("outside", Lane::ClientToGuard), ("inside", Lane::GuardToServer)]
        }
    }
}

fn scenario(mode: Mode, sack: bool) -> Scenario {
    let mut scenario = Scenario::plain(mode, 7);
    scenario.manners = Manners::Pipelined;
    scenario.taste.message_len = 300_000;
    scenario.taste.lines = 3;
    for build in &mut scenario.builds {
        build.receive_buffer = 400_000;
        build.send_buffer = 400_000;
        build.sack = sack;
        build.capped = true;
        build.congestion = CongestionControl::Reno;
    }
    for faults in &mut scenario.faults {
        faults.delay = DELAY;
        faults.slot = SLOT;
    }
    scenario
}

/// Times in microseconds, in order, with the fault at each place.
fn times(mode: Mode, sack: bool, lane: Lane, fault: Fault) -> Vec<u64> {
    let clean = must(NAME, &scenario(mode, sack));
    let count = |what: What| clean.counts[lane as usize][what as usize];
    let mut times: Vec<_> = match fault {
        Fault::TailLost(_) => vec![0],
        Fault::Lost(..) | Fault::Late(_) => PLACES.to_vec(),
    }
    .into_iter()
    .map(|place| {
        let mut scenario = scenario(mode, sack);
        let faults = &mut scenario.faults[lane as usize];
        match fault {
            Fault::Lost(what, row) => {
                let first = count(what) * place / 100;
                faults.drop.extend((first..first + row).map(|nth| (what, nth)));
            }
            Fault::Late(packets) => {
                faults.hold.push((What::Data, count(What::Data) * place / 100, packets));
            }
            Fault::TailLost(row) => {
                let last = count(What::Data);
                faults.drop.extend((last - row..last).map(|nth| (What::Data, nth)));
            }
        }
        must(NAME, &scenario).took
    })
    .collect();
    times.sort_unstable();
    times
}

fn millis(micros: u64) -> String {
    format!("{}.{}", micros / 1000, micros % 1000 / 100)
}

#[test]
fn each_fault_costs_what_it_costs_without_the_guard() {
    let mut table = format!(
        "Milliseconds from SYN to the last FIN of a session with one mail of 300,000 octets, in virtual \n\
         time; round trip {} ms, {} us a packet, Reno. Median and worst of {} places of the fault.\n\n\
         | fault | wire | SACK | off, median | worst | mailguard, median | worst |\n\
         |---|---|---|---|---|---|---|\n",
        ROUND_TRIP / 1000,
        SLOT,
        PLACES.len()
    );
    let mut worse = Vec::new();
    let mut row = |fault: &str, wire: &str, sack: bool, off: &[u64], guarded: &[u64]| {
        let (median, worst) = (|t: &[u64]| t[t.len() / 2], |t: &[u64]| t[t.len() - 1]);
        let sack = if sack { "yes" } else { "no" };
        let times = [median(off), worst(off), median(guarded), worst(guarded)].map(millis);
        let line = format!("| {fault} | {wire} | {sack} | {} |", times.join(" | "));
        if median(guarded) > median(off) + ROUND_TRIP || worst(guarded) > worst(off) + ROUND_TRIP {
            worse.push(line.clone());
        }
        let _ = writeln!(table, "{line}");
    };
    for sack in [true, false] {
        let clean = |mode| vec![must(NAME, &scenario(mode, sack)).took];
        let off = clean(Mode::OFF);
        row("none", "", sack, &off, &clean(Mode::MAILGUARD));
        for (name, fault) in FAULTS {
            let what = if let Fault::Lost(what, _) = fault { what } else { What::Data };
            for (wire, lane) in lanes(what) {
                let off = times(Mode::OFF, sack, lane, fault);
                let guarded = times(Mode::MAILGUARD, sack, lane, fault);
                row(name, wire, sack, &off, &guarded);
            }
        }
    }
    if std::env::var("MAILGUARD_SNAPSHOT").is_ok_and(|value| value == "write") {
        fs::write(SNAPSHOT, &table).expect("the snapshot can be written");
    }
    let snapshot = fs::read_to_string(SNAPSHOT).unwrap_or_default();
    assert!(
        worse.is_empty(),
        "these cost more than a round trip more than without the guard:\n{}\n\n{table}",
        worse.join("\n")
    );
    assert!(table == snapshot, "{SNAPSHOT} says otherwise; now it is:\n{table}");
}

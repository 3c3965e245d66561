//! What the guard's floors cost, in process: instructions (valgrind's callgrind counts them),
//! allocations and octets of memory, held against `baseline.json`; seconds on request.
//!
//! ```text
//! cargo bench --bench floors                  measure, compare; an error when something costs more
//! cargo bench --bench floors -- --renew       write the baseline anew
//! cargo bench --bench floors -- --time        seconds instead, compared with nothing
//! cargo bench --bench floors -- relay         only what has that in its name
//! ```
//!
//! It runs itself under valgrind: `scripts/floors` sees to it that there is one. The counts of one
//! compiler and machine are the same in every run, those of another differ by some: there only
//! allocations and memory are compared.

mod baseline;
mod callgrind;
mod cases;
mod guard;
mod memory;
mod probe;

use std::process::ExitCode;

use baseline::{Baseline, Figure};
use cases::{CASES, Case};
use probe::{Probe, What};

/// The argument by which the run under callgrind knows itself.
const COUNTED: &str = "--counted";

fn chosen(only: &[String]) -> Vec<&'static Case> {
    let is_chosen = |name: &str| only.is_empty() || only.iter().any(|only| name.contains(only));
    CASES.iter().filter(|(name, _)| is_chosen(name)).collect()
}

fn run(cases: &[&'static Case], what: What) -> Vec<Probe> {
    let one = |(_, case): &&'static Case| {
        let mut probe = Probe::new(what);
        case(&mut probe);
        probe.finish();
        probe
    };
    cases.iter().map(one).collect()
}

/// Prints to what cargo shows.
macro_rules! tell {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        // Nobody may be reading any more.
        let _ = writeln!(std::io::stdout(), $($arg)*);
    }};
}
pub(crate) use tell;

fn tell_times(cases: &[&'static Case]) {
    tell!("{:48} {:>12} {:>12} {:>10}", "", "mean ns", "longest ns", "GB/s");
    for ((name, _), probe) in cases.iter().zip(run(cases, What::Time)) {
        let mean = probe.time.as_nanos() as f64 / probe.units.max(1) as f64;
        let speed = if probe.octets > 0 {
            format!("{:.2}", probe.octets as f64 / mean)
        } else {
            String::new()
        };
        tell!("{name:48} {mean:12.0} {:12} {speed:>10}", probe.longest.as_nanos());
    }
}

/// Everything that is compared.
fn figures(cases: &[&'static Case], only: &[String]) -> Result<Vec<(String, Figure)>, String> {
    let counted = callgrind::count(COUNTED, only, cases.len())?;
    let probes = run(cases, What::Allocations);
    let mut figures: Vec<_> = cases
        .iter()
        .zip(counted.iter().zip(&probes))
        .map(|((name, _), (counted, probe))| {
            let figure = Figure {
                instructions: counted.instructions / counted.units.max(1),
                allocations: probe.allocations as f64 / probe.units.max(1) as f64,
                most_octets: probe.most,
            };
            ((*name).to_owned(), figure)
        })
        .collect();
    if only.is_empty() || only.iter().any(|only| "memory".contains(only.as_str())) {
        figures.extend(memory::figures());
    }
    Ok(figures)
}

fn main() -> ExitCode {
    let mut only: Vec<String> = std::env::args().skip(1).collect();
    let mut has = |word: &str| {
        let before = only.len();
        only.retain(|argument| argument != word);
        only.len() < before
    };
    // cargo says so.
    has("--bench");
    let (is_counted, renews, times) = (has(COUNTED), has("--renew"), has("--time"));
    let cases = chosen(&only);
    if is_counted {
        let probes = run(&cases, What::Instructions);
        let units: Vec<_> = probes.iter().map(|probe| probe.units.to_string()).collect();
        tell!("{}", units.join(" "));
        return ExitCode::SUCCESS;
    }
    if times {
        tell_times(&cases);
        return ExitCode::SUCCESS;
    }
    let done = figures(&cases, &only).and_then(|figures| {
        if renews { Baseline::renew(figures).map(|()| true) } else { Baseline::compare(&figures) }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            tell!("floors: {message}");
            ExitCode::FAILURE
        }
    }
}

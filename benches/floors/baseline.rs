//! What it has cost before.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::tell;

/// Part by which instructions may be more than before: 1 in so many. The same program counts the
/// same; this is for what a change elsewhere does to inlining.
const INSTRUCTIONS_PART: u64 = 50;

/// What a unit of a case costs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) instructions: u64,
    pub(crate) allocations: f64,
    /// The most octets that one unit has allocated; for memory, the octets that one takes.
    pub(crate) most_octets: u64,
}

/// The committed figures, and of what they are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// Instructions are compared where these are the same.
    made_with: Vec<String>,
    cases: BTreeMap<String, Figure>,
}

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floors/baseline.json")
}

/// Compiler, valgrind, and what the libraries choose their code by.
fn made_with() -> Vec<String> {
    let said = |program: &str| {
        let output = Command::new(program).arg("--version").output();
        output.map_or_else(
            |_| format!("no {program}"),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    #[cfg(target_arch = "x86_64")]
    let vectors = if std::arch::is_x86_feature_detected!("avx2") { "avx2" } else { "sse2" };
    #[cfg(not(target_arch = "x86_64"))]
    let vectors = "";
    let architecture = format!("{} {vectors}", std::env::consts::ARCH);
    vec![said("rustc"), said("valgrind"), architecture]
}

impl Baseline {
    fn read() -> Result<Self, String> {
        let wrong = |error: &dyn core::fmt::Display| format!("{}: {error}", path().display());
        let text = fs::read_to_string(path()).map_err(|error| wrong(&error))?;
        serde_json::from_str(&text).map_err(|error| wrong(&error))
    }

    /// Writes it anew.
    pub(crate) fn renew(figures: Vec<(String, Figure)>) -> Result<(), String> {
        let mut baseline = Self { made_with: made_with(), cases: figures.into_iter().collect() };
        if let Ok(old) = Self::read() {
            show(&baseline.cases.iter().collect::<Vec<_>>(), &old.cases);
        }
        for figure in baseline.cases.values_mut() {
            figure.allocations = (figure.allocations * 1e4).round() / 1e4;
        }
        let text = serde_json::to_string_pretty(&baseline).map_err(|error| error.to_string())?;
        fs::write(path(), text + "\n").map_err(|error| format!("{}: {error}", path().display()))
    }

    /// Whether nothing costs more than it did.
    pub(crate) fn compare(figures: &[(String, Figure)]) -> Result<bool, String> {
        let baseline = Self::read()?;
        let shown: Vec<_> = figures.iter().map(|(name, figure)| (name, figure)).collect();
        show(&shown, &baseline.cases);
        let is_same = baseline.made_with == made_with();
        if !is_same {
            tell!("instructions are not compared: the baseline was made with");
            tell!("    {}, this is {}", baseline.made_with.join(", "), made_with().join(", "));
        }
        let mut is_good = true;
        let mut cheaper = 0;
        for (name, figure) in figures {
            let Some(before) = baseline.cases.get(name) else {
                return Err(format!("{name}: not in the baseline (--renew writes it)"));
            };
            let most = before.instructions + before.instructions / INSTRUCTIONS_PART;
            let mut complain = |what: &str, now: String, then: String| {
                tell!("floors: {name}: {now} {what}, {then} before");
                is_good = false;
            };
            if is_same && figure.instructions > most {
                let (now, then) = (figure.instructions, before.instructions);
                complain("instructions", now.to_string(), then.to_string());
            }
            if figure.allocations > before.allocations + 1e-4 {
                let (now, then) = (figure.allocations, before.allocations);
                complain("allocations", format!("{now:.4}"), format!("{then:.4}"));
            }
            if figure.most_octets > before.most_octets + before.most_octets / 100 {
                let (now, then) = (figure.most_octets, before.most_octets);
                complain("octets", now.to_string(), then.to_string());
            }
            let least = before.instructions - before.instructions / INSTRUCTIONS_PART;
            cheaper += u32::from(is_same && figure.instructions < least);
        }
        if cheaper > 0 {
            tell!("floors: {cheaper} cases cost less than in the baseline: renew it (--renew)");
        }
        Ok(is_good)
    }
}

fn show(figures: &[(&String, &Figure)], before: &BTreeMap<String, Figure>) {
    let columns = ["instructions", "before", "allocations", "before", "octets", "before"];
    let [a, b, c, d, e, f] = columns;
    tell!("{:48} {a:>12} {b:>10} {c:>12} {d:>8} {e:>10} {f:>10}", "");
    for (name, now) in figures {
        let then = before.get(*name).copied().unwrap_or_default();
        tell!(
            "{name:48} {:12} {:10} {:12.3} {:8.3} {:10} {:10}",
            now.instructions,
            then.instructions,
            now.allocations,
            then.allocations,
            now.most_octets,
            then.most_octets
        );
    }
}

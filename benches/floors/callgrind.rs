//! This program once more, under valgrind.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

/// What callgrind has counted of one case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) instructions: u64,
    pub(crate) units: u64,
}

/// Runs the cases, of which there are so many, under callgrind. Its files are left in
/// `target/floors`: `callgrind_annotate` shows where the instructions go.
pub(crate) fn count(word: &str, only: &[String], cases: usize) -> Result<Vec<Counted>, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("floors");
    let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(wrong)?;
    }
    fs::create_dir_all(&folder).map_err(wrong)?;
    let itself = env::current_exe().map_err(wrong)?;
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no", "--compress-strings=no"])
        // Names may be mangled or not.
        .args(["--toggle-collect=*measured_work*", "--dump-after=*finished_case*"])
        .arg(format!("--callgrind-out-file={}", folder.join("case").display()))
        .arg(itself)
        .arg(word)
        .args(only)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("valgrind: {error}: scripts/floors installs it"))?;
    if !ran.status.success() {
        return Err("the cases do not run under valgrind".to_owned());
    }
    let said = String::from_utf8_lossy(&ran.stdout);
    let units: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if units.len() != cases {
        return Err(format!("{} of {cases} cases have run under valgrind", units.len()));
    }
    let case = |(index, units): (usize, u64)| {
        let name = folder.join(format!("case.{}", index + 1));
        let text = fs::read_to_string(&name).map_err(|e| format!("{}: {e}", name.display()))?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        let instructions = total
            .and_then(|total| total.trim().parse().ok())
            .ok_or_else(|| format!("{}: no totals", name.display()))?;
        Ok(Counted { instructions, units })
    };
    units.into_iter().enumerate().map(case).collect()
}

//! What a failing run leaves behind: a capture of each wire and the last lines of a trace.

use core::cell::RefCell;
use std::collections::VecDeque;
use std::path::PathBuf;

use mailguard::direction::Leg;

/// How many lines a failure prints.
const LINES: usize = 60;

thread_local! {
    /// What was recorded last in this thread: it outlives a run that panics.
    static RECORD: RefCell<Record> = RefCell::default();
}

/// Records packets at the guard's two legs, if it is on. A new one begins a new record: of several runs
/// the last is kept, in which the failure shows.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Trace {
    on: bool,
}

/// What was recorded.
#[derive(Debug, Default)]
pub(crate) struct Record {
    lines: VecDeque<String>,
    captures: [Vec<u8>; 2],
}

impl Trace {
    pub(crate) fn new(on: bool) -> Self {
        if on {
            drop(Record::take());
        }
        Self { on }
    }

    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    /// A packet at that leg.
    pub(crate) fn packet(self, now: u64, leg: Leg, bytes: &[u8]) {
        if !self.on {
            return;
        }
        let len = bytes.len() as u32;
        let words = [(now / 1_000_000) as u32, (now % 1_000_000) as u32, len, len];
        RECORD.with_borrow_mut(|record| {
            let capture = &mut record.captures[leg as usize];
            capture.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            capture.extend_from_slice(bytes);
        });
    }

    /// A line for people, made only if somebody will read it.
    pub(crate) fn line(self, now: u64, text: impl FnOnce() -> String) {
        if !self.on {
            return;
        }
        let (millis, micros) = (now / 1000, now % 1000);
        let line = format!("{millis:>8}.{micros:03} {}", text());
        RECORD.with_borrow_mut(|record| {
            if record.lines.len() == LINES {
                record.lines.pop_front();
            }
            record.lines.push_back(line);
        });
    }
}

impl Record {
    /// Takes what was recorded in this thread; nothing is left of it there.
    pub(crate) fn take() -> Self {
        RECORD.take()
    }

    pub(crate) fn lines(&self) -> String {
        self.lines.iter().fold(String::new(), |text, line| text + line + "\n")
    }

    /// Writes the captures; returns where they are.
    pub(crate) fn save(&self, name: &str) -> Vec<PathBuf> {
        // Magic, version 2.4, snap length, link type 101 (raw IP).
        let words = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 101];
        let header: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let folder = target.parent().unwrap_or(&target).join("sim");
        if std::fs::create_dir_all(&folder).is_err() {
            return Vec::new();
        }
        [Leg::Outside, Leg::Inside]
            .into_iter()
            .filter_map(|leg| {
                let path = folder.join(format!("{name}-{}.pcap", leg.name()));
                std::fs::write(&path, [&header[..], &self.captures[leg as usize]].concat()).ok()?;
                Some(path)
            })
            .collect()
    }
}

/// Where two streams part, in words; nothing if they are equal.
pub(crate) fn difference(expected: &[u8], got: &[u8]) -> Option<String> {
    if expected == got {
        return None;
    }
    let at = expected
        .iter()
        .zip(got)
        .position(|(a, b)| a != b)
        .unwrap_or_else(|| expected.len().min(got.len()));
    let around = |stream: &[u8]| {
        let from = at.saturating_sub(40).min(stream.len());
        let to = (at + 60).min(stream.len());
        stream[from..to].escape_ascii().to_string()
    };
    Some(format!(
        "differs at octet {at} (expected {} octets, got {})\n  expected …{}…\n  got      …{}…",
        expected.len(),
        got.len(),
        around(expected),
        around(got)
    ))
}

//! The last messages, as many as the buffer takes (`logging buffered`, `show logging`).

use std::collections::VecDeque;

/// Lines, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Ring {
    lines: VecDeque<String>,
    octets: usize,
}

impl Ring {
    /// Adds a line; the oldest give way until no more than `max` octets are kept, line ends included.
    pub(super) fn push(&mut self, line: String, max: usize) {
        self.octets += line.len() + 1;
        self.lines.push_back(line);
        while self.octets > max {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.octets -= oldest.len() + 1;
        }
    }

    /// All that is kept.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_give_way() {
        let mut ring = Ring::default();
        for line in ["one", "two", "three"] {
            ring.push(line.into(), 10);
        }
        assert_eq!(ring.lines(), ["two", "three"]);
        ring.push("longer than the buffer is".into(), 10);
        assert!(ring.lines().is_empty());
        ring.push("one".into(), 10);
        ring.clear();
        assert!(ring.lines().is_empty() && ring.octets == 0);
    }
}

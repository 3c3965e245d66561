//! What the sink counts.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Counts of one thread, or of all. The fields are the JSON's.
#[derive(Debug, Default, Serialize)]
pub(super) struct Totals {
    /// Connections accepted.
    pub(super) connections: u64,
    /// Command lines received.
    pub(super) commands: u64,
    /// Of these, the ones answered with 500.
    pub(super) unknown_commands: u64,
    /// Messages accepted.
    pub(super) messages: u64,
    /// Their octets, transparency dots taken away.
    pub(super) octets: u64,
    /// Messages whose connection ended before they did.
    pub(super) aborted_messages: u64,
    /// CRs without LF in mail data.
    pub(super) bare_cr: u64,
    /// LFs without CR in mail data.
    pub(super) bare_lf: u64,
    /// Lines of mail data over 1000 octets.
    pub(super) long_lines: u64,
    /// Messages whose body is what its check header says.
    pub(super) checked: u64,
    /// Messages whose body is not, or that lack the header under `--expect-load`.
    pub(super) check_failures: u64,
    /// Messages that `--save` could not write.
    pub(super) save_failures: u64,
    /// When the last message was accepted, in seconds since 1970 (UTC).
    pub(super) last_message: Option<f64>,
}

impl Totals {
    /// Adds another thread's.
    pub(super) fn merge(&mut self, other: &Self) {
        self.connections += other.connections;
        self.commands += other.commands;
        self.unknown_commands += other.unknown_commands;
        self.messages += other.messages;
        self.octets += other.octets;
        self.aborted_messages += other.aborted_messages;
        self.bare_cr += other.bare_cr;
        self.bare_lf += other.bare_lf;
        self.long_lines += other.long_lines;
        self.checked += other.checked;
        self.check_failures += other.check_failures;
        self.save_failures += other.save_failures;
        // None is less than any time.
        if other.last_message > self.last_message {
            self.last_message = other.last_message;
        }
    }

    /// Counts a message that was accepted now.
    pub(super) fn accept(&mut self) {
        self.messages += 1;
        self.last_message =
            SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64());
    }

    /// The totals for people.
    pub(super) fn text(&self) -> String {
        format!(
            "{} connections, {} commands ({} unknown)\n\
             {} messages of {} octets in all, {} aborted\n\
             {} bare CR, {} bare LF, {} lines over 1000 octets\n\
             {} checks held, {} failed; {} messages could not be saved\n",
            self.connections,
            self.commands,
            self.unknown_commands,
            self.messages,
            self.octets,
            self.aborted_messages,
            self.bare_cr,
            self.bare_lf,
            self.long_lines,
            self.checked,
            self.check_failures,
            self.save_failures,
        )
    }

    /// Whether all mail came as it was sent.
    pub(super) fn verdict(&self) -> Result<(), String> {
        if self.check_failures > 0 {
            return Err(format!(
                "{} of {} messages failed their check: --save shows what arrived",
                self.check_failures, self.messages
            ));
        }
        if self.save_failures > 0 {
            return Err(format!(
                "{} messages could not be saved: make room or give --save another directory",
                self.save_failures
            ));
        }
        Ok(())
    }
}

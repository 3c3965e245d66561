//! The options of `mailguard run` that bound what connections may take.

use std::time::Duration;

use clap::ValueEnum;

use crate::limits::{MEMORY_MIB_MIN, TIMEOUT_MAX, TIMEOUT_MIN};
use crate::policy::{Bounds, Midstream, Timeouts};

/// `--midstream` as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Strangers {
    /// Dropped; the inside is told with a reset, the outside nothing.
    Drop,
    /// Relayed uninspected.
    Pass,
}

/// Limits and time-outs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct BoundsArgs {
    /// Memory for the octets of all connections, in MiB, 64 to 1048576.
    ///
    /// What waits for a verdict or for an acknowledgement is kept. When three quarters are taken, only
    /// octets in order of connections that hold less than 128 KiB are taken in; what is refused
    /// (counter memory-full) comes again. The connections themselves come on top, 1.5 KB each.
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 1024,
        value_parser = clap::value_parser!(u32).range(i64::from(MEMORY_MIB_MIN)..=1 << 20)
    )]
    memory: u32,

    /// Half-open connections at a time (Cisco embryonic-conn-max); 0 is no limit.
    ///
    /// One more, and the one that has waited for the longest time is forgotten for it (counter
    /// embryonic-forgotten), so that a flood of SYNs does not keep mail out.
    #[arg(long, value_name = "N", default_value_t = 65_536)]
    embryonic_max: u32,

    /// Connections of one client address at a time (Cisco per-client-max); 0 is no limit.
    ///
    /// One more is dropped (counter per-client-max). An IPv6 client is its /64. Several workers count each for itself.
    #[arg(long, value_name = "N", default_value_t = 0)]
    per_client_max: u32,

    /// Half-open connections of one client address (Cisco per-client-embryonic-max); 0 is no limit.
    ///
    /// One more is dropped (counter per-client-embryonic-max). An IPv6 client is its /64. Several workers count each for itself.
    #[arg(long, value_name = "N", default_value_t = 4096)]
    per_client_embryonic_max: u32,

    /// Silence after which an open connection is ended (Cisco timeout conn).
    ///
    /// Both ends are reset. Seconds or H:MM:SS, 1 second to 1193:00:00, as for the other time-outs.
    #[arg(long, value_name = "TIME", default_value = "1:00:00", value_parser = duration)]
    timeout_conn: Duration,

    /// The same when one end has closed (Cisco timeout half-closed).
    #[arg(long, value_name = "TIME", default_value = "0:10:00", value_parser = duration)]
    timeout_half_closed: Duration,

    /// The same when the handshake has not ended (Cisco timeout embryonic).
    #[arg(long, value_name = "TIME", default_value = "0:00:30", value_parser = duration)]
    timeout_embryonic: Duration,

    /// Connections that were open before the guard: drop (the default) or pass uninspected.
    ///
    /// With --fail-open the default is pass.
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    midstream: Option<Strangers>,
}

impl BoundsArgs {
    pub(super) fn bounds(&self) -> Bounds {
        let number = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        Bounds {
            memory: number(self.memory).saturating_mul(1 << 20),
            embryonic_max: number(self.embryonic_max),
            per_client_max: number(self.per_client_max),
            per_client_embryonic_max: number(self.per_client_embryonic_max),
            timeouts: Timeouts {
                embryonic: self.timeout_embryonic,
                conn: self.timeout_conn,
                half_closed: self.timeout_half_closed,
            },
            ..Bounds::default()
        }
    }

    pub(super) fn midstream(&self, fail_open: bool) -> Midstream {
        match self.midstream {
            Some(Strangers::Drop) => Midstream::Drop,
            Some(Strangers::Pass) => Midstream::Pass,
            None if fail_open => Midstream::Pass,
            None => Midstream::Drop,
        }
    }
}

/// Seconds, or hours, minutes and seconds as Cisco writes them.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give seconds, or hours, minutes and seconds as H:MM:SS".to_string();
    let parts: Result<Vec<u64>, _> = text.split(':').map(str::parse).collect();
    let seconds = match *parts.map_err(|_| wrong())? {
        [seconds] => Some(seconds),
        [hours, minutes @ 0..60, seconds @ 0..60] => {
            hours.checked_mul(3600).and_then(|whole| whole.checked_add(minutes * 60 + seconds))
        }
        _ => None,
    };
    let duration = Duration::from_secs(seconds.ok_or_else(wrong)?);
    if (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&duration) {
        Ok(duration)
    } else {
        Err("a time-out is between 1 second and 1193:00:00".into())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: BoundsArgs,
    }

    fn parsed(words: &[&str]) -> BoundsArgs {
        Line::try_parse_from([&["x"], words].concat()).expect("a good line").args
    }

    #[test]
    fn without_options_the_limits_are_those_of_the_limits_file() {
        let args = parsed(&[]);
        assert_eq!(args.bounds(), Bounds::default());
        assert_eq!(args.midstream(false), Midstream::Drop);
        assert_eq!(args.midstream(true), Midstream::Pass);
        let both = [("drop", Midstream::Drop), ("pass", Midstream::Pass)];
        for (word, midstream) in both {
            let args = parsed(&["--midstream", word]);
            assert_eq!([false, true].map(|open| args.midstream(open)), [midstream; 2]);
        }
    }

    #[test]
    fn times_are_read_as_cisco_writes_them() {
        let seconds = |text| duration(text).map(|time| time.as_secs()).ok();
        assert_eq!(seconds("90"), Some(90));
        assert_eq!(seconds("1:00:00"), Some(3600));
        assert_eq!(seconds("0:10:30"), Some(630));
        assert_eq!(seconds("1193:00:00"), Some(1193 * 3600));
        for wrong in
            ["", "0", "0:0:0", "1:0", "1:60:0", "1:0:60", "1193:00:01", "x", "-1", "1:2:3:4"]
        {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
        assert_eq!(seconds("18446744073709551615:00:00"), None);
    }
}

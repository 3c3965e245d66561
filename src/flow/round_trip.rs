//! The time of the way to a receiver and back.
//!
//! Read first: RFC 6298.

use core::time::Duration;

use crate::stream::Offset;
use crate::time::Instant;

/// What is known of it: a smoothed time in microseconds; none at the beginning.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known(u32);

#[cfg(test)]
impl Known {
    /// It takes so long.
    pub(super) fn of(time: Duration) -> Self {
        Self(u32::try_from(time.as_micros()).unwrap())
    }
}

/// What is known of it, and what is being timed.
#[derive(Debug, Default)]
pub(super) struct RoundTrip {
    /// The end of octets whose acknowledgement is timed. Nothing ends at the first offset, so that stands for none:
    /// an option takes eight octets more.
    end: Offset,
    since: Instant,
    known: Known,
}

impl From<Known> for RoundTrip {
    fn from(known: Known) -> Self {
        Self { known, ..Self::default() }
    }
}

impl RoundTrip {
    /// What is known of it.
    pub(super) fn known(&self) -> Known {
        self.known
    }

    /// The smoothed time.
    pub(super) fn smooth(&self) -> Duration {
        Duration::from_micros(self.known.0.into())
    }

    /// Whether an acknowledgement is waited for.
    pub(super) fn is_timing(&self) -> bool {
        self.end > Offset::ZERO
    }

    /// All before `top` has arrived, all before `sent` has left (RFC 6298, with a gain of 1/4).
    pub(super) fn measure(&mut self, top: Offset, sent: Offset, now: Instant) {
        if !self.is_timing() {
            if top < sent {
                (self.end, self.since) = (sent, now);
            }
        } else if top >= self.end {
            let (took, before) = ((now - self.since).as_micros(), u128::from(self.known.0));
            let smooth = if before == 0 { took } else { (before * 3 + took) / 4 };
            *self = Self::from(Known(u32::try_from(smooth).unwrap_or(u32::MAX)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_what_has_arrived() {
        let mut round_trip = RoundTrip::default();
        let mut measure = |top: u64, sent: u64, now: u64| {
            round_trip.measure(Offset::new(top), Offset::new(sent), Instant::from_millis(now));
            (round_trip.smooth().as_millis(), round_trip.is_timing())
        };
        assert_eq!(measure(0, 0, 0), (0, false), "nothing has left");
        assert_eq!(measure(0, 100, 0), (0, true));
        assert_eq!(measure(50, 100, 10), (0, true), "it is still on its way");
        assert_eq!(measure(100, 100, 20), (20, false));
        assert_eq!(measure(100, 100, 25), (20, false));
        assert_eq!(measure(100, 200, 30), (20, true));
        assert_eq!(measure(150, 300, 50), (20, true), "one at a time");
        assert_eq!(measure(200, 300, 70), (25, false), "a quarter of 40 and three of 20");
    }
}

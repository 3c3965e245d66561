//! TCP as seen from the middle: sequence spaces.
//!
//! Must not know: flows, SMTP, any device.

mod seq;

pub use seq::{Seq, SeqSpace};

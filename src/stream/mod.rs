//! One direction's octets: offsets, reassembly, the offset map, the store.
//!
//! Must not know: sequence numbers, segments, SMTP.

mod map;
mod offset;
mod reassembly;
mod seldom;
mod store;

pub use map::{OffsetMap, Round};
pub use offset::{Offset, Span};
pub use reassembly::{Arrival, Full, Reassembly};
pub use seldom::{Blank, Seldom};
pub use store::{Spare, Store};

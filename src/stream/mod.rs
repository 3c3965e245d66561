//! One direction's octets: offsets, reassembly, the offset map, the store.
//!
//! Must not know: sequence numbers, segments, SMTP.

mod buffer;
mod map;
mod offset;
mod reassembly;
mod seldom;
mod spare;
mod store;

pub use buffer::Buffer;
pub use map::{OffsetMap, Round};
pub use offset::{Offset, Span};
pub use reassembly::{Arrival, Full, Reassembly};
pub use seldom::{Blank, Seldom};
pub use spare::Spare;
pub use store::Store;

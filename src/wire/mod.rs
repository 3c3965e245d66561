//! Headers, checksums and options, as octets in place.
//!
//! Must not know: connections, streams, SMTP.

pub mod checksum;
pub mod fragment;
pub mod fragment_buffer;
pub mod hygiene;
pub mod icmp;
pub mod link;
pub mod mint;
pub mod offload;
pub mod options;
pub mod outbox;
pub mod packet;
pub mod steer;

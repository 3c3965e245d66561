//! SMTP (RFC 5321): the session, reply lines, the end of mail data.
//!
//! Must not know: TCP, policy.

mod mail_data;
mod reply;
mod session;

pub use mail_data::MailData;
pub use reply::ReplyLine;
pub use session::{Disagreement, Outstanding, Phase, Session};

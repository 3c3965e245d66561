//! SMTP (RFC 5321): the session, verbs, keywords, reply lines, the end of mail data.
//!
//! Must not know: TCP, policy.

mod keyword;
mod mail_data;
mod queue;
mod reply;
mod session;
mod verb;

pub use keyword::{KEYWORD_LEN_MAX, Keyword, KeywordSet};
pub use mail_data::MailData;
pub use reply::ReplyLine;
pub use session::{Disagreement, Offers, Outstanding, Phase, Session};
pub use verb::{VERB_LEN_MAX, Verb, VerbSet};

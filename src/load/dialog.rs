//! The client's side of one SMTP connection, without its socket: replies go in, commands and
//! mail data come out.

use std::time::Instant;

use super::outgoing::Outgoing;
use super::plan::{Hello, Pipelining, Plan};
use super::reply::Reply;
use super::report::Tally;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The TCP handshake.
    Connect,
    /// The 220.
    Greeting,
    /// The reply to EHLO.
    Ehlo,
    /// The reply to HELO.
    Helo,
    /// The reply to NOOP.
    Noop,
    /// The reply to MAIL.
    Mail,
    /// The reply to RCPT.
    Rcpt,
    /// The 354.
    Data,
    /// The reply to the mail data.
    Content,
    /// The end of `--hold`.
    Hold,
    /// The 221.
    Quit,
    /// The server's FIN.
    Close,
}

impl Stage {
    /// The stage as a report names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Greeting => "greeting",
            Self::Ehlo => "EHLO",
            Self::Helo => "HELO",
            Self::Noop => "NOOP",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Content => "mail data",
            Self::Hold => "hold",
            Self::Quit => "QUIT",
            Self::Close => "close",
        }
    }
}

/// One connection's dialogue.
#[derive(Debug)]
pub(super) struct Dialog {
    pub(super) stage: Stage,
    /// Messages this connection has taken upon itself and not yet delivered.
    pub(super) messages_left: u64,
    noops_left: u32,
    /// Whether MAIL, RCPT and DATA go out as one group.
    group: bool,
    /// When the thing measured now began.
    began: Instant,
}

impl Dialog {
    /// A connection that is to deliver `messages`.
    pub(super) fn new(plan: &Plan, messages: u64, now: Instant) -> Self {
        Self {
            stage: Stage::Connect,
            messages_left: messages,
            noops_left: plan.noops,
            group: plan.pipelining == Pipelining::Force,
            began: now,
        }
    }

    /// Takes one reply and queues what follows from it; the `Err` is the kind of failure.
    pub(super) fn reply(
        &mut self,
        reply: &Reply,
        plan: &Plan,
        tally: &mut Tally,
        out: &mut Outgoing,
        now: Instant,
    ) -> Result<(), String> {
        match (self.stage, reply.code) {
            (Stage::Greeting, 220) => {
                tally.greeting.add(now - self.began);
                if plan.hello == Hello::Helo { self.helo(plan, out) } else { self.ehlo(plan, out) }
            }
            (Stage::Ehlo, 250) => {
                self.group |= reply.pipelining && plan.pipelining == Pipelining::On;
                self.next(plan, out, now);
            }
            // RFC 5321 3.2: a server that does not know EHLO is greeted with HELO.
            (Stage::Ehlo, 500..=599) if plan.hello == Hello::Either => {
                tally.helo_fallbacks += 1;
                self.helo(plan, out);
            }
            (Stage::Helo, 250) => self.next(plan, out, now),
            (Stage::Noop, 250) => {
                tally.noop.add(now - self.began);
                self.next(plan, out, now);
            }
            (Stage::Mail, 250) => {
                if !self.group {
                    out.command(&plan.rcpt);
                }
                self.stage = Stage::Rcpt;
            }
            (Stage::Rcpt, 250 | 251) => {
                if !self.group {
                    out.command(b"DATA\r\n");
                }
                self.stage = Stage::Data;
            }
            (Stage::Data, 354) => {
                out.message(&plan.body, plan.next_serial());
                self.stage = Stage::Content;
            }
            // A reply that overtakes its mail data answers something else.
            (Stage::Content, 250) if out.is_empty() => {
                tally.transaction.add(now - self.began);
                tally.messages += 1;
                plan.live.message();
                self.messages_left -= 1;
                self.next(plan, out, now);
            }
            (Stage::Quit, 221) => self.stage = Stage::Close,
            (stage, code) => return Err(format!("reply {code} at {}", stage.name())),
        }
        Ok(())
    }

    /// Ends `--hold`.
    pub(super) fn release(&mut self, out: &mut Outgoing) {
        out.command(b"QUIT\r\n");
        self.stage = Stage::Quit;
    }

    fn ehlo(&mut self, plan: &Plan, out: &mut Outgoing) {
        out.command(&plan.ehlo);
        self.stage = Stage::Ehlo;
    }

    fn helo(&mut self, plan: &Plan, out: &mut Outgoing) {
        out.command(&plan.helo);
        self.stage = Stage::Helo;
    }

    /// Goes on to the next NOOP, message or the end.
    fn next(&mut self, plan: &Plan, out: &mut Outgoing, now: Instant) {
        let over = plan.is_over(now);
        self.began = now;
        if self.noops_left > 0 && !over {
            self.noops_left -= 1;
            out.command(b"NOOP\r\n");
            self.stage = Stage::Noop;
        } else if plan.hold.is_some() && !over {
            self.stage = Stage::Hold;
        } else if self.messages_left > 0 && !over {
            out.command(&plan.mail);
            if self.group {
                // RFC 2920 3.1: DATA may only be the last of its group.
                out.command(&plan.rcpt);
                out.command(b"DATA\r\n");
            }
            self.stage = Stage::Mail;
        } else {
            self.release(out);
        }
    }
}

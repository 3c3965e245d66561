//! SYNs and resets: how a connection begins, and how it breaks off.

use super::end::End;
use super::half::Half;
use super::{Context, Flow, Stage};
use crate::counters::{DropReason, Event};
use crate::direction::Direction;
use crate::report::{Ending, Severity, What};
use crate::smtp::Session;
use crate::stream::{Offset, Round};
use crate::tcp::{Seq, SeqSpace};
use crate::time::Instant;
use crate::wire::options::{self, Allowed};
use crate::wire::packet::{Headers, Patch, flags};

/// What another SYN said: it begins the connection if the server answers that one, be it in the
/// place of a dead connection or of a SYN that it never got.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reborn {
    client: End,
    iss: Seq,
    window: u16,
}

impl Flow {
    /// Takes a SYN or SYN/ACK.
    pub(super) fn handle_syn(
        &mut self,
        direction: Direction,
        headers: &Headers,
        packet: &mut [u8],
        context: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let allowed = if headers.has(flags::ACK) {
            self.judge_syn_ack(direction, headers, context.now)?;
            self.ends.to_server.allows()
        } else {
            self.judge_syn(direction, headers, context)?;
            Allowed::SYN
        };
        // A rewriter can honour the classic options only, and nothing on a SYN is inspected.
        let list = packet.get_mut(headers.tcp_start + 20..headers.payload_start);
        if options::clear_others(list.unwrap_or_default(), allowed) {
            context.counters.happened(Event::OptionCleared);
        }
        if headers.payload_len() > 0 {
            context.counters.happened(Event::SynData);
        }
        let patch = Patch {
            seq: headers.seq,
            ack: headers.ack,
            flags: headers.flags,
            window: headers.window,
        };
        self.relay_header(direction, headers, packet, patch, context);
        Ok(())
    }

    /// A SYN without ACK, from the client: the first, a repeat, or one for a connection reborn.
    fn judge_syn(
        &mut self,
        direction: Direction,
        headers: &Headers,
        context: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        if direction == Direction::ToClient {
            // A simultaneous open or a split handshake: mail needs neither.
            return Err(DropReason::BadHandshake);
        }
        let iss = Seq::new(headers.seq);
        let client = End::new(headers, headers.options.within(Allowed::SYN), context.now);
        let syn = Reborn { client, iss, window: headers.window };
        let is_repeat = self.halves.to_server.space.iss() == iss;
        if !is_repeat && self.ends.to_server.is_known() {
            let what = || What::DuplicateSyn;
            context.reports.add(Severity::Warnings, Some(&self.connection), what);
        }
        match self.stage {
            Stage::SynSent if is_repeat || !self.ends.to_server.is_known() => {
                let other = self.reborn.take();
                self.begin(syn);
                self.reborn = other;
            }
            Stage::SynReceived if is_repeat => {}
            // Which of two SYNs counts is the server's to say. A live one answers with a challenge
            // (RFC 5961 section 4); nothing changes here.
            Stage::SynSent
            | Stage::SynReceived
            | Stage::Established
            | Stage::Reset { .. }
            | Stage::Ended => self.reborn = Some(Box::new(syn)),
        }
        Ok(())
    }

    /// A new connection begins.
    fn begin(&mut self, syn: Reborn) {
        self.stage = Stage::SynSent;
        self.reborn = None;
        self.ends.to_server = syn.client;
        self.ends.to_client = End::default();
        self.halves.to_server = Half::new(syn.iss);
        self.halves.to_client = Half::default();
        self.halves.to_client.open_window(syn.window);
        self.session = Session::default();
        self.judges = None;
    }

    /// A SYN/ACK, from the server.
    fn judge_syn_ack(
        &mut self,
        direction: Direction,
        headers: &Headers,
        now: Instant,
    ) -> Result<(), DropReason> {
        if direction == Direction::ToServer {
            return Err(DropReason::BadHandshake);
        }
        // A copy of the answer to the SYN of this connection begins none, even if that SYN was said
        // again: octets would be judged anew that the server has already.
        let is_copy = self.ends.to_client.is_known()
            && answers(headers, self.halves.to_server.space.iss())
            && self.halves.to_client.space.iss() == Seq::new(headers.seq);
        let reborn = self.reborn.as_deref().copied().filter(|_| !is_copy);
        if let Some(syn) = reborn.filter(|syn| answers(headers, syn.iss)) {
            self.begin(syn);
        }
        if !answers(headers, self.halves.to_server.space.iss()) {
            return Err(DropReason::BadHandshake);
        }
        let iss = Seq::new(headers.seq);
        match self.stage {
            Stage::SynSent => {}
            // Until the client has acknowledged one, the latest counts.
            Stage::SynReceived if self.halves.to_client.space.iss() != iss => {}
            Stage::SynReceived => return Ok(()),
            Stage::Established if self.halves.to_client.space.iss() == iss => return Ok(()),
            Stage::Established | Stage::Reset { .. } | Stage::Ended => {
                return Err(DropReason::BadHandshake);
            }
        }
        self.stage = Stage::SynReceived;
        let options = headers.options.within(self.ends.to_server.allows());
        self.ends.to_client = End::new(headers, options, now);
        let client_window = self.halves.to_client.told_window;
        self.halves.to_client = Half::new(iss);
        self.halves.to_client.open_window(client_window);
        self.halves.to_server.open_window(headers.window);
        Ok(())
    }

    /// A server that speaks of another connection before it answers the SYN has an old one, of which the
    /// client knows nothing more. The client would reset it if it heard of it, and get its answer then
    /// (RFC 9293 sections 3.5.1 and 3.10.7.3); here it would not pass, so the guard does that.
    pub(super) fn answer_half_open(
        &self,
        direction: Direction,
        headers: &Headers,
        context: &mut Context<'_>,
    ) {
        let asked = [Some(self.halves.to_server.space.iss()), self.reborn.as_ref().map(|r| r.iss)];
        let is_answer = asked.into_iter().flatten().any(|iss| answers(headers, iss));
        if self.stage == Stage::SynSent && direction == Direction::ToClient && !is_answer {
            self.answer_with_reset(direction, headers, context);
        }
    }

    /// Takes a reset. It passes when it lies where the receiver may believe it (RFC 5961
    /// section 3.2); the flow lives on for a while, in case the receiver does not.
    pub(super) fn handle_reset(
        &mut self,
        direction: Direction,
        headers: &Headers,
        packet: &mut [u8],
        context: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let (half, other) = self.halves.both_mut(direction);
        let mut is_exact = true;
        let seq = if self.stage == Stage::SynSent {
            // The server refuses the connection: its space is not known yet.
            let is_answer = match direction {
                Direction::ToServer => Seq::new(headers.seq) == half.next_seq(),
                Direction::ToClient => {
                    let reborn = self.reborn.as_deref();
                    headers.has(flags::ACK)
                        && (answers(headers, other.space.iss())
                            || reborn.is_some_and(|syn| answers(headers, syn.iss)))
                }
            };
            if !is_answer {
                return Err(DropReason::OutOfWindow);
            }
            Seq::new(headers.seq)
        } else if direction == Direction::ToClient
            && headers.has(flags::ACK)
            && self.reborn.as_deref().is_some_and(|syn| answers(headers, syn.iss))
        {
            // The server refuses the new connection: what is here was dead already.
            is_exact = false;
            Seq::new(headers.seq)
        } else {
            let seq = Seq::new(headers.seq);
            let at = half.space.offset_of(seq, half.reassembly.end());
            let oldest = half.receiver_has();
            // One more: the FIN takes a number too.
            let Some(at) = at.filter(|&at| oldest <= at && at <= half.told_edge + 1) else {
                return Err(DropReason::OutOfWindow);
            };
            // What the sender has said up to here, its FIN included.
            let (front, end) = (half.reassembly.front(), half.reassembly.end());
            let end = end + usize::from(half.fin == Some(end));
            if at == end || at == front {
                half.next_seq()
            } else if at > front {
                // Beyond it the receiver challenges, and goes on: the distance stays. Between octets that
                // wait for a verdict it expects nothing either.
                is_exact = false;
                let beyond = at.past(if at > end { end } else { front });
                Seq::new(half.next_seq().get().wrapping_add(beyond as u32))
            } else {
                half.space.seq_of(half.map.to_edited(at, Round::Down).min(half.store.sent()))
            }
        };
        let ack = match other.check_ack(Seq::new(headers.ack)) {
            Ok(edited) => other.space.seq_of(other.map.to_original(edited, Round::Down)).get(),
            Err(_) => headers.ack,
        };
        let patch = Patch { seq: seq.get(), ack, flags: headers.flags, window: headers.window };
        if is_exact {
            let at = half.space.offset_of(seq, half.store.una()).unwrap_or_default();
            let stage = Stage::Reset { by: direction, at };
            // One that changes nothing here may go in circles, and has to die.
            if self.stage != stage {
                self.stage = stage;
                self.raise_hop_limit(direction, headers, packet, context);
            }
        }
        self.relay_header(direction, headers, packet, patch, context);
        Ok(())
    }

    /// The inspector cannot go on: both ends are told, nothing passes any more.
    pub(super) fn end_by_inspection(&mut self, ending: Ending, context: &mut Context<'_>) {
        self.stage = Stage::Ended;
        self.life.ending = Some(ending);
        context.counters.happened(Event::InspectionReset);
        if ending == Ending::Inspection {
            let what = || What::Terminated { drops: self.is_dropped };
            context.reports.add(Severity::Warnings, Some(&self.connection), what);
        }
        if !self.is_dropped {
            self.mint_reset(Direction::ToServer, context);
            self.mint_reset(Direction::ToClient, context);
        }
        self.halves.to_server.free();
        self.halves.to_client.free();
    }
}

/// Whether `headers` acknowledge the SYN that carried `iss`, and no more.
fn answers(headers: &Headers, iss: Seq) -> bool {
    SeqSpace::new(iss).seq_of(Offset::ZERO) == Seq::new(headers.ack)
}

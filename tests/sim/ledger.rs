//! What was noted packet by packet of one way and can be judged only once both streams are known: then
//! each entry is held against the image that the reference gives of its octets.

use crate::reference::Edited;

/// From when on octets may pass: see [`crate::reference::Judged::gates`].
pub(crate) type Gate = (usize, usize);

/// How many units of the window field an edge may creep: each old acknowledgement that is relayed
/// with the edge of a newer one is rounded up.
const CREEP: i64 = 1;

/// An acknowledgement that told the sender more than those before.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) ack: i64,
    /// What the receiver had acknowledged then, and whether it had reported octets beyond since the last
    /// entry.
    pub(crate) acked: i64,
    pub(crate) reports: bool,
    /// What the guard had read without a hole, and whether there was one since the last entry.
    pub(crate) contiguous: usize,
    pub(crate) hole: bool,
}

/// A window told to the sender, wider than those before.
#[derive(Debug)]
pub(crate) struct Offer {
    /// Its right edge.
    pub(crate) told: i64,
    /// The right edge that the receiver had told.
    pub(crate) edge: i64,
    /// How much the guard had read of the sender.
    pub(crate) read: usize,
    /// The unit of the window field.
    pub(crate) unit: i64,
}

/// Where a call left the stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// Edited octets that had left.
    pub(crate) left: usize,
    /// Original octets that the guard had read without a hole.
    pub(crate) read: usize,
    /// The same of the other way.
    pub(crate) other_read: usize,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) told: Vec<Told>,
    pub(crate) offers: Vec<Offer>,
    pub(crate) progress: Vec<Progress>,
    /// SACK blocks that were told while the guard had never met a hole, and in which call.
    pub(crate) sacked: Vec<(i64, i64, u64)>,
    /// After a call: what the receiver had acknowledged and what the sender was told.
    pub(crate) heard: Vec<(i64, i64)>,
    /// By edited octet: the call in which the receiver first said that it has it.
    pub(crate) had: Vec<Option<u64>>,
    /// Acknowledgements that end before octets that were reported, and how much had left then.
    pub(crate) discarded: Vec<(i64, usize)>,
    /// Places of packets about which there were errors, and the places of which their sender was told.
    pub(crate) quoted: Vec<(i64, i64)>,
}

impl Ledger {
    /// Holds every entry against the streams; `out` is what left.
    pub(crate) fn conclude(&self, edited: &Edited, out: &[Option<u8>]) -> Result<(), String> {
        if !out.iter().copied().eq(edited.octets.iter().map(|octet| Some(*octet))) {
            let at = out.iter().zip(&edited.octets).position(|(a, b)| *a != Some(*b));
            return Err(format!(
                "I1, I10: octet {at:?} that left is not what the policy says, or {} are not {}",
                out.len(),
                edited.octets.len()
            ));
        }
        self.conclude_progress(edited)?;
        self.conclude_told(edited)?;
        self.conclude_heard(edited)?;
        self.conclude_sacked(edited)?;
        self.conclude_discarded(edited)?;
        self.conclude_quoted(edited)?;
        self.conclude_offers(edited)
    }

    /// An error is about the octets of which the ones that got lost were made (I19).
    fn conclude_quoted(&self, edited: &Edited) -> Result<(), String> {
        for (at, told) in &self.quoted {
            let (Ok(at), Ok(told)) = (usize::try_from(*at), usize::try_from(*told)) else {
                return Err(format!("I19: an error about {at} is told about {told}"));
            };
            let before = edited.image.partition_point(|image| *image <= at).saturating_sub(1);
            let is_right = edited.image.get(told) == edited.image.get(before);
            if !is_right && !edited.is_vague(at) {
                return Err(format!(
                    "I19: an error about {at}, which was made of {before}, is told about {told}"
                ));
            }
        }
        Ok(())
    }

    /// Nothing left before the octets that it was made of had come (I7).
    fn conclude_progress(&self, edited: &Edited) -> Result<(), String> {
        for Progress { left, read, .. } in &self.progress {
            let most = edited.image.get(*read).copied().unwrap_or(edited.octets.len());
            if *left > most && !edited.is_vague(*left) {
                let next = edited.octets.get(most.saturating_sub(40)..*left).unwrap_or_default();
                return Err(format!(
                    "I7: {left} octets have left, but the {read} that had come make only {most}: {}",
                    next.escape_ascii()
                ));
            }
        }
        Ok(())
    }

    /// Nothing was acknowledged that the receiver has not acknowledged, but for what the guard had
    /// read without a hole, from the first hole on until the receiver has all that was told.
    fn conclude_told(&self, edited: &Edited) -> Result<(), String> {
        let original = edited.image.len() - 1;
        let mut promised = 0;
        let mut is_episode = false;
        for told in &self.told {
            let needed = |ack: i64| match usize::try_from(ack) {
                Err(_) => 0,
                Ok(ack) if ack <= original => edited.image[ack] as i64,
                Ok(_) => edited.octets.len() as i64 + 1,
            };
            let is_owed = told.acked < needed(promised) || told.reports;
            is_episode = told.hole || is_episode && is_owed;
            if told.acked >= needed(told.ack) {
                continue;
            }
            if !is_episode || told.ack > told.contiguous as i64 {
                return Err(format!(
                    "L11, I4: {} octets were acknowledged, which are {} for the receiver; {told:?}",
                    told.ack,
                    needed(told.ack)
                ));
            }
            promised = promised.max(told.ack);
        }
        Ok(())
    }

    /// What the receiver has acknowledged the sender hears of at once (I6): edits that take octets from
    /// it leave none that nobody acknowledges.
    fn conclude_heard(&self, edited: &Edited) -> Result<(), String> {
        for (acked, told) in &self.heard {
            let Ok(acked) = usize::try_from(*acked) else { continue };
            let whole = edited.image.partition_point(|image| *image <= acked);
            let image = edited.image[whole.saturating_sub(1)];
            let fin = acked > edited.octets.len();
            // Octets that leave no trace go with the edit that follows.
            let least = if acked >= edited.octets.len() {
                edited.image.len() - 1 + usize::from(fin)
            } else {
                edited.image.partition_point(|other| *other < image)
            };
            if *told < least as i64 && !edited.is_vague(acked) {
                return Err(format!(
                    "I6: {acked} octets are acknowledged, which are all of {least} original ones; the \
                     sender was told {told}"
                ));
            }
        }
        Ok(())
    }

    /// A SACK block says nothing that the receiver has not said (I9, L7).
    fn conclude_sacked(&self, edited: &Edited) -> Result<(), String> {
        for (left, right, call) in &self.sacked {
            let image = |at: i64| edited.image.get(at as usize).copied();
            let (Some(start), Some(end)) = (image(*left), image(*right)) else {
                return Err(format!("I9: SACK {left}-{right} of octets that there are none of"));
            };
            if edited.is_vague(start) || edited.is_vague(end) {
                continue;
            }
            let is_had = |had: &Option<u64>| had.is_some_and(|had| had <= *call);
            if !self.had.get(start..end).is_some_and(|had| had.iter().all(is_had)) {
                return Err(format!(
                    "I9: SACK {left}-{right} means {start}-{end}, which the receiver had not reported"
                ));
            }
        }
        Ok(())
    }

    /// No acknowledgement ends before octets that were reported: that would say that the receiver has
    /// thrown them away (I9, RFC 2018 section 8). Only octets that wait for a verdict are neither.
    fn conclude_discarded(&self, edited: &Edited) -> Result<(), String> {
        let image = |at: i64| edited.image.get(at as usize).copied();
        let has_left = |(at, left): &&(i64, usize)| {
            let is_vague = image(*at).is_some_and(|image| edited.is_vague(image));
            !is_vague
                && image(*at + 1) > image(*at)
                && image(*at + 1).is_some_and(|image| image <= *left)
        };
        match self.discarded.iter().find(has_left) {
            Some((at, left)) => Err(format!(
                "I9: {at} is acknowledged, what follows was reported before; {left} octets had left"
            )),
            None => Ok(()),
        }
    }

    /// The window is the image of the receiver's (I12).
    fn conclude_offers(&self, edited: &Edited) -> Result<(), String> {
        let original = edited.image.len() - 1;
        let mut most = 0;
        // By how much a number may differ: what the guard has not judged yet, it must take for
        // unedited, and an edge once told stays.
        let (mut shift, mut at) = (0, 0);
        for offer in &self.offers {
            while at <= offer.read.min(original) {
                shift = shift.max(at as i64 - edited.image[at] as i64);
                at += 1;
            }
            most = most.max(offer.edge + shift);
            if offer.told > most + offer.unit * CREEP {
                return Err(format!(
                    "I12: the sender is offered a window up to {}, the receiver's image of it is {most}",
                    offer.told
                ));
            }
        }
        Ok(())
    }

    /// Octets from `gate.0` on may have left only after `gate.1` octets of the other way came (I21).
    pub(crate) fn check_gate(&self, gate: Gate) -> Result<(), String> {
        let early = |at: &&Progress| at.left > gate.0 && at.other_read < gate.1;
        match self.progress.iter().find(early) {
            Some(Progress { left, other_read, .. }) => Err(format!(
                "I21: octets up to {left} left when {other_read} octets of replies had come: those from \
                 {} had to wait for {}",
                gate.0, gate.1
            )),
            None => Ok(()),
        }
    }
}

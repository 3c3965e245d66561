//! Everything kept for one direction of a flow.

use core::ops::Range;

use super::repair::Repairs;
use super::stand_in::StandIn;
use crate::counters::DropReason;
use crate::inspect::Edits;
use crate::limits::{EDITS_MAX, STORE_OCTETS_MAX};
use crate::stream::{Offset, OffsetMap, Reassembly, Round, Span, Spare, Store};
use crate::tcp::{Seq, SeqSpace};

/// One direction: octets come from a sender and leave for a receiver.
///
/// ```text
/// sender -> Seq -> Offset -> Reassembly -> judge -> OffsetMap -> Store -> Offset -> Seq -> receiver
/// sender <- ack, SACK, window  <-  OffsetMap read backwards  <-  ack, SACK, window  <-  receiver
/// ```
#[derive(Debug, Default)]
pub(super) struct Half {
    /// The sender's numbers. Both ends see the same initial one.
    pub(super) space: SeqSpace,
    /// Original octets up to their verdict.
    pub(super) reassembly: Reassembly,
    /// Original to edited and back.
    pub(super) map: OffsetMap,
    /// Edited octets up to their acknowledgement.
    pub(super) store: Store,
    /// Where the sender's FIN stands in the original stream.
    pub(super) fin: Option<Offset>,
    /// The FIN has left.
    pub(super) fin_sent: bool,
    /// The receiver has acknowledged the FIN.
    pub(super) fin_acked: bool,
    /// The right edge of the receiver's window, edited.
    pub(super) edge: Offset,
    /// The highest acknowledgement that the sender was told, original.
    pub(super) told_ack: Offset,
    /// The right edge that the sender was told, original, before rounding. It never moves left.
    pub(super) told_edge: Offset,
    /// The window field that the sender was told last.
    pub(super) told_window: u16,
    /// What the guard has told the sender on its own account.
    pub(super) stand_in: StandIn,
    /// What of it the receiver lacks.
    pub(super) repairs: Repairs,
}

/// What an acknowledgement means to the sender, in the sender's numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    /// The acknowledgement number.
    pub(super) ack: Seq,
    /// The window field.
    pub(super) window: u16,
    /// It tells the sender something new.
    pub(super) is_news: bool,
    /// The receiver went on, but only inside of an edit: told bare, it would look like a duplicate
    /// (law L12).
    pub(super) is_inside_edit: bool,
}

impl Half {
    /// A direction whose sender's SYN carried `iss`.
    pub(super) fn new(iss: Seq) -> Self {
        Self { space: SeqSpace::new(iss), ..Self::default() }
    }

    /// The receiver's window as its SYN gave it: never scaled (RFC 7323 section 2.2).
    pub(super) fn open_window(&mut self, window: u16) {
        self.edge = Offset::ZERO + usize::from(window);
        self.told_edge = self.edge;
        self.told_window = window;
    }

    /// The end of what the receiver may acknowledge: the FIN counts as one.
    fn acknowledgeable(&self) -> Offset {
        self.store.sent() + usize::from(self.fin_sent)
    }

    /// The number by which the receiver knows the original `start`, of what has left.
    pub(super) fn sent_as(&self, start: Offset) -> Seq {
        let edited = self.map.to_edited(start.max(self.map.floor()), Round::Down);
        self.space.seq_of(edited.min(self.store.sent()))
    }

    /// The number that the receiver expects next if nothing was lost.
    pub(super) fn next_seq(&self) -> Seq {
        self.space.seq_of(self.acknowledgeable())
    }

    /// The end of what the receiver has acknowledged, original.
    pub(super) fn receiver_has(&self) -> Offset {
        self.map.to_original(self.store.una(), Round::Down)
    }

    /// Where `ack` points, when it can be believed (RFC 9293 section 3.10.7.4).
    pub(super) fn check_ack(&self, ack: Seq) -> Result<Offset, DropReason> {
        self.space
            .offset_of(ack, self.store.una())
            .filter(|&edited| edited <= self.acknowledgeable())
            .ok_or(DropReason::BadAck)
    }

    /// Takes an acknowledgement that [`Half::check_ack`] has found good, and says what the sender
    /// is to hear.
    pub(super) fn hear(
        &mut self,
        edited: Offset,
        window: u16,
        shift: u8,
        spare: &mut Spare,
    ) -> Heard {
        let went_on = edited > self.store.una() && !self.store.is_empty();
        self.store.release(edited, spare);
        if self.fin_sent && edited > self.store.nxt() {
            self.fin_acked = true;
        }
        let image = self.map.to_original(edited, Round::Down);
        let ack = self.tellable(image);
        self.map.prune(edited);

        let edge = edited + (usize::from(window) << shift);
        let was_closed = self.edge <= self.store.una();
        self.edge = self.edge.max(edge);
        if was_closed {
            self.repairs.hear_of_room(self.edge > self.store.una());
        }
        self.told_edge = self.told_edge.max(self.map.to_original(edge, Round::Down));
        let is_plain = self.map.is_identity() && ack == image;
        let field = if is_plain { window } else { self.window_field(ack, shift) };

        let is_news = ack > self.told_ack || (ack == self.told_ack && field != self.told_window);
        if ack >= self.told_ack {
            self.told_window = field;
        }
        self.told_ack = self.told_ack.max(ack);
        Heard {
            ack: self.space.seq_of(ack),
            window: field,
            is_news,
            is_inside_edit: went_on && !is_news,
        }
    }

    /// What the sender was told, once more.
    pub(super) fn heard_before(&self, shift: u8) -> Heard {
        Heard {
            ack: self.space.seq_of(self.told_ack),
            window: self.window_again(shift),
            is_news: false,
            is_inside_edit: false,
        }
    }

    /// The window field that makes the sender's right edge the image of the receiver's, and never
    /// less than it was told before (RFC 9293 section 3.8.6, SHLD-14), but for rounding.
    fn window_field(&self, ack: Offset, shift: u8) -> u16 {
        u16::try_from(self.told_edge.past(ack) >> shift).unwrap_or(u16::MAX)
    }

    /// The window field that says again what the sender was told.
    pub(super) fn window_again(&self, shift: u8) -> u16 {
        self.window_field(self.told_ack, shift)
    }

    /// A SACK block of the receiver in the sender's numbers: left edge up, right edge down, so it
    /// is never widened (law L7). Nothing when nothing is left of it.
    pub(super) fn sack_block(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        let near = self.store.una();
        let left = self.space.offset_of(Seq::new(left), near)?;
        let right = self.space.offset_of(Seq::new(right), near)?;
        if right > self.acknowledgeable() {
            return None;
        }
        let left = self.map.to_original(left, Round::Up);
        let right = self.map.to_original(right, Round::Down);
        // What the guard has acknowledged is no news, not even to who has that from an old
        // acknowledgement; the rest of the block goes on from there.
        let is_known = self.has_promised() || left <= self.stand_in.promised();
        let left = if is_known { left.max(self.told_ack) } else { left };
        (self.map.floor() <= left && left < right)
            .then(|| (self.space.seq_of(left).get(), self.space.seq_of(right).get()))
    }

    /// Whether the sender was told more than the receiver has acknowledged.
    pub(super) fn has_promised(&self) -> bool {
        self.promised() > self.store.una()
    }

    /// Whether what the sender hears is the guard's word.
    pub(super) fn stands_in(&self) -> bool {
        self.stand_in.is_standing() || self.has_promised()
    }

    /// The TSecr that goes to the sender when the receiver says `echo`.
    pub(super) fn echo(&self, echo: u32) -> u32 {
        if self.stands_in() { self.stand_in.echo(echo) } else { echo }
    }

    /// The end of what the guard has acknowledged by itself, edited.
    pub(super) fn promised(&self) -> Offset {
        let promised = self.stand_in.promised();
        if promised <= self.map.floor() {
            return self.store.una();
        }
        self.map.to_edited(promised, Round::Down)
    }

    /// What a repair has to know: where the receiver stands, what was promised, what has left.
    pub(super) fn ledge(&self) -> (Offset, Offset, Offset) {
        let sent = self.store.sent();
        (self.store.una(), self.promised().min(sent), sent)
    }

    /// What the sender is told when the receiver's acknowledgement means `image`: the guard's own
    /// word goes along.
    fn tellable(&mut self, image: Offset) -> Offset {
        let front = self.reassembly.front();
        self.stand_in.receiver_has(image);
        if self.stand_in.promised() > image || self.stand_in.is_standing() {
            for span in self.repairs.reported() {
                let start = self.map.to_original(span.start, Round::Up);
                let end = self.map.to_original(span.end, Round::Down);
                self.stand_in.refill(Span { start, end });
                self.stand_in.extend(Span { start, end }, front);
            }
        }
        if self.stand_in.is_standing() {
            self.stand_in.promise(front);
            self.stand_in.end_without_holes(self.reassembly.has_hole());
        }
        image.max(self.stand_in.promised())
    }

    /// Begins to answer the sender, if that was not begun: the holes that the receiver has reported
    /// stay the sender's.
    pub(super) fn stand_in(&mut self) {
        let (map, told) = (&self.map, self.told_ack);
        let original = |hole: Span| Span {
            start: map.to_original(hole.start, Round::Down).max(told),
            end: map.to_original(hole.end, Round::Up),
        };
        let holes = self.repairs.holes(self.store.una()).map(original);
        self.stand_in.begin(holes);
    }

    /// Whether everything up to the sender's FIN has been judged.
    pub(super) fn fin_is_due(&self) -> bool {
        self.fin == Some(self.reassembly.front())
    }

    /// Edited octets that may leave now for the first time.
    pub(super) fn unsent(&self) -> Span {
        let start = self.store.sent();
        Span { start, end: self.store.nxt().min(self.edge).max(start) }
    }

    /// Octets of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.reassembly.memory()
            + self.map.memory()
            + self.store.memory()
            + self.stand_in.memory()
            + self.repairs.memory()
    }

    /// Gives all memory back.
    pub(super) fn free(&mut self) {
        self.reassembly.free();
        self.store.free();
        self.stand_in.free();
        self.repairs.free();
    }
}

/// Writes a judge's answers into map and store.
pub(super) struct Writer<'a> {
    map: &'a mut OffsetMap,
    store: &'a mut Store,
    spare: &'a mut Spare,
    at: Offset,
    /// What is judged.
    octets: &'a [u8],
    /// So many of them have passed and are not in the store yet.
    passed: usize,
    /// No octet was changed.
    is_untouched: bool,
}

impl<'a> Writer<'a> {
    /// A writer for `octets`, which are judged from the first on; that is at original offset `at`.
    pub(super) fn new(
        map: &'a mut OffsetMap,
        store: &'a mut Store,
        spare: &'a mut Spare,
        at: Offset,
        octets: &'a [u8],
    ) -> Self {
        Self { map, store, spare, at, octets, passed: 0, is_untouched: true }
    }

    /// The judge has done. Where all octets have passed, the store is lent them if there is a `place` in the packet
    /// where they can stay, and else has a copy. Whether all were left as they were, and whether they are lent.
    pub(super) fn finish(mut self, place: Option<Range<usize>>) -> (bool, bool) {
        let place = place.filter(|_| self.is_untouched && self.passed == self.octets.len());
        let is_lent = place.is_some();
        match place {
            Some(place) => self.store.lend(place, self.spare),
            None => self.store_passed(),
        }
        (self.is_untouched, is_lent)
    }

    fn store_passed(&mut self) {
        if let Some((passed, rest)) = self.octets.split_at_checked(self.passed) {
            self.store.append(passed, self.spare);
            (self.octets, self.passed) = (rest, 0);
        }
    }
}

impl Edits for Writer<'_> {
    fn pass(&mut self, octets: &[u8]) {
        debug_assert_eq!(
            self.octets.get(self.passed..).map(|rest| rest.starts_with(octets)),
            Some(true)
        );
        self.passed += octets.len();
        self.at = self.at + octets.len();
    }

    fn trade(&mut self, original: usize, octets: &[u8]) {
        self.is_untouched = false;
        self.store_passed();
        self.octets = self.octets.get(original..).unwrap_or_default();
        let edited = Span::of(self.store.nxt(), octets.len());
        self.map.record(Span::of(self.at, original), edited);
        self.store.append(octets, self.spare);
        self.at = self.at + original;
    }

    fn has_room(&self) -> bool {
        self.map.remembered() < EDITS_MAX && self.store.len() + self.passed < STORE_OCTETS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `EHLO x` CRLF of which the reply grew by `grown` octets, all sent.
    fn half(original: usize, grown: usize) -> Half {
        let mut half = Half::new(Seq::new(u32::MAX - 3));
        half.open_window(1000);
        let mut spare = Spare::default();
        let text = [b"abcd".to_vec(), vec![b'o'; original], b"efgh".to_vec()].concat();
        let start = Offset::ZERO;
        let mut writer = Writer::new(&mut half.map, &mut half.store, &mut spare, start, &text);
        writer.pass(b"abcd");
        writer.trade(original, &vec![b'x'; original + grown]);
        writer.pass(b"efgh");
        assert_eq!(writer.finish(Some(40..40 + text.len())), (false, false));
        half.reassembly.advance(8 + original);
        half.store.mark_sent(half.store.nxt());
        half
    }

    fn hear(half: &mut Half, edited: u64, window: u16) -> (u64, u16, bool, bool) {
        let ack = half.space.seq_of(Offset::new(edited));
        let edited = half.check_ack(ack).unwrap();
        let heard = half.hear(edited, window, 0, &mut Spare::default());
        let told = half.space.offset_of(heard.ack, half.told_ack).unwrap();
        (told.get(), heard.window, heard.is_news, heard.is_inside_edit)
    }

    #[test]
    fn acknowledgements_are_told_in_the_senders_numbers() {
        let mut half = half(10, 5);
        assert_eq!(hear(&mut half, 4, 1000), (4, 996, true, false));
        assert_eq!(hear(&mut half, 9, 995), (4, 996, false, true), "L12: inside of the edit");
        assert_eq!(hear(&mut half, 9, 995), (4, 996, false, false), "a duplicate is one");
        assert_eq!(hear(&mut half, 19, 985), (14, 986, true, false));
        assert_eq!(hear(&mut half, 23, 981), (18, 982, true, false), "L4");
        assert_eq!(half.check_ack(half.space.seq_of(Offset::new(24))), Err(DropReason::BadAck));
    }

    #[test]
    fn the_right_edge_never_moves_left() {
        let mut half = half(1, 500);
        let mut edge = half.told_edge;
        for edited in [2, 5, 300, 505, 509] {
            let (told, window, ..) = hear(&mut half, edited, 1000 - edited as u16);
            let now = Offset::new(told + u64::from(window));
            assert!(now >= edge, "at {edited}");
            edge = now;
        }
    }

    #[test]
    fn the_fin_takes_one_number() {
        let mut half = half(3, 1);
        half.fin = Some(Offset::new(11));
        assert!(half.fin_is_due());
        half.fin_sent = true;
        assert_eq!(hear(&mut half, 12, 0).0, 11);
        assert!(!half.fin_acked);
        assert_eq!(hear(&mut half, 13, 0).0, 12);
        assert!(half.fin_acked);
    }

    #[test]
    fn sack_blocks_shrink_to_whole_edits() {
        let half = half(10, 5);
        let seq = |offset: u64| half.space.seq_of(Offset::new(offset)).get();
        assert_eq!(half.sack_block(seq(6), seq(23)), Some((seq(14), seq(18))));
        assert_eq!(half.sack_block(seq(2), seq(18)), Some((seq(2), seq(4))));
        assert_eq!(half.sack_block(seq(5), seq(9)), None);
        assert_eq!(half.sack_block(seq(20), seq(24)), None, "never sent");
    }

    #[test]
    fn a_half_counts_all_that_it_holds_and_gives_it_back() {
        let mut half = half(10, 5);
        half.reassembly.arrive(Offset::new(30), b"ahead").unwrap();
        half.repairs.hear(Offset::ZERO, &[Span { start: Offset::new(8), end: Offset::new(12) }]);
        half.stand_in();
        let parts = [
            half.reassembly.memory(),
            half.map.memory(),
            half.store.memory(),
            half.stand_in.memory(),
            half.repairs.memory(),
        ];
        assert!(parts.iter().all(|&octets| octets > 0), "{parts:?}");
        assert_eq!(half.memory(), parts.iter().sum::<usize>());
        half.free();
        let said = half.map.memory() + half.stand_in.memory();
        assert_eq!(half.memory(), said, "what was said may be asked again");
    }

    #[test]
    fn a_judge_has_room_up_to_either_limit() {
        let (mut map, mut store) = (OffsetMap::default(), Store::default());
        let mut spare = Spare::default();
        let text = vec![b'x'; STORE_OCTETS_MAX];
        let start = Offset::ZERO;
        let mut writer = Writer::new(&mut map, &mut store, &mut spare, start, &text);
        for _ in 0..EDITS_MAX {
            assert!(writer.has_room());
            writer.trade(1, b"xx");
        }
        assert!(!writer.has_room());
        let (mut map, mut store) = (OffsetMap::default(), Store::default());
        let mut spare = Spare::default();
        let mut writer = Writer::new(&mut map, &mut store, &mut spare, start, &text);
        writer.pass(&text[1..]);
        assert!(writer.has_room());
        writer.pass(b"x");
        assert!(!writer.has_room());
    }

    #[test]
    fn the_store_is_lent_what_passes_whole() {
        let (mut map, mut store) = (OffsetMap::default(), Store::default());
        let mut spare = Spare::default();
        let mut judge = |place: Option<Range<usize>>, passed: &[u8]| {
            let start = store.nxt();
            let mut writer = Writer::new(&mut map, &mut store, &mut spare, start, b"NOOP\r\n");
            writer.pass(passed);
            let (is_untouched, is_lent) = writer.finish(place);
            assert!(is_untouched);
            store.copy_lent(b"packet: NOOP\r\n", &mut spare);
            assert_eq!(store.nxt(), start + passed.len());
            is_lent
        };
        assert!(judge(Some(8..14), b"NOOP\r\n"));
        assert!(!judge(Some(8..14), b"NOOP"), "not all of it was judged");
        assert!(!judge(None, b"NOOP\r\n"));
        let mut octets = [0; 16];
        store.copy(Span { start: Offset::ZERO, end: store.nxt() }, &mut octets);
        assert_eq!(&octets, b"NOOP\r\nNOOPNOOP\r\n");
    }
}

//! SMTP streams through both judges, cut in any way.

use super::cursor::Cursor;
use super::server::Server;
use crate::inspect::{ClientJudge, Edits, Fault, Indifferent, ServerJudge};
use crate::policy::Personality;
use crate::smtp::Session;

/// Edits applied to nothing but text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Text {
    out: Vec<u8>,
    taken: usize,
}

impl Edits for Text {
    fn pass(&mut self, octets: &[u8]) {
        assert!(!octets.is_empty(), "nothing passes");
        self.out.extend_from_slice(octets);
        self.taken += octets.len();
    }

    fn trade(&mut self, original: usize, octets: &[u8]) {
        assert!(original > 0 && !octets.is_empty(), "a trade has two sides");
        self.out.extend_from_slice(octets);
        self.taken += original;
    }

    fn has_room(&self) -> bool {
        true
    }
}

/// Both judges, and what came of both streams.
#[derive(Debug, Default)]
struct Middle {
    client_judge: ClientJudge,
    server_judge: ServerJudge,
    session: Session,
    to_server: Text,
    to_client: Text,
}

impl Middle {
    fn client(&mut self, said: &[u8], personality: &Personality) -> Result<(), Fault> {
        let before = self.to_server.taken;
        let (session, edits) = (&mut self.session, &mut self.to_server);
        let rest = &said[before..];
        let took =
            self.client_judge.judge(rest, false, session, personality, edits, &mut Indifferent)?;
        assert_eq!(self.to_server.taken, before + took, "what it took is what it traded");
        Ok(())
    }

    fn server(&mut self, said: &[u8], personality: &Personality) -> Result<(), Fault> {
        let before = self.to_client.taken;
        let (session, edits) = (&mut self.session, &mut self.to_client);
        let rest = &said[before..];
        let took =
            self.server_judge.judge(rest, false, session, personality, edits, &mut Indifferent)?;
        assert_eq!(self.to_client.taken, before + took, "what it took is what it traded");
        Ok(())
    }
}

/// Whether the server is a real one or says what the input says, and the personality; then that.
pub fn dialogue(octets: &[u8]) {
    let mut cursor = Cursor::new(octets);
    let how = cursor.octet();
    if how & 2 == 0 {
        let is_pix = how & 1 != 0;
        strict(cursor, if is_pix { &Personality::PIX40 } else { &Personality::MAILGUARD });
    } else {
        let number = usize::from(how & 1) + usize::from(how >> 2) * 2;
        let whole: Vec<_> = Personality::ALL.iter().filter(|it| it.is_blind_to_packets()).collect();
        any(cursor, whole[number % whole.len()]);
    }
}

/// A strict server never sees a forbidden verb, and neither end sees how the streams were cut.
fn strict(mut cursor: Cursor<'_>, personality: &Personality) {
    let mood = cursor.slice(8);
    let len = usize::from(cursor.u16());
    let input = cursor.slice(len);
    let as_told = converse(input, mood, personality, || {
        (!cursor.is_done())
            .then(|| cursor.octet())
            .map(|step| (usize::from(step & 15), usize::from(step >> 4)))
    });
    let whole = converse(input, mood, personality, || None);
    assert_eq!(as_told, whole, "L16: it depends on the cuts");
    let mut steps = 2 * input.len() + 64;
    let single = converse(input, mood, personality, || {
        steps = steps.saturating_sub(1);
        (steps > 0).then_some((1, 1))
    });
    assert_eq!(single, whole, "L16: it depends on the cuts");
}

/// A whole dialogue; what each end received. `step` says how much of each stream comes next: all of
/// it, when it says nothing.
fn converse(
    input: &[u8],
    mood: &[u8],
    personality: &Personality,
    mut step: impl FnMut() -> Option<(usize, usize)>,
) -> (Text, Text) {
    let (mut middle, mut server) = (Middle::default(), Server::new(mood));
    let (mut offered, mut said, mut eaten) = (0, 0, 0);
    loop {
        let before = (middle.to_server.taken, middle.to_client.taken);
        let next = step();
        let (more, replies) = next.unwrap_or((usize::MAX, usize::MAX));
        offered = input.len().min(more.saturating_add(offered));
        assert_eq!(middle.client(&input[..offered], personality), Ok(()), "nothing to reset for");
        for octet in &middle.to_server.out[eaten..] {
            server.take(*octet);
        }
        eaten = middle.to_server.out.len();
        said = server.said.len().min(replies.saturating_add(said));
        let judged = middle.server(&server.said[..said], personality);
        assert_eq!(judged, Ok(()), "server and guard disagree");
        if next.is_none() && before == (middle.to_server.taken, middle.to_client.taken) {
            break;
        }
    }
    assert_eq!(middle.to_server.taken, input.len(), "the client's words wait for ever");
    assert_eq!(middle.to_client.taken, server.said.len(), "the server's words wait for ever");
    (middle.to_server, middle.to_client)
}

/// Two ends that say anything: whole pieces give what single octets give.
fn any(cursor: Cursor<'_>, personality: &Personality) {
    let whole = recite(cursor, personality, usize::MAX);
    let single = recite(cursor, personality, 1);
    assert_eq!(whole, single, "L16: it depends on the cuts");
}

/// Says each piece of the input in its turn, `most` octets at a time.
fn recite(
    mut cursor: Cursor<'_>,
    personality: &Personality,
    most: usize,
) -> (Text, Text, Option<Fault>) {
    let mut middle = Middle::default();
    let (mut client, mut server) = (Vec::new(), Vec::new());
    let mut fault = None;
    while !cursor.is_done() && fault.is_none() {
        let how = cursor.octet();
        let piece = cursor.slice(usize::from(how >> 1));
        for part in piece.chunks(most.min(piece.len()).max(1)) {
            if how & 1 == 0 {
                client.extend_from_slice(part);
                fault = middle.client(&client, personality).err();
            } else {
                server.extend_from_slice(part);
                fault = middle.server(&server, personality).err();
            }
            if fault.is_some() {
                break;
            }
        }
        // What waits on the other side goes on behind the whole piece.
        if fault.is_none() {
            fault = middle
                .client(&client, personality)
                .and_then(|()| middle.server(&server, personality))
                .err();
        }
    }
    (middle.to_server, middle.to_client, fault)
}

//! A flow goes on to hold the buffer that a big segment came in.

use super::hostile::in_mail_data;
use super::traces::Trace;
use super::*;
use crate::direction::Leg;
use crate::wire::packet::flags::{ACK, FIN};

/// A segment of the client's that follows `DATA`, in a buffer of so many octets.
fn segment(trace: &Trace, seq: u32, flags: u8, text: &str, room: usize) -> (Buffer, usize) {
    let packet = trace.craft(Leg::Outside, seq, 14, flags, text);
    let mut buffer = Buffer::new(room.max(packet.len()));
    buffer.get_mut().unwrap()[..packet.len()].copy_from_slice(&packet);
    (buffer, packet.len())
}

#[test]
fn what_leaves_as_it_came_is_held_until_it_is_acknowledged() {
    let mut trace = in_mail_data();
    let text = "a line of a mail".repeat(4);
    let (mut buffer, len) = segment(&trace, 7, ACK, &text, 0);
    let left = trace.send_buffer(Leg::Outside, &mut buffer, len);
    assert_eq!(left, [format!("inside 7 14 . {text:?}")]);
    assert!(!buffer.is_free());
    assert!(trace.engine.counters().octets_held >= buffer.len() as u64, "it counts");
    // What is repeated comes out of it, whatever the repeat says.
    let other = text.replace('a', "b");
    assert_eq!(trace.client(7, 14, ACK, &other), [format!("inside 7 14 . {text:?}")]);
    trace.server(14, 70, ACK, "");
    assert!(!buffer.is_free(), "an octet is missing");
    trace.server(14, 71, ACK, "");
    assert!(buffer.is_free());
}

#[test]
fn what_does_not_leave_as_it_came_is_copied() {
    for (flags, text, room, why) in [
        (ACK, "a line of a mail\r\n", 200, "most of the buffer is empty"),
        (ACK, "a mail without its end: two\r\n.\r\nHELP me with that\r\n", 0, "edited"),
        (ACK | FIN, "a mail that does not end: its server hears a FIN", 0, ""),
    ] {
        let mut trace = in_mail_data();
        let (mut buffer, len) = segment(&trace, 7, flags, text, room);
        let left = trace.send_buffer(Leg::Outside, &mut buffer, len);
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(buffer.is_free(), !why.is_empty(), "{why}");
        let again = trace.client(7, 14, flags, text);
        assert_eq!(left, again, "{why}");
    }
}

#[test]
fn what_goes_beyond_the_window_is_not_held() {
    let mut trace = in_mail_data();
    let text = "y".repeat(300);
    // The window is 1000.
    trace.client(7, 14, ACK, &"x".repeat(450));
    trace.client(457, 14, ACK, &"x".repeat(450));
    let (mut buffer, len) = segment(&trace, 907, ACK, &text, 0);
    let left = trace.send_buffer(Leg::Outside, &mut buffer, len);
    assert_eq!(left, [format!("inside 907 14 . {:?}", &text[..100])]);
    assert!(buffer.is_free());
    trace.server(14, 1007, ACK, "");
    let left = trace.client(1007, 14, ACK, &text[100..]);
    assert_eq!(left, [format!("inside 1007 14 . {:?}", &text[100..])]);
}

#[test]
fn a_buffer_that_somebody_holds_is_not_written_to() {
    let mut trace = in_mail_data();
    let (mut buffer, len) = segment(&trace, 7, ACK, "a line", 0);
    let _held = buffer.clone();
    assert!(trace.send_buffer(Leg::Outside, &mut buffer, len).is_empty());
    assert_eq!(trace.engine.counters().drops(DropReason::Malformed), 1);
}

#[test]
fn a_flow_that_fails_holds_nothing() {
    let mut trace = in_mail_data();
    let (mut buffer, len) = segment(&trace, 7, ACK, "a line of a mail, and more of it", 0);
    rescue::faults::want(1);
    let left = trace.send_buffer(Leg::Outside, &mut buffer, len);
    assert!(left.iter().all(|line| line.contains('R')), "{left:?}");
    assert!(buffer.is_free());
}

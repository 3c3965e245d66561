//! Clients of the telnet port.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;

const TELNET_PLACES: usize = 5;

/// A client that knows nothing of telnet.
struct Plain(TcpStream);

impl Plain {
    fn connect(served: &Served) -> Self {
        let stream = TcpStream::connect(served.telnet.expect("a port")).expect("a server");
        stream.set_read_timeout(Some(LONG)).expect("a timeout");
        Self(stream)
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("a server that reads");
    }

    /// All that comes until `end` has.
    fn hear_until(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        let mut octet = [0];
        while !heard.ends_with(end.as_bytes()) {
            let len = self.0.read(&mut octet).expect("an answer in time");
            assert_eq!(len, 1, "it ended: {}", String::from_utf8_lossy(&heard));
            heard.push(octet[0]);
        }
        String::from_utf8_lossy(&heard).into_owned()
    }

    fn hear_all(&mut self) -> String {
        let mut heard = Vec::new();
        self.0.read_to_end(&mut heard).expect("an end in time");
        String::from_utf8_lossy(&heard).into_owned()
    }
}

#[test]
fn it_warns_asks_for_the_password_and_serves() {
    let served = Served::start(Patience::default());
    let mut client = Plain::connect(&served);
    assert!(client.hear_until("Password: ").contains("plain text"));
    client.send("cisco\r\n");
    client.hear_until("fake> ");
    client.send("show 2\r\n");
    assert_eq!(client.hear_until("fake> "), "line 1\r\nline 2\r\nfake> ");
    client.send("exit\r\n");
    assert_eq!(client.hear_all(), "Goodbye.\r\n");
}

#[test]
fn three_wrong_passwords_close_the_door_for_a_while() {
    let served =
        Served::start(Patience { pause: Duration::from_secs(3600), ..Patience::default() });
    let mut client = Plain::connect(&served);
    for _ in 0..3 {
        client.hear_until("Password: ");
        client.send("guess\r\n");
    }
    assert!(client.hear_all().ends_with("% Too many wrong passwords: come again later.\r\n"));
    let refused = Plain::connect(&served).hear_all();
    assert_eq!(refused, "% Too many wrong passwords: come again later.\r\n");
    // The Unix socket is another matter.
    assert_eq!(Client::welcome(&served.socket()).line("echo on")["text"], "on\n");
}

#[test]
fn the_pause_has_an_end() {
    let served =
        Served::start(Patience { pause: Duration::from_millis(300), ..Patience::default() });
    for _ in 0..2 {
        // From the first word on that is no refusal.
        let mut client = loop {
            let mut client = Plain::connect(&served);
            let mut first = [0];
            client.0.read_exact(&mut first).expect("a word");
            if first != *b"%" {
                break client;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        client.send("guess\r\nguess\r\nguess\r\n");
        assert!(client.hear_all().contains("Too many wrong passwords"));
    }
}

#[test]
fn who_types_nothing_is_closed() {
    let short = Duration::from_millis(200);
    let served = Served::start(Patience { login: short, ..Patience::default() });
    let mut client = Plain::connect(&served);
    assert!(client.hear_all().ends_with("% Nothing was typed for a while.\r\n"));
    // Octets that are no line are no sign of life.
    let mut client = Plain::connect(&served);
    client.0.set_read_timeout(Some(Duration::from_millis(10))).expect("a timeout");
    let mut room = [0; 512];
    let mut has_ended = false;
    for _ in 0..2000 {
        let _ = client.0.write_all(b"x");
        has_ended = has_ended || client.0.read(&mut room).is_ok_and(|len| len == 0);
        if has_ended {
            break;
        }
    }
    assert!(has_ended);
    let served = Served::start(Patience { idle: 8 * short, ..Patience::default() });
    let mut client = Plain::connect(&served);
    client.send("cisco\r\n");
    assert!(client.hear_all().ends_with("fake> \r\n% Nothing was typed for a while.\r\n"));
}

#[test]
fn a_hundred_at_once_leave_room_on_the_unix_socket() {
    let served = Served::start(Patience::default());
    let mut clients: Vec<_> = (0..100).map(|_| Plain::connect(&served)).collect();
    let (mut welcome, mut refused) = (0, 0);
    for client in &mut clients {
        // A real client talks first, and must still be able to read why it is turned away.
        client.0.write_all(&[255, 253, 3, 255, 251, 24]).expect("a server");
        if client.hear_until("\r\n").starts_with('%') {
            assert_eq!(client.hear_all(), "");
            refused += 1;
        } else {
            client.hear_until("Password: ");
            welcome += 1;
        }
    }
    assert_eq!((welcome, refused), (TELNET_PLACES, 100 - TELNET_PLACES));
    assert_eq!(Client::welcome(&served.socket()).line("echo on")["text"], "on\n");
}

#[test]
fn a_flood_of_requests_is_answered_at_the_pace_it_is_read() {
    let stall = Duration::from_millis(1500);
    let served = Served::start(Patience { stall, ..Patience::default() });
    let mut client = Plain::connect(&served);
    client.send("cisco\r\n");
    client.0.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let questions = "show 5000\r\n".repeat(1000);
    let mut rounds = 0;
    while client.0.write_all(questions.as_bytes()).is_ok() {
        rounds += 1;
        assert!(rounds < 10_000, "the server takes all that comes");
    }
    assert_eq!(Client::welcome(&served.socket()).line("echo on")["text"], "on\n");
    // It is cut off: nothing can be sent any more, or soon so.
    let end = (0..400).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        let error = client.0.take_error().expect("an option");
        error.is_some()
            || client.0.write_all(b"x").is_err_and(|why| {
                matches!(
                    why.kind(),
                    std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset
                )
            })
    });
    assert!(end);
}

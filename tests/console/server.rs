//! Clients of the Unix socket, good and bad.

use std::io::Read as _;
use std::thread;

use super::*;

#[test]
fn a_session_is_a_conversation() {
    let served = Served::start(Patience::default());
    let mut client = Client::connect(&served.socket());
    let first = json!({"say": "prompt", "prompt": "fake> ", "secret": false, "page": null});
    assert_eq!(client.hear(), Some(first));
    client.ask(&json!({"ask": "help", "line": "sh"}));
    assert_eq!(client.hear(), Some(json!({"say": "help", "text": "  shout\n  show\n"})));
    client.ask(&json!({"ask": "complete", "line": "sh"}));
    assert_eq!(client.hear(), Some(json!({"say": "words", "words": ["shout", "show"]})));
    client.ask(&json!({"ask": "line", "line": "enable"}));
    let said = json!({"say": "said", "text": "", "failed": false, "ends": false});
    assert_eq!(client.hear(), Some(said));
    let secret = json!({"say": "prompt", "prompt": "Password: ", "secret": true, "page": null});
    assert_eq!(client.hear(), Some(secret));
    client.ask(&json!({"ask": "help", "line": ""}));
    assert_eq!(client.hear().expect("help")["text"], "", "a password has no help");
    assert_eq!(client.line("guess")["failed"], true);
    assert_eq!(client.line("aside it happened")["failed"], false);
    assert_eq!(client.hear(), Some(json!({"say": "asides", "lines": ["it happened"]})));
    let end = client.line("exit");
    assert_eq!((&end["text"], &end["ends"]), (&json!("Goodbye.\n"), &json!(true)));
    assert_eq!(client.hear(), None);
}

#[test]
fn questions_may_come_in_pieces_and_before_their_time() {
    let served = Served::start(Patience::default());
    let mut client = Client::connect(&served.socket());
    for octet in format!("{}\n", json!({"ask": "line", "line": "echo grün"})).bytes() {
        client.send(&[octet]);
    }
    let many: String = (0..100)
        .map(|n| format!("{}\n", json!({"ask": "line", "line": format!("echo {n}")})))
        .collect();
    client.send(many.as_bytes());
    let texts: Vec<_> = (0..203)
        .filter_map(|_| client.hear().expect("all")["text"].as_str().map(String::from))
        .collect();
    let wanted = std::iter::once("grün\n".into()).chain((0..100).map(|n| format!("{n}\n")));
    assert_eq!(texts, wanted.collect::<Vec<_>>());
    // Who has said all that he will hears all of the answers.
    client.send(format!("{}\n", json!({"ask": "line", "line": "show 20000"})).as_bytes());
    client.stream.get_ref().shutdown(std::net::Shutdown::Write).expect("a socket");
    let said = client.hear().expect("an answer");
    assert!(said["text"].as_str().is_some_and(|text| text.ends_with("line 20000\n")));
    assert_eq!(client.hear().expect("a prompt")["say"], "prompt");
    assert_eq!(client.hear(), None);
}

#[test]
fn what_is_no_question_ends_it_with_a_reason() {
    let served = Served::start(Patience::default());
    for wrong in ["\n", "{}\n", "show version\n", "{\"ask\":\"fly\"}\n", "\u{0}\u{ff}\n"] {
        let mut client = Client::welcome(&served.socket());
        client.send(wrong.as_bytes());
        let closed = client.hear().expect("a reason");
        assert_eq!(closed["say"], "closed", "{wrong:?}: {closed}");
        assert_eq!(client.hear(), None);
    }
    let mut client = Client::welcome(&served.socket());
    for (line, why) in [("a".repeat(2049), "too long"), ("echo a\nexit".into(), "control")] {
        let said = client.line(&line);
        assert_eq!(said["failed"], true);
        assert!(said["text"].as_str().is_some_and(|text| text.contains(why)), "{said}");
    }
    assert_eq!(client.line(&format!("echo {}", "ä".repeat(1000)))["failed"], false);
}

#[test]
fn a_line_without_end_is_an_error_and_not_memory() {
    let served = Served::start(Patience::default());
    let mut client = Client::welcome(&served.socket());
    let flood = vec![b'a'; 1 << 20];
    // The server does not read it all: that the rest cannot be sent is the point.
    let _ = client.stream.get_mut().write_all(&flood);
    assert_eq!(client.hear().expect("a reason")["why"], "a line was too long");
    let mut rest = Vec::new();
    let _ = client.stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
    assert_eq!(Client::welcome(&served.socket()).line("echo on")["text"], "on\n");
}

#[test]
fn an_answer_has_a_bound() {
    let served = Served::start(Patience::default());
    let mut client = Client::welcome(&served.socket());
    let said = client.line("octets 20000000");
    let text = said["text"].as_str().expect("text");
    assert!(text.len() < 2 << 20 && text.ends_with("too much for a console.\n"));
}

/// Fills whatever is between this client and the server with questions, and reads no answer.
fn flood(client: &mut Client) -> u64 {
    let stream = client.stream.get_mut();
    stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let ask = format!("{}\n", json!({"ask": "line", "line": "show 5000"}));
    let mut sent = 0;
    while stream.write_all(ask.as_bytes()).is_ok() {
        sent += 1;
        assert!(sent < 1_000_000, "the server takes all that comes");
    }
    sent
}

#[test]
fn who_does_not_read_is_cut_off_and_harms_nobody() {
    let stall = Duration::from_millis(1500);
    let served = Served::start(Patience { stall, ..Patience::default() });
    let mut good = Client::welcome(&served.socket());
    let mut bad = Client::welcome(&served.socket());
    flood(&mut bad);
    assert_eq!(good.line("echo on")["text"], "on\n");
    // Nothing is read here, or the server would go on.
    let is_cut_off = (0..400).any(|_| {
        let sent = bad.stream.get_mut().write_all(b"x");
        sent.is_err_and(|why| why.kind() == std::io::ErrorKind::BrokenPipe)
    });
    assert!(is_cut_off);
    assert_eq!(good.line("echo still")["text"], "still\n");
}

#[test]
fn who_hangs_in_the_middle_of_a_line_or_goes_without_a_word_harms_nobody() {
    let served = Served::start(Patience::default());
    let mut hanging: Vec<_> = (0..8).map(|_| Client::welcome(&served.socket())).collect();
    for client in &mut hanging {
        client.send(b"{\"ask\":\"li");
    }
    // Many more than there are places, one after the other.
    for number in 0..200 {
        let mut client = Client::connect(&served.socket());
        if number % 2 == 0 {
            client.ask(&json!({"ask": "line", "line": "show 50000"}));
        }
    }
    let mut client = welcome_in_time(&served.socket());
    assert_eq!(client.line("echo on")["text"], "on\n");
    for client in &mut hanging {
        client.send(b"ne\",\"line\":\"echo me, too\"}\n");
        assert_eq!(client.hear().expect("an answer")["text"], "me, too\n");
    }
}

/// One that is served as soon as there is a place.
fn welcome_in_time(socket: &Path) -> Client {
    for _ in 0..200 {
        let mut client = Client::connect(socket);
        if client.hear().is_some_and(|said| said["say"] == "prompt") {
            return client;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("no place comes free");
}

#[test]
fn a_session_that_hangs_or_panics_costs_no_other_its_place() {
    let served = Served::start(Patience::default());
    let mut hanging = Client::welcome(&served.socket());
    hanging.ask(&json!({"ask": "line", "line": "hang"}));
    for _ in 0..40 {
        let mut client = welcome_in_time(&served.socket());
        client.ask(&json!({"ask": "line", "line": "panic"}));
        assert_eq!(client.hear(), None);
    }
    served.released.store(true, Ordering::Release);
    assert_eq!(hanging.hear().expect("an answer")["say"], "said");
}

#[test]
fn a_hundred_at_once_are_served_or_refused() {
    let served = Served::start(Patience::default());
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(&served.socket())).collect();
    let first: Vec<_> = clients.iter_mut().map(|client| client.hear().expect("a word")).collect();
    let (mut welcome, mut refused) = (0, 0);
    for (client, first) in clients.iter_mut().zip(&first) {
        if first["say"] == "prompt" {
            assert_eq!(client.line("echo here")["text"], "here\n");
            welcome += 1;
        } else {
            let why = "All 16 consoles are taken: come again later.";
            assert_eq!(*first, json!({"say": "closed", "why": why}));
            assert_eq!(client.hear(), None);
            refused += 1;
        }
    }
    assert_eq!((welcome, refused), (16, 84));
    drop(clients);
    assert_eq!(welcome_in_time(&served.socket()).line("echo on")["text"], "on\n");
}

#[test]
fn who_is_idle_gives_way_only_when_it_is_needed() {
    let idle = Duration::from_millis(100);
    let served = Served::start(Patience { idle, ..Patience::default() });
    let mut clients: Vec<_> = (0..16).map(|_| Client::welcome(&served.socket())).collect();
    thread::sleep(5 * idle);
    for client in &mut clients {
        assert_eq!(client.line("echo here")["text"], "here\n", "nobody has wanted the place");
    }
    assert_eq!(welcome_in_time(&served.socket()).line("echo me")["text"], "me\n");
}

//! Classes that look into the parts of a message.

use super::super::{Fault, Notice};
use super::{both, ended, in_data, reset};
use crate::policy::{Action, Class, Match, MimeEncoding, MimeEncodings, Regex};

fn dropping(matches: Match) -> Vec<Class> {
    vec![Class::new(matches, Action::DropConnection)]
}

fn ends(map: &[Class], text: &str) -> Option<Fault> {
    let text = format!("{text}\r\n.\r\n");
    both(|| in_data(map.to_vec()), &text).1
}

const MIXED: &str =
    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"b 1\"\r\n\r\npreamble\r\n";

#[test]
fn transfer_encodings() {
    let map = dropping(Match::MimeEncoding(MimeEncodings::of(&[
        MimeEncoding::Base64,
        MimeEncoding::Others,
    ])));
    let field = |value: &str| format!("Content-Transfer-Encoding:{value}\r\n\r\nx");
    for (value, matches) in [
        (" base64", true),
        ("BASE64", true),
        ("\r\n base64", true),
        (" (comment) base64 (more)", true),
        (" (never closed; base64", false),
        (" uuencode", true),
        (" 7bit", false),
        (" quoted-printable", false),
        ("", false),
    ] {
        assert_eq!(ends(&map, &field(value)), matches.then(|| ended(1).unwrap()), "{value:?}");
    }
    assert_eq!(ends(&map, "Subject: Content-Transfer-Encoding: base64"), None);
    assert_eq!(ends(&map, "\r\nContent-Transfer-Encoding: base64\r\n"), None, "in the body");
    assert_eq!(ends(&map, ".Content-Transfer-Encoding: base64\r\n"), ended(1), "a dot goes");
    assert_eq!(ends(&map, "Content-Transfer-Encoding: base64"), ended(1), "no body");
    assert_eq!(ends(&map, "content-transfer-encoding : base64"), ended(1));
}

#[test]
fn parts_are_found_wherever_they_are() {
    let map = dropping(Match::MimeEncoding(MimeEncodings::of(&[MimeEncoding::Base64])));
    let field = "Content-Transfer-Encoding: base64\r\n\r\nQQ==";
    let digest = "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\n";
    let nested =
        "Content-Type: multipart/alternative; boundary=in\r\n\r\n--in\r\n\r\nx\r\n--in--\r\n";
    for (text, matches) in [
        (format!("{MIXED}--b 1\r\n{field}"), true),
        (format!("{MIXED}--b 1 \t\r\n{field}"), true),
        (format!("{MIXED}--b 1more\r\n{field}"), true),
        (format!("{MIXED}.--b 1\r\n{field}"), true),
        (format!("{MIXED}--b 1\r\n\r\n{field}"), false),
        (format!("{MIXED}--b 2\r\n{field}"), false),
        (format!("{MIXED}{field}"), false),
        (format!("{MIXED}--b 1--\r\n{field}"), false),
        (format!("{MIXED}--b 1\r\n{nested}--b 1\r\n{field}"), true),
        (format!("{MIXED}--b 1\r\n{nested}{field}"), false),
        (format!("{MIXED}--b 1\r\nX: y\r\n--b 1\r\n{field}"), true),
        (format!("{MIXED}--b 1\r\nContent-Type: message/rfc822\r\n\r\n{field}"), true),
        (format!("{MIXED}--b 1\r\nContent-Type: text/plain\r\n\r\n{field}"), false),
        (format!("{digest}{field}"), true),
        (
            format!("Content-Type: multipart/x; BOUNDARY*0=a; boundary*1=b\r\n\r\n--ab\r\n{field}"),
            true,
        ),
        (format!("Content-Type: multipart/x; boundary=a b ; x=y\r\n\r\n--a b\r\n{field}"), true),
        (format!("Content-Type: multipart/x; boundary=\"a\\\"b\"\r\n\r\n--a\"b\r\n{field}"), true),
    ] {
        assert_eq!(ends(&map, &text), matches.then(|| ended(1).unwrap()), "{text:?}");
    }
    // Behind more boundaries than are told apart any line may be one.
    let many: String =
        (0..9).map(|n| format!("Content-Type: multipart/x; boundary=b{n}\r\n")).collect();
    assert_eq!(ends(&map, &format!("{many}\r\n--zzz\r\n{field}")), ended(1));
    let long = "z".repeat(100);
    let text = format!("Content-Type: multipart/x; boundary={long}\r\n\r\n--{long}\r\n{field}");
    assert_eq!(ends(&map, &text), ended(1), "one that is too long");
}

#[test]
fn file_names_are_measured() {
    let map = dropping(Match::MimeFilenameLength(8));
    for (field, matches) in [
        ("Content-Disposition: attachment; filename=\"12345678\"", false),
        ("Content-Disposition: attachment; filename=\"123456789\"", true),
        ("Content-Disposition: attachment; filename=\"1234\\56789\"", true),
        ("Content-Disposition: attachment; filename=\"1234\\5678\"", false),
        ("Content-Disposition: attachment; filename=123456789", true),
        ("Content-Disposition: attachment; filename=12 34 5678", true),
        ("Content-Disposition: attachment; FileName = 12345678 ; x=y", false),
        ("Content-Type: a/b; name=\"123\r\n 456789\"", true),
        ("Content-Type: a/b; name*0=\"12345\"; name*1=\"6789\"", true),
        ("Content-Type: a/b; name=\"12345\"; name=\"6789\"", false),
        ("Content-Type: a/b; name*=utf-8''1234", true),
        ("Content-Type: a/b; other=1234567890", false),
        ("Content-Type: a/b; (name=) name=1; x=\";name=123456789\"", false),
        ("X-Type: a/b; name=1234567890", false),
        ("Content-Description: a/b; name=1234567890", false),
    ] {
        let text = format!("{field}\r\n\r\nx");
        assert_eq!(ends(&map, &text), matches.then(|| ended(1).unwrap()), "{text:?}");
    }
    let short = vec![Class::new(Match::MimeFilenameLength(3), Action::Reset).negated()];
    assert_eq!(ends(&short, "Content-Type: a/b; name=abcd\r\n\r\nx"), None);
    assert_eq!(ends(&short, "Content-Type: a/b; name=abc\r\n\r\nx"), reset(1));
    assert_eq!(ends(&short, "Content-Type: a/b\r\n\r\nx"), None, "there is none");
}

#[test]
fn file_types_by_expression() {
    let regex = Regex::new("bad", r"\.exe$|^application/x-").unwrap();
    let map = dropping(Match::MimeFiletype(regex.clone()));
    let not = vec![Class::new(Match::MimeFiletype(regex), Action::Reset).negated()];
    for (field, matches) in [
        ("Content-Type: Application/X-Dosexec", true),
        ("Content-Type: application/pdf; name=a.exe", true),
        ("Content-Disposition: attachment; filename=\"a.exe\"", true),
        ("Content-Disposition: attachment; filename=a.exe ; size=1", true),
        ("Content-Disposition: attachment; filename*0=a.; filename*1=exe", true),
        ("Content-Disposition: attachment; filename=a.exe; filename=b", true),
        ("Content-Disposition: attachment; filename=a.exe.txt", false),
        ("Content-Type: text/plain; name=a.txt", false),
    ] {
        let text = format!("{field}\r\n\r\nx");
        assert_eq!(ends(&map, &text), matches.then(|| ended(1).unwrap()), "{text:?}");
        let is_other_type = field.contains("text/plain") || field.contains("/pdf");
        assert_eq!(ends(&not, &text), is_other_type.then(|| reset(1).unwrap()), "not {text:?}");
    }
}

#[test]
fn small_headers_and_bodies_are_what_not_matches() {
    let not = |matches| vec![Class::new(matches, Action::Reset).negated()];
    for (map, text, fault) in [
        (not(Match::HeaderLength(9)), "a: 12\r\n\r\nbody", reset(1)),
        (not(Match::HeaderLength(8)), "a: 12\r\n\r\nbody", None),
        (not(Match::HeaderLength(99)), "no body", reset(1)),
        (not(Match::BodyLength(9)), "a: b\r\n\r\n1234", reset(1)),
        (not(Match::BodyLength(8)), "a: b\r\n\r\n1234", None),
        (not(Match::BodyLength(0)), "no body", reset(1)),
        (not(Match::HeaderToFieldsCount(1)), "to: a\r\n\r\n", reset(1)),
        (not(Match::HeaderToFieldsCount(1)), "to: a\r\nto: b\r\n\r\n", None),
        (not(Match::HeaderLineLength(4)), "a: bc\r\nb: cd\r\n\r\nx", None),
        (not(Match::HeaderLineLength(4)), "a: bc\r\nb: c\r\n\r\nx", reset(1)),
        (not(Match::BodyLineLength(1)), "x\r\n\r\nab", reset(1)),
        (not(Match::BodyLineLength(0)), "x\r\n\r\nab", None),
    ] {
        assert_eq!(ends(&map, text), fault, "{map:?} {text:?}");
    }
}

/// A message of random parts, and what is in it.
fn message(
    rng: &mut fastrand::Rng,
    depth: usize,
    truth: &mut Vec<(MimeEncoding, usize)>,
) -> String {
    let mut text = String::new();
    let encoding = MimeEncoding::ALL[rng.usize(..MimeEncoding::ALL.len())];
    let name = rng.usize(..12);
    truth.push((encoding, name));
    let fold = |rng: &mut fastrand::Rng| rng.choice(["", " ", "\r\n ", " \r\n\t"]).unwrap();
    let word = if encoding == MimeEncoding::Others { "x-own" } else { encoding.name() };
    text += &format!("Content-Transfer-Encoding:{}{word}\r\n", fold(rng));
    let quote = rng.choice(["\"", ""]).unwrap();
    let value = "n".repeat(name);
    let space = fold(rng);
    text += &format!("Content-Disposition: attachment;{space}filename={quote}{value}{quote}\r\n");
    if depth == 0 || rng.bool() {
        return text + "\r\n" + rng.choice(["", "text\r\n", "--\r\n--x\r\n", "a: b\r\n"]).unwrap();
    }
    let boundary = format!("{}{depth}", rng.alphanumeric());
    text += &format!("Content-Type: multipart/mixed; boundary={quote}{boundary}{quote}\r\n\r\n");
    for _ in 0..rng.usize(1..3) {
        text += &format!("--{boundary}\r\n{}", message(rng, depth - 1, truth));
    }
    text + &format!("--{boundary}--\r\n")
}

#[test]
fn random_messages_are_read_as_they_were_written() {
    for seed in 0..2000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut truth = Vec::new();
        let text = message(&mut rng, 3, &mut truth) + ".\r\n";
        let encoding = MimeEncoding::ALL[rng.usize(..MimeEncoding::ALL.len())];
        let length = rng.usize(..12);
        let map = vec![
            Class::new(Match::MimeEncoding(MimeEncodings::of(&[encoding])), Action::Log),
            Class::new(Match::MimeFilenameLength(length as u32), Action::Log),
            Class::new(Match::MimeFilenameLength(length as u32), Action::Log).negated(),
        ];
        let mut middle = in_data(map);
        let mut rest = &text[..];
        while !rest.is_empty() {
            let len = rng.usize(1..40).min(rest.len());
            middle.client(&rest[..len]);
            rest = &rest[len..];
        }
        let count = |number| {
            let is_it = |notice: &&Notice| **notice == Notice::ClassMatched(number);
            middle.watch.notices.iter().filter(is_it).count()
        };
        let of = |holds: &dyn Fn(&(MimeEncoding, usize)) -> bool| {
            truth.iter().filter(|part| holds(part)).count()
        };
        assert_eq!(count(1), of(&|part| part.0 == encoding), "seed {seed}: {text}");
        assert_eq!(count(2), of(&|part| part.1 > length), "seed {seed}: {text}");
        assert_eq!(count(3), of(&|part| part.1 <= length), "seed {seed}: {text}");
    }
}

#[test]
fn cuts_do_not_matter() {
    const OCTETS: &[&str] = &[
        "Content-Type: ",
        "multipart/x",
        "; boundary=",
        "b",
        "--b",
        "--",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        ".",
        "Content-Disposition: a",
        "; filename=",
        "\"",
        "(",
        ")",
        "\\",
        " ",
        "To:",
        "name*0=",
        "message/rfc822",
    ];
    for seed in 0..3000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let text: String = (0..rng.usize(1..30)).map(|_| *rng.choice(OCTETS).unwrap()).collect();
        if text.starts_with(".\r\n") || text.contains("\r\n.\r\n") {
            continue;
        }
        let any = MimeEncodings::of(&MimeEncoding::ALL);
        let mut action = |matches| {
            let end = if rng.u8(..4) == 0 { Action::Reset } else { Action::Log };
            let class = Class::new(matches, end);
            if rng.u8(..4) == 0 { class.negated() } else { class }
        };
        let map = vec![
            action(Match::MimeEncoding(any)),
            action(Match::MimeFilenameLength(1)),
            action(Match::MimeFiletype(Regex::new("b", "b").unwrap())),
            action(Match::HeaderToFieldsCount(0)),
            action(Match::HeaderLength(40)),
            action(Match::HeaderLineLength(9)),
            action(Match::BodyLength(20)),
            action(Match::BodyLineLength(3)),
        ];
        both(|| in_data(map.clone()), &text);
    }
}

//! The message that `load` sends and `sink` verifies.
//!
//! A message of 1 GiB is never held in memory: the body is one random block, repeated, and a
//! tail. The checksum of the whole is known before the first octet is sent because CRC-32s of
//! parts can be combined.

use std::io::Write as _;

use crc32fast::Hasher;

/// The header line by which the receiver verifies the body: `bytes=N crc32=HHHHHHHH`, counted
/// after the transparency dots are removed and beginning behind the empty line.
pub(crate) const CHECK_HEADER: &str = "X-Mailguard-Load";

/// Octets of the repeated block, before dot-stuffing.
const BLOCK: u64 = 65_536;

/// Octets of the line that makes each body differ: `serial=`, 16 digits, CRLF.
const SERIAL_LINE: u64 = 25;

/// Lines that a careless inspector would take for the end of data, or for commands.
const PITFALLS: [&[u8]; 9] = [
    b".",
    b"..",
    b".QUIT",
    b"QUIT",
    b"EXPN staff",
    b". ",
    b"RSET",
    b"MAIL FROM:<nobody@example.org>",
    b"250 OK",
];

/// A body shared by all messages of a run, in its wire form (dot-stuffed, RFC 5321 4.5.2).
#[derive(Debug)]
pub(crate) struct Body {
    /// Octets of the body, before dot-stuffing.
    pub(super) size: u64,
    /// The block, sent `repeats` times.
    pub(super) block: Vec<u8>,
    /// How often the block is sent.
    pub(super) repeats: u64,
    /// What follows the last block, with the line that ends the mail data.
    pub(super) tail: Vec<u8>,
    /// The checksum of all that follows the serial line.
    rest: Hasher,
    /// Whether the body is large enough to begin with a serial line.
    serial_line: bool,
    /// The header lines that do not differ.
    headers: Vec<u8>,
}

impl Body {
    /// Makes a body of `size` octets in lines of `line` octets (CRLF not counted).
    pub(super) fn new(size: u64, line: usize, seed: u64, from: &str, to: &str) -> Self {
        let serial_line = size == SERIAL_LINE || size >= SERIAL_LINE + 2;
        let rest_size = if serial_line { size - SERIAL_LINE } else { size };
        let mut repeats = rest_size / BLOCK;
        let mut tail_size = rest_size % BLOCK;
        // One octet cannot be a line: it takes its CRLF from the last block.
        if tail_size == 1 && repeats > 0 {
            repeats -= 1;
            tail_size += BLOCK;
        }
        let mut random = fastrand::Rng::with_seed(seed);
        let block = if repeats > 0 { lines(&mut random, line, BLOCK) } else { Vec::new() };
        let tail = lines(&mut random, line, tail_size);

        let mut rest = repeated(&checksum(&block), repeats);
        rest.combine(&checksum(&tail));
        let mut tail = stuffed(&tail);
        tail.extend_from_slice(b".\r\n");
        let headers = format!("From: <{from}>\r\nTo: <{to}>\r\nSubject: mailguard load\r\n");
        Self {
            size,
            block: stuffed(&block),
            repeats,
            tail,
            rest,
            serial_line,
            headers: headers.into_bytes(),
        }
    }

    /// Appends the headers of message `serial` and what precedes the first block.
    pub(super) fn head(&self, serial: u64, out: &mut Vec<u8>) {
        let serial_line = if self.serial_line {
            format!("serial={serial:016x}\r\n").into_bytes()
        } else {
            Vec::new()
        };
        let mut sum = checksum(&serial_line);
        sum.combine(&self.rest);
        out.extend_from_slice(&self.headers);
        // Writing to a Vec cannot fail.
        let _ =
            write!(out, "{CHECK_HEADER}: bytes={} crc32={:08x}\r\n\r\n", self.size, sum.finalize());
        out.extend_from_slice(&serial_line);
    }
}

/// Exactly `total` octets of random text in lines that end in CRLF; 1 gives none.
fn lines(random: &mut fastrand::Rng, line: usize, total: u64) -> Vec<u8> {
    let mut left = usize::try_from(total).unwrap_or(0);
    let mut text = Vec::with_capacity(left);
    let mut pitfalls = PITFALLS.iter();
    while left >= 2 {
        let pitfall = pitfalls.next();
        let wanted = pitfall.map_or(line, |text| text.len().min(line)) + 2;
        let mut length = wanted.min(left);
        // What is left behind this line must be nothing or have room for a CRLF.
        if left - length == 1 {
            length = if length > 2 { length - 1 } else { length + 1 };
        }
        match pitfall {
            Some(pitfall) => {
                text.extend(pitfall.iter().chain([b'.'; 2].iter()).take(length - 2));
            }
            None => {
                let from = text.len();
                text.extend((0..length - 2).map(|_| random.u8(b' '..=b'~')));
                if length > 2 && random.u8(..) < 32 {
                    text[from] = b'.';
                }
            }
        }
        text.extend_from_slice(b"\r\n");
        left -= length;
    }
    text
}

/// The wire form: a line that begins with a dot gets another (RFC 5321 4.5.2).
fn stuffed(text: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(text.len() + text.len() / 64);
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        if line.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire
}

fn checksum(octets: &[u8]) -> Hasher {
    let mut sum = Hasher::new();
    sum.update(octets);
    sum
}

/// The checksum of a part repeated, by squaring.
fn repeated(part: &Hasher, mut times: u64) -> Hasher {
    let mut whole = Hasher::new();
    let mut power = part.clone();
    while times > 0 {
        if times & 1 == 1 {
            whole.combine(&power);
        }
        times >>= 1;
        if times > 0 {
            let half = power.clone();
            power.combine(&half);
        }
    }
    whole
}

/// Reads the value of the check header: octets and CRC-32.
pub(crate) fn parse_check(value: &str) -> Option<(u64, u32)> {
    let mut words = value.split_ascii_whitespace();
    let octets = words.next()?.strip_prefix("bytes=")?.parse().ok()?;
    let sum = u32::from_str_radix(words.next()?.strip_prefix("crc32=")?, 16).ok()?;
    words.next().is_none().then_some((octets, sum))
}

#[cfg(test)]
mod tests {
    use super::{Body, parse_check};

    /// What a receiver has behind the empty line, dots removed, and the two header values.
    fn received(body: &Body, serial: u64) -> (Vec<u8>, u64, u32) {
        let mut wire = Vec::new();
        body.head(serial, &mut wire);
        for _ in 0..body.repeats {
            wire.extend_from_slice(&body.block);
        }
        wire.extend_from_slice(&body.tail);
        let text = String::from_utf8(wire).unwrap();
        let (head, rest) = text.split_once("\r\n\r\n").unwrap();
        let check = head.lines().find_map(|line| line.strip_prefix("X-Mailguard-Load: ")).unwrap();
        let (octets, sum) = parse_check(check).unwrap();
        let mut plain = Vec::new();
        let mut ended = false;
        for line in rest.split_inclusive("\r\n") {
            assert!(!ended, "the data ends before its end");
            if line == ".\r\n" {
                ended = true;
            } else {
                plain.extend_from_slice(line.strip_prefix('.').unwrap_or(line).as_bytes());
            }
        }
        assert!(ended);
        (plain, octets, sum)
    }

    #[test]
    fn every_size_is_exact_and_its_checksum_true() {
        let sizes = (0..400).chain([65_536, 65_560, 65_561, 65_562, 65_563, 200_000, 1 << 20]);
        for size in sizes.filter(|&size| size != 1) {
            for line in [1, 2, 76, 998] {
                let body = Body::new(size, line, 7, "a@example.org", "b@example.org");
                let (plain, octets, sum) = received(&body, size);
                assert_eq!(plain.len() as u64, size, "lines of {line}");
                assert_eq!(octets, size);
                assert_eq!(sum, crc32fast::hash(&plain), "size {size}, lines of {line}");
                assert!(plain.is_empty() || plain.ends_with(b"\r\n"));
            }
        }
    }

    #[test]
    fn bodies_follow_the_seed_and_differ_by_serial() {
        let body = |seed| Body::new(5000, 76, seed, "a@example.org", "b@example.org");
        assert_eq!(received(&body(1), 3), received(&body(1), 3));
        assert_ne!(received(&body(1), 3).0, received(&body(2), 3).0);
        assert_ne!(received(&body(1), 3).2, received(&body(1), 4).2);
    }

    #[test]
    fn lines_begin_with_dots() {
        let body = Body::new(5000, 76, 1, "a@example.org", "b@example.org");
        let (plain, ..) = received(&body, 0);
        let dots =
            plain.split(|&octet| octet == b'\n').filter(|line| line.starts_with(b".")).count();
        assert!(dots > 4, "{dots}");
    }

    #[test]
    fn a_check_of_another_form_is_none() {
        assert_eq!(parse_check("bytes=12 crc32=0000abcd"), Some((12, 0xabcd)));
        for value in ["", "bytes=12", "bytes=x crc32=1", "bytes=1 crc32=g", "bytes=1 crc32=1 more"]
        {
            assert_eq!(parse_check(value), None, "{value}");
        }
    }
}

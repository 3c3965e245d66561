//! Lines of a body are counted by the thousand where they are plain: it must not be seen.

use super::*;

/// What lines are made of. Two in a row may be one line.
const PIECES: &[&str] = &[
    "\r\n",
    "a\r\n",
    "abcdefgh\r\n",
    "abc-\n--d\r\n",
    "--b\r\n",
    ".--b\r\n",
    "..\r\n",
    "\r--b\r\n",
    ".\r--b\r\n",
    "-",
    "--b\r\nContent-Disposition: attachment; filename=abcd\r\n\r\n",
    "--b--\r\n",
    "abc",
    "\r",
    "\n",
];

fn messages(each: impl Fn(&str)) {
    let header = "Content-Type: multipart/mixed; boundary=b\r\n\r\nx\r\n";
    for first in PIECES {
        for second in PIECES {
            for third in PIECES {
                each(&format!("{header}{first}{second}{third}y\r\n.\r\n"));
            }
        }
    }
}

fn under_a_map(class: &Class) {
    messages(|text| drop(both(|| in_data(vec![class.clone()]), text)));
}

#[test]
fn long_lines() {
    under_a_map(&Class::new(Match::BodyLineLength(4), Action::Reset));
    under_a_map(&Class::new(Match::BodyLineLength(0), Action::Log));
}

#[test]
fn short_lines() {
    under_a_map(&Class::new(Match::BodyLineLength(4), Action::Log).negated());
}

#[test]
fn long_bodies() {
    for most in [0, 5, 12] {
        under_a_map(&Class::new(Match::BodyLength(most), Action::Reset));
    }
}

#[test]
fn short_bodies() {
    under_a_map(&Class::new(Match::BodyLength(12), Action::Log).negated());
}

#[test]
fn long_file_names() {
    under_a_map(&Class::new(Match::MimeFilenameLength(3), Action::Reset));
}

#[test]
fn a_line_as_long_as_what_is_looked_at_together() {
    for most in [5000, 998] {
        for len in [997, 998, 999, 4094, 4095, 4096, 4097, 4998, 4999, 5000, 5001, 9000] {
            let class = || vec![Class::new(Match::BodyLineLength(most), Action::Reset)];
            let text = format!("\r\nab\r\n{}\r\ncd\r\n.\r\n", "x".repeat(len));
            let (got, fault, _) = both(|| in_data(class()), &text);
            let is_long = len > most as usize;
            assert_eq!(fault, is_long.then(|| reset(1)).flatten(), "{len} of {most}");
            let passed = if is_long { 6 + most as usize } else { text.len() };
            assert_eq!(got.len(), passed, "{len} of {most}");
        }
    }
}

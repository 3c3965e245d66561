//! What a line may be, and how text reaches a terminal.

use std::collections::VecDeque;

use crate::limits::{CONSOLE_LINE_OCTETS_MAX, CONSOLE_TEXT_OCTETS_MAX};

/// What is shown when there is more text than the page has lines, as the PIX has it.
pub(super) const MORE: &str = "<--- More --->";

/// What is wrong with a line that was typed, if no session should see it.
pub(super) fn complaint(line: &str) -> Option<&'static str> {
    if line.len() > CONSOLE_LINE_OCTETS_MAX {
        return Some("The line is too long.");
    }
    line.chars().any(char::is_control).then_some("The line has a control character in it.")
}

/// Text without what would command a terminal: it may quote what a stranger has sent.
pub(super) fn printable(text: &str) -> String {
    let harmless = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { '?' } else { c };
    text.chars().map(harmless).collect()
}

/// The same of an answer, which ends with its last line, and is cut when it is too long.
pub(super) fn bounded_text(mut text: String) -> String {
    if text.len() > CONSOLE_TEXT_OCTETS_MAX {
        text.truncate(text.floor_char_boundary(CONSOLE_TEXT_OCTETS_MAX));
        text.push_str("\n% There is more, but that is too much for a console.");
    }
    let mut text = printable(&text);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Text that is shown page by page.
#[derive(Debug, Default)]
pub(super) struct Pager {
    rest: VecDeque<String>,
}

impl Pager {
    /// `text`, as lines.
    pub(super) fn new(text: &str) -> Self {
        Self { rest: text.lines().map(Into::into).collect() }
    }

    /// The lines that fit in `rows` of a terminal of so many columns, and at least one.
    pub(super) fn take(&mut self, rows: usize, columns: usize) -> String {
        let mut page = String::new();
        let mut left = rows;
        while let Some(line) = self.rest.front() {
            let needed = line.chars().count().div_ceil(columns.max(1)).max(1);
            if needed > left && !page.is_empty() {
                break;
            }
            page.push_str(line);
            page.push('\n');
            left = left.saturating_sub(needed);
            self.rest.pop_front();
        }
        page
    }

    /// All that is left.
    pub(super) fn take_all(&mut self) -> String {
        self.take(usize::MAX, usize::MAX)
    }

    /// Nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// What all of `words` begin with.
pub(super) fn common_prefix(words: &[String]) -> &str {
    let Some((first, others)) = words.split_first() else { return "" };
    let mut len = first.len();
    for other in others {
        let same = first.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        len = len.min(same);
    }
    &first[..first.floor_char_boundary(len)]
}

/// Where the last word of a line begins.
pub(super) fn last_word(line: &str) -> usize {
    line.rfind([' ', '\t']).map_or(0, |blank| blank + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_commands_the_terminal() {
        assert_eq!(printable("a\x1b[2J\r\x08\u{9b}b\tc\nä"), "a?[2J???b\tc\nä");
    }

    #[test]
    fn an_answer_ends_with_its_line_and_has_a_bound() {
        assert_eq!(bounded_text(String::new()), "");
        assert_eq!(bounded_text("a".into()), "a\n");
        assert_eq!(bounded_text("a\n".into()), "a\n");
        let long = bounded_text("ä".repeat(CONSOLE_TEXT_OCTETS_MAX));
        assert!(long.len() < CONSOLE_TEXT_OCTETS_MAX + 100);
        assert!(long.ends_with("\n% There is more, but that is too much for a console.\n"));
    }

    #[test]
    fn a_page_is_what_fits() {
        let mut pager = Pager::new("1\n2\n\n4444\n5\n666666666666\n7\n");
        assert_eq!(pager.take(2, 4), "1\n2\n");
        assert_eq!(pager.take(2, 4), "\n4444\n");
        assert_eq!(pager.take(3, 4), "5\n");
        assert_eq!(pager.take(2, 4), "666666666666\n", "at least one, or it would never end");
        assert!(!pager.is_empty());
        assert_eq!(pager.take_all(), "7\n");
        assert!(pager.is_empty());
        assert_eq!(pager.take(3, 0), "");
    }

    #[test]
    fn words_share_a_beginning() {
        let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        assert_eq!(common_prefix(&words("show shun")), "sh");
        assert_eq!(common_prefix(&words("show")), "show");
        assert_eq!(common_prefix(&words("aä aö")), "a");
        assert_eq!(common_prefix(&[]), "");
        assert_eq!((last_word("show ru"), last_word("show "), last_word("sh")), (5, 5, 0));
    }

    #[test]
    fn no_session_sees_a_line_that_is_none() {
        assert_eq!(complaint("show version"), None);
        assert_eq!(complaint(&"a".repeat(CONSOLE_LINE_OCTETS_MAX)), None);
        assert!(complaint(&"a".repeat(CONSOLE_LINE_OCTETS_MAX + 1)).is_some());
        assert!(complaint("a\nb").is_some() && complaint("a\0").is_some());
    }
}

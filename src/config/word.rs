//! A line as words, each with its column.

/// One word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'a> {
    /// Its text, without the quotes.
    pub text: &'a str,
    /// The octet of the line at which it begins, from 0.
    pub column: usize,
}

/// The words of a line. What stands in double quotes is one.
pub(super) fn words(line: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        let column = line.len() - rest.len();
        let Some(first) = rest.chars().next() else { return words };
        let (text, end) = match rest.strip_prefix('"') {
            Some(quoted) => match quoted.find('"') {
                Some(end) => (quoted.get(..end), end + 2),
                None => (Some(quoted), rest.len()),
            },
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest.get(..end), end)
            }
        };
        debug_assert!(end >= first.len_utf8());
        words.push(Word { text: text.unwrap_or_default(), column });
        rest = rest.get(end..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<(&str, usize)> {
        words(line).into_iter().map(|word| (word.text, word.column)).collect()
    }

    #[test]
    fn words_know_where_they_stand() {
        assert_eq!(texts(" no  fixup\tsmtp "), [("no", 1), ("fixup", 5), ("smtp", 11)]);
        assert_eq!(texts("regex a \"b c\" d"), [("regex", 0), ("a", 6), ("b c", 8), ("d", 14)]);
        assert_eq!(texts("a \"b c"), [("a", 0), ("b c", 2)]);
        assert_eq!(texts("a\"b \"\"x"), [("a\"b", 0), ("", 4), ("x", 6)]);
        assert_eq!(texts("  "), []);
        assert_eq!(texts("\u{a0}\u{e9} \u{2003}x"), [("\u{e9}", 2), ("x", 8)]);
    }
}

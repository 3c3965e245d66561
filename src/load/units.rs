//! Octet counts as people write them: `512`, `64K`, `10M`, `1G`.

/// The most octets one message may have; also what keeps every sum below within 64 bits.
pub(crate) const OCTETS_MAX: u64 = 1 << 40;

/// Reads an octet count with an optional suffix K, M or G (powers of 1024).
pub(crate) fn octets(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1u64),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|&octets| octets <= OCTETS_MAX)
        .ok_or_else(|| "give octets as a number with K, M or G behind it, at most 1024G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::octets;

    #[test]
    fn suffixes_are_powers_of_1024() {
        assert_eq!(octets("0"), Ok(0));
        assert_eq!(octets("1500"), Ok(1500));
        assert_eq!(octets("64k"), Ok(65_536));
        assert_eq!(octets("10M"), Ok(10_485_760));
        assert_eq!(octets("1G"), Ok(1_073_741_824));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "K", "-1", "1T", "1.5M", "1025G", "99999999999999999999G"] {
            assert!(octets(text).is_err(), "{text}");
        }
    }
}

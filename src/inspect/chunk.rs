//! The size of a chunk (BDAT).

fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// What the argument of BDAT says so far (RFC 3030 section 2).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChunkSize {
    #[default]
    Before,
    Digits(u64),
    /// Behind the digits; so many letters of LAST.
    Behind(u64, u8),
    Bad,
}

impl ChunkSize {
    /// One octet more.
    pub(super) fn and(self, octet: u8) -> Self {
        const LAST: &[u8; 4] = b"LAST";
        match (self, octet) {
            (Self::Before, octet) if is_blank(octet) => self,
            (Self::Before, b'0'..=b'9') => Self::Digits(u64::from(octet - b'0')),
            (Self::Digits(size), b'0'..=b'9') => {
                let more =
                    size.checked_mul(10).and_then(|size| size.checked_add(u64::from(octet - b'0')));
                more.map_or(Self::Bad, Self::Digits)
            }
            (Self::Digits(size), octet) if is_blank(octet) => Self::Behind(size, 0),
            (Self::Behind(_, 0 | 4), octet) if is_blank(octet) => self,
            (Self::Behind(size, at), octet)
                if LAST.get(usize::from(at)) == Some(&octet.to_ascii_uppercase()) =>
            {
                Self::Behind(size, at + 1)
            }
            _ => Self::Bad,
        }
    }

    /// How many octets follow, if that is certain.
    pub(super) fn octets(self) -> Option<u64> {
        match self {
            Self::Digits(size) | Self::Behind(size, 0 | 4) => Some(size),
            Self::Before | Self::Behind(..) | Self::Bad => None,
        }
    }
}

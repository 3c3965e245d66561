//! Passwords as a configuration keeps them.

/// What stands in the place of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// A hash of mailguard's.
    Hash(String),
    /// A hash of the device's, and the word behind it. It is kept, and opens nothing: that of the PIX and of the ASA up to
    /// 9.6 is MD5 without salt, four times six bits of each quarter, and who knows it soon knows the password. That of
    /// later ones (PBKDF2) is as good as the password, but the device's.
    Device(String, &'static str),
}

/// MD5 of sixteen zeros, as the device writes it: what every configuration has that was never given a password.
const NONE: &str = "8Ry2YjIyt7RRXU24";

impl Secret {
    /// The words `HASH encrypted` or `HASH pbkdf2`, if they are a hash.
    pub(super) fn read(hash: &str, is_pbkdf2: bool) -> Option<Self> {
        let is_digit = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'/');
        let is_md5 = hash.len() == NONE.len() && hash.bytes().all(is_digit);
        // `show running-config` shows none.
        let is_hidden = !hash.is_empty() && hash.bytes().all(|octet| octet == b'*');
        match (is_pbkdf2, hash.starts_with('$')) {
            (true, true) => Some(Self::Device(hash.into(), "pbkdf2")),
            (false, true) => Some(Self::Hash(hash.into())),
            (false, false) if is_md5 || is_hidden => Some(Self::Device(hash.into(), "encrypted")),
            (true | false, false) => None,
        }
    }

    /// The words.
    pub(super) fn text(&self, hides: bool) -> String {
        let (hash, kind) = match self {
            Self::Hash(hash) => (hash, "encrypted"),
            Self::Device(hash, kind) => (hash, *kind),
        };
        format!("{} {kind}", if hides { "*****" } else { hash })
    }

    /// Whether it says that there is no password.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Device(hash, _) if hash == NONE)
    }

    /// Whether nobody can say which password it is of.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Device(..)) && !self.is_none()
    }
}

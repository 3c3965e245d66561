//! Passwords are kept as what cannot be turned back into them: Argon2id, in PHC string form.

use std::sync::{Mutex, PoisonError};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};

/// One takes 19 MiB: as many as ask at a time wait for each other, so that a crowd of guesses costs the
/// memory of one.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What is written down in the place of a password: `$argon2id$v=19$m=...`, with a salt of its own.
///
/// # Errors
///
/// The kernel has no random octets to give.
pub fn hash_password(password: &str) -> Result<String, String> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|why| format!("cannot hash a password: {why}"))
}

/// Whether `password` is the one that `hash` was made of. What is no hash was made of none.
///
/// It takes tens of milliseconds, and as long for a wrong password.
#[must_use]
pub fn verify_password(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    if !is_affordable(&hash) {
        return false;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
}

/// Whether `hash` is one that [`verify_password`] would ever accept: for a configuration that is read.
#[must_use]
pub fn is_password_hash(hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| hash.hash.is_some() && is_affordable(&hash))
}

/// A hash says itself how much memory and time it takes: one from elsewhere must not take all there is.
fn is_affordable(hash: &PasswordHash) -> bool {
    let at_most = |name: &str, most: u32| {
        hash.params.get_decimal(name).is_none_or(|asked| (1..=most).contains(&asked))
    };
    hash.algorithm.as_str().starts_with("argon2")
        && at_most("m", 64 << 10)
        && at_most("t", 16)
        && at_most("p", 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_and_no_other() {
        let hash = hash_password("cisco").expect("a hash");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(!hash.contains("cisco"));
        assert!(is_password_hash(&hash));
        assert!(verify_password("cisco", &hash));
        for wrong in ["", "Cisco", "cisco ", "cisco\0"] {
            assert!(!verify_password(wrong, &hash), "{wrong:?}");
        }
        assert_ne!(hash, hash_password("cisco").expect("a hash"), "each has its own salt");
    }

    #[test]
    fn what_is_no_hash_or_takes_too_much_fits_no_password() {
        let hash = hash_password("cisco").expect("a hash");
        let greedy = hash.replace("m=19456", "m=4194304");
        let slow = hash.replace("t=2", "t=4294967295");
        let other = "$scrypt$ln=16,r=8,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";
        for hash in
            ["", "cisco", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1", &greedy, &slow, other]
        {
            assert!(!is_password_hash(hash), "{hash}");
            assert!(!verify_password("cisco", hash), "{hash}");
        }
    }
}

//! What a flow has seldom.

use core::ops::{Deref, DerefMut};

/// What a [`Seldom`] is while it has nothing.
pub trait Blank: Default + 'static {
    /// The same as the default.
    const BLANK: &'static Self;
}

/// A value that most flows never have: it takes a word until it is first written to, and reads as its
/// default till then. Of a million flows each octet is a megabyte.
#[derive(Debug, Default, Clone)]
pub struct Seldom<T>(Option<Box<T>>);

impl<T> Seldom<T> {
    /// Whether it was never written to, or has been cleared since.
    pub fn is_blank(&self) -> bool {
        self.0.is_none()
    }

    /// Becomes its default again, and takes no memory.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// Octets that it takes beyond a word.
    pub fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, |_| size_of::<T>())
    }
}

impl<T: Blank> Deref for Seldom<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::BLANK)
    }
}

impl<T: Blank> DerefMut for Seldom<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Word(Vec<u8>);

    impl Blank for Word {
        const BLANK: &'static Self = &Self(Vec::new());
    }

    #[test]
    fn it_takes_room_from_the_first_write_until_it_is_cleared() {
        let mut seldom = Seldom::<Word>::default();
        assert_eq!((&*seldom, seldom.is_blank(), seldom.memory()), (Word::BLANK, true, 0));
        DerefMut::deref_mut(&mut seldom).0.push(1);
        assert_eq!((&*seldom, seldom.memory()), (&Word(vec![1]), size_of::<Word>()));
        seldom.clear();
        assert!(seldom.is_blank() && *seldom == *Word::BLANK);
    }
}

//! Words that many owners have in common.

use std::sync::Arc;

/// Those of the owner before, of each kind.
#[derive(Debug, Default)]
pub struct Words {
    pub type_name: Last,
    pub package: Last,
}

/// A word that is likely to come again.
#[derive(Debug, Default)]
pub struct Last(Option<Arc<str>>);

impl Last {
    /// The word, without a copy of its own if it is the same as before.
    pub fn share(&mut self, word: &str) -> Arc<str> {
        match &self.0 {
            Some(last) if **last == *word => last.clone(),
            _ => self.0.insert(word.into()).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_copied_once_in_a_row() {
        let mut last = Last::default();
        let (first, second) = (last.share("a"), last.share("a"));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(&*last.share("b"), "b");
    }
}

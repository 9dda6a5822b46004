//! Splitting a text in any language into words.

use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;

// The `url` crate already depends on these Unicode tables; those of another crate would make the Worker larger.
const NFKD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizerBorrowed::new_nfkd();

/// The maximum length of a searchable word, in bytes: ids and keys fit, and no language has longer words.
const MAX_WORD_BYTES: usize = 64;

/// Appends at most `at_most` words of a text, each preceded by a space; returns how many.
///
/// A word is a run of letters and digits of any script, in lower case, without the diacritics of Latin, Greek,
/// Cyrillic, Hebrew and Arabic. In scripts that are written without spaces, each character is a word, and phrases are
/// adjacent characters.
pub(super) fn push_words(text: &str, at_most: usize, words: &mut String) -> usize {
    let mut splitter = Splitter { words, start: None, count: 0 };
    let whole = if text.is_ascii() {
        text.bytes().all(|byte| splitter.take(char::from(byte.to_ascii_lowercase()), at_most))
    } else {
        NFKD.normalize_iter(text.chars())
            .flat_map(char::to_lowercase)
            .filter(|letter| !is_mark_on_a_letter(*letter))
            .all(|letter| splitter.take(letter, at_most))
    };
    if whole {
        splitter.end_word();
    }
    splitter.count
}

/// The words of a text in order.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = String::new();
    push_words(text, usize::MAX, &mut words);
    words.split_ascii_whitespace().map(str::to_owned).collect()
}

struct Splitter<'a> {
    words: &'a mut String,
    /// Where the current word begins, including its space.
    start: Option<usize>,
    count: usize,
}

impl Splitter<'_> {
    /// Processes the next character of the text; returns whether to continue.
    fn take(&mut self, letter: char, at_most: usize) -> bool {
        let is_sign = is_written_without_spaces(letter);
        let belongs = letter.is_alphanumeric() || !letter.is_ascii() && is_combining_mark(letter);
        if is_sign || !belongs {
            self.end_word();
        }
        if belongs || is_sign {
            if self.count >= at_most {
                return false;
            }
            if self.start.is_none() {
                self.start = Some(self.words.len());
                self.words.push(' ');
            }
            // The two lower-case forms of sigma are one letter.
            self.words.push(if letter == 'ς' { 'σ' } else { letter });
        }
        if is_sign {
            self.end_word();
        }
        true
    }

    fn end_word(&mut self) {
        let Some(start) = self.start.take() else { return };
        if self.words.len().saturating_sub(start) > MAX_WORD_BYTES.saturating_add(1) {
            self.words.truncate(start);
        } else {
            self.count = self.count.saturating_add(1);
        }
    }
}

const fn is_mark_on_a_letter(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}')
}

fn is_combining_mark(letter: char) -> bool {
    matches!(
        CodePointMapData::<GeneralCategory>::new().get(letter),
        GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark | GeneralCategory::EnclosingMark
    )
}

/// Han, kana, Thai, Lao, Burmese, Khmer.
const fn is_written_without_spaces(letter: char) -> bool {
    matches!(
        letter,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3005}'..='\u{3007}'
            | '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{push_words, words};

    #[test]
    fn cuts_texts_of_many_languages_into_words() {
        for (text, expected) in [
            ("Best nostr apps!", "best nostr apps"),
            ("e-mail: a@b.example", "e mail a b example"),
            ("Crème Brûlée ÉTÉ naïve", "creme brulee ete naive"),
            ("Łódź Straße ﬁne ＡＢＣ", "łodz straße fine abc"),
            ("Ελληνικός ΌΣΟΣ", "ελληνικοσ οσοσ"),
            ("Ёлка 2026г", "елка 2026г"),
            ("東京タワーへ go", "東 京 タ ワ ー へ go"),
            ("한국어", "한국어"),
            ("हिन्दी भाषा", "हिन्दी भाषा"),
            ("🦀 _x_ 'y'\u{0}z", "x y z"),
            ("", ""),
        ] {
            let normal: Vec<String> =
                expected.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
            let cut = words(text);
            assert_eq!(cut.len(), normal.len(), "{text}: {cut:?}");
            // The expectation is written composed.
            assert_eq!(cut, words(expected), "{text}");
        }
        assert_eq!(words("ÉTÉ"), ["ete"]);
    }

    #[test]
    fn what_is_too_long_for_a_word_is_left_out_and_an_id_is_not() {
        let (id, long) = ("ab".repeat(32), "ab".repeat(33));
        assert_eq!(words(&format!("x {long} {id} y")), ["x", id.as_str(), "y"]);
    }

    #[test]
    fn ends_after_so_many_words() {
        let mut text = String::new();
        assert_eq!((push_words("one two three", 2, &mut text), text.as_str()), (2, " one two"));
    }

    proptest! {
        #[test]
        fn a_text_of_words_is_cut_into_the_same_words(text in "\\PC{0,60}") {
            let cut = words(&text);
            prop_assert_eq!(&words(&cut.join(" ")), &cut);
            // Words are inserted into the index unquoted, so they must not be syntax there.
            prop_assert!(cut.iter().all(|word| !word.is_empty() && word.chars().all(|c| !c.is_ascii_punctuation() && !c.is_whitespace() && c != '\0')));
        }
    }
}

//! Works on texts without any model: summarises them by their own words, and writes them in Latin letters.

use std::cmp::Reverse;
use std::collections::HashMap;

use openagents_sdk::prelude::*;

/// Summarises texts, and writes Russian and Greek in Latin letters.
#[agent(name = "text")]
#[derive(Default, Serialize, Deserialize)]
pub struct TextAgent;

#[jobs]
impl TextAgent {
    /// Summarise a text: those of its sentences, `length` at most, whose words are the most frequent.
    #[job(kind = 5001)]
    async fn summarise(&self, text: Text, params: Params) -> JobResult<String> {
        Ok(summary(&text, params.parse("length")?.unwrap_or(3)))
    }

    /// Write a text in Latin letters, in the language and script that `language` says: `ru-Latn` or `el-Latn`.
    #[job(kind = 5002)]
    async fn transliterate(&self, text: Text, params: Params) -> JobResult<String> {
        match params.first("language") {
            Some("ru-Latn") => Ok(in_latin(&text, RUSSIAN)),
            Some("el-Latn") => Ok(in_latin(&text, GREEK)),
            _ => Err(JobError::failed("the parameter `language` must be `ru-Latn` or `el-Latn`")),
        }
    }
}

fn summary(text: &str, length: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let plain = |word: &str| word.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let long = words.iter().map(|word| plain(word)).filter(|word| word.chars().count() > 3);
    long.for_each(|word| *counts.entry(word).or_default() += 1);
    let score =
        |sentence: &[&str]| sentence.iter().filter_map(|word| counts.get(&plain(word))).sum::<usize>();
    let mut best: Vec<_> =
        words.split_inclusive(|word| word.ends_with(['.', '!', '?'])).enumerate().collect();
    best.sort_by_cached_key(|(_, sentence)| Reverse(100 * score(sentence) / sentence.len()));
    best.truncate(length);
    best.sort(); // back into the order of the text
    best.into_iter().flat_map(|(_, sentence)| sentence).copied().collect::<Vec<_>>().join(" ")
}

fn in_latin(text: &str, (letters, latin): (&str, &str)) -> String {
    let table: HashMap<char, &str> = letters.chars().zip(latin.split(' ')).collect();
    let write = |letter: char| match table.get(&letter.to_lowercase().next().unwrap_or(letter)) {
        Some(latin) if letter.is_uppercase() => latin[..1].to_uppercase() + &latin[1..],
        latin => latin.map_or(letter.to_string(), |latin| (*latin).to_owned()),
    };
    text.chars().map(write).collect()
}

const RUSSIAN: (&str, &str) = (
    "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
    "a b v g d e yo zh z i y k l m n o p r s t u f kh ts ch sh shch \" y ' e yu ya",
);
const GREEK: (&str, &str) = (
    "αάβγδεέζηήθιίκλμνξοόπρσςτυύφχψωώ",
    "a a v g d e e z i i th i i k l m n x o o p r s s t y y f ch ps o o",
);

openagents_sdk::deployment!(TextAgent);

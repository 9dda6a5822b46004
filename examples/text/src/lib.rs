//! An agent that summarises and transliterates texts without a language model.

use std::{cmp::Reverse, collections::HashMap};

use openagents_sdk::prelude::*;

/// Summarises texts, and transliterates Russian and Greek into Latin letters.
#[agent(name = "text")]
#[derive(Default, Serialize, Deserialize)]
pub struct TextAgent;

#[derive(JobParams)]
struct Summary {
    /// The number of sentences.
    #[param(default = 3, min = 1, max = 100)]
    length: usize,
}

#[derive(JobParams)]
struct Transliteration {
    /// The language of the text and the script of the output.
    #[param(choices("ru-Latn", "el-Latn"))]
    language: String,
}

#[jobs]
impl TextAgent {
    /// Summarise a text: the sentences with its most frequent words.
    #[job(kind = 5001)]
    async fn summarise(&self, text: Text, params: Params<Summary>) -> JobResult<String> {
        let plain = |word: &&str| word.trim_matches(|sign: char| !sign.is_alphanumeric()).to_lowercase();
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut counts: HashMap<String, usize> = HashMap::new();
        for word in words.iter().map(plain).filter(|word| word.chars().count() > 3) {
            *counts.entry(word).or_default() += 1;
        }
        let count = |words: &[&str]| words.iter().filter_map(|word| counts.get(&plain(word))).sum::<usize>();
        let mut best: Vec<_> =
            words.split_inclusive(|word| word.ends_with(['.', '!', '?'])).enumerate().collect();
        best.sort_by_cached_key(|(_, sentence)| Reverse(100 * count(sentence) / sentence.len()));
        best.truncate(params.length);
        best.sort(); // back into the order of the text
        Ok(best.into_iter().map(|(_, sentence)| sentence.join(" ")).collect::<Vec<_>>().join(" "))
    }

    /// Transliterate a text into lowercase Latin letters.
    #[job(kind = 5002)]
    async fn transliterate(&self, text: Text, params: Params<Transliteration>) -> JobResult<String> {
        let table = if params.language == "el-Latn" { GREEK } else { RUSSIAN };
        let latin: HashMap<&str, &str> = table.split(' ').filter_map(|pair| pair.split_once('=')).collect();
        let letters = text.to_lowercase();
        Ok(letters.split_inclusive(|_| true).map(|letter| *latin.get(letter).unwrap_or(&letter)).collect())
    }
}

const RUSSIAN: &str = "а=a б=b в=v г=g д=d е=e ё=yo ж=zh з=z и=i й=y к=k л=l м=m н=n о=o п=p р=r с=s т=t у=u ф=f х=kh ц=ts ч=ch ш=sh щ=shch ъ=\" ы=y ь=' э=e ю=yu я=ya";
const GREEK: &str = "α=a ά=a β=v γ=g δ=d ε=e έ=e ζ=z η=i ή=i θ=th ι=i ί=i κ=k λ=l μ=m ν=n ξ=x ο=o ό=o π=p ρ=r σ=s ς=s τ=t υ=y ύ=y φ=f χ=ch ψ=ps ω=o ώ=o";

openagents_sdk::deployment!(TextAgent);

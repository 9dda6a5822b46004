//! Encrypted job requests (NIP-90, "Encrypted Params"): reads the decrypted tags.

use serde_json::Value;

use super::request::{param, several};
use super::{JobInput, JobRequest};

/// The most tags in the decrypted content.
const MAX_TAGS: usize = 1_000;

/// Why the decrypted content of a request cannot be read. It contains none of that content, so it can be logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// The request has no `encrypted` tag.
    #[error("the request is not encrypted: it has no `encrypted` tag")]
    NotEncrypted,
    /// The plaintext is not a JSON array of tags.
    #[error("the decrypted content is not a JSON array of tags: error at line {line} column {column}")]
    NotTags {
        /// The line of the error, counted from 1.
        line: usize,
        /// The column of the error.
        column: usize,
    },
    /// There are more than 1,000 tags.
    #[error("the decrypted content has {count} tags, expected at most {MAX_TAGS}")]
    TooManyTags {
        /// The number of tags.
        count: usize,
    },
}

impl JobRequest {
    /// The whole request, given the decrypted content of its event: a JSON array of tags. Besides the inputs and
    /// parameters that NIP-90 encrypts, it may hold `output`, `relays` and `bid`, which NDK encrypts too; other tags
    /// and malformed ones are ignored. Decrypted values are added after those in clear text; a decrypted bid replaces
    /// one in clear text.
    ///
    /// `event` remains the published event, so decrypted values never get into the `request` and `i` tags of answers.
    ///
    /// # Errors
    /// When the request is not encrypted, or the plaintext is not a JSON array of up to 1,000 tags.
    pub fn unsealed(&self, plaintext_json: &str) -> Result<Self, SealedError> {
        if !self.encrypted {
            return Err(SealedError::NotEncrypted);
        }
        let tags: Vec<Value> = serde_json::from_str(plaintext_json)
            .map_err(|error| SealedError::NotTags { line: error.line(), column: error.column() })?;
        if tags.len() > MAX_TAGS {
            return Err(SealedError::TooManyTags { count: tags.len() });
        }
        let mut request = Self { sealed: true, ..Self::read(self.event.clone()) };
        let mut bid = None;
        for tag in tags.iter().filter_map(words) {
            match tag.first().map(String::as_str) {
                Some("i") => request.inputs.extend(JobInput::from_tag(&tag)),
                Some("param") => request.params.0.extend(param(&tag)),
                Some("output") => request.output.extend(several(&tag)),
                Some("relays") => request.relays.extend(several(&tag)),
                Some("bid") => bid = bid.or_else(|| tag.get(1)?.trim().parse().ok()),
                _ => {}
            }
        }
        request.bid = bid.or(request.bid);
        Ok(request)
    }
}

/// The elements of a tag as strings. Clients also write numbers: `["param", "max_tokens", 512]`.
fn words(tag: &Value) -> Option<Vec<String>> {
    let word = |word: &Value| match word {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    tag.as_array()?.iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::{JobInput, JobRequest, SealedError};
    use crate::nip90::InputKind;
    use crate::nip90::tests::request_with;

    fn encrypted(more: &[&[&str]]) -> JobRequest {
        request_with("c2VjcmV0?iv=AAAA", &[&[&["encrypted"] as &[_]], more].concat())
    }

    #[test]
    fn reads_what_the_specification_encrypts() {
        let request = encrypted(&[])
            .unsealed(r#"[["i","what is the capital of France? ","text"],["param","model","LLaMA-2"],["param","top-k","50"]]"#)
            .unwrap();
        assert_eq!(request.inputs, [JobInput::new(InputKind::Text, "what is the capital of France? ")]);
        assert_eq!(request.text(), Some("what is the capital of France? "));
        assert_eq!(request.params.first("model"), Some("LLaMA-2"));
        assert_eq!(request.params.first("top-k"), Some("50"));
        assert!(request.sealed && request.encrypted);
    }

    #[test]
    fn reads_what_ndk_encrypts_besides() {
        let request = encrypted(&[&["relays", "wss://a.example"], &["bid", "1"], &["output", "text/plain"]])
            .unsealed(r#"[["output","text/html","text/vtt"],["relays","wss://b.example"],["bid","5000"]]"#)
            .unwrap();
        assert_eq!(request.output, ["text/plain", "text/html", "text/vtt"]);
        assert_eq!(request.relays, ["wss://a.example", "wss://b.example"]);
        assert_eq!(request.bid, Some(5_000));
    }

    #[test]
    fn keeps_what_stands_in_clear() {
        let request = encrypted(&[&["i", "clear"], &["bid", "7"], &["t", "health"], &["expiration", "9"]]);
        let unsealed = request.unsealed(r#"[["i","secret"]]"#).unwrap();
        assert_eq!(
            unsealed.inputs.iter().map(|input| input.data.as_str()).collect::<Vec<_>>(),
            ["clear", "secret"]
        );
        assert_eq!((unsealed.bid, unsealed.expires_at), (Some(7), request.expires_at));
        assert_eq!(unsealed.topics, ["health"]);
        assert_eq!(unsealed.event, request.event);
    }

    #[test]
    fn ignores_tags_that_it_does_not_know_or_cannot_read() {
        let request = encrypted(&[])
            .unsealed(r#"[["p","00"],["encrypted"],[],7,"i",{"i":1},["i"],["i",null],["bid","all"],["param","n",512,0.5,true]]"#)
            .unwrap();
        assert!(request.inputs.is_empty() && request.providers.is_empty());
        assert_eq!(request.bid, None);
        assert_eq!(request.params.all("n").collect::<Vec<_>>(), ["512", "0.5", "true"]);
    }

    #[test]
    fn opens_a_request_twice_without_doubling_it() {
        let once = encrypted(&[]).unsealed(r#"[["i","a"]]"#).unwrap();
        assert_eq!(once.unsealed(r#"[["i","a"]]"#).unwrap(), once);
    }

    #[test]
    fn refuses_what_is_no_array_of_tags_and_does_not_repeat_it() {
        for text in
            ["", "my secret", "\"my secret\"", "{\"i\":\"my secret\"}", "[[\"i\",\"my secret\"]", "null"]
        {
            let error = encrypted(&[]).unsealed(text).unwrap_err();
            assert!(matches!(error, SealedError::NotTags { .. }), "{text}");
            assert!(!error.to_string().contains("my secret"), "{error}");
        }
    }

    #[test]
    fn refuses_more_than_a_thousand_tags() {
        let tags = |count: usize| format!("[{}]", vec![r#"["i","x"]"#; count].join(","));
        assert_eq!(encrypted(&[]).unsealed(&tags(1_000)).unwrap().inputs.len(), 1_000);
        assert_eq!(
            encrypted(&[]).unsealed(&tags(1_001)).unwrap_err(),
            SealedError::TooManyTags { count: 1_001 }
        );
    }

    #[test]
    fn opens_only_what_is_encrypted() {
        assert_eq!(request_with("", &[]).unsealed("[]").unwrap_err(), SealedError::NotEncrypted);
    }
}

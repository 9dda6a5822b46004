//! `Json<T>` as an argument: a `text` input, or the output of another job, read as JSON.

use serde::de::DeserializeOwned;

use super::{FromInput, FromJob, Text, required};
use crate::author::job::JobContext;
use crate::author::output::Json;
use crate::declaration::InputDeclaration;
use crate::error::JobError;
use crate::nip90::{InputKind, JobInput};

/// How much of serde's reason the customer is told, in characters. It repeats values of the input.
const MAX_REASON_LENGTH: usize = 200;

/// What the author made of the input's JSON: the same text as for [`Text`].
impl<T: DeserializeOwned> FromInput for Json<T> {
    const INPUT: InputDeclaration =
        InputDeclaration { mime_types: &["application/json"], ..<Text as FromInput>::INPUT };

    const KINDS: &'static [InputKind] = <Text as FromInput>::KINDS;

    async fn from_inputs(context: &JobContext, inputs: &[&JobInput]) -> Result<Vec<Self>, JobError> {
        let texts = Text::from_inputs(context, inputs).await?;
        texts.iter().map(read).collect()
    }

    fn without_input(context: &JobContext) -> Result<Option<Self>, JobError> {
        Text::without_input(context)?.as_ref().map(read).transpose()
    }
}

impl<T: DeserializeOwned> FromJob for Json<T> {
    const INPUT: Option<InputDeclaration> = Some(<Self as FromInput>::INPUT);

    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        required(context, "<your JSON>").await
    }
}

fn read<T: DeserializeOwned>(text: &Text) -> Result<Json<T>, JobError> {
    read_json(text, "input", "job").map(Json).map_err(JobError::failed)
}

/// Reads a text, which is the `subject` of a `taker`. The error tells its sender what was expected, and where.
pub(crate) fn read_json<T: DeserializeOwned>(text: &str, subject: &str, taker: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        let what =
            if error.is_data() { format!("the JSON that this {taker} takes") } else { "JSON".to_owned() };
        let place = format!(" at line {} column {}", error.line(), error.column());
        let told = error.to_string();
        let (reason, place) = match told.strip_suffix(&place) {
            Some(reason) => (reason, place.as_str()),
            None => (told.as_str(), ""),
        };
        let mut shown: String = reason.chars().take(MAX_REASON_LENGTH).collect();
        if shown.len() < reason.len() {
            shown.push('…');
        }
        format!("the {subject} is not {what}: {shown}{place}")
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::read;
    use crate::Text;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        pieces: u32,
        #[serde(default)]
        colour: String,
    }

    fn refusal(text: &str) -> String {
        let error = read::<Order>(&Text::from(text)).unwrap_err();
        assert!(!error.is_retryable(), "{error}");
        error.message().to_owned()
    }

    #[test]
    fn tells_the_customer_what_was_expected_and_where() {
        for (text, told) in [
            (
                "{\n  \"pieces\": \"two\"\n}",
                "the input is not the JSON that this job takes: invalid type: string \"two\", expected u32 at line 2 column 17",
            ),
            (
                "{}",
                "the input is not the JSON that this job takes: missing field `pieces` at line 1 column 2",
            ),
            ("two pieces", "the input is not JSON: expected ident at line 1 column 2"),
            ("", "the input is not JSON: EOF while parsing a value at line 1 column 0"),
        ] {
            assert_eq!(refusal(text), told);
        }
    }

    #[test]
    fn repeats_little_of_a_long_value() {
        let told = refusal(&format!("{{\"{}\": 1}}", "é".repeat(100_000)));
        assert!(told.chars().count() < 320, "{}", told.len());
        assert!(told.contains("…") && told.ends_with("at line 1 column 200003"), "{told}");
    }
}

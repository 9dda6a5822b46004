//! How the fields of a `#[derive(JobParams)]` struct are read. The derive's output calls these.

use super::{ParamDeclaration, ParamMap, ParamValue};
use crate::error::JobError;

/// How much of a customer's value is repeated to them.
const LONGEST_REPEATED: usize = 60;

/// Reads a field of type `T`: the parameter, or its default.
///
/// # Errors
/// When there is neither, or the value is not accepted.
pub fn required<T: ParamValue>(params: &ParamMap, declaration: &ParamDeclaration) -> Result<T, JobError> {
    let value = first(params, declaration).or(declaration.default);
    let value = value.ok_or_else(|| JobError::failed(missing::<T>(declaration)))?;
    read(declaration, value)
}

/// Reads a field of type `Option<T>`.
///
/// # Errors
/// When the value is not accepted.
pub fn optional<T: ParamValue>(
    params: &ParamMap,
    declaration: &ParamDeclaration,
) -> Result<Option<T>, JobError> {
    first(params, declaration).map(|value| read(declaration, value)).transpose()
}

/// Reads a field of type `Vec<T>`: all values of all its tags, in their order.
///
/// # Errors
/// When one of the values is not accepted.
pub fn several<T: ParamValue>(params: &ParamMap, declaration: &ParamDeclaration) -> Result<Vec<T>, JobError> {
    let tags = params.0.iter().filter(|(key, _)| keys(declaration).any(|accepted| accepted == key));
    tags.flat_map(|(_, values)| values).map(|value| read(declaration, value)).collect()
}

/// The first value under the parameter's name, or else under one of its aliases.
fn first<'a>(params: &'a ParamMap, declaration: &ParamDeclaration) -> Option<&'a str> {
    keys(declaration).find_map(|key| params.first(key))
}

fn keys(declaration: &ParamDeclaration) -> impl Iterator<Item = &'static str> {
    std::iter::once(declaration.name).chain(declaration.aliases.iter().copied())
}

fn read<T: ParamValue>(declaration: &ParamDeclaration, text: &str) -> Result<T, JobError> {
    let value = T::from_param(text).filter(|value| {
        // The choices of a type are its own to check: it may accept other spellings.
        let is_choice =
            !T::CHOICES.is_empty() || declaration.choices.is_empty() || declaration.choices.contains(&text);
        is_choice && value.as_number().is_none_or(|number| is_within(declaration, number))
    });
    value.ok_or_else(|| {
        let (name, expected, text) = (declaration.name, expected::<T>(declaration), shortened(text));
        JobError::failed(format!("the parameter `{name}` is {expected}, not `{text}`"))
    })
}

fn is_within(declaration: &ParamDeclaration, number: f64) -> bool {
    declaration.minimum.is_none_or(|minimum| number >= minimum)
        && declaration.maximum.is_none_or(|maximum| number <= maximum)
}

fn missing<T: ParamValue>(declaration: &ParamDeclaration) -> String {
    let ParamDeclaration { name, about, .. } = declaration;
    let (expected, example) = (expected::<T>(declaration), example::<T>(declaration));
    let message = format!(
        "this job needs the parameter `{name}`, {expected}: add a tag [\"param\", \"{name}\", \"{example}\"]"
    );
    if about.is_empty() { message } else { format!("{message}. {about}") }
}

fn expected<T: ParamValue>(declaration: &ParamDeclaration) -> String {
    match declaration.choices {
        [] => {}
        [choice] => return format!("`{choice}`"),
        choices => return format!("one of `{}`", choices.join("`, `")),
    }
    let what = T::EXPECTED;
    match (declaration.minimum, declaration.maximum) {
        (Some(minimum), Some(maximum)) => format!("{what} from {minimum} to {maximum}"),
        (Some(minimum), None) => format!("{what} of at least {minimum}"),
        (None, Some(maximum)) => format!("{what} of at most {maximum}"),
        (None, None) => what.to_owned(),
    }
}

/// A value that is accepted.
fn example<T: ParamValue>(declaration: &ParamDeclaration) -> String {
    if let Some(choice) = declaration.choices.first() {
        return (*choice).to_owned();
    }
    let number = T::from_param(T::EXAMPLE).and_then(|value| value.as_number());
    match (number, declaration.minimum, declaration.maximum) {
        (Some(number), Some(minimum), _) if number < minimum => minimum.to_string(),
        (Some(number), _, Some(maximum)) if number > maximum => maximum.to_string(),
        _ => T::EXAMPLE.to_owned(),
    }
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST_REPEATED).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{optional, required, several};
    use crate::params::{ParamDeclaration, ParamMap, ParamValue};

    fn params(tags: &[(&str, &[&str])]) -> ParamMap {
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        ParamMap(tags.iter().map(|(key, list)| ((*key).to_owned(), values(list))).collect())
    }

    const TOP_K: ParamDeclaration =
        ParamDeclaration { aliases: &["top-k", "topk"], ..ParamDeclaration::new::<u32>("top_k") };

    #[derive(Debug, PartialEq)]
    enum Sort {
        Rank,
    }

    impl ParamValue for Sort {
        const TYPE: &'static str = "string";
        const EXPECTED: &'static str = "an order";
        const EXAMPLE: &'static str = "rank";
        const CHOICES: &'static [&'static str] = &["rank", "name"];

        fn from_param(text: &str) -> Option<Self> {
            matches!(text, "rank" | "Rank").then_some(Self::Rank)
        }
    }

    #[test]
    fn takes_the_name_before_its_aliases() {
        let given = params(&[("topk", &["1"]), ("top-k", &["2"]), ("top_k", &["3"])]);
        assert_eq!(required::<u32>(&given, &TOP_K).unwrap(), 3);
        let given = params(&[("topk", &["1"]), ("top-k", &["2"])]);
        assert_eq!(optional::<u32>(&given, &TOP_K).unwrap(), Some(2));
    }

    #[test]
    fn collects_all_values_of_all_tags() {
        let given = params(&[("top_k", &["1", "2"]), ("other", &["x"]), ("top-k", &["3"]), ("top_k", &[])]);
        assert_eq!(several::<u32>(&given, &TOP_K).unwrap(), [1, 2, 3]);
        assert_eq!(several::<u32>(&params(&[]), &TOP_K).unwrap(), [] as [u32; 0]);
        let error = several::<u32>(&params(&[("top_k", &["1", "two"])]), &TOP_K).unwrap_err();
        assert!(error.message().ends_with("not `two`"), "{error}");
    }

    #[test]
    fn falls_back_to_the_default() {
        let declaration = ParamDeclaration { default: Some("40"), ..TOP_K };
        assert_eq!(required::<u32>(&params(&[]), &declaration).unwrap(), 40);
        assert_eq!(required::<u32>(&params(&[("top_k", &["7"])]), &declaration).unwrap(), 7);
        assert_eq!(optional::<u32>(&params(&[]), &TOP_K).unwrap(), None);
    }

    #[test]
    fn tells_what_is_missing_and_how_to_send_it() {
        let language = ParamDeclaration {
            about: "The language to translate into.",
            ..ParamDeclaration::new::<String>("language")
        };
        let error = required::<String>(&params(&[]), &language).unwrap_err();
        assert!(!error.is_retryable());
        assert_eq!(
            error.message(),
            "this job needs the parameter `language`, text: add a tag [\"param\", \"language\", \"<text>\"]. The language to translate into."
        );
        let limit = ParamDeclaration {
            minimum: Some(5.0),
            maximum: Some(1000.0),
            ..ParamDeclaration::new::<u32>("limit")
        };
        let error = required::<u32>(&params(&[]), &limit).unwrap_err();
        assert_eq!(
            error.message(),
            "this job needs the parameter `limit`, a whole number from 5 to 1000: add a tag [\"param\", \"limit\", \"5\"]"
        );
    }

    #[test]
    fn holds_numbers_to_their_range() {
        let declaration = ParamDeclaration { minimum: Some(1.0), maximum: Some(4096.0), ..TOP_K };
        for (text, is_accepted) in [("1", true), ("4096", true), ("0", false), ("4097", false), ("", false)] {
            let given = params(&[("top_k", &[text])]);
            assert_eq!(required::<u32>(&given, &declaration).is_ok(), is_accepted, "{text:?}");
        }
        let error = required::<u32>(&params(&[("top_k", &["4097"])]), &declaration).unwrap_err();
        assert_eq!(error.message(), "the parameter `top_k` is a whole number from 1 to 4096, not `4097`");
        let temperature =
            ParamDeclaration { maximum: Some(2.0), ..ParamDeclaration::new::<f64>("temperature") };
        let error = required::<f64>(&params(&[("temperature", &["2.01"])]), &temperature).unwrap_err();
        assert_eq!(error.message(), "the parameter `temperature` is a number of at most 2, not `2.01`");
    }

    #[test]
    fn names_the_choices() {
        let sort = ParamDeclaration::new::<Sort>("sort");
        assert_eq!(required::<Sort>(&params(&[("sort", &["Rank"])]), &sort).unwrap(), Sort::Rank);
        let error = required::<Sort>(&params(&[("sort", &["age"])]), &sort).unwrap_err();
        assert_eq!(error.message(), "the parameter `sort` is one of `rank`, `name`, not `age`");
        let ratio =
            ParamDeclaration { choices: &["1:1", "16:9"], ..ParamDeclaration::new::<String>("ratio") };
        assert_eq!(required::<String>(&params(&[("ratio", &["16:9"])]), &ratio).unwrap(), "16:9");
        assert!(required::<String>(&params(&[("ratio", &["4:3"])]), &ratio).is_err());
    }

    #[test]
    fn repeats_little_of_a_long_value() {
        let given = params(&[("top_k", &[&"é".repeat(10_000)])]);
        let error = required::<u32>(&given, &TOP_K).unwrap_err();
        assert!(error.message().chars().count() < 200 && error.message().ends_with("é…`"), "{error}");
    }
}

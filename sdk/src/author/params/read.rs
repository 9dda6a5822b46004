//! Reads the fields of a `#[derive(JobParams)]` struct; called by the derived code.

use super::ParamValue;
use crate::declaration::ParamDeclaration;
use crate::error::JobError;
use crate::nip90::ParamMap;

/// How much of an invalid value is repeated in the error, in characters.
const MAX_REPEATED_LENGTH: usize = 60;

/// How one parameter is read.
///
/// Only the constructor requires `T: ParamValue`, so the compiler reports a type that is not one only once.
#[derive(Debug)]
pub struct Param<T> {
    /// Name, type, default and description.
    pub declaration: ParamDeclaration,
    expected: &'static str,
    example: &'static str,
    /// Whether the choices come from the type, which may accept other spellings of them.
    chosen_by_type: bool,
    from_param: fn(&str) -> Option<T>,
    as_number: fn(&T) -> Option<f64>,
}

/// A parameter with this name and values of type `T`.
#[must_use]
pub const fn param<T: ParamValue>(name: &'static str) -> Param<T> {
    Param {
        declaration: ParamDeclaration::new::<T>(name),
        expected: T::EXPECTED,
        example: T::EXAMPLE,
        chosen_by_type: !T::CHOICES.is_empty(),
        from_param: T::from_param,
        as_number: T::as_number,
    }
}

impl<T> Param<T> {
    /// Replaces the declaration.
    #[must_use]
    pub const fn declared(self, declaration: ParamDeclaration) -> Self {
        Self { declaration, ..self }
    }

    /// Reads a field of type `T`: the parameter's value, or its default.
    ///
    /// # Errors
    /// When there is neither, or the value is invalid.
    pub fn required(&self, params: &ParamMap) -> Result<T, JobError> {
        let value = self.first(params).or(self.declaration.default);
        self.read(value.ok_or_else(|| JobError::failed(self.missing()))?)
    }

    /// Reads a field of type `Option<T>`.
    ///
    /// # Errors
    /// When the value is invalid.
    pub fn optional(&self, params: &ParamMap) -> Result<Option<T>, JobError> {
        self.first(params).map(|value| self.read(value)).transpose()
    }

    /// Reads a field of type `Vec<T>`: all values of all its tags, in order.
    ///
    /// # Errors
    /// When a value is invalid.
    pub fn several(&self, params: &ParamMap) -> Result<Vec<T>, JobError> {
        let tags = params.0.iter().filter(|(key, _)| self.keys().any(|accepted| accepted == key));
        tags.flat_map(|(_, values)| values).map(|value| self.read(value)).collect()
    }

    /// The first value under the parameter's name, else under one of its aliases.
    fn first<'a>(&self, params: &'a ParamMap) -> Option<&'a str> {
        self.keys().find_map(|key| params.first(key))
    }

    fn keys(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.declaration.name).chain(self.declaration.aliases.iter().copied())
    }

    fn read(&self, text: &str) -> Result<T, JobError> {
        let choices = self.declaration.choices;
        let is_choice = self.chosen_by_type || choices.is_empty() || choices.contains(&text);
        let value = (self.from_param)(text)
            .filter(|value| is_choice && (self.as_number)(value).is_none_or(|number| self.is_within(number)));
        value.ok_or_else(|| {
            let (name, expected, text) = (self.declaration.name, self.expected(), shortened(text));
            JobError::failed(format!("the parameter `{name}` must be {expected}, not `{text}`"))
        })
    }

    fn is_within(&self, number: f64) -> bool {
        let ParamDeclaration { minimum, maximum, .. } = self.declaration;
        minimum.is_none_or(|minimum| number >= minimum) && maximum.is_none_or(|maximum| number <= maximum)
    }

    fn missing(&self) -> String {
        let ParamDeclaration { name, about, .. } = self.declaration;
        let (expected, example) = (self.expected(), self.example());
        let message = format!(
            "this job needs the parameter `{name}`, {expected}: add a tag [\"param\", \"{name}\", \"{example}\"]"
        );
        if about.is_empty() { message } else { format!("{message}. {about}") }
    }

    fn expected(&self) -> String {
        match self.declaration.choices {
            [] => {}
            [choice] => return format!("`{choice}`"),
            choices => return format!("one of `{}`", choices.join("`, `")),
        }
        let what = self.expected;
        match (self.declaration.minimum, self.declaration.maximum) {
            (Some(minimum), Some(maximum)) => format!("{what} from {minimum} to {maximum}"),
            (Some(minimum), None) => format!("{what} of at least {minimum}"),
            (None, Some(maximum)) => format!("{what} of at most {maximum}"),
            (None, None) => what.to_owned(),
        }
    }

    /// A value that would be accepted.
    fn example(&self) -> String {
        if let Some(choice) = self.declaration.choices.first() {
            return (*choice).to_owned();
        }
        let number = (self.from_param)(self.example).and_then(|value| (self.as_number)(&value));
        match (number, self.declaration.minimum, self.declaration.maximum) {
            (Some(number), Some(minimum), _) if number < minimum => minimum.to_string(),
            (Some(number), _, Some(maximum)) if number > maximum => maximum.to_string(),
            _ => self.example.to_owned(),
        }
    }
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_REPEATED_LENGTH).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::param;
    use crate::author::params::ParamValue;
    use crate::declaration::ParamDeclaration;
    use crate::nip90::ParamMap;

    fn params(tags: &[(&str, &[&str])]) -> ParamMap {
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        ParamMap(tags.iter().map(|(key, list)| ((*key).to_owned(), values(list))).collect())
    }

    const TOP_K: ParamDeclaration =
        ParamDeclaration { aliases: &["top-k", "topk"], ..ParamDeclaration::new::<u32>("top_k") };

    #[derive(Debug, PartialEq)]
    enum ParamType {
        Rank,
    }

    impl ParamValue for ParamType {
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
        assert_eq!(param::<u32>(TOP_K.name).declared(TOP_K).required(&given).unwrap(), 3);
        let given = params(&[("topk", &["1"]), ("top-k", &["2"])]);
        assert_eq!(param::<u32>(TOP_K.name).declared(TOP_K).optional(&given).unwrap(), Some(2));
    }

    #[test]
    fn collects_all_values_of_all_tags() {
        let given = params(&[("top_k", &["1", "2"]), ("other", &["x"]), ("top-k", &["3"]), ("top_k", &[])]);
        assert_eq!(param::<u32>(TOP_K.name).declared(TOP_K).several(&given).unwrap(), [1, 2, 3]);
        assert_eq!(param::<u32>(TOP_K.name).declared(TOP_K).several(&params(&[])).unwrap(), [] as [u32; 0]);
        let error = param::<u32>(TOP_K.name)
            .declared(TOP_K)
            .several(&params(&[("top_k", &["1", "two"])]))
            .unwrap_err();
        assert!(error.message().ends_with("not `two`"), "{error}");
    }

    #[test]
    fn falls_back_to_the_default() {
        let declaration = ParamDeclaration { default: Some("40"), ..TOP_K };
        assert_eq!(param::<u32>(declaration.name).declared(declaration).required(&params(&[])).unwrap(), 40);
        assert_eq!(
            param::<u32>(declaration.name)
                .declared(declaration)
                .required(&params(&[("top_k", &["7"])]))
                .unwrap(),
            7
        );
        assert_eq!(param::<u32>(TOP_K.name).declared(TOP_K).optional(&params(&[])).unwrap(), None);
    }

    #[test]
    fn tells_what_is_missing_and_how_to_send_it() {
        let language = ParamDeclaration {
            about: "The language to translate into.",
            ..ParamDeclaration::new::<String>("language")
        };
        let error = param::<String>(language.name).declared(language).required(&params(&[])).unwrap_err();
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
        let error = param::<u32>(limit.name).declared(limit).required(&params(&[])).unwrap_err();
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
            assert_eq!(
                param::<u32>(declaration.name).declared(declaration).required(&given).is_ok(),
                is_accepted,
                "{text:?}"
            );
        }
        let error = param::<u32>(declaration.name)
            .declared(declaration)
            .required(&params(&[("top_k", &["4097"])]))
            .unwrap_err();
        assert_eq!(
            error.message(),
            "the parameter `top_k` must be a whole number from 1 to 4096, not `4097`"
        );
        let temperature =
            ParamDeclaration { maximum: Some(2.0), ..ParamDeclaration::new::<f64>("temperature") };
        let error = param::<f64>(temperature.name)
            .declared(temperature)
            .required(&params(&[("temperature", &["2.01"])]))
            .unwrap_err();
        assert_eq!(error.message(), "the parameter `temperature` must be a number of at most 2, not `2.01`");
    }

    #[test]
    fn names_the_choices() {
        let sort = ParamDeclaration::new::<ParamType>("sort");
        assert_eq!(
            param::<ParamType>(sort.name).declared(sort).required(&params(&[("sort", &["Rank"])])).unwrap(),
            ParamType::Rank
        );
        let error = param::<ParamType>(sort.name)
            .declared(sort)
            .required(&params(&[("sort", &["age"])]))
            .unwrap_err();
        assert_eq!(error.message(), "the parameter `sort` must be one of `rank`, `name`, not `age`");
        let ratio =
            ParamDeclaration { choices: &["1:1", "16:9"], ..ParamDeclaration::new::<String>("ratio") };
        assert_eq!(
            param::<String>(ratio.name).declared(ratio).required(&params(&[("ratio", &["16:9"])])).unwrap(),
            "16:9"
        );
        assert!(
            param::<String>(ratio.name).declared(ratio).required(&params(&[("ratio", &["4:3"])])).is_err()
        );
    }

    #[test]
    fn repeats_little_of_a_long_value() {
        let given = params(&[("top_k", &[&"é".repeat(10_000)])]);
        let error = param::<u32>(TOP_K.name).declared(TOP_K).required(&given).unwrap_err();
        assert!(error.message().chars().count() < 200 && error.message().ends_with("é…`"), "{error}");
    }
}

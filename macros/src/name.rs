//! Validates the names of agents, jobs and schedules.

/// The longest name, in characters.
const MAX_LENGTH: usize = 64;

/// Validates an agent's name, which becomes NIP-89's `d` tag and part of URLs.
pub(crate) fn check_agent(name: &str) -> Result<(), String> {
    let fits =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    check("an agent's name", name, fits, "lowercase letters, digits and `-`", &kebab_case(name))
}

/// Validates the name of a job, which tools and HTTP clients use as an identifier, or of a schedule.
pub(crate) fn check_method(subject: &str, name: &str) -> Result<(), String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    check(subject, name, fits, "letters, digits, `-` and `_`", &kebab_case(name).replace('-', "_"))
}

fn check(
    subject: &str,
    name: &str,
    fits: impl Fn(char) -> bool,
    accepted: &str,
    suggestion: &str,
) -> Result<(), String> {
    let rule = format!("{subject} is 1 to {MAX_LENGTH} {accepted}");
    let length = name.chars().count();
    if name.is_empty() {
        Err(format!("{rule}; this one is empty"))
    } else if !name.chars().all(fits) {
        Err(if suggestion.is_empty() { rule } else { format!("{rule}; write \"{suggestion}\"") })
    } else if length > MAX_LENGTH {
        Err(format!("{rule}; this one has {length}"))
    } else {
        Ok(())
    }
}

/// Converts `HelloWorld` and `Hello, World!` to `hello-world`, to suggest a name.
pub(crate) fn kebab_case(text: &str) -> String {
    let mut words = String::new();
    let mut after_lowercase = false;
    for character in text.chars() {
        if !character.is_ascii_alphanumeric() || (character.is_ascii_uppercase() && after_lowercase) {
            words.push(' ');
        }
        if character.is_ascii_alphanumeric() {
            words.push(character.to_ascii_lowercase());
        }
        after_lowercase = character.is_ascii_lowercase() || character.is_ascii_digit();
    }
    words.split_whitespace().collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::{check_agent, check_method, kebab_case};

    #[test]
    fn accepts_what_becomes_an_address() {
        for name in ["a", "hello-world", "gpt4", &"a".repeat(64)] {
            assert_eq!(check_agent(name), Ok(()), "{name}");
        }
        for name in ["hello", "say_hello", "Say-Hello2"] {
            assert_eq!(check_method("a job's name", name), Ok(()), "{name}");
        }
    }

    #[test]
    fn refuses_the_rest_and_says_what_was_probably_meant() {
        for name in ["", "Hello", "hello world", "hello_world", "héllo", &"a".repeat(65)] {
            assert!(check_agent(name).is_err(), "{name}");
        }
        for name in ["", "say hello", "grüße", "a.b"] {
            assert!(check_method("a job's name", name).is_err(), "{name}");
        }
        assert!(check_agent("Hello, World!").unwrap_err().ends_with("write \"hello-world\""));
        assert!(check_method("a job's name", "say hello").unwrap_err().ends_with("write \"say_hello\""));
        assert!(!check_agent("!").unwrap_err().contains("write"));
    }

    #[test]
    fn turns_type_names_into_agent_names() {
        assert_eq!(kebab_case("HelloWorld"), "hello-world");
        assert_eq!(kebab_case("GPT4Agent"), "gpt4-agent");
        assert_eq!(kebab_case("_x__Y"), "x-y");
    }
}

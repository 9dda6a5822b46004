//! What an agent's error message means for somebody who uses `ask`: options in place of tags.

/// What precedes the tag that a request lacks.
const ADD_A_TAG: &str = ": add a tag ";

/// The message with the option that adds the missing tag. Other messages stay as they are.
pub(super) fn for_people(message: &str) -> String {
    let Some((need, rest)) = message.split_once(ADD_A_TAG) else { return message.to_owned() };
    let mut tags = serde_json::Deserializer::from_str(rest).into_iter::<Vec<String>>();
    let Some(Ok(tag)) = tags.next() else { return message.to_owned() };
    let after = rest.get(tags.byte_offset()..).unwrap_or_default();
    match option(&tag) {
        Some(option) => format!("{need}; {option}{after}"),
        None => message.to_owned(),
    }
}

fn option(tag: &[String]) -> Option<String> {
    match tag.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["i", _, "text", ..] => Some("give it after `ask`, or with --file PATH".to_owned()),
        ["i", _, "url", ..] => Some("give it with --url URL or --file PATH".to_owned()),
        ["i", _, "event", ..] => Some("give it with --event ID".to_owned()),
        ["i", _, "job", ..] => Some("give it with --job ID".to_owned()),
        ["param", name, value, ..] => Some(format!("give it with --param {name}={value}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::for_people;

    #[test]
    fn names_the_option_that_adds_a_missing_tag() {
        for (message, expected) in [
            (
                r#"this job needs an input of type text: add a tag ["i", "<your text>", "text"]"#,
                "this job needs an input of type text; give it after `ask`, or with --file PATH",
            ),
            (
                r#"this job needs the parameter `limit`, a whole number: add a tag ["param", "limit", "5"]. How many."#,
                "this job needs the parameter `limit`, a whole number; give it with --param limit=5. How many.",
            ),
            (
                r#"an input of type url: add a tag ["i", "https://…", "url"]"#,
                "an input of type url; give it with --url URL or --file PATH",
            ),
        ] {
            assert_eq!(for_people(message), expected);
        }
        for other in ["no: add a tag", "no: add a tag [1", r#"x: add a tag ["output", "text/plain"]"#] {
            assert_eq!(for_people(other), other);
        }
    }
}

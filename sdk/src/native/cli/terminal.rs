//! Prints lines to standard output and standard error; a closed pipe is not an error.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{IsTerminal, Write};

/// Writes a line to the standard output: what the command was run for.
pub(in crate::native) fn say(line: Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a line to the standard error: how it is going.
pub(in crate::native) fn tell(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Text of a stranger for the standard error: on one line, and without anything that a terminal would obey.
pub(in crate::native) fn foreign(text: &str) -> Cow<'_, str> {
    without(text, char::is_control)
}

/// Text of a stranger for the standard output: as it is for a file or a pipe; a terminal gets nothing to obey.
pub(in crate::native) fn foreign_output(text: &str) -> Cow<'_, str> {
    if std::io::stdout().is_terminal() {
        without(text, |character| character.is_control() && !matches!(character, '\n' | '\t'))
    } else {
        text.into()
    }
}

fn without(text: &str, unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.contains(&unwanted) {
        text.chars().map(|character| if unwanted(character) { '\u{fffd}' } else { character }).collect()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::foreign;

    #[test]
    fn leaves_a_terminal_nothing_to_obey() {
        assert_eq!(foreign("plain é"), "plain é");
        assert_eq!(foreign("a\u{1b}[2Jb\r\nc\u{9b}"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}");
    }
}

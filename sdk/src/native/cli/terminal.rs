//! Prints lines to standard output and standard error; a closed pipe is not an error.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{IsTerminal, Write};

/// Prints a line of the command's output to standard output.
pub(in crate::native) fn say(line: Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a line about progress or an error to standard error.
pub(in crate::native) fn tell(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Makes a remote text safe for standard error: one line without control characters.
pub(in crate::native) fn foreign(text: &str) -> Cow<'_, str> {
    without(text, char::is_control)
}

/// Makes a remote text safe for standard output: unchanged for files and pipes, without control characters for a
/// terminal.
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

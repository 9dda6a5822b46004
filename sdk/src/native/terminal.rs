//! Lines for people. A closed pipe is no reason to fail.

use std::fmt::Arguments;
use std::io::Write;

/// Writes a line to the standard output: what the command was run for.
pub(super) fn say(line: Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a line to the standard error: how it is going.
pub(super) fn tell(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

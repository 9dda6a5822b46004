//! The compiler's message for each mistake.
//!
//! There are no `pass` cases here: with them, trybuild would build all dependencies once more instead of checking them.

#[test]
fn ui() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}

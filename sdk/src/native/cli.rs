//! The command line: its arguments, and the commands `ask`, `inspect` and `relay`.

pub(super) mod arguments;
pub(super) mod ask;
pub(super) mod inspect;
pub(super) mod relay;
pub(super) mod terminal;

//! The command line: its arguments, and the commands `ask`, `inspect`, `new` and `relay`.

pub(super) mod arguments;
pub(super) mod ask;
pub(super) mod inspect;
pub(super) mod new;
pub(super) mod relay;
pub(super) mod terminal;

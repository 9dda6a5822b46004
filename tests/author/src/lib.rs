//! Nothing: what an author's crate looks like is in `tests/`.

//! Agents and deployments that the macros accept, and what they declare. What the macros refuse is in `ui.rs`.

#![allow(
    unreachable_pub,
    unused_qualifications,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "these are written as in a crate of their author's, which has lints of its own"
)]

mod every_argument;
mod every_extractor;
mod every_mark;
mod every_param;
mod hello_world;
mod other_members;
mod policy;
mod relay_only;
mod state_of_an_earlier_version;
mod written_by_macro_rules;

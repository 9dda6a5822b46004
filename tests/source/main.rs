//! What the source of this repository keeps to: layers without cycles, names, and what lies where.

mod crate_source;
mod layers;
mod names;
mod repository;
mod root;

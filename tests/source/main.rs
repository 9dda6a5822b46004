//! Rules for the source of this repository: layers without cycles, names, files.

mod crate_source;
mod layers;
mod names;
mod repository;
mod root;

//! Rules for the source of this repository: layers without cycles, names, files.

mod crate_source;
mod layers;
mod names;
mod relay_halves;
mod repository;
mod root;
mod system;
mod wrangler;

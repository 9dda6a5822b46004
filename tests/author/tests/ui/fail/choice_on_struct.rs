use openagents_sdk::prelude::*;

#[derive(ParamChoice)]
struct Broken {
    model: String,
}

fn main() {}

use openagents_sdk::prelude::*;

#[derive(ParamChoice)]
enum Broken {
    Fast,
    Other(String),
}

fn main() {}

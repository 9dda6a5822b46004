use openagents_sdk::prelude::*;

#[derive(ParamChoice)]
enum Broken {
    Fast,
    #[param(alias = "fast")]
    Quick,
}

fn main() {}

use openagents_sdk::prelude::*;

#[derive(ParamChoice)]
enum Broken {
    #[param(rename = "quick")]
    Fast,
}

fn main() {}

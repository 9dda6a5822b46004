use openagents_sdk::prelude::*;

#[derive(ParamChoice)]
#[param(rename_all = "SHOUTING")]
enum Broken {
    Fast,
}

fn main() {}

use openagents_sdk::prelude::*;

#[derive(ParamChoice)]
enum Broken {}

fn main() {}

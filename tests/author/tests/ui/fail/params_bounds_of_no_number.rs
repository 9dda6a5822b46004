use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(min = 1)]
    model: Model,
}

fn main() {}

#[derive(ParamChoice)]
enum Model {
    Fast,
}

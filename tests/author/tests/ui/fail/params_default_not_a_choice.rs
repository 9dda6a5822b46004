use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(choices("fast", "good"), default = "best")]
    model: String,
    #[param(default = "best")]
    other: Model,
}

fn main() {}

#[derive(ParamChoice)]
enum Model {
    Fast,
}

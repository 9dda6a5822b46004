use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(default = "512")]
    limit: u32,
    #[param(default = 512)]
    language: String,
    #[param(default = "true")]
    stream: bool,
    #[param(default = "0.5")]
    temperature: f32,
}

fn main() {}

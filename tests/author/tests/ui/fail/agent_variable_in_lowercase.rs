use openagents_sdk::prelude::*;

#[agent(name = "broken", variables("llmModel" = "small"))]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}

use openagents_sdk::prelude::*;

#[agent(name = "broken", variables(MODEL = "small"))]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}

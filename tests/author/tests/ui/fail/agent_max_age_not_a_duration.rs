use openagents_sdk::prelude::*;

#[agent(name = "broken", max_age = "a day")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}

use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken {
    greeting: &'static str,
}

fn main() {}

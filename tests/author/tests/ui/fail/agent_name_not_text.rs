use openagents_sdk::prelude::*;

#[agent(name = hello)]
#[derive(Default, Serialize, Deserialize)]
struct HelloWorld;

fn main() {}

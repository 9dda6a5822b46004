use openagents_sdk::prelude::*;

#[agent(name = "")]
#[derive(Default, Serialize, Deserialize)]
struct HelloWorld;

fn main() {}

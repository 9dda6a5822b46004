use openagents_sdk::prelude::*;

#[agent(name = "Hello World")]
#[derive(Default, Serialize, Deserialize)]
struct HelloWorld;

fn main() {}

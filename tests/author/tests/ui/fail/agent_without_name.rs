use openagents_sdk::prelude::*;

#[agent]
#[derive(Default, Serialize, Deserialize)]
struct HelloWorld;

fn main() {}

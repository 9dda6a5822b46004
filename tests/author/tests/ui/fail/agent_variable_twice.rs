use openagents_sdk::prelude::*;

#[agent(name = "broken", variables("MODEL", "TOKEN" = "a", "MODEL" = "b"), secrets("TOKEN"))]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}

use openagents_sdk::prelude::*;

#[agent(name = "broken", topics("greeting", "Good Manners"))]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}

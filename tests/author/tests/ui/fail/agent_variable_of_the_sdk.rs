use openagents_sdk::prelude::*;

#[agent(name = "broken", variables("RELAY_URL", "ADMIN_PUBKEYS"))]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}

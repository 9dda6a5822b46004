use openagents_sdk::prelude::*;

#[derive(Default, Deserialize)]
#[serde(crate = "openagents_sdk::serde")]
struct Connection;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken {
    greeted: u64,
    connection: Connection,
}

fn main() {}

use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
enum Broken {
    #[default]
    Idle,
    Busy,
}

fn main() {}

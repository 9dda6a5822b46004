use openagents_sdk::prelude::*;

use std::cell::Cell;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken {
    greeted: Cell<u64>,
}

fn main() {}

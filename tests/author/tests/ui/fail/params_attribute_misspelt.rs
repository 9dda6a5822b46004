use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(defualt = 512)]
    limit: u32,
}

fn main() {}

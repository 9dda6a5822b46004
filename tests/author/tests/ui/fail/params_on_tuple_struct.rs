use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken(u32);

fn main() {}

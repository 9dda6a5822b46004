use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken;

fn main() {}

use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken<T> {
    limit: T,
}

fn main() {}

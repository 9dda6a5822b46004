use openagents_sdk::prelude::*;

#[derive(ParamChoice)]
enum Broken<T> {
    Fast(T),
}

fn main() {}

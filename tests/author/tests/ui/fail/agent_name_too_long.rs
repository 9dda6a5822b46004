use openagents_sdk::prelude::*;

#[agent(name = "hello-hello-hello-hello-hello-hello-hello-hello-hello-hello-hello-")]
#[derive(Default, Serialize, Deserialize)]
struct HelloWorld;

fn main() {}

use openagents_sdk::prelude::*;

#[agent(name = "broken", secrets("LLM_API_KEY" = "sk-1234"))]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}

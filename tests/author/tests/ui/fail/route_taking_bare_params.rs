use openagents_sdk::prelude::*;

#[agent(name = "listener")]
#[derive(Default, Serialize, Deserialize)]
pub struct Listener;

#[derive(JobParams)]
pub struct Style {
    lines: u32,
}

#[jobs]
impl Listener {
    #[route(POST, "/hook")]
    async fn hook(&self, style: Style) -> JobResult<()> { Ok(drop(style)) }
}

fn main() {}

use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050)]
    async fn work(&self) -> JobResult<String> {
        Ok(String::new())
    }

    #[schedule(every = "1h")]
    async fn refresh(&self, context: &AgentContext) -> JobResult<()> {
        let shared = std::rc::Rc::new(1);
        context.sleep(std::time::Duration::from_secs(1)).await;
        drop(shared);
        Ok(())
    }
}

fn main() {}

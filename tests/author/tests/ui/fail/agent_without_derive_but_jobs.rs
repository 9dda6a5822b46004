use openagents_sdk::{deployment, prelude::*};
#[agent(name = "a")]
pub struct A { n: u64 }
#[jobs]
impl A {
    #[job(kind = 5050)]
    async fn one(&self, text: Text) -> JobResult<String> { Ok(text.to_string()) }
}
deployment! { agents: [A] }

use openagents_sdk::{deployment, prelude::*};
#[derive(Default)]
pub struct Inner { n: u32 }
#[agent(name = "a")]
#[derive(Default, Serialize, Deserialize)]
pub struct A { inner: Inner }
#[jobs]
impl A {
    #[job(kind = 5050)]
    async fn one(&self, text: Text) -> JobResult<String> { Ok(text.to_string()) }
}
deployment! { agents: [A] }

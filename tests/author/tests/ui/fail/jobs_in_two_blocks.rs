use openagents_sdk::{deployment, prelude::*};
#[agent(name = "a")]
#[derive(Default, Serialize, Deserialize)]
pub struct A {}
#[jobs]
impl A {
    #[job(kind = 5050)]
    async fn one(&self, text: Text) -> JobResult<String> { Ok(text.to_string()) }
}
#[jobs]
impl A {
    #[job(kind = 5051)]
    async fn two(&self, text: Text) -> JobResult<String> { Ok(text.to_string()) }
}
deployment! { agents: [A] }

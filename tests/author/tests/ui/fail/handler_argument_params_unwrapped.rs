use openagents_sdk::{deployment, prelude::*};
#[agent(name = "a")]
#[derive(Default, Serialize, Deserialize)]
pub struct A {}
#[derive(JobParams)]
struct Style { rhyme: Option<bool> }
#[jobs]
impl A {
    #[job(kind = 5050)]
    async fn one(&self, text: Text, style: Style) -> JobResult<String> { Ok(text.to_string()) }
}
deployment! { agents: [A] }

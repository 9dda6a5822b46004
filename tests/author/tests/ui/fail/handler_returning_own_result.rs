use openagents_sdk::{deployment, prelude::*};
#[derive(Debug)]
pub struct Oops;
type Result<T> = std::result::Result<T, Oops>;
#[agent(name = "a")]
#[derive(Default, Serialize, Deserialize)]
pub struct A {}
#[jobs]
impl A {
    #[job(kind = 5050)]
    async fn one(&self, text: Text) -> Result<String> { Ok(text.to_string()) }
}
deployment! { agents: [A] }

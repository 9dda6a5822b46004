use openagents_sdk::prelude::*;

#[agent(name = "seller")]
#[derive(Default, Serialize, Deserialize)]
struct Seller;

#[jobs]
impl Seller {
    #[job(kind = 5050, pay = "hold", free = "3/day")]
    async fn write(&self) -> JobResult<String> {
        Ok(String::new())
    }
}

fn main() {}

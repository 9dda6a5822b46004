use openagents_sdk::prelude::*;

#[agent(name = "seller")]
#[derive(Default, Serialize, Deserialize)]
struct Seller;

#[jobs]
impl Seller {
    #[job(kind = 5050, price = "21 sat", free = "3 a day")]
    async fn write(&self) -> JobResult<String> {
        Ok(String::new())
    }
}

fn main() {}

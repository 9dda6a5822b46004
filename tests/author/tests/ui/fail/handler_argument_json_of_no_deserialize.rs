use openagents_sdk::prelude::*;

struct Order {
    pieces: u32,
}

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050)]
    async fn work(&self, Json(order): Json<Order>) -> JobResult<String> {
        Ok(order.pieces.to_string())
    }
}

fn main() {}

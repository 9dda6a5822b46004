use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 7000, timeout = "soon")]
    fn work(self, name: &mut Text) {
        drop((self, name));
    }
}

fn main() {}

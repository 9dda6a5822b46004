//! A deployment with a `WritePolicy` of the author's own.

use openagents_sdk::prelude::*;
use openagents_sdk::relay::{Reason, Submission, WritePolicy};

#[agent(name = "choosy")]
#[derive(Default, Serialize, Deserialize)]
struct Choosy;

#[jobs]
impl Choosy {
    #[job(kind = 5050)]
    async fn answer(&self) -> JobResult<String> {
        Ok("ok".into())
    }
}

struct AtMost(usize);

impl WritePolicy for AtMost {
    fn admit(&self, submission: &Submission<'_>) -> Result<(), Reason> {
        if submission.event.tags.len() > self.0 {
            return Err(Reason::restricted("too many tags"));
        }
        Ok(())
    }
}

mod deployed {
    use super::{AtMost, Choosy};

    openagents_sdk::deployment! { agents: [Choosy], policy: AtMost(7) }
}

#[test]
fn is_accepted() {
    let _: fn() -> std::process::ExitCode = deployed::main;
}

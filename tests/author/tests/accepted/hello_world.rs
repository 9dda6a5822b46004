//! The smallest agent: one struct, one job.

use openagents_sdk::__private::Run;
use openagents_sdk::prelude::*;
use openagents_sdk::{Agent, Jobs};

/// Greets whoever asks.
#[agent(name = "hello-world")]
#[derive(Default, Serialize, Deserialize)]
pub struct HelloWorld {
    greeted: u64,
}

#[jobs]
impl HelloWorld {
    /// Say hello to the name
    /// given as input.
    #[job(kind = 5050, timeout = "30s")]
    async fn hello(&mut self, name: Text) -> JobResult<String> {
        self.greeted += 1;
        Ok(format!("Hello, {name}! You are number {}.", self.greeted))
    }
}

#[test]
fn is_accepted() {
    let declaration = HelloWorld::DECLARATION;
    assert_eq!((declaration.name, declaration.about), ("hello-world", "Greets whoever asks."));
    assert_eq!(declaration.version, env!("CARGO_PKG_VERSION"));
    let [hello] = HelloWorld::HANDLERS else { panic!("one handler") };
    assert!(matches!(hello.run, Run::Exclusive(_)));
    let declaration = hello.declaration;
    assert_eq!((declaration.kind, declaration.name), (5050, "hello"));
    assert_eq!(declaration.about, "Say hello to the name\ngiven as input.");
    assert_eq!((declaration.timeout.as_secs(), declaration.attempts), (30, 3));
    assert_eq!(declaration.inputs[0].unwrap().input_type, "text");
    assert_eq!(declaration.output, "text/plain");
}

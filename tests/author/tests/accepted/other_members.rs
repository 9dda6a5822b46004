//! A `#[jobs]` block beside other methods, in a module of the author's own.

#![deny(warnings)]

use openagents_sdk::Jobs;
use openagents_sdk::prelude::*;

mod translation {
    use super::*;

    #[agent(name = "other-members")]
    #[derive(Serialize, Deserialize)]
    pub struct OtherMembers {
        languages: Vec<String>,
        #[serde(skip)]
        connection: Option<std::net::TcpStream>,
    }

    impl Default for OtherMembers {
        fn default() -> Self {
            Self { languages: vec![Self::FIRST.to_owned()], connection: None }
        }
    }
}

use translation::OtherMembers;

type Answer = JobResult<String>;

#[jobs]
impl translation::OtherMembers {
    pub const FIRST: &str = "en";

    /// Not a handler: neither async nor marked.
    fn answer(text: &str) -> Answer {
        Ok(text.to_owned())
    }

    #[job(kind = 5002)]
    async fn r#move(&self, text: Text) -> Answer {
        Self::answer(&text)
    }

    #[cfg(any())]
    #[job(kind = 5003)]
    async fn stream(&self) -> Missing {}

    #[cfg(not(any()))]
    #[job(kind = 5003)]
    async fn stream(&self) -> Answer {
        Self::answer(Self::FIRST)
    }
}

/// Apart, since it writes a `main` function.
mod deployment {
    openagents_sdk::deployment!(super::OtherMembers);
}

#[test]
fn is_accepted() {
    let _ = deployment::main;
    let names: Vec<&str> = OtherMembers::HANDLERS.iter().map(|handler| handler.declaration.name).collect();
    assert_eq!(names, ["move", "stream"]);
}

//! Deployments of a relay without an agent, with and without a policy.

mod empty {
    openagents_sdk::deployment! { agents: [] }
}

mod with_policy {
    use openagents_sdk::relay::{Reason, Submission, WritePolicy};

    struct Anything;

    impl WritePolicy for Anything {
        fn admit(&self, _: &Submission<'_>) -> Result<(), Reason> {
            Ok(())
        }
    }

    openagents_sdk::deployment! { agents: [], policy: Anything }
}

#[test]
fn is_accepted() {
    let _: [fn() -> std::process::ExitCode; 2] = [empty::main, with_policy::main];
}

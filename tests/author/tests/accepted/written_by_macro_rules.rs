//! Agents whose names, types, attributes and values are the variables of a `macro_rules!` macro.

#![deny(warnings)]

use openagents_sdk::__private::ParamMap;
use openagents_sdk::prelude::*;
use openagents_sdk::serde_json::{Value, from_str, json};
use openagents_sdk::{Agent, Jobs};

/// Only the names and types come from the caller.
macro_rules! agent_named {
    ($agent:ident, $field:ident: $state:ty, $params:ident: $param:ty, $several:ty, $choice:ident::$variant:ident) => {
        #[agent(name = "named", state_version = 2)]
        #[derive(Default, Serialize, Deserialize)]
        pub struct $agent {
            $field: $state,
        }

        #[derive(JobParams)]
        pub struct $params {
            #[param(default = 5, min = 1, max = 9)]
            $field: $param,
            several: $several,
            choice: Option<$choice>,
        }

        #[derive(Debug, PartialEq, ParamChoice)]
        pub enum $choice {
            $variant,
        }
    };
}

/// The methods, the types of their arguments and what they return.
macro_rules! jobs_of {
    (
        $agent:ty, $job:ident($($argument:ident: $input:ty),*) -> $output:ty,
        $quote:ident($request:ty) -> $price:ty, $schedule:ident($context:ty) -> $done:ty,
        $migrate:ident($version:ty, $state:ty) -> $migrated:ty
    ) => {
        #[jobs]
        impl $agent {
            #[job(kind = 5050)]
            async fn $job(&self, $($argument: $input),*) -> $output {
                $(let _ = &$argument;)*
                Ok(String::new())
            }

            #[price(kind = 5050)]
            fn $quote(&self, request: $request) -> $price {
                let _ = request;
                Price::FREE
            }

            #[schedule(every = "10m")]
            async fn $schedule(&mut self, context: $context) -> $done {
                let _ = context;
                Ok(())
            }

            #[on_wake]
            async fn wake(&self, context: $context) -> $done {
                let _ = context;
                Ok(())
            }

            #[migrate]
            fn $migrate(version: $version, state: $state) -> $migrated {
                let _ = version;
                Ok(state)
            }
        }
    };
}

/// The attributes and their values.
macro_rules! agent_with {
    ($name:expr, $queue:literal, $(#[$attribute:meta])* $agent:ident { $($field:ident: $ty:ty),* }) => {
        #[agent(name = $name, queue = $queue)]
        $(#[$attribute])*
        pub struct $agent {
            $($field: $ty),*
        }

        #[jobs]
        impl $agent {
            #[job(kind = 5051)]
            async fn run(&self) -> JobResult<()> {
                Ok(())
            }
        }
    };
}

macro_rules! params_with {
    ($params:ident, $default:literal, $minimum:literal) => {
        #[derive(JobParams)]
        pub struct $params {
            #[param(default = $default, min = -$minimum)]
            level: i64,
        }
    };
}

/// Everything but the name.
macro_rules! agent_made_of {
    ($derive:ident, $(#[$attribute:meta])* { $($fields:tt)* }) => {
        #[agent(name = "made-of")]
        #[derive(Default, Serialize, $derive)]
        $(#[$attribute])*
        struct MadeOf { $($fields)* }
    };
}

/// The whole item.
macro_rules! passed_on {
    ($($item:item)*) => { $($item)* };
}

/// Apart, since `deployment!` writes a `main` function.
macro_rules! deployment_of {
    ($agent:ty) => {
        mod deployment {
            openagents_sdk::deployment! { agents: [$agent] }
        }
    };
}

agent_named!(Named, runs: u64, NamedParams: u8, Vec<String>, Mode::Fast);

jobs_of!(
    Named, work(context: &AgentContext, text: Text, params: &Params<NamedParams>) -> JobResult<String>,
    quote(&JobRequest) -> Price, refresh(&AgentContext) -> JobResult<()>,
    migrate(u32, Value) -> JobResult<Value>
);

agent_with!(
    "with-attributes", 7,
    /// Has attributes of its caller.
    #[derive(Default, Serialize, Deserialize)]
    WithAttributes { runs: u64, names: Vec<String> }
);

agent_made_of!(Deserialize, #[derive(Clone)] { runs: u64 });

params_with!(Level, -1, 3);

passed_on! {
    #[agent(name = "passed-on")]
    #[derive(Default, Serialize, Deserialize)]
    struct PassedOn {
        runs: u64,
    }

    #[jobs]
    impl PassedOn {
        #[job(kind = 5052)]
        async fn run(&mut self, text: &Text) -> JobResult<()> {
            self.runs += u64::from(text.is_empty());
            Ok(())
        }
    }
}

deployment_of!(super::Named);

#[test]
fn is_accepted() {
    let _ = deployment::main;
    assert_eq!(from_str::<Named>("{}").unwrap().runs, 0);
    assert_eq!(from_str::<WithAttributes>(r#"{"runs": 3}"#).unwrap().runs, 3);
    assert_eq!(from_str::<MadeOf>("{}").unwrap().runs, 0);
    assert_eq!(from_str::<PassedOn>("{}").unwrap().runs, 0);

    let WithAttributes { names, .. } = WithAttributes::default();
    assert!(names.is_empty());
    let declared = WithAttributes::DECLARATION;
    assert_eq!((declared.name, declared.queue), ("with-attributes", 7));
    assert_eq!(declared.about, "Has attributes of its caller.");

    let [work] = Named::HANDLERS else { panic!("one handler") };
    assert_eq!(work.declaration.name, "work");
    assert!(work.quote.is_some());
    let required: Vec<_> =
        NamedParams::DECLARATIONS.iter().map(|param| (param.name, param.required, param.several)).collect();
    assert_eq!(required, [("runs", false, false), ("several", false, true), ("choice", false, false)]);
    let params = NamedParams::from_params(&ParamMap::default()).unwrap();
    assert_eq!((params.runs, params.several.len(), params.choice), (5, 0, None));
    assert_eq!(Level::from_params(&ParamMap::default()).unwrap().level, -1);
    assert_eq!((Level::DECLARATIONS[0].default, Level::DECLARATIONS[0].minimum), (Some("-1"), Some(-3.0)));
    assert_eq!(Named::HOOKS.migrate.unwrap()(1, json!({})).unwrap(), json!({}));
}

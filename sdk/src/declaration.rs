//! What agents, handlers and schedules declare: constants that the macros write and the engine reads.

mod agent;
mod deployment;
mod job;
mod schedule;

pub use agent::{AgentDeclaration, Requests};
pub use deployment::{DeployedAgent, DeploymentDeclaration};
pub use job::{InputDeclaration, JobDeclaration, ParamDeclaration};
pub(crate) use schedule::next_time;
pub use schedule::{ScheduleDeclaration, ScheduleRule};

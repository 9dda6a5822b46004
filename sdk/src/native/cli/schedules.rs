//! The command `schedules`: lists the schedules of a running agent, and runs one now.

use openagents_host::http::Method;
use openagents_host::native::now;
use openagents_host::net::HttpRequest;
use openagents_host::nostr::http_auth::{authorization, authorization_of_body};

use super::arguments::{SchedulesArguments, SchedulesCommand};
use super::inspect::{InspectError, accepted, agent_at, at, base, encoded, keys, tables};
use super::terminal::{foreign_output, say};
use crate::author::agent::Jobs;

pub(in crate::native) async fn run<A: Jobs>(arguments: &SchedulesArguments) -> Result<(), InspectError> {
    let keys = keys::<A>(&arguments.agent)?;
    let base = base(&arguments.agent.url)?;
    let schedules = format!("/agent/{}/schedules", agent_at(&base).await?);
    let shown = match &arguments.command {
        SchedulesCommand::List { page } => {
            let mut url = at(&base, &schedules);
            url.query_pairs_mut().append_pair("limit", &page.limit.to_string());
            let header = authorization(&keys, url.as_str(), "GET", now());
            let json = accepted(HttpRequest::get(url.as_str()).header("authorization", header), &url).await?;
            if arguments.json {
                json
            } else {
                tables::schedules(&json).map_err(|error| InspectError::Json { url, error })?
            }
        }
        SchedulesCommand::Run { name, key } => {
            let mut url = at(&base, &format!("{schedules}/{}", encoded(name)));
            if !key.is_empty() {
                url.query_pairs_mut().append_pair("key", key);
            }
            let header = authorization_of_body(&keys, url.as_str(), "POST", now(), b"");
            let request = HttpRequest::new(Method::POST, url.as_str()).header("authorization", header);
            let json = accepted(request, &url).await?;
            if arguments.json { json } else { format!("{name} is due now") }
        }
    };
    say(format_args!("{}", foreign_output(shown.trim_end())));
    Ok(())
}

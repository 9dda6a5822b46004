//! The command `audit`: lists the records of a gateway's audit, and shows one.

use openagents_host::native::now;
use openagents_host::net::HttpRequest;
use openagents_host::nostr::http_auth::authorization;
use serde::Deserialize;

use super::arguments::{AuditArguments, AuditCommand};
use super::inspect::{InspectError, accepted, at, base, encoded, keys};
use super::terminal::{foreign_output, say};
use crate::author::agent::Jobs;

/// A page of keys.
#[derive(Deserialize)]
struct KeyPage {
    keys: Vec<String>,
    next: Option<String>,
}

pub(in crate::native) async fn run<A: Jobs>(arguments: &AuditArguments) -> Result<(), InspectError> {
    let keys = keys::<A>(&arguments.agent)?;
    let base = base(&arguments.agent.url)?;
    let url = match &arguments.command {
        AuditCommand::List { prefix, from, to, after, page } => {
            let mut url = at(&base, "/audit");
            let numbers = [("from", from), ("to", to)];
            let numbers =
                numbers.into_iter().filter_map(|(name, number)| Some((name, number.as_ref()?.to_string())));
            url.query_pairs_mut()
                .append_pair("limit", &page.limit.to_string())
                .append_pair("prefix", prefix)
                .extend_pairs(numbers)
                .extend_pairs(after.iter().map(|after| ("after", after)));
            url
        }
        AuditCommand::Get { key } => {
            at(&base, &format!("/audit/{}", encoded(key.strip_prefix("audit/").unwrap_or(key))))
        }
    };
    let header = authorization(&keys, url.as_str(), "GET", now());
    let json = accepted(HttpRequest::get(url.as_str()).header("authorization", header), &url).await?;
    let shown = match &arguments.command {
        AuditCommand::List { .. } if !arguments.json => {
            let page: KeyPage =
                serde_json::from_str(&json).map_err(|error| InspectError::Json { url, error })?;
            let more = page.next.map(|next| format!("there are more: --after {next}"));
            page.keys.into_iter().chain(more).collect::<Vec<_>>().join("\n")
        }
        _ => json,
    };
    say(format_args!("{}", foreign_output(shown.trim_end())));
    Ok(())
}

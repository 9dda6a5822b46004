//! Relay lists (NIP-65): the relays that a customer reads from.

use openagents_host::net::{Reach, RelayClient};
use openagents_host::{Event, Keys, Kind, PublicKey};
use openagents_relay::Filter;

use crate::log;

/// The kind of relay lists (NIP-65).
pub(super) const RELAY_LIST: Kind = Kind(10_002);

/// The relays that a customer reads from (NIP-65). The list comes from the agent's own relay, which `own` queries, or
/// else from the relay on which the request was seen, where `keys` are
/// the agent's.
pub(crate) async fn customer_relays<F: Future<Output = Vec<Event>>>(
    customer: PublicKey,
    source: &str,
    reach: Reach,
    keys: &Keys,
    own: impl FnOnce(Vec<Filter>) -> F,
) -> Vec<String> {
    let lists = own(vec![Filter::new().kinds([RELAY_LIST.0]).authors([customer]).limit(1)]).await;
    if let Some(list) = lists.first() {
        return read_relays(list);
    }
    let asked = async {
        let mut relay = RelayClient::connect(source, reach, keys).await?;
        let filter = Filter::new().kinds([RELAY_LIST.0]).authors([customer]).limit(1);
        let lists = relay.query(&[filter]).await;
        relay.close().await;
        lists
    };
    match asked.await {
        Ok(lists) => {
            let newest = lists.into_iter().max_by_key(|list| list.created_at);
            newest.map(|list| read_relays(&list)).unwrap_or_default()
        }
        Err(error) => {
            log::warn(format_args!("cannot read the relay list of {customer} from {source}: {error}"));
            Vec::new()
        }
    }
}

/// The relays at which somebody expects direct messages (kind 10050, NIP-17), according to the agent's own relay, which
/// `own` queries.
pub(crate) async fn inbox_relays<F: Future<Output = Vec<Event>>>(
    receiver: PublicKey,
    own: impl FnOnce(Vec<Filter>) -> F,
) -> Vec<String> {
    let filter = Filter::new().kinds([Kind::DIRECT_MESSAGE_RELAYS.0]).authors([receiver]).limit(1);
    let lists = own(vec![filter]).await;
    let relays = lists.first().map(|list| list.tag_values("relay").map(str::to_owned).collect());
    relays.unwrap_or_default()
}

/// The read relays in a relay list.
pub(super) fn read_relays(list: &Event) -> Vec<String> {
    let reads = |tag: &&Vec<String>| tag.get(2).is_none_or(|marker| marker != "write");
    list.tags_named("r").filter(reads).filter_map(|tag| tag.get(1)).cloned().collect()
}

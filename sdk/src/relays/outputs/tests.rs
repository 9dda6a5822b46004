//! Looking for the outputs of other jobs among many other events.

use std::sync::Mutex;

use async_trait::async_trait;
use openagents_host::net::{Reach, RelayLimits};
use openagents_host::{Keys, Timestamp, UnsignedEvent, VerifiedEvent};

use super::*;
use crate::engine::{Lease, Report, StateQuery, StateReply};
use crate::error::JobError;

const FAR: &str = "wss://far.example";

fn keys(number: u8) -> Keys {
    Keys::from_secret(&[number; 32]).unwrap()
}

/// A host whose relays have these events and answer as relays do: the newest first, `limit` of each filter.
struct Relays {
    keys: Keys,
    own: Vec<VerifiedEvent>,
    far: Vec<VerifiedEvent>,
    filters: Mutex<Vec<usize>>,
    /// Where external relays were queried. All but [`FAR`] are silent.
    connections: Mutex<Vec<String>>,
}

impl Relays {
    fn new(own: Vec<VerifiedEvent>, far: Vec<VerifiedEvent>) -> Self {
        Self { keys: keys(4), own, far, filters: Mutex::default(), connections: Mutex::default() }
    }

    fn query(&self, stored: &[VerifiedEvent], filters: &[Filter]) -> Vec<VerifiedEvent> {
        self.filters.lock().unwrap().push(filters.len());
        let mut stored = stored.to_vec();
        stored.sort_by_key(|event| std::cmp::Reverse(event.created_at));
        let found = filters.iter().flat_map(|filter| {
            let limit = filter.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap());
            stored.iter().filter(|event| filter.matches(event)).take(limit)
        });
        found.cloned().collect()
    }
}

#[async_trait]
impl HandlerHost for Relays {
    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn reach(&self) -> Reach {
        Reach::default()
    }

    fn report(&self, _: Lease, _: Report) {}

    async fn query_state(&self, _: StateQuery) -> Result<StateReply, JobError> {
        Ok(StateReply::Keys(Vec::new()))
    }

    async fn events(&self, filters: Vec<Filter>) -> Result<Vec<Event>, JobError> {
        Ok(self.query(&self.own, &filters).iter().map(|event| (**event).clone()).collect())
    }

    async fn external_events(
        &self,
        url: &str,
        filters: Vec<Filter>,
        _: RelayLimits,
    ) -> Result<Vec<VerifiedEvent>, RelayError> {
        self.connections.lock().unwrap().push(url.to_owned());
        if url != FAR {
            std::future::pending::<()>().await;
        }
        Ok(self.query(&self.far, &filters))
    }
}

fn request(provider: Option<&Keys>) -> VerifiedEvent {
    let request = UnsignedEvent::new(Kind(5_300), "");
    let request = match provider {
        Some(provider) => request.tag(["p", &provider.public_key().to_hex()]),
        None => request,
    };
    request.sign(&keys(3), Timestamp::from_seconds(1_000))
}

fn about(request: &VerifiedEvent, by: &Keys, kind: u16, created_at: u64) -> VerifiedEvent {
    UnsignedEvent::new(Kind(kind), "about it")
        .tag(["e", &request.id.to_hex()])
        .sign(by, Timestamp::from_seconds(created_at))
}

/// Many newer events of others that refer to the request.
fn crowd(request: &VerifiedEvent, kind: u16) -> Vec<VerifiedEvent> {
    (2_000..2_101).map(|second| about(request, &keys(9), kind, second)).collect()
}

async fn found(relays: &Relays, wanted: &VerifiedEvent) -> Vec<EventId> {
    let found = outputs(relays, &SilentRelays::default(), &[wanted.id], &[FAR.to_owned()]).await;
    found.iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn other_events_about_a_request_do_not_hide_its_result() {
    let provider = keys(6);
    let request = request(Some(&provider));
    let result = about(&request, &provider, 6_300, 1_500);
    for kind in [1, 7_000, 6_300] {
        let crowd = crowd(&request, kind);
        let all: Vec<_> = crowd.into_iter().chain([request.clone(), result.clone()]).collect();
        for relays in [Relays::new(all.clone(), vec![]), Relays::new(vec![], all.clone())] {
            let ids = found(&relays, &request).await;
            assert!(ids.contains(&request.id) && ids.contains(&result.id), "hidden by events of kind {kind}");
        }
    }
}

#[tokio::test]
async fn notes_do_not_hide_the_result_of_a_request_that_no_relay_has() {
    let request = request(None);
    let result = about(&request, &keys(6), 6_300, 1_500);
    let relays = Relays::new(crowd(&request, 1).into_iter().chain([result.clone()]).collect(), vec![]);
    assert_eq!(found(&relays, &request).await, [result.id]);
}

#[tokio::test]
async fn results_come_in_the_order_of_the_relays_and_then_of_their_times() {
    let request = request(None);
    let [early, late] = [1_100, 1_200].map(|at| about(&request, &keys(6), 6_300, at));
    let too_early = about(&request, &keys(7), 6_300, 0);
    let own = vec![late.clone(), too_early, request.clone(), early.clone()];
    let relays = Relays::new(own, vec![]);
    assert_eq!(found(&relays, &request).await, [request.id, early.id, late.id]);
    let afar = about(&request, &keys(7), 6_300, 1_050);
    let relays = Relays::new(vec![request.clone()], vec![afar.clone()]);
    assert_eq!(found(&relays, &request).await, [request.id, afar.id]);
}

#[tokio::test]
async fn many_wanted_outputs_take_few_filters() {
    let requests: Vec<_> = (0..16_u8)
        .map(|number| {
            let request = UnsignedEvent::new(Kind(5_300 + u16::from(number)), "");
            let request =
                if number % 3 == 0 { request } else { request.tag(["p", &keys(6).public_key().to_hex()]) };
            request.sign(&keys(3), Timestamp::from_seconds(1_000))
        })
        .collect();
    let relays = Relays::new(requests[..12].to_vec(), vec![]);
    let wanted: Vec<EventId> = requests.iter().map(|request| request.id).collect();
    outputs(&relays, &SilentRelays::default(), &wanted, &[FAR.to_owned()]).await;
    let filters = relays.filters.lock().unwrap().clone();
    assert!(filters.iter().all(|filters| *filters <= 4), "{filters:?}");
}

#[tokio::test(start_paused = true)]
async fn silent_relays_hide_nothing_and_are_skipped_the_next_time() {
    let request = request(None);
    let result = about(&request, &keys(6), 6_300, 1_500);
    let relays = Relays::new(vec![], vec![request.clone(), result.clone()]);
    let silent = SilentRelays::default();
    let mut named: Vec<String> = (0..7).map(|number| format!("wss://{number}.silent.example")).collect();
    named.push(FAR.to_owned());
    let look_up = async || {
        let found = outputs(&relays, &silent, &[request.id], &named).await;
        let queried = std::mem::take(&mut *relays.connections.lock().unwrap());
        (found.iter().map(|event| event.id).collect::<Vec<_>>(), queried)
    };
    let begun = tokio::time::Instant::now();
    let (found, queried) = look_up().await;
    assert_eq!((found, queried.len()), (vec![request.id, result.id], 8));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let (found, queried) = look_up().await;
    assert_eq!(found, [request.id, result.id]);
    // The second four were not asked long enough to be known as silent.
    assert_eq!(queried.len(), 4, "{queried:?}");
    assert!(queried.iter().all(|url| !named[..4].contains(url)), "{queried:?}");
}

#[tokio::test(start_paused = true)]
async fn only_four_hosts_are_queried_at_once_and_each_once_at_a_time() {
    let request = request(None);
    let relays = Relays::new(vec![], vec![]);
    let names =
        ["a.example", "a.example/1", "a.example:4443", "b.example", "c.example", "d.example", "e.example"];
    let named = names.map(|name| format!("wss://{name}"));
    let silent = SilentRelays::default();
    let wanted = [request.id];
    let search = outputs(&relays, &silent, &wanted, &named);
    assert!(timeout(Duration::from_secs(1), search).await.is_none(), "they are silent");
    let queried = relays.connections.lock().unwrap().clone();
    assert_eq!(
        queried,
        ["a.example", "b.example", "c.example", "d.example"].map(|name| format!("wss://{name}"))
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_once_everything_is_found() {
    let request = request(None);
    let result = about(&request, &keys(6), 6_300, 1_500);
    let relays = Relays::new(vec![], vec![request.clone(), result.clone()]);
    let named = ["wss://silent.example".to_owned(), FAR.to_owned()];
    let begun = tokio::time::Instant::now();
    let found = outputs(&relays, &SilentRelays::default(), &[request.id], &named).await;
    assert_eq!((found.len(), begun.elapsed()), (2, Duration::ZERO));
    // What is on the own relay needs no other.
    let relays = Relays::new(vec![request.clone(), result], vec![]);
    outputs(&relays, &SilentRelays::default(), &[request.id], &named).await;
    assert!(relays.connections.lock().unwrap().is_empty());
    // An output that only some may read does not end the search.
    let sealed = UnsignedEvent::new(Kind(6_300), "sealed")
        .tag(["e", &request.id.to_hex()])
        .tag(["encrypted"])
        .sign(&keys(6), Timestamp::from_seconds(1_500));
    let relays = Relays::new(vec![request.clone(), sealed], vec![]);
    outputs(&relays, &SilentRelays::default(), &[request.id], &named).await;
    assert_eq!(relays.connections.lock().unwrap().len(), 2);
}

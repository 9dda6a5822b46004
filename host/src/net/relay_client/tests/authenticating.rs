//! Relays that require authentication (NIP-42).

use std::sync::{Arc, Mutex};

use super::*;

/// How a relay behaves that requires authentication for everything.
#[derive(Clone)]
struct Script {
    /// When it sends a challenge.
    challenge: Challenge,
    /// Its `OK` for an authentication; `None` if it does not answer.
    verdict: Option<(bool, &'static str)>,
    /// Whether it goes on refusing after it has accepted an authentication.
    is_never_content: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Challenge {
    AtOnce,
    BeforeEachRefusal,
    AfterEachRefusal,
    Never,
    TooLong,
}

const WILLING: Script =
    Script { challenge: Challenge::AtOnce, verdict: Some((true, "")), is_never_content: false };

/// What a relay was sent.
type Log = Arc<Mutex<Vec<Value>>>;

/// A relay that has `note(1)` and acts by a script, with its URL.
async fn demanding(script: Script) -> (String, Log) {
    let log = Log::default();
    let received = Arc::clone(&log);
    let url = serve(move |mut socket: Served| {
        let (script, received) = (script.clone(), Arc::clone(&received));
        async move {
            let (mut authenticated, mut challenges) = (false, 0);
            let mut challenge = || {
                challenges += 1;
                json!(["AUTH", format!("challenge {challenges}")])
            };
            let mut answers = match script.challenge {
                Challenge::AtOnce => vec![challenge()],
                Challenge::TooLong => vec![json!(["AUTH", "x".repeat(5_000)])],
                _ => vec![],
            };
            loop {
                for answer in answers {
                    let _ = socket.send(Message::text(answer.to_string())).await;
                }
                let Some(Ok(message)) = socket.next().await else { return };
                let Message::Text(text) = message else { return };
                let message: Value = serde_json::from_str(&text).unwrap();
                received.lock().unwrap().push(message.clone());
                let may = authenticated && !script.is_never_content;
                answers = match message[0].as_str() {
                    Some("AUTH") => {
                        authenticated |= script.verdict.is_some_and(|(accepted, _)| accepted);
                        let verdict = script.verdict.iter();
                        verdict
                            .map(|(accepted, reason)| json!(["OK", message[1]["id"], accepted, reason]))
                            .collect()
                    }
                    Some("EVENT") if may => vec![json!(["OK", message[1]["id"], true, ""])],
                    Some("REQ") if may => {
                        vec![json!(["EVENT", message[1], value(&note(1))]), json!(["EOSE", message[1]])]
                    }
                    Some("EVENT") => {
                        vec![json!(["OK", message[1]["id"], false, "auth-required: members only"])]
                    }
                    Some("REQ") => vec![json!(["CLOSED", message[1], "auth-required: members only"])],
                    _ => vec![],
                };
                let has_refused =
                    answers.iter().any(|answer| answer.to_string().contains("auth-required: members"));
                match script.challenge {
                    Challenge::BeforeEachRefusal if has_refused => answers.insert(0, challenge()),
                    Challenge::AfterEachRefusal if has_refused => answers.push(challenge()),
                    _ => {}
                }
            }
        }
    })
    .await;
    (url, log)
}

fn customer() -> Keys {
    Keys::from_secret(&[7; 32]).unwrap()
}

async fn client_of(url: &str) -> RelayClient {
    connect(url).await.authenticating(url, &customer())
}

/// The verbs of the messages that a relay was sent.
fn verbs(log: &Log) -> Vec<String> {
    log.lock().unwrap().iter().map(|message| message[0].as_str().unwrap().to_owned()).collect()
}

fn authentications(log: &Log) -> Vec<VerifiedEvent> {
    let log = log.lock().unwrap();
    let sent = log.iter().filter(|message| message[0] == "AUTH");
    sent.map(|message| Event::from_json(&message[1].to_string()).unwrap().verify().unwrap()).collect()
}

const EVERY_WAY: [Challenge; 3] =
    [Challenge::AtOnce, Challenge::BeforeEachRefusal, Challenge::AfterEachRefusal];

#[tokio::test]
async fn an_event_is_sent_again_after_authentication() {
    for challenge in EVERY_WAY {
        let (url, log) = demanding(Script { challenge, ..WILLING }).await;
        let mut client = client_of(&url).await;
        assert_eq!(client.publish(&note(2)).await, Ok(PublishOutcome::Accepted));
        assert_eq!(verbs(&log), ["EVENT", "AUTH", "EVENT"]);
        let [proof] = authentications(&log).try_into().unwrap();
        assert_eq!((proof.kind, proof.pubkey), (Kind(22_242), customer().public_key()));
        assert_eq!(proof.tag_values("relay").collect::<Vec<_>>(), [&url]);
        assert_eq!(proof.tag_values("challenge").collect::<Vec<_>>(), ["challenge 1"]);
        // Once is enough for a connection.
        assert_eq!(client.publish(&note(3)).await, Ok(PublishOutcome::Accepted));
        assert_eq!(authentications(&log).len(), 1);
    }
}

#[tokio::test]
async fn a_query_is_repeated_after_authentication() {
    for challenge in EVERY_WAY {
        let (url, log) = demanding(Script { challenge, ..WILLING }).await;
        assert_eq!(client_of(&url).await.query(&[Filter::new()]).await, Ok(vec![note(1)]));
        assert_eq!(verbs(&log)[..3], ["REQ", "AUTH", "REQ"]);
    }
}

#[tokio::test]
async fn subscriptions_are_repeated_after_authentication_under_their_ids() {
    for challenge in EVERY_WAY {
        let (url, log) = demanding(Script { challenge, ..WILLING }).await;
        let mut client = client_of(&url).await;
        let ids = [
            client.subscribe(&[Filter::new()]).await.unwrap(),
            client.subscribe(&[Filter::new().kinds([1])]).await.unwrap(),
        ];
        for id in &ids {
            assert_eq!(next(&mut client).await, Some(Ok((id.clone(), note(1)))));
        }
        assert_eq!(authentications(&log).len(), 1);
        let requests: Vec<Value> =
            log.lock().unwrap().iter().filter(|message| message[0] == "REQ").cloned().collect();
        assert_eq!((requests.len(), &requests[0], &requests[1]), (4, &requests[2], &requests[3]));
    }
}

#[tokio::test]
async fn a_subscription_is_repeated_although_nobody_waits_for_long() {
    let (url, _) = demanding(WILLING).await;
    let mut client = client_of(&url).await;
    let id = client.subscribe(&[Filter::new()]).await.unwrap();
    let mut heard = None;
    for _ in 0..5_000 {
        heard = timeout(SECOND / 1_000, client.next_event()).await.ok();
        if heard.is_some() {
            break;
        }
    }
    assert_eq!(heard, Some(Some(Ok((id, note(1))))));
}

#[tokio::test]
async fn a_subscription_and_an_event_share_one_authentication() {
    let (url, log) = demanding(WILLING).await;
    let mut client = client_of(&url).await;
    let id = client.subscribe(&[Filter::new()]).await.unwrap();
    assert_eq!(client.publish(&note(2)).await, Ok(PublishOutcome::Accepted));
    assert_eq!(next(&mut client).await, Some(Ok((id, note(1)))));
    assert_eq!(authentications(&log).len(), 1);
}

#[tokio::test]
async fn nobody_authenticates_who_need_not() {
    let url = serve(async |mut socket: Served| {
        socket.send(Message::text(r#"["AUTH","who are you?"]"#)).await.unwrap();
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            let message: Value = serde_json::from_str(&text).unwrap();
            // An authentication would be refused, and then the next event too.
            let refusal = json!(["OK", message[1]["id"], message[0] == "EVENT", "restricted: not you"]);
            socket.send(Message::text(refusal.to_string())).await.unwrap();
        }
    })
    .await;
    let mut client = client_of(&url).await;
    for number in 0..3 {
        assert_eq!(client.publish(&note(number)).await, Ok(PublishOutcome::Accepted));
    }
}

#[tokio::test]
async fn without_a_key_the_refusal_stands() {
    let (url, log) = demanding(WILLING).await;
    let mut client = connect(&url).await;
    let refusal = Reason::auth_required("members only");
    assert_eq!(client.publish(&note(2)).await, Ok(PublishOutcome::Refused(refusal.clone())));
    let subscription = client.subscribe(&[Filter::new()]).await.unwrap();
    assert_eq!(next(&mut client).await, Some(Err(RelayError::Closed { subscription, reason: refusal })));
    assert!(authentications(&log).is_empty());
}

#[tokio::test]
async fn a_key_that_is_not_permitted_is_shown_once() {
    let (url, log) = demanding(Script { verdict: Some((false, "restricted: not you")), ..WILLING }).await;
    let mut client = client_of(&url).await;
    let reason = Reason::restricted("not you");
    for number in 0..3 {
        assert_eq!(client.publish(&note(number)).await, Ok(PublishOutcome::Refused(reason.clone())));
    }
    let subscription = client.subscribe(&[Filter::new()]).await.unwrap();
    assert_eq!(
        next(&mut client).await,
        Some(Err(RelayError::Closed { subscription, reason: reason.clone() }))
    );
    let refused = client.query(&[Filter::new()]).await;
    assert!(matches!(&refused, Err(RelayError::Closed { reason: why, .. }) if *why == reason), "{refused:?}");
    assert_eq!(authentications(&log).len(), 1);
}

#[tokio::test]
async fn a_relay_that_is_never_content_is_not_answered_for_ever() {
    for challenge in EVERY_WAY {
        let (url, log) = demanding(Script { challenge, is_never_content: true, ..WILLING }).await;
        let mut client = client_of(&url).await;
        let subscription = client.subscribe(&[Filter::new()]).await.unwrap();
        let reason = Reason::auth_required("members only");
        let closed = RelayError::Closed { subscription, reason: reason.clone() };
        assert_eq!(next(&mut client).await, Some(Err(closed)));
        for number in 0..5 {
            assert_eq!(client.publish(&note(number)).await, Ok(PublishOutcome::Refused(reason.clone())));
            assert!(client.query(&[Filter::new()]).await.is_err());
        }
        assert!(authentications(&log).len() <= 3, "{:?}", verbs(&log));
    }
}

#[tokio::test]
async fn what_the_relay_leaves_unanswered_is_not_awaited_for_ever() {
    let no_challenge = "auth-required: members only; authentication failed: the relay sent no challenge";
    let no_answer = "auth-required: members only; authentication failed: the relay did not answer";
    for (challenge, verdict, expected) in [
        (Challenge::Never, Some((true, "")), no_challenge),
        (Challenge::TooLong, Some((true, "")), no_challenge),
        (Challenge::AtOnce, None, no_answer),
    ] {
        let (url, _) = demanding(Script { challenge, verdict, ..WILLING }).await;
        let connected = connect_with(&url, RelayLimits { timeout: SECOND, ..RelayLimits::default() }).await;
        let mut client = connected.authenticating(&url, &customer());
        let Some(Err(RelayError::Closed { reason, .. })) = ({
            client.subscribe(&[Filter::new()]).await.unwrap();
            next(&mut client).await
        }) else {
            panic!("not closed")
        };
        assert_eq!(reason.to_string(), expected);
        assert_eq!(client.publish(&note(2)).await, Ok(PublishOutcome::Refused(reason)));
    }
}

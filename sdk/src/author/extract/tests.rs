use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use openagents_host::net::Reach;
use openagents_host::{Event, Keys, Kind, PublicKey, Timestamp, UnsignedEvent, VerifiedEvent};
use openagents_relay::Filter;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::{Customer, Document, FromJob, Inputs, NostrEvent, Text};
use crate::author::context::AgentContext;
use crate::author::job::JobContext;
use crate::engine::{JobOutput, Lease, Report, StateQuery, StateReply};
use crate::error::JobError;
use crate::host_port::HandlerHost;
use crate::nip90::JobRequest;
use crate::{Json, Url};

/// A host whose relay has some events.
struct Around {
    keys: Keys,
    reach: Reach,
    stored: Vec<VerifiedEvent>,
}

#[async_trait]
impl HandlerHost for Around {
    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn reach(&self) -> Reach {
        self.reach
    }

    fn report(&self, _: Lease, _: Report) {}

    async fn query_state(&self, _: StateQuery) -> Result<StateReply, JobError> {
        Ok(StateReply::Json(Value::Null))
    }

    async fn events(&self, filters: Vec<Filter>) -> Result<Vec<Event>, JobError> {
        let wanted = |event: &&VerifiedEvent| filters.iter().any(|filter| filter.matches(event));
        Ok(self.stored.iter().filter(wanted).map(|event| (**event).clone()).collect())
    }
}

fn keys(byte: u8) -> Keys {
    Keys::from_secret(&[byte; 32]).unwrap()
}

fn note(text: &str) -> VerifiedEvent {
    UnsignedEvent::new(Kind(1), text).sign(&keys(7), Timestamp::from_seconds(1))
}

/// A job with these `i` tags, on a host without address restrictions.
struct SampleJob {
    inputs: Vec<Vec<String>>,
    content: &'static str,
    reach: Reach,
    stored: Vec<VerifiedEvent>,
    outputs: Vec<JobOutput>,
}

impl SampleJob {
    fn new<const N: usize>(inputs: [&[&str]; N]) -> Self {
        let tag = |input: &[&str]| ["i"].iter().chain(input).map(|word| (*word).to_owned()).collect();
        Self {
            inputs: inputs.into_iter().map(tag).collect(),
            content: "",
            reach: Reach::Anywhere,
            stored: Vec::new(),
            outputs: Vec::new(),
        }
    }

    fn context(self) -> JobContext {
        let event = UnsignedEvent::new(Kind(5000), self.content)
            .tags(self.inputs)
            .sign(&keys(9), Timestamp::from_seconds(5));
        let agent_context = Around { keys: keys(8), reach: self.reach, stored: self.stored };
        let agent_context = AgentContext::new(Arc::new(agent_context), Timestamp::from_seconds(6), None);
        JobContext::new(JobRequest::from_event(event).unwrap(), self.outputs, 1, agent_context)
    }

    async fn take<T: FromJob>(self) -> Result<T, JobError> {
        T::from_job(&self.context()).await
    }

    async fn refuse<T: FromJob>(self) -> JobError {
        self.take::<T>().await.map(drop).unwrap_err()
    }
}

/// A relay with only this event, for one client.
async fn relay_with(event: &VerifiedEvent) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let event = event.clone();
    tokio::spawn(async move {
        let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            let [verb, id, filters @ ..] = &serde_json::from_str::<Vec<Value>>(&text).unwrap()[..] else {
                break;
            };
            if verb == "REQ" {
                if filters.iter().any(|filter| filter["ids"].as_array().unwrap().contains(&json!(event.id))) {
                    let event: Value = serde_json::from_str(event.json()).unwrap();
                    socket.send(Message::text(json!(["EVENT", id, event]).to_string())).await.unwrap();
                }
                socket.send(Message::text(json!(["EOSE", id]).to_string())).await.unwrap();
            }
        }
    });
    url
}

#[tokio::test]
async fn takes_the_first_of_texts_and_job_outputs() {
    let done = note("");
    let id = done.id.to_hex();
    let output = || vec![JobOutput { event: done.id, content: "from a job".to_owned() }];
    let job = |inputs: [&[&str]; 3]| SampleJob { outputs: output(), ..SampleJob::new(inputs) };
    let (url, text, chained): ([_; 2], [_; 2], [_; 2]) =
        (["https://a.example", "url"], ["a text", "text"], [&id, "job"]);
    assert_eq!(&*job([&url, &text, &chained]).take::<Text>().await.unwrap(), "a text");
    assert_eq!(&*job([&url, &chained, &text]).take::<Text>().await.unwrap(), "from a job");
    let all = job([&chained, &url, &text]).take::<Vec<Text>>().await.unwrap();
    assert_eq!(all.iter().map(|text| &**text).collect::<Vec<_>>(), ["from a job", "a text"]);
}

#[tokio::test]
async fn says_which_job_has_no_output() {
    let id = note("").id.to_hex();
    let error = SampleJob::new([&[&id, "job"]]).refuse::<Option<Text>>().await;
    assert!(!error.is_retryable());
    assert!(error.message().contains(&id), "{error}");
}

#[tokio::test]
async fn takes_the_content_where_there_is_no_text() {
    let job = || SampleJob { content: "a prompt", ..SampleJob::new([&["https://a.example", "url"]]) };
    assert_eq!(&*job().take::<Text>().await.unwrap(), "a prompt");
    assert_eq!(&*job().take::<Vec<Text>>().await.unwrap()[0], "a prompt");
    assert_eq!(SampleJob::new([]).take::<Option<Text>>().await.unwrap(), None);
    assert!(SampleJob::new([]).take::<Vec<Text>>().await.unwrap().is_empty());
}

#[tokio::test]
async fn reads_texts_outputs_and_the_content_as_json() {
    let done = note("");
    let id = done.id.to_hex();
    let job = SampleJob {
        outputs: vec![JobOutput { event: done.id, content: "[3]".to_owned() }],
        ..SampleJob::new([&["[1, 2]", "text"], &[&id, "job"]])
    };
    let Json(first) = job.take::<Json<Vec<u32>>>().await.unwrap();
    assert_eq!(first, [1, 2]);
    let job = || SampleJob { content: "{\"a\": 1}", ..SampleJob::new([]) };
    assert_eq!(job().take::<Json<Value>>().await.unwrap().0, json!({"a": 1}));
    assert!(job().refuse::<Json<Vec<u32>>>().await.message().contains("expected a sequence at line 1"));
    assert!(
        job().refuse::<Option<Json<Vec<u32>>>>().await.message().contains("expected a sequence at line 1")
    );
    assert_eq!(SampleJob::new([]).take::<Option<Json<Value>>>().await.unwrap(), None);
    let all = SampleJob::new([&["1", "text"], &["2", "text"]]).take::<Vec<Json<u32>>>().await.unwrap();
    assert_eq!(all, [Json(1), Json(2)]);
    assert!(
        SampleJob::new([]).refuse::<Json<u32>>().await.message().ends_with(r#"["i", "<your JSON>", "text"]"#)
    );
}

#[tokio::test]
async fn says_what_to_send_when_an_input_is_missing() {
    let message = |error: JobError| {
        assert!(!error.is_retryable());
        error.message().to_owned()
    };
    assert_eq!(
        message(SampleJob::new([&["x", "url"]]).refuse::<Text>().await),
        r#"this job needs an input of type text: add a tag ["i", "<your text>", "text"]"#
    );
    assert!(
        message(SampleJob::new([&["x"]]).refuse::<Url>().await).ends_with(r#"["i", "https://…", "url"]"#)
    );
    assert!(message(SampleJob::new([]).refuse::<Document>().await).ends_with(r#"["i", "https://…", "url"]"#));
    assert!(
        message(SampleJob::new([]).refuse::<NostrEvent>().await).ends_with(r#"["i", "<event id>", "event"]"#)
    );
}

#[tokio::test]
async fn takes_addresses_only_where_the_agent_may_reach() {
    let job = |url: &str| SampleJob { reach: Reach::Public, ..SampleJob::new([&[url, "url"]]) };
    let url = job("https://example.com/a?b").take::<Url>().await.unwrap();
    assert_eq!(url.as_str(), "https://example.com/a?b");
    for wrong in ["http://example.com", "https://127.0.0.1/", "file:///etc/passwd", "no address"] {
        for error in [job(wrong).refuse::<Option<Url>>().await, job(wrong).refuse::<Document>().await] {
            assert!(!error.is_retryable(), "{wrong}");
            assert!(error.message().starts_with("the input URL cannot be"), "{error}");
        }
    }
    assert_eq!(SampleJob::new([]).take::<Option<Url>>().await.unwrap(), None);
}

#[tokio::test]
async fn finds_events_on_the_agents_own_relay() {
    let (first, second) = (note("first"), note("second"));
    let ids = [first.id.to_hex(), second.id.to_hex()];
    let job = || SampleJob {
        stored: vec![second.clone(), first.clone()],
        ..SampleJob::new([&[&ids[0], "event"], &["text"], &[&ids[1], "event"]])
    };
    assert_eq!(job().take::<NostrEvent>().await.unwrap().content, "first");
    let all = job().take::<Vec<NostrEvent>>().await.unwrap();
    assert_eq!(all.iter().map(|event| &*event.content).collect::<Vec<_>>(), ["first", "second"]);
}

#[tokio::test]
async fn finds_an_event_on_the_relay_that_the_input_names() {
    let far = note("far away");
    let (id, relay) = (far.id.to_hex(), relay_with(&far).await);
    let found = SampleJob::new([&[&id, "event", &relay]]).take::<NostrEvent>().await.unwrap();
    assert_eq!(found.into_event(), far);
}

#[tokio::test]
async fn tells_an_event_that_is_nowhere_from_a_relay_that_does_not_answer() {
    let id = note("nowhere").id.to_hex();
    let error = SampleJob::new([&[&id, "event"]]).refuse::<NostrEvent>().await;
    assert!(!error.is_retryable() && error.message().contains("wss://"), "{error}");

    let relay = relay_with(&note("another")).await;
    let error = SampleJob::new([&[&id, "event", &relay]]).refuse::<NostrEvent>().await;
    assert!(!error.is_retryable() && error.message().ends_with(&relay), "{error}");

    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = SampleJob::new([&[&id, "event", &format!("ws://{gone}")]]).refuse::<NostrEvent>().await;
    assert!(error.is_retryable() && !error.message().contains("refused"), "{error}");

    let private = SampleJob::new([&[&id, "event", "wss://127.0.0.1"]]);
    let error = SampleJob { reach: Reach::Public, ..private }.refuse::<NostrEvent>().await;
    assert!(!error.is_retryable() && error.message().contains("not a public host"), "{error}");
}

#[tokio::test]
async fn refuses_what_is_no_event_id_and_more_events_than_it_looks_up() {
    let error = SampleJob::new([&["note1abc", "event"]]).refuse::<Option<NostrEvent>>().await;
    assert!(error.message().contains("64 lowercase hex characters"), "{error}");
    let id = note("").id.to_hex();
    let input: &[&str] = &[&id, "event"];
    let error = SampleJob::new([input; 101]).refuse::<Vec<NostrEvent>>().await;
    assert!(error.message().contains("at most 100 events"), "{error}");
}

#[tokio::test]
async fn sorts_all_inputs_by_kind_and_marker() {
    let done = note("");
    let id = done.id.to_hex();
    let inputs = SampleJob {
        outputs: vec![JobOutput { event: done.id, content: "an output".to_owned() }],
        ..SampleJob::new([
            &["a text", "text", "", "source"],
            &[&id, "job"],
            &["https://a.example", "url", "", "source"],
            &[&id, "event"],
            &["no id", "event"],
        ])
    };
    let inputs = inputs.take::<Inputs>().await.unwrap();
    assert_eq!(inputs.len(), 5);
    assert_eq!(inputs.texts().collect::<Vec<_>>(), ["a text", "an output"]);
    assert_eq!(inputs.urls().collect::<Vec<_>>(), ["https://a.example"]);
    assert_eq!(inputs.events().collect::<Vec<_>>(), [done.id]);
    assert_eq!(inputs.jobs().collect::<Vec<_>>(), [done.id]);
    let sources = inputs.with_marker("source");
    assert_eq!((sources.len(), sources.texts().count(), sources.jobs().count()), (2, 1, 0));
    assert!(inputs.with_marker("").is_empty());
}

#[tokio::test]
async fn knows_the_customer() {
    let customer = SampleJob::new([]).take::<Customer>().await.unwrap();
    let key: PublicKey = *customer;
    assert_eq!((key, customer.to_string()), (keys(9).public_key(), keys(9).public_key().to_hex()));
}

#[tokio::test]
async fn fetches_what_is_at_an_address() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/page", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let mut socket = listener.accept().await.unwrap().0;
            let _ = socket.read(&mut [0; 1024]).await;
            let page = "HTTP/1.1 200 OK\r\ncontent-type: Text/HTML; charset=utf-8\r\ncontent-length: 10\r\n\r\n<p>Hé</p>";
            socket.write_all(page.as_bytes()).await.unwrap();
        }
    });
    let documents = SampleJob::new([&[&url, "url"], &[&url, "url"]]).take::<Vec<Document>>().await.unwrap();
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[0].text, "<p>Hé</p>");
    assert_eq!(documents[0].content_type.as_deref(), Some("text/html"));
    assert_eq!(documents[0].url.as_str(), url);

    let input: &[&str] = &[&url, "url"];
    let error = SampleJob::new([input; 9]).refuse::<Vec<Document>>().await;
    assert!(error.message().contains("at most 8 URLs"), "{error}");
}

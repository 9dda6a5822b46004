//! Third-party clients.

use std::process::{Output, Stdio};
use std::time::Duration;

use nostr_sdk::prelude::{
    Client as NostrSdk, Event, EventBuilder, Filter, Keys, Kind, RelayPoolNotification, Tag,
};
use openagents_tests::events::{fresh_author, note, tag_value};
use openagents_tests::server::{Server, repository};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::servers::{Servers, runs_long, scenarios};

scenarios![
    nostr_tools_publishes_queries_and_subscribes,
    nostr_tools_gets_a_job_done,
    nostr_tools_reconnects_after_a_kill,
    ndk_that_was_idle_past_its_keepalive_hears_its_event,
    nostr_sdk_publishes_queries_and_subscribes,
    nostr_sdk_gets_a_job_done,
    nostr_sdk_reconnects_after_a_kill,
];

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

pub(crate) async fn run(mut command: Command) -> Output {
    let running = command.kill_on_drop(true).output();
    timeout(Duration::from_secs(60), running).await.expect("it ends in time").expect("it can be started")
}

/// A Node script in `tests/clients`.
pub(crate) fn node(script: &str, arguments: &[&str]) -> Command {
    let tests = repository().join("tests");
    let mut command = Command::new(tests.join("bin/with-tools"));
    command.arg("node").arg(tests.join("clients").join(script)).args(arguments);
    command
}

async fn nostr_tools_publishes_queries_and_subscribes(servers: &Servers) {
    let output = run(node("relay.mjs", &[&servers.hello_world().url()])).await;
    assert!(output.status.success(), "{}", shown(&output));
}

async fn nostr_tools_gets_a_job_done(servers: &Servers) {
    let server = servers.hello_world();
    let output = run(node("job.mjs", &[&server.url(), &server.agent().to_hex(), "Ada"])).await;
    assert!(output.status.success(), "{}", shown(&output));
    let said = shown(&output);
    assert!(said.contains("6050 Hello, Ada! You are number "), "{said}");
}

/// A running Node script in `tests/clients`, and what it prints.
pub(crate) struct Script {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Script {
    pub(crate) fn start(script: &str, arguments: &[&str]) -> Self {
        let mut command = node(script, arguments);
        let mut process =
            command.kill_on_drop(true).stdout(Stdio::piped()).spawn().expect("it can be started");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { process, lines }
    }

    pub(crate) async fn next_line(&mut self, patience: Duration) -> Option<String> {
        timeout(patience, self.lines.next_line()).await.expect("in time").expect("text")
    }

    pub(crate) async fn succeeds(mut self) -> bool {
        timeout(PATIENCE, self.process.wait()).await.expect("in time").expect("a status").success()
    }
}

async fn nostr_tools_reconnects_after_a_kill(servers: &Servers) {
    let server = servers.own("hello-world");
    let author = fresh_author();
    let mut script = Script::start("reconnect.mjs", &[&server.url(), &author.public_key().to_hex()]);
    assert_eq!(script.next_line(PATIENCE).await.as_deref(), Some("subscribed"));
    server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(script.next_line(PATIENCE).await.as_deref(), Some("subscribed"), "the client came back");
    let event = note(&author, "after the kill");
    openagents_tests::wire::Client::connect(&server.url()).await.publish_accepted(&event).await;
    assert_eq!(script.next_line(PATIENCE).await, Some(format!("event {}", event.id)));
    assert!(script.succeeds().await);
}

async fn ndk_that_was_idle_past_its_keepalive_hears_its_event(servers: &Servers) {
    // NDK waits 5 s for the answer to its question. In `tests/run full` its timer stays as it is.
    let (keepalive, idle) = if runs_long() { (120_000, 300_000) } else { (1_000, 8_000) };
    let server = servers.hello_world();
    let author = fresh_author();
    let arguments = [server.url(), author.public_key().to_hex(), keepalive.to_string(), idle.to_string()];
    let mut script = Script::start("ndk-idle.mjs", &arguments.each_ref().map(String::as_str));
    assert_eq!(script.next_line(PATIENCE).await.as_deref(), Some("subscribed"));
    let asked = script.next_line(PATIENCE + Duration::from_millis(idle)).await.expect("NDK stays connected");
    let times: u64 = asked.split(' ').nth(1).and_then(|times| times.parse().ok()).expect("a number");
    assert!(times >= idle / keepalive / 2, "{asked}");
    let event = note(&author, "after the silence");
    openagents_tests::wire::Client::connect(&server.url()).await.publish_accepted(&event).await;
    assert_eq!(script.next_line(PATIENCE).await, Some(format!("event {}", event.id)));
    assert!(script.succeeds().await);
}

async fn sdk_client(server: &Server, keys: &Keys) -> NostrSdk {
    let client = NostrSdk::new(keys.clone());
    client.add_relay(server.url()).await.expect("a relay URL");
    client.connect().await;
    client.wait_for_connection(Duration::from_secs(10)).await;
    client
}

/// The next event that the pool reports.
async fn next_event(
    notifications: &mut tokio::sync::broadcast::Receiver<RelayPoolNotification>,
    wanted: impl Fn(&Event) -> bool,
) -> Event {
    timeout(PATIENCE, async {
        loop {
            if let Ok(RelayPoolNotification::Event { event, .. }) = notifications.recv().await
                && wanted(&event)
            {
                event.verify().expect("nostr-sdk verifies");
                return *event;
            }
        }
    })
    .await
    .expect("an event in time")
}

async fn nostr_sdk_publishes_queries_and_subscribes(servers: &Servers) {
    let server = servers.hello_world();
    let keys = fresh_author();
    let client = sdk_client(&server, &keys).await;
    // nostr-sdk does not report events to a client that sent them.
    let subscriber = sdk_client(&server, &fresh_author()).await;
    let mut notifications = subscriber.notifications();
    subscriber.subscribe(Filter::new().author(keys.public_key()), None).await.expect("a subscription");

    let sent = client.send_event_builder(EventBuilder::text_note("from nostr-sdk")).await.expect("an answer");
    assert_eq!((sent.success.len(), sent.failed.len()), (1, 0), "{sent:?}");
    let live = next_event(&mut notifications, |_| true).await;
    assert_eq!(live.id, *sent.id());

    let of_author = Filter::new().author(keys.public_key());
    let found = client.fetch_events(of_author.clone(), PATIENCE).await.expect("stored events");
    assert_eq!(found.into_iter().map(|event| event.id).collect::<Vec<_>>(), [live.id]);

    // This client also replaces the older profile with the newer one.
    for (name, second) in [("older", 1_700_000_000), ("newer", 1_700_000_001)] {
        let profile = EventBuilder::new(Kind::Metadata, format!("{{\"name\":\"{name}\"}}"));
        client.send_event_builder(profile.custom_created_at(second.into())).await.expect("an answer");
    }
    let profiles =
        client.fetch_events(of_author.kind(Kind::Metadata), PATIENCE).await.expect("stored events");
    let names: Vec<String> = profiles.into_iter().map(|event| event.content).collect();
    assert_eq!(names, ["{\"name\":\"newer\"}"]);

    let mut forged = note(&keys, "signed");
    forged.content = "not signed".to_owned();
    let refused = client.send_event(&forged).await;
    assert!(refused.is_err() || refused.is_ok_and(|sent| sent.success.is_empty()));
    client.shutdown().await;
}

async fn nostr_sdk_gets_a_job_done(servers: &Servers) {
    let server = servers.hello_world();
    let keys = fresh_author();
    let client = sdk_client(&server, &keys).await;
    let mut notifications = client.notifications();
    let answers = Filter::new().kinds([Kind::JobFeedback, Kind::from(6050)]).pubkey(keys.public_key());
    client.subscribe(answers, None).await.expect("a subscription");
    let request = EventBuilder::new(Kind::from(5050), "")
        .tag(Tag::parse(["i", "Grace", "text"]).expect("a tag"))
        .tag(Tag::public_key(server.agent()));
    let sent = client.send_event_builder(request).await.expect("an answer");
    let result = next_event(&mut notifications, |event| event.kind == Kind::from(6050)).await;
    assert!(result.content.starts_with("Hello, Grace! You are number "), "{}", result.content);
    assert_eq!(result.pubkey, server.agent());
    assert_eq!(tag_value(&result, "e"), Some(sent.id().to_hex()));
    client.shutdown().await;
}

async fn nostr_sdk_reconnects_after_a_kill(servers: &Servers) {
    let server = servers.own("hello-world");
    let keys = fresh_author();
    let client = sdk_client(&server, &keys).await;
    let mut notifications = client.notifications();
    client.subscribe(Filter::new().author(keys.public_key()), None).await.expect("a subscription");
    let before = note(&keys, "before the kill");
    let publish = async |event: &Event| {
        openagents_tests::wire::Client::connect(&server.url()).await.publish_accepted(event).await;
    };
    publish(&before).await;
    assert_eq!(next_event(&mut notifications, |_| true).await.id, before.id);
    server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
    // This client must reconnect by itself and receive it.
    let after = note(&keys, "after the kill");
    publish(&after).await;
    assert_eq!(next_event(&mut notifications, |event| event.id == after.id).await.id, after.id);
    client.shutdown().await;
}

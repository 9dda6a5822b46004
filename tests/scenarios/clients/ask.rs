//! The command `ask` of every agent's program.

use std::fs;
use std::process::{Output, Stdio};

use openagents_tests::server::{Server, binary};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::clients::foreign_clients::{run, shown};
use crate::servers::{Servers, scenarios};

scenarios![
    it_prints_the_result,
    it_counts_on_after_a_kill,
    it_takes_inputs_of_every_type,
    it_uploads_a_file_and_saves_the_one_that_comes_back,
    it_is_the_same_customer_each_time,
    it_tells_the_outcome_in_json,
    it_fails_with_the_reason,
    it_refuses_a_kind_that_the_agent_does_not_have,
    it_waits_no_longer_than_told,
    it_authenticates_if_the_relay_requires_it,
    it_asks_in_private,
    it_cancels,
];

/// `ask` as a customer with a key in the server's folder, without the agent's key and data.
fn ask(server: &Server, deployment: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary(deployment));
    command.arg("ask").args(arguments).args(["--relay", &server.url()]);
    let key = server.data().join("customer/key.nsec");
    command.env_remove("NOSTR_PRIVATE_KEY").env_remove("OPENAGENTS_CUSTOMER_KEY").env("HOME", "/nowhere");
    command.current_dir(server.data());
    if !arguments.contains(&"--new-key") {
        command.arg("--key").arg(key);
    }
    command
}

/// What was printed, if it succeeded.
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", shown(output));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn assert_fails(output: &Output, code: i32, reason: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", shown(output));
    assert!(shown(output).contains(reason), "{}", shown(output));
}

async fn it_prints_the_result(servers: &Servers) {
    let output = run(ask(&servers.hello_world(), "hello-world", &["Ada"])).await;
    assert!(printed(&output).starts_with("Hello, Ada! You are number "), "{}", shown(&output));
}

async fn it_counts_on_after_a_kill(servers: &Servers) {
    let server = servers.own("hello-world");
    let first = run(ask(&server, "hello-world", &["Ada"])).await;
    assert_eq!(printed(&first), "Hello, Ada! You are number 1.");
    server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
    let second = run(ask(&server, "hello-world", &["Grace"])).await;
    assert_eq!(printed(&second), "Hello, Grace! You are number 2.");
}

async fn it_takes_inputs_of_every_type(servers: &Servers) {
    let server = servers.own("probe");
    let file = server.data().join("input.txt");
    fs::write(&file, "from a file\n").expect("it can be written");
    let output = run(ask(&server, "probe", &["--file", file.to_str().expect("UTF-8")])).await;
    assert_eq!(printed(&output), "from a file");

    let mut command = ask(&server, "probe", &["-", "--json"]);
    let mut piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut input = piped.stdin.take().expect("a pipe");
    input.write_all(b"from a pipe\n").await.expect("it reads");
    drop(input);
    let output = piped.wait_with_output().await.expect("it ends");
    let outcome: Value = serde_json::from_str(&printed(&output)).expect("JSON");
    assert_eq!(outcome["content"], "from a pipe");

    // The output of that job, by the id of its request.
    let request = outcome["request"].as_str().expect("an id");
    let output = run(ask(&server, "probe", &["--job", request])).await;
    assert_eq!(printed(&output), "from a pipe");
    // The request itself, as an event.
    let output = run(ask(&server, "probe", &["--kind", "5991", "--event", request])).await;
    assert!(output.status.success(), "{}", shown(&output));

    let output = run(ask(&server, "probe", &["--url", "not a url"])).await;
    assert_fails(&output, 2, "expected a URL such as");
    let output = run(ask(&server, "probe", &["--file", "nothing.txt"])).await;
    assert_fails(&output, 1, "cannot read nothing.txt");
}

async fn it_uploads_a_file_and_saves_the_one_that_comes_back(servers: &Servers) {
    let server = servers.own_with("probe", &[("BLOSSOM_UPLOAD", "agent".to_owned())]);
    let (file, output) = (server.data().join("input.png"), server.data().join("output.png"));
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[number as usize % 3]).collect();
    fs::write(&file, &bytes).expect("it can be written");
    let (path, saved) = (file.to_str().expect("UTF-8"), output.to_str().expect("UTF-8"));
    let ran = run(ask(&server, "probe", &["--kind", "5935", "--file", path, "--output", saved])).await;
    assert!(ran.status.success(), "{}", shown(&ran));
    assert!(shown(&ran).contains("uploaded") && shown(&ran).contains("saved"), "{}", shown(&ran));
    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
    assert!(fs::read(&output).expect("it was saved") == reversed, "{}", shown(&ran));
    // A text of its own is a result as well, and a file that is no text is for jobs that take files.
    let ran = run(ask(&server, "probe", &["a text", "--output", saved])).await;
    assert_eq!(
        (printed(&ran), fs::read(&output).expect("it was saved")),
        (String::new(), b"a text".to_vec())
    );
    fs::write(&file, b"\x89PNG").expect("it can be written");
    let ran = run(ask(&server, "probe", &["--file", path])).await;
    assert_fails(&ran, 1, "takes no files for jobs of kind");
    let agent = server.agent().to_hex();
    let sealed = ["--kind", "5935", "--file", path, "--to", &agent, "--encrypt"];
    assert_fails(&run(ask(&server, "probe", &sealed)).await, 1, "leave out --encrypt");
}

async fn it_is_the_same_customer_each_time(servers: &Servers) {
    let server = servers.own("probe");
    let converse = |more: &[&str]| {
        let arguments = [&["more", "--kind", "5924"], more].concat();
        run(ask(&server, "probe", &arguments))
    };
    let first = converse(&[]).await;
    assert_eq!(printed(&first).lines().count(), 2, "{}", shown(&first));
    assert!(shown(&first).contains("kept in"), "{}", shown(&first));
    let second = converse(&[]).await;
    assert_eq!(printed(&second).lines().count(), 4, "{}", shown(&second));
    let somebody_else = converse(&["--new-key"]).await;
    assert_eq!(printed(&somebody_else).lines().count(), 2, "{}", shown(&somebody_else));
}

async fn it_tells_the_outcome_in_json(servers: &Servers) {
    let server = servers.probe();
    let output = run(ask(&server, "probe", &["please", "--json"])).await;
    let outcome: Value = serde_json::from_str(&printed(&output)).expect("JSON");
    assert_eq!((outcome["status"].as_str(), outcome["content"].as_str()), (Some("success"), Some("please")));
    let output = run(ask(&server, "probe", &["please", "--kind", "5901", "--json"])).await;
    let outcome: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(outcome["status"], "failed");
    assert!(outcome["message"].as_str().is_some_and(|message| message.contains("cannot do: please")));
}

async fn it_fails_with_the_reason(servers: &Servers) {
    let server = servers.probe();
    let output = run(ask(&server, "probe", &["please", "--kind", "5901"])).await;
    assert_fails(&output, 1, "cannot do: please");
    let output = run(ask(&server, "probe", &[])).await;
    assert_fails(&output, 1, "give it after `ask`");
}

async fn it_refuses_a_kind_that_the_agent_does_not_have(servers: &Servers) {
    let server = servers.hello_world();
    let output = run(ask(&server, "hello-world", &["Ada", "--kind", "5100"])).await;
    assert_fails(&output, 3, "does no jobs of kind 5100; its kinds: 5050, 5051");
}

async fn it_waits_no_longer_than_told(servers: &Servers) {
    let slow = ["slow", "--kind", "5904", "--param", "milliseconds=30000", "--timeout", "1"];
    let output = run(ask(&servers.own("probe"), "probe", &slow)).await;
    assert_fails(&output, 4, "no result within 1s. The agent is working on it");
}

async fn it_authenticates_if_the_relay_requires_it(servers: &Servers) {
    for required in ["write", "read", "all"] {
        let server = servers.own_with("hello-world", &[("RELAY_AUTH", required.to_owned())]);
        let output = run(ask(&server, "hello-world", &["Ada"])).await;
        assert_eq!(printed(&output), "Hello, Ada! You are number 1.", "{required}");
    }
}

async fn it_asks_in_private(servers: &Servers) {
    let server = servers.probe();
    let agent = server.agent().to_hex();
    for encrypt in ["--encrypt", "--encrypt=nip04"] {
        let output = run(ask(&server, "probe", &["psst", "--to", &agent, encrypt])).await;
        assert_eq!(printed(&output), "psst", "{}", shown(&output));
    }
    let output = run(ask(&server, "probe", &["psst", "--encrypt"])).await;
    assert_fails(&output, 2, "--to");
}

async fn it_cancels(servers: &Servers) {
    let server = servers.own("probe");
    let agent = server.agent().to_hex();
    let slow = ["slow", "--kind", "5904", "--param", "milliseconds=30000", "--to", &agent];
    let arguments = [slow.as_slice(), &["--cancel-after", "1", "--bid", "5000"]].concat();
    let output = run(ask(&server, "probe", &arguments)).await;
    assert_fails(&output, 1, "cancelled by the customer");
}

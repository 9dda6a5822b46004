//! The data folders in `tests/fixtures`, unpacked, and a server of today on one of them.

use std::fs::File;
use std::process::{Command, Stdio};

use lzma_rust2::XzReader;
use nostr_sdk::nostr::{Keys, PublicKey, ToBech32 as _};
use openagents_tests::events::now;
use openagents_tests::http::{Response, authorization, authorization_of_body, request, request_with_body};
use openagents_tests::server::{Host, Server, empty_folder, repository};
use openagents_tests::wire::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::servers::Servers;

/// A server on the data of a deployment of an earlier commit, and what that data has to have.
pub(super) struct OldDeployment {
    pub(super) server: Server,
    pub(super) expected: Value,
    /// Who may see the agent's records and manage the relay.
    operator: Keys,
}

impl OldDeployment {
    /// Starts today's program on the data of 2a899f3.
    pub(super) fn open(servers: &Servers, deployment: &'static str) -> Self {
        Self::open_of("2a899f3", servers, deployment)
    }

    /// Starts today's program on the data of a commit.
    pub(super) fn open_of(commit: &str, servers: &Servers, deployment: &'static str) -> Self {
        let (data, expected) = unpack(commit, servers.host(), deployment);
        let operator = expected["operator"].as_str().map_or_else(Keys::generate, keys);
        let variables = [
            ("ADMIN_PUBKEYS", operator.public_key().to_hex()),
            ("RELAY_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
        ];
        let server = servers.own_on(deployment, data, &variables);
        Self { server, expected, operator }
    }

    /// The agent, whose key is in the data.
    pub(super) fn agent(&self) -> PublicKey {
        PublicKey::from_hex(text(&self.expected["agent"])).expect("a key")
    }

    pub(super) async fn client(&self) -> Client {
        Client::connect(&self.server.url()).await
    }

    /// What the agent has on record at a path, for its operator.
    pub(super) async fn record(&self, path: &str) -> Value {
        let path = format!("/agent/{}/{path}", self.agent().to_bech32().expect("an npub"));
        let url = format!("http://{}{path}", self.server.address());
        let header = authorization(&self.operator, now(), "GET", &url);
        let answer = request(self.server.address(), "GET", &path, &[("Authorization", &header)]).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// The body of a call of the relay's management (NIP-86), and a token of the operator for it.
    pub(super) fn signed_call(&self, method: &str, params: Value) -> (String, String) {
        let body = json!({"method": method, "params": params}).to_string();
        let token = authorization_of_body(&self.operator, "POST", &self.server.url(), &body);
        (body, token)
    }

    pub(super) async fn post(&self, (body, token): &(String, String)) -> Response {
        let headers = [("Content-Type", "application/nostr+json+rpc"), ("Authorization", token)];
        request_with_body(self.server.address(), "POST", "/", &headers, body).await.expect("an answer")
    }
}

/// Unpacks what a deployment of a commit left behind; what that has to have is in the JSON file beside it.
fn unpack(commit: &str, host: Host, deployment: &str) -> (TempDir, Value) {
    let host = if host == Host::Workerd { "workerd" } else { "native" };
    let folder = repository().join("tests/fixtures").join(format!("data-{commit}")).join(host);
    let data = empty_folder().expect("a folder");
    let archive = File::open(folder.join(format!("{deployment}.tar.xz"))).expect("an archive");
    // Not every Debian has `xz`.
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg("-").arg("-C").arg(data.path()).stdin(Stdio::piped());
    let mut tar = tar.spawn().expect("tar runs");
    std::io::copy(&mut XzReader::new(archive, false), &mut tar.stdin.take().expect("piped"))
        .expect("it is unpacked");
    assert!(tar.wait().expect("tar ends").success(), "tar failed");
    let expected = std::fs::read(folder.join(format!("{deployment}.json"))).expect("it can be read");
    (data, serde_json::from_slice(&expected).expect("JSON"))
}

pub(super) fn keys(secret: &str) -> Keys {
    Keys::parse(secret).expect("a secret key")
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

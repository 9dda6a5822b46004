//! The `blobs` commands, on the data folder of an agent that runs or is stopped, and over HTTP.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openagents_tests::blobs::{get, sha256, upload};
use openagents_tests::events::fresh_author;
use openagents_tests::server::{Host, Server, binary};
use serde_json::Value;
use tempfile::TempDir;

use crate::servers::{Servers, scenarios};

scenarios! {
    on [Host::Native] => {
        blobs_move_from_one_agent_to_another,
        damage_is_told_while_the_agent_runs_and_repaired_while_it_does_not,
    }
    on Host::ALL => {
        files_are_uploaded_to_a_running_server,
    }
}

/// What a command said, and its exit code.
struct Said {
    code: Option<i32>,
    output: String,
    errors: String,
}

/// Runs `blobs …` as the agent of a server, or of nobody.
async fn blobs(server: Option<&Server>, data: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(binary("hello-world"));
    command.arg("blobs").args(arguments).arg("--data").arg(data).current_dir(std::env::temp_dir());
    command.stdin(Stdio::null()).env_remove("NOSTR_PRIVATE_KEY");
    if let Some(keys) = server.and_then(Server::keys) {
        command.env("NOSTR_PRIVATE_KEY", keys.secret_key().to_secret_hex());
    }
    let ended = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    let ended = ended.expect("it can be started");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { code: ended.status.code(), output: text(ended.stdout), errors: text(ended.stderr) }
}

impl Said {
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.output, self.errors);
        self.output
    }

    #[track_caller]
    fn failed(self, with: &str) {
        assert_eq!(self.code, Some(1), "{}{}", self.output, self.errors);
        assert!(self.output.contains(with) || self.errors.contains(with), "{}{}", self.output, self.errors);
    }
}

/// The file of a blob in a data folder.
fn file(data: &Path, blob: &[u8]) -> PathBuf {
    let hash = sha256(blob);
    data.join("blobs").join(&hash[..2]).join(hash)
}

async fn blobs_move_from_one_agent_to_another(servers: &Servers) {
    let any = [("BLOSSOM_UPLOAD", "any".to_owned())];
    let (from, to) = (servers.own_with("hello-world", &any), servers.own_with("hello-world", &any));
    let (anna, bob) = (fresh_author(), fresh_author());
    for author in [&anna, &bob] {
        upload(from.address(), author, b"of both", "text/plain").await;
    }
    upload(from.address(), &anna, b"of Anna", "image/png").await;
    let stats: Value =
        serde_json::from_str(&blobs(None, from.data(), &["stats", "--json"]).await.ok()).expect("JSON");
    assert_eq!((stats["blobs"].as_u64(), stats["owners"].as_u64()), (Some(2), Some(2)));
    let listed = blobs(None, from.data(), &["list", "--owner", &bob.public_key().to_hex()]).await.ok();
    assert!(listed.starts_with(&sha256(b"of both")) && listed.lines().count() == 1, "{listed}");
    assert!(blobs(None, from.data(), &["check"]).await.ok().starts_with("ok: 2 blobs"));

    let folder = TempDir::with_prefix("openagents-blobs-").expect("a folder");
    let backup = folder.path().join("backup");
    let backup = backup.to_str().expect("text");
    assert!(blobs(None, from.data(), &["export", backup]).await.ok().starts_with("exported 2 blobs"));
    blobs(None, to.data(), &["import", backup]).await.failed("is running");
    let data = to.data().to_owned();
    let backup = backup.to_owned();
    let import = |_: &Path| {
        let mut command = Command::new(binary("hello-world"));
        command.args(["blobs", "import", &backup, "--data"]).arg(&data);
        let said = command.output().map_err(|error| error.to_string())?;
        let output = String::from_utf8_lossy(&said.stdout).into_owned();
        if output.starts_with("imported 2 blobs") { Ok(()) } else { Err(format!("{said:?}")) }
    };
    to.while_stopped(import).unwrap_or_else(|error| panic!("{error}"));
    let read = get(to.address(), &format!("/{}", sha256(b"of Anna")), &[]).await;
    assert_eq!((read.status, read.header("content-type")), (200, Some("image/png")));
    for author in [&anna, &bob] {
        let path = format!("/list/{}", author.public_key().to_hex());
        let [old, new] = [from.address(), to.address()].map(|address| address.to_owned());
        let hashes = async |address: &str| {
            let listed = get(address, &path, &[]).await.json();
            let hash = |blob: &Value| blob["sha256"].clone();
            let mut hashes: Vec<_> = listed.as_array().expect("a list").iter().map(hash).collect();
            hashes.sort_by_key(Value::to_string);
            hashes
        };
        assert_eq!(hashes(&old).await, hashes(&new).await);
    }
}

async fn damage_is_told_while_the_agent_runs_and_repaired_while_it_does_not(servers: &Servers) {
    let server = servers.own_with("hello-world", &[("BLOSSOM_UPLOAD", "any".to_owned())]);
    let (address, author, data) = (server.address(), fresh_author(), server.data().to_owned());
    for blob in [&b"sound"[..], b"damaged", b"lost"] {
        assert_eq!(upload(address, &author, blob, "text/plain").await.status, 201);
    }
    std::fs::write(file(&data, b"damaged"), "degamad").expect("written");
    std::fs::remove_file(file(&data, b"lost")).expect("removed");
    let told = blobs(Some(&server), &data, &["check"]).await;
    assert!(told.output.contains(&format!("{}: the bytes", sha256(b"damaged"))), "{}", told.output);
    assert!(told.output.contains(&format!("{}: the file is missing", sha256(b"lost"))), "{}", told.output);
    assert!(!told.output.contains(&sha256(b"sound")), "{}", told.output);
    told.failed("2 defects");
    blobs(Some(&server), &data, &["check", "--repair"]).await.failed("stop it first");
    let key = server.keys().expect("started with a key").secret_key().to_secret_hex();
    let repair = |_: &Path| {
        let mut command = Command::new(binary("hello-world"));
        command.args(["blobs", "check", "--repair", "--data"]).arg(&data).env("NOSTR_PRIVATE_KEY", &key);
        let said = command.output().map_err(|error| error.to_string())?;
        if said.status.success() { Ok(()) } else { Err(format!("{said:?}")) }
    };
    server.while_stopped(repair).unwrap_or_else(|error| panic!("{error}"));
    assert!(blobs(Some(&server), &data, &["check"]).await.ok().starts_with("ok: 1 blobs"));
    assert_eq!(get(address, &format!("/{}", sha256(b"sound")), &[]).await.body, b"sound");
    for blob in [&b"damaged"[..], b"lost"] {
        assert_eq!(get(address, &format!("/{}", sha256(blob)), &[]).await.status, 404);
        assert_eq!(upload(address, &author, blob, "text/plain").await.status, 201, "it may come back");
    }
    // Whoever loses the index keeps the blobs.
    let index = server.data().join("blossom.sqlite");
    let lose = |_: &Path| {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", index.display()));
        }
        repair(&index)
    };
    server.while_stopped(lose).unwrap_or_else(|error| panic!("{error}"));
    let agent = server.agent().to_hex();
    assert_eq!(get(address, &format!("/list/{agent}"), &[]).await.json().as_array().map(Vec::len), Some(3));
    assert_eq!(get(address, &format!("/{}", sha256(b"lost")), &[]).await.body, b"lost");
}

async fn files_are_uploaded_to_a_running_server(servers: &Servers) {
    let server = servers.own("hello-world");
    let folder = TempDir::with_prefix("openagents-blobs-").expect("a folder");
    let large = vec![7; 700_000];
    for (name, blob) in [("a.png", &b"a picture"[..]), ("b", &large), ("empty.txt", b"")] {
        std::fs::write(folder.path().join(name), blob).expect("written");
    }
    let url = format!("http://{}", server.address());
    let path = folder.path().to_str().expect("text");
    let printed = blobs(Some(&server), folder.path(), &["import", path, "--url", &url]).await.ok();
    assert_eq!(printed.lines().count(), 3, "{printed}");
    assert!(printed.contains(&format!("/{}.png", sha256(b"a picture"))), "{printed}");
    let read = get(server.address(), &format!("/{}", sha256(&large)), &[]).await;
    assert!(read.body == large, "{}", read.status);
    let stranger = blobs(None, folder.path(), &["import", path, "--url", &url]).await;
    stranger.failed("NOSTR_PRIVATE_KEY");
    let listed = get(server.address(), &format!("/list/{}", server.agent().to_hex()), &[]).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(3));
}

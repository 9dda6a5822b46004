//! The data folder, its databases and its key: nobody but their owner can read them.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use openagents_tests::server::{Host, Server, empty_folder};

use crate::servers::{Servers, scenarios};

scenarios! {
    on [Host::Native] => {
        only_the_owner_can_read_the_data_folder_and_what_is_in_it,
        a_key_that_others_can_read_is_refused_with_the_fix,
    }
}

/// The files in a folder and their modes; the folder itself is `.`.
fn modes(folder: &Path) -> BTreeMap<String, u32> {
    let mode = |path: &Path| fs::metadata(path).expect("a mode").permissions().mode() & 0o777;
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let files = entries.map(|entry| (entry.file_name().into_string().expect("a name"), mode(&entry.path())));
    files.chain([(".".to_owned(), mode(folder))]).collect()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is mine");
}

fn expect_private(server: &Server) {
    let modes = modes(server.data());
    for name in ["agent.nsec", "agent.sqlite", "agent.sqlite-wal", "relay.sqlite", "relay.sqlite-wal", "lock"]
    {
        assert_eq!(modes.get(name).map(|mode| mode & 0o077), Some(0), "{name}: {modes:?}");
    }
    assert_eq!(modes["."], 0o700);
    assert!(modes.values().all(|mode| mode & 0o077 == 0), "{modes:?}");
}

async fn only_the_owner_can_read_the_data_folder_and_what_is_in_it(servers: &Servers) {
    let data = empty_folder().expect("a folder");
    set_mode(data.path(), 0o755);
    let server = servers.own_on("hello-world", data, &[]);
    expect_private(&server);
    server.kill();
    // As earlier releases left them, with what was in the log of a process that was killed.
    for name in modes(server.data()).keys() {
        let path = server.data().join(name);
        set_mode(&path, if path.is_dir() { 0o755 } else { 0o644 });
    }
    set_mode(&server.data().join("agent.nsec"), 0o600);
    server.kill_and_restart().expect("it starts");
    // Nothing secret was ever written to these.
    for name in ["lock", ".gitignore"] {
        set_mode(&server.data().join(name), 0o600);
    }
    expect_private(&server);
}

async fn a_key_that_others_can_read_is_refused_with_the_fix(servers: &Servers) {
    let server = servers.own_on("hello-world", empty_folder().expect("a folder"), &[]);
    let key = server.data().join("agent.nsec");
    set_mode(&key, 0o644);
    let ended = server.kill_and_restart().expect_err("it cannot start");
    assert!(ended.contains("ended at once: exit status: 1"), "{ended}");
    assert!(ended.contains(&format!("`chmod 600 {}`", key.display())), "{ended}");
    set_mode(&key, 0o600);
    server.kill_and_restart().expect("it starts");
}

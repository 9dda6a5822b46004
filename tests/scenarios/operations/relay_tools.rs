//! The commands that work on a relay's database, or between it and another relay.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{as_json, event_at, fresh_author, now, verified};
use openagents_tests::server::{Host, binary};
use openagents_tests::wire::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::servers::{Servers, scenarios};

scenarios! {
    on [Host::Native] => {
        what_is_imported_is_exported_again,
        an_import_that_was_killed_goes_on_where_it_was,
        an_import_that_was_interrupted_says_so_and_goes_on,
        bad_lines_are_told_and_the_others_imported,
        who_asked_this_relay_to_forget_them_is_forgotten_at_an_import,
        a_running_agent_keeps_its_database_and_shows_it,
        a_running_agent_gets_in_step_through_its_relay,
        an_export_ends_when_nobody_reads_it,
        an_export_that_was_broken_off_goes_on_where_it_was,
        a_database_is_measured_and_compacted,
        a_database_is_sound_after_a_kill_and_not_when_it_is_damaged,
        what_is_no_relay_database_is_told_apart,
    }
    on Host::ALL => {
        two_relays_come_to_the_same_events,
        only_one_side_gets_what_it_lacks_when_told_so,
        a_relay_that_asks_who_this_is_is_told,
    }
}

/// A folder with files and databases, and the commands to work on them.
struct Desk(TempDir);

struct Said {
    code: Option<i32>,
    output: String,
    errors: String,
}

impl Said {
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.output, self.errors);
        self.output
    }

    /// The command failed with this message.
    #[track_caller]
    fn failed(self, with: &str) {
        assert_eq!(self.code, Some(1), "{}{}", self.output, self.errors);
        assert!(self.output.contains(with) || self.errors.contains(with), "{}{}", self.output, self.errors);
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            output: String::from_utf8(output.stdout).expect("text"),
            errors: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Desk {
    fn new() -> Self {
        Self(TempDir::with_prefix("openagents-tools-").expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file with these events, one on each line.
    fn file(&self, name: &str, events: &[Event]) -> String {
        let lines: String = events.iter().map(|event| format!("{}\n", as_json(event))).collect();
        std::fs::write(self.path(name), lines).expect("a file");
        name.to_owned()
    }

    fn command(&self, data: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("hello-world"));
        command.arg("relay").args(arguments).arg("--data").arg(data).current_dir(self.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `relay …` on the database of a folder.
    async fn run(&self, data: impl AsRef<Path>, arguments: &[&str]) -> Said {
        let mut command = self.command(&self.path("").join(data), arguments);
        let ended = tokio::task::spawn_blocking(move || command.output());
        ended.await.expect("no panic").expect("it can be started").into()
    }

    /// The output of `relay export`, ordered by id.
    async fn export(&self, data: impl AsRef<Path>, arguments: &[&str]) -> Vec<Event> {
        let lines = self.run(data, &[&["export"], arguments].concat()).await.ok();
        let events = lines.lines().map(|line| verified(&serde_json::from_str(line).expect("a line of JSON")));
        by_id(events)
    }

    async fn stats(&self, data: impl AsRef<Path>) -> Value {
        serde_json::from_str(&self.run(data, &["stats", "--json"]).await.ok()).expect("JSON")
    }
}

fn notes(author: &Keys, count: u64) -> Vec<Event> {
    (0..count)
        .map(|n| event_at(author, now() - 1_000 + n % 500, 1, &[&["t", "tools"]], &n.to_string()))
        .collect()
}

fn by_id(events: impl IntoIterator<Item = Event>) -> Vec<Event> {
    let mut events: Vec<Event> = events.into_iter().collect();
    events.sort_by_key(|event| event.id);
    events
}

fn set<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Event> {
    by_id(events.into_iter().cloned())
}

/// All events of an author on a relay, ordered by id.
async fn stored(url: &str, author: &Keys) -> Vec<Event> {
    let mut client = Client::connect(url).await;
    let filter = json!({ "authors": [author.public_key()], "limit": 1000 });
    by_id(client.query(&[filter]).await)
}

async fn what_is_imported_is_exported_again(_: &Servers) {
    let desk = Desk::new();
    let author = fresh_author();
    let at = now() - 1_000;
    let mut events = notes(&author, 700);
    let (old, new) = (event_at(&author, at, 0, &[], "old"), event_at(&author, at + 1, 0, &[], "new"));
    let deleted = event_at(&author, at, 1, &[], "a mistake");
    let deletion = event_at(&author, at + 5, 5, &[&["e", &deleted.id.to_hex()]], "");
    events.extend([new.clone(), old, deleted, deletion.clone(), event_at(&author, at, 20_001, &[], "")]);
    let file = desk.file("events.jsonl", &events);
    let said = desk.run("a", &["import", &file]).await.ok();
    // The deletion arrives after the deleted event.
    assert!(said.starts_with("imported 703 events"), "{said}");
    assert!(said.contains("1  older versions") && said.contains("1  ephemeral"), "{said}");
    let expected = set(events[..701].iter().chain([&deletion]));
    let exported = desk.export("a", &[]).await;
    assert_eq!(exported, expected);
    // Into another database through a pipe, and to a file.
    desk.run("a", &["export", "out.jsonl"]).await.ok();
    assert!(!desk.path("out.jsonl.partial").exists());
    let mut import = desk.command(&desk.path("b"), &["import", "-"]);
    import.stdin(std::fs::File::open(desk.path("out.jsonl")).expect("the export"));
    let said: Said = import.output().expect("it can be started").into();
    assert!(said.ok().starts_with("imported 702 events"));
    assert_eq!(desk.export("b", &[]).await, expected);
    assert_eq!(desk.export("b", &["--filter", r#"{"kinds":[0]}"#]).await, set([&new]));
    let since = (at + 5).to_string();
    let recent = desk.export("b", &["--since", &since, "--filter", r#"{"kinds":[1,5]}"#]).await;
    assert_eq!(
        recent,
        expected.iter().filter(|event| event.created_at.as_secs() >= at + 5).cloned().collect::<Vec<_>>()
    );
    // Deleted events stay deleted, however often they are imported.
    let said = desk.run("b", &["import", &file]).await.ok();
    assert!(said.starts_with("imported 0 events") && said.contains("1  deleted by their authors"), "{said}");
}

/// The number of events in a database that another process is writing.
fn count(data: &Path) -> u64 {
    let read = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let Ok(database) = rusqlite::Connection::open_with_flags(data.join("relay.sqlite"), read) else {
        return 0;
    };
    database.query_row("SELECT count(*) FROM event", (), |row| row.get::<_, i64>(0)).map_or(0, |n| n as u64)
}

/// Starts to import a file and sends a signal when part of it is done. `None` if it finished before.
fn import_a_part(desk: &Desk, data: &Path, file: &str, signal: &str) -> Option<Said> {
    let import = desk.command(data, &["import", file]).spawn().expect("it can be started");
    let deadline = Instant::now() + Duration::from_secs(60);
    while count(data) == 0 {
        assert!(Instant::now() < deadline, "nothing was imported");
        std::thread::sleep(Duration::from_millis(2));
    }
    let sent = Command::new("kill").args([signal, &import.id().to_string()]).status();
    assert!(sent.expect("kill can be started").success());
    let said: Said = import.wait_with_output().expect("it ends").into();
    (said.code != Some(0)).then_some(said)
}

async fn an_import_that_was_killed_goes_on_where_it_was(_: &Servers) {
    let desk = Desk::new();
    let file = desk.file("events.jsonl", &notes(&fresh_author(), 8_000));
    let data = desk.path("a");
    let killed = import_a_part(&desk, &data, &file, "-KILL").expect("not so fast");
    assert_eq!(killed.code, None);
    let before = desk.stats("a").await["events"].as_u64().expect("a number");
    assert!(before > 0 && before < 8_000, "{before} were imported before the kill");
    assert!(desk.run("a", &["check"]).await.ok().starts_with("ok: "));
    let said = desk.run("a", &["import", &file]).await.ok();
    assert!(said.starts_with("resumed after line ") && !said.contains("already stored"), "{said}");
    assert!(desk.run("a", &["check"]).await.ok().starts_with("ok: 8,000 events, indexes agree"));
}

async fn an_import_that_was_interrupted_says_so_and_goes_on(_: &Servers) {
    let desk = Desk::new();
    let file = desk.file("events.jsonl", &notes(&fresh_author(), 8_000));
    let said = import_a_part(&desk, &desk.path("a"), &file, "-INT").expect("not so fast");
    assert_eq!(said.code, Some(130), "{}", said.errors);
    assert!(said.output.starts_with("interrupted after ") && said.errors.contains("continues from here"));
    let said = desk.run("a", &["import", &file]).await.ok();
    assert!(said.starts_with("resumed after line ") && !said.contains("already stored"), "{said}");
    assert_eq!(desk.stats("a").await["events"], 8_000);
}

async fn bad_lines_are_told_and_the_others_imported(_: &Servers) {
    let desk = Desk::new();
    let events = notes(&fresh_author(), 3);
    let mut forged = as_json(&events[1]);
    forged["content"] = json!("something else");
    let mut unsigned = as_json(&events[1]);
    unsigned["sig"] = json!("00".repeat(64));
    let good = |n: usize| as_json(&events[n]).to_string();
    let lines = [good(0), "no JSON".into(), String::new(), forged.to_string(), unsigned.to_string(), good(2)];
    std::fs::write(desk.path("mixed.jsonl"), lines.join("\n")).expect("a file");
    let said = desk.run("a", &["import", "mixed.jsonl"]).await;
    assert_eq!(said.code, Some(0));
    assert!(
        said.output.starts_with("imported 2 events") && said.output.contains("3  invalid"),
        "{}",
        said.output
    );
    for told in ["line 2: not an event", "line 4: the id is not", "line 5: the signature does not fit"] {
        assert!(said.errors.contains(told), "{}", said.errors);
    }
    assert_eq!(desk.export("a", &[]).await, set([&events[0], &events[2]]));
    desk.run("a", &["import", "mixed.jsonl", "--strict"]).await.failed("3 bad lines");
    std::fs::write(desk.path("bad.jsonl"), "{}\n[]\n").expect("a file");
    desk.run("a", &["import", "bad.jsonl"]).await.failed("2 bad lines");
    std::fs::write(desk.path("empty.jsonl"), "").expect("a file");
    desk.run("a", &["import", "empty.jsonl"]).await.ok();
    desk.run("a", &["import", "missing.jsonl"]).await.failed("cannot read missing.jsonl: No such file");
    desk.run("a", &["import", "."]).await.failed("cannot read .: ");
}

async fn who_asked_this_relay_to_forget_them_is_forgotten_at_an_import(_: &Servers) {
    let desk = Desk::new();
    let author = fresh_author();
    let request = event_at(&author, now(), 62, &[&["relay", "wss://agent.example/"]], "");
    let events: Vec<Event> = notes(&author, 3).into_iter().chain([request.clone()]).collect();
    let file = desk.file("events.jsonl", &events);
    desk.run("elsewhere", &["import", &file]).await.ok();
    assert_eq!(desk.export("elsewhere", &[]).await, set(&events), "nobody says where this relay is");
    std::fs::write(desk.path(".dev.vars"), "RELAY_URL=\"wss://agent.example\"\n").expect("a file");
    desk.run("here", &["import", &file]).await.ok();
    assert_eq!(desk.export("here", &[]).await, set([&request]));
}

async fn a_running_agent_keeps_its_database_and_shows_it(servers: &Servers) {
    let desk = Desk::new();
    let server = servers.own("hello-world");
    let author = fresh_author();
    let events = notes(&author, 300);
    let file = desk.file("events.jsonl", &events);
    let data = server.data();
    desk.run(data, &["import", &file]).await.failed("send the events to it with --relay ws://");
    desk.run(data, &["compact"]).await.failed("stop it first");
    desk.run(data, &["sync", &server.url()]).await.failed("with --relay ws://");
    let mut client = Client::connect(&server.url()).await;
    client.subscribe("live", &[json!({ "authors": [author.public_key()] })]).await;
    let said = desk.run(data, &["import", &file, "--relay", &server.url()]).await.ok();
    assert!(said.starts_with("imported 300 events"), "{said}");
    // Subscribers receive them.
    client.next_event("live").await;
    let filter = json!({ "authors": [author.public_key()] }).to_string();
    assert_eq!(desk.export(data, &["--filter", &filter]).await, set(&events));
    assert!(desk.run(data, &["check"]).await.ok().starts_with("ok: "));
    assert!(desk.stats(data).await["events"].as_u64() >= Some(300));
    let said = desk.run(data, &["import", &file, "--relay", &server.url()]).await.ok();
    assert!(said.starts_with("imported 0 events") && said.contains("300  already stored"), "{said}");
}

async fn a_running_agent_gets_in_step_through_its_relay(servers: &Servers) {
    let desk = Desk::new();
    let (own, other) = (servers.own("hello-world"), servers.own("hello-world"));
    let author = fresh_author();
    let events = notes(&author, 200);
    let (here, there) = (desk.file("here.jsonl", &events[..120]), desk.file("there.jsonl", &events[80..]));
    for (file, server) in [(&here, &own), (&there, &other)] {
        desk.run(server.data(), &["import", file, "--relay", &server.url()]).await.ok();
    }
    let filter = json!({ "authors": [author.public_key()] }).to_string();
    let arguments = ["sync", &other.url(), "--relay", &own.url(), "--filter", &filter];
    let said = desk.run(own.data(), &arguments).await.ok();
    assert!(said.contains("fetched 80 events") && said.contains("sent 80 events"), "{said}");
    for server in [&own, &other] {
        assert_eq!(stored(&server.url(), &author).await, set(&events));
    }
}

async fn an_export_ends_when_nobody_reads_it(_: &Servers) {
    use std::io::{BufRead as _, BufReader};
    let desk = Desk::new();
    let file = desk.file("events.jsonl", &notes(&fresh_author(), 2_000));
    desk.run("a", &["import", &file]).await.ok();
    let mut export = desk.command(&desk.path("a"), &["export"]).spawn().expect("it can be started");
    let mut line = String::new();
    BufReader::new(export.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let said: Said = export.wait_with_output().expect("it ends").into();
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""));
    let read_only = desk.run("a", &["export", "/nowhere/out.jsonl"]).await;
    read_only.failed("cannot write /nowhere/out.jsonl: No such file");
}

/// A file-size limit: the process that exceeds it is killed.
async fn an_export_that_was_broken_off_goes_on_where_it_was(_: &Servers) {
    let desk = Desk::new();
    let author = fresh_author();
    let at = now() - 1_000;
    let long = "x".repeat(500_000);
    let events: Vec<Event> = (0..50).map(|n| event_at(&author, at + n, 1, &[], &long)).collect();
    let file = desk.file("events.jsonl", &events);
    desk.run("a", &["import", &file]).await.ok();
    // At a different moment in each run.
    let command = ["export", "out.jsonl", "--since", "1d"];
    let export = desk.command(&desk.path("a"), &command);
    let mut limited = Command::new("bash");
    limited.args(["-c", "ulimit -c 0; ulimit -f 20000; exec \"$@\"", "bash"]);
    limited.arg(export.get_program()).args(export.get_args()).current_dir(desk.path(""));
    let killed: Said = limited.output().expect("it can be started").into();
    assert_eq!(killed.code, None, "{}{}", killed.output, killed.errors);
    let partial = std::fs::read(desk.path("out.jsonl.partial")).expect("a part of it");
    assert!(partial.len() > 16_000_000 && !partial.ends_with(b"\n"), "{} bytes", partial.len());
    assert!(!desk.path("out.jsonl").exists());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let said = desk.run("a", &command).await;
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert!(
        said.errors.starts_with("resuming after ") && said.errors.contains("exported 50 events"),
        "{}",
        said.errors
    );
    let out = std::fs::read_to_string(desk.path("out.jsonl")).expect("the export");
    let out = out.lines().map(|line| verified(&serde_json::from_str(line).expect("a line of JSON")));
    assert!(out.eq(events), "each once, the oldest first");
    assert!(!desk.path("out.jsonl.partial").exists() && !desk.path("out.jsonl.partial.json").exists());
}

async fn a_database_is_measured_and_compacted(_: &Servers) {
    let desk = Desk::new();
    let author = fresh_author();
    let at = now();
    let mut events: Vec<Event> =
        (0..600).map(|n| event_at(&author, at - n, 1, &[], &"x".repeat(2_000))).collect();
    let ids: Vec<Vec<String>> = events.iter().map(|event| vec!["e".to_owned(), event.id.to_hex()]).collect();
    let file = desk.file("events.jsonl", &events);
    desk.run("a", &["import", &file]).await.ok();
    let stats = desk.stats("a").await;
    assert_eq!(
        (&stats["events"], &stats["authors"], &stats["kinds"]),
        (&json!(600), &json!(1), &json!([[1, 600]]))
    );
    assert_eq!(stats["newest"], events[0].created_at.as_secs());
    assert_eq!(stats["oldest"], events[599].created_at.as_secs());
    let table =
        stats["size"]["tables"].as_array().expect("tables").iter().find(|table| table["name"] == "event");
    assert!(table.expect("events")["bytes"].as_u64() > Some(600 * 2_000));
    let shown = desk.run("a", &["stats"]).await.ok();
    assert!(shown.contains("events                             600"), "{shown}");
    // All but fifty are deleted.
    let tags: Vec<Vec<&str>> = ids[50..].iter().map(|tag| tag.iter().map(String::as_str).collect()).collect();
    let tags: Vec<&[&str]> = tags.iter().map(Vec::as_slice).collect();
    events.push(event_at(&author, now(), 5, &tags, ""));
    let file = desk.file("deletion.jsonl", &events[600..]);
    desk.run("a", &["import", &file]).await.ok();
    assert_eq!(desk.stats("a").await["deleted"], 550);
    assert!(desk.run("a", &["compact"]).await.ok().starts_with("compacted: "));
    let after = desk.stats("a").await;
    let size = |stats: &Value| stats["size"]["database"].as_u64().expect("a size");
    assert!(size(&after) < size(&stats) / 2, "{after}");
    assert!(desk.run("a", &["check"]).await.ok().starts_with("ok: 51 events, indexes agree"));
}

async fn a_database_is_sound_after_a_kill_and_not_when_it_is_damaged(servers: &Servers) {
    let desk = Desk::new();
    let server = servers.own("hello-world");
    let author = fresh_author();
    let mut client = Client::connect(&server.url()).await;
    let events = notes(&author, 400);
    for event in &events {
        client.send(&json!(["EVENT", as_json(event)])).await;
    }
    for event in &events[..200] {
        assert!(client.answer_to(&event.id.to_hex()).await.accepted);
    }
    server.kill();
    let said = desk.run(server.data(), &["check"]).await.ok();
    assert!(said.starts_with("ok: ") && said.trim_end().ends_with("events, indexes agree"), "{said}");
    let database = rusqlite::Connection::open(server.data().join("relay.sqlite")).expect("the database");
    database
        .execute("DELETE FROM tag WHERE seq IN (SELECT seq FROM event WHERE kind = 1 LIMIT 3)", ())
        .expect("damage");
    desk.run(server.data(), &["check"]).await.failed("a tag of the event in row");
}

async fn what_is_no_relay_database_is_told_apart(_: &Servers) {
    let desk = Desk::new();
    for command in ["export", "stats", "check", "compact"] {
        desk.run("nothing", &[command]).await.failed("there is no relay database at");
        assert!(!desk.path("nothing").exists());
    }
    let with_database = |name: &str, write: &dyn Fn(&Path)| {
        std::fs::create_dir(desk.path(name)).expect("a folder");
        write(&desk.path(name).join("relay.sqlite"));
    };
    with_database("other", &|path| {
        let database = rusqlite::Connection::open(path).expect("a database");
        database.execute_batch("CREATE TABLE t (i INTEGER)").expect("a table");
    });
    with_database("text", &|path| std::fs::write(path, "some text ".repeat(100)).expect("a file"));
    let file = desk.file("events.jsonl", &notes(&fresh_author(), 2));
    for (data, change) in [("newer", "version = 99"), ("different", "fingerprint = x'00'")] {
        desk.run(data, &["import", &file]).await.ok();
        let path = desk.path(data).join("relay.sqlite");
        let database = rusqlite::Connection::open(path).expect("a database");
        let change = format!("UPDATE schema_version SET {change} WHERE component = 'relay'");
        database.execute(&change, ()).expect("a change");
    }
    for (data, expected) in [
        ("other", "is not the database of a relay"),
        ("text", "not a database"),
        ("newer", "run a later build of OpenAgents"),
        ("different", "the relay data has other tables than this program works with"),
    ] {
        for command in [&["export"][..], &["stats"], &["compact"], &["import", &file]] {
            desk.run(data, command).await.failed(expected);
        }
        let said = desk.run(data, &["check"]).await;
        assert_eq!(said.code, Some(1), "{data}: {}{}", said.output, said.errors);
    }
}

async fn two_relays_come_to_the_same_events(servers: &Servers) {
    let desk = Desk::new();
    let remote = servers.hello_world();
    let author = fresh_author();
    let events = notes(&author, 300);
    let (here, there) = (desk.file("here.jsonl", &events[..200]), desk.file("there.jsonl", &events[100..]));
    desk.run("a", &["import", &here]).await.ok();
    desk.run("a", &["import", &there, "--relay", &remote.url()]).await.ok();
    let filter = json!({ "authors": [author.public_key()] }).to_string();
    let sync = ["sync", &remote.url(), "--filter", &filter];
    let said = desk.run("a", &sync).await.ok();
    assert!(said.contains("by reconciliation"), "{said}");
    assert!(said.contains("fetched 100 events") && said.contains("sent 100 events"), "{said}");
    assert_eq!(desk.export("a", &[]).await, set(&events));
    assert_eq!(stored(&remote.url(), &author).await, set(&events));
    let said = desk.run("a", &sync).await.ok();
    assert!(said.contains("fetched 0 events") && said.contains("sent 0 events"), "{said}");
}

async fn only_one_side_gets_what_it_lacks_when_told_so(servers: &Servers) {
    let desk = Desk::new();
    let remote = servers.hello_world();
    let author = fresh_author();
    let events = notes(&author, 30);
    let (here, there) = (desk.file("here.jsonl", &events[..20]), desk.file("there.jsonl", &events[10..]));
    desk.run("a", &["import", &here]).await.ok();
    desk.run("a", &["import", &there, "--relay", &remote.url()]).await.ok();
    let filter = json!({ "authors": [author.public_key()] }).to_string();
    let sync = |direction: &'static str| {
        let (desk, url, filter) = (&desk, remote.url(), filter.clone());
        async move { desk.run("a", &["sync", &url, "--filter", &filter, "--direction", direction]).await.ok() }
    };
    let said = sync("down").await;
    assert!(said.contains("fetched 10 events") && !said.contains("sent"), "{said}");
    assert_eq!(stored(&remote.url(), &author).await, set(&events[10..]));
    assert_eq!(desk.export("a", &[]).await, set(&events));
    let said = sync("up").await;
    assert!(said.contains("sent 10 events") && !said.contains("fetched"), "{said}");
    assert_eq!(stored(&remote.url(), &author).await, set(&events));
}

/// Writes an agent's key into a data folder, as the agent does.
fn write_key(data: &Path, agent: &Keys) {
    let mut options = OpenOptions::new();
    let mut file =
        options.create_new(true).write(true).mode(0o600).open(data.join("agent.nsec")).expect("a file");
    file.write_all(agent.secret_key().to_secret_hex().as_bytes()).expect("it is written");
}

async fn a_relay_that_asks_who_this_is_is_told(servers: &Servers) {
    let desk = Desk::new();
    let remote = servers.own_with("hello-world", &[("RELAY_AUTH", "all".to_owned())]);
    let (author, agent) = (fresh_author(), fresh_author());
    let events = notes(&author, 300);
    let (here, there) = (desk.file("here.jsonl", &events[..200]), desk.file("there.jsonl", &events[100..]));
    desk.run("a", &["import", &here]).await.ok();
    let sync = ["sync", &remote.url()];
    desk.run("a", &sync).await.failed("there is no key to authenticate with: auth-required: ");
    let said = desk.run("a", &["import", &there, "--relay", &remote.url()]).await.ok();
    assert!(said.contains("200  refused by the relay: auth-required"), "{said}");
    // From here on the folder has a key, like that of every agent that has run.
    write_key(&desk.path("a"), &agent);
    let said = desk.run("a", &["import", &there, "--relay", &remote.url()]).await.ok();
    assert!(said.starts_with("imported 200 events"), "{said}");
    // A message that only the agent may read.
    let message = event_at(&author, now(), 4, &[&["p", &agent.public_key().to_hex()]], "?iv=");
    let mail = desk.file("mail.jsonl", std::slice::from_ref(&message));
    desk.run("a", &["import", &mail, "--relay", &remote.url()]).await.ok();
    let filter = json!({ "authors": [author.public_key()] }).to_string();
    let said = desk.run("a", &["sync", &remote.url(), "--filter", &filter]).await.ok();
    assert!(said.contains("by reconciliation"), "{said}");
    assert!(said.contains("fetched 101 events") && said.contains("sent 100 events"), "{said}");
    assert_eq!(desk.export("a", &[]).await, set(events.iter().chain([&message])));
    let said = desk.run("a", &["sync", &remote.url(), "--filter", &filter]).await.ok();
    assert!(said.contains("fetched 0 events") && said.contains("sent 0 events"), "{said}");
}

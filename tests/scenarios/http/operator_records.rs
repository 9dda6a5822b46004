//! What operators can read: jobs, conversations, memory, state; over HTTP and with the command `inspect`.

use nostr_sdk::nostr::{Event, Keys, ToBech32 as _};
use openagents_tests::events::{as_json, fresh_author, now, verified};
use openagents_tests::http::{Response, authorization, authorization_of_body, request};
use openagents_tests::jobs::{self, ask};
use openagents_tests::server::{Host, Server, binary};
use openagents_tests::wire::Client;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::servers::{Servers, scenarios};

scenarios! {
    on [Host::Native] => {
        a_token_for_another_host_is_refused_where_the_own_one_is_known,
    }
    on Host::ALL => {
        a_token_is_for_the_public_url_whatever_host_a_proxy_names,
        history_lists_the_jobs_newest_first,
        history_is_read_page_by_page,
        a_job_is_shown_with_its_request_and_its_answer,
        a_failed_job_is_shown_with_its_reason,
        a_job_that_is_not_on_record_is_not_found,
        conversations_are_listed_and_shown,
        memory_is_listed_by_prefix_and_shown,
        a_key_with_slashes_and_signs_is_found,
        the_state_is_the_struct,
        a_senseless_query_is_refused,
        the_command_shows_what_is_on_record,
        the_command_prints_json,
        the_command_says_what_is_wrong,
        schedules_are_listed_and_run_by_hand,
        a_schedule_runs_by_hand_once_for_each_token,
    }
}

/// A token that an operator signed for another host is not accepted, whatever `Host` header is sent with it.
async fn a_token_for_another_host_is_refused_where_the_own_one_is_known(servers: &Servers) {
    let read = async |server: &Server, host: &str| {
        let agent = server.agent().to_bech32().expect("an npub");
        let url = format!("http://{host}/agent/{agent}/state.json");
        let header = authorization(server.keys().expect("a key"), now(), "GET", &url);
        // The request line names the host, as for a proxy; it takes precedence over the `Host` header.
        let answer = request(server.address(), "GET", &url, &[("Authorization", &header)]).await;
        answer.expect("an answer").status
    };
    let server = servers.own_with("probe", &[("RELAY_URL", "wss://agent.example".to_owned())]);
    assert_eq!(read(&server, "evil.example").await, 401);
    assert_eq!(read(&server, "agent.example").await, 200);
    assert_eq!(read(&server, "agent.example:8787").await, 401, "at another port there may be another server");
    assert_eq!(read(&server, server.address()).await, 200);
    // Without a configured host, an agent accepts any.
    let server = servers.own("probe");
    assert_eq!(read(&server, "my-laptop.local:8787").await, 200);
}

async fn a_token_is_for_the_public_url_whatever_host_a_proxy_names(servers: &Servers) {
    let server = servers.own_with("probe", &[("RELAY_URL", "wss://agent.example:8443/nostr".to_owned())]);
    let agent = server.agent().to_bech32().expect("an npub");
    let path = format!("/agent/{agent}/history?limit=1");
    // The `Host` header is the server's address, as a proxy sends it that does not forward the client's. This one also
    // removes the path of the public URL.
    let read = async |signed: &str| {
        let header = authorization(server.keys().expect("a key"), now(), "GET", &format!("{signed}{path}"));
        request(server.address(), "GET", &path, &[("Authorization", &header)]).await.expect("an answer")
    };
    assert_eq!(read("https://agent.example:8443/nostr").await.status, 200);
    assert_eq!(read("https://agent.example:8443").await.status, 200);
    assert_eq!(read("https://agent.example:8443/other").await.status, 401);
    assert_eq!(read("https://agent.example").await.status, 401);
    let refused = read("https://other.example").await;
    let told = String::from_utf8_lossy(&refused.body);
    assert_eq!(refused.status, 401, "{told}");
    assert!(told.contains(&format!("[\"u\", \"https://agent.example:8443/nostr{path}\"]")), "{told}");
}

/// A probe agent with a customer and an operator.
struct Bench {
    server: Server,
    client: Client,
    customer: Keys,
}

impl Bench {
    async fn new(servers: &Servers) -> Self {
        Self::of(servers, "probe").await
    }

    async fn of(servers: &Servers, agent: &'static str) -> Self {
        let server = servers.own(agent);
        let client = Client::connect(&server.url()).await;
        Self { server, client, customer: fresh_author() }
    }

    /// Runs a job.
    async fn job(
        &mut self,
        kind: u16,
        input: &str,
        parameters: &[(&str, &str)],
    ) -> (Event, jobs::Conversation) {
        let request = jobs::request(&self.customer, kind, Some(self.server.agent()), input, parameters);
        let said = ask(&mut self.client, &request).await;
        (request, said)
    }

    async fn look(&self, path: &str) -> Response {
        let path = format!("/agent/{}/{path}", self.server.agent().to_bech32().expect("an npub"));
        let url = format!("http://{}{path}", self.server.address());
        let header = authorization(self.server.keys().expect("a key"), now(), "GET", &url);
        request(self.server.address(), "GET", &path, &[("Authorization", &header)]).await.expect("an answer")
    }

    async fn found(&self, path: &str) -> Value {
        let answer = self.look(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
        answer.json()
    }

    /// Runs `probe inspect` with the agent's key. Returns its output and its errors.
    async fn inspect(&self, arguments: &[&str]) -> (bool, String, String) {
        self.command("inspect", arguments).await
    }

    /// Runs a command of `probe` with the agent's key. Returns its output and its errors.
    async fn command(&self, name: &str, arguments: &[&str]) -> (bool, String, String) {
        let mut command = Command::new(binary("probe"));
        command.arg(name).args(arguments).args(["--url", &self.server.url()]);
        command.env("NOSTR_PRIVATE_KEY", self.server.keys().expect("a key").secret_key().to_secret_hex());
        let output = command.current_dir(self.server.data()).output().await.expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }
}

fn ids(list: &Value) -> Vec<String> {
    let jobs = list["jobs"].as_array().expect("a list of jobs");
    jobs.iter().map(|job| job["id"].as_str().expect("an id").to_owned()).collect()
}

async fn history_lists_the_jobs_newest_first(servers: &Servers) {
    let mut bench = Bench::new(servers).await;
    let (first, _) = bench.job(5900, "a", &[]).await;
    let (second, _) = bench.job(5901, "b", &[]).await;
    let history = bench.found("history").await;
    assert_eq!(ids(&history), [second.id.to_hex(), first.id.to_hex()]);
    assert_eq!(history["more"], false);
    let (failed, done) = (&history["jobs"][0], &history["jobs"][1]);
    assert_eq!((&failed["kind"], &failed["state"]), (&json!(5901), &json!("failed")));
    assert_eq!((&done["kind"], &done["state"], &done["attempt"]), (&json!(5900), &json!("done"), &json!(1)));
    assert_eq!(done["customer"], bench.customer.public_key().to_hex());
    let time = |field: &str| done[field].as_u64().expect("a time");
    assert!(time("received_at") <= time("started_at") && time("started_at") <= time("finished_at"), "{done}");
    assert!(time("finished_at").abs_diff(now() * 1000) < 60_000, "{done}");
}

async fn history_is_read_page_by_page(servers: &Servers) {
    let mut bench = Bench::new(servers).await;
    let mut asked = Vec::new();
    for number in 0..5 {
        asked.push(bench.job(5900, &number.to_string(), &[]).await.0.id.to_hex());
    }
    let mut seen = Vec::new();
    let mut path = "history?limit=2".to_owned();
    for pages in 1.. {
        let page = bench.found(&path).await;
        seen.extend(ids(&page));
        let last = page["jobs"].as_array().and_then(|jobs| jobs.last()).expect("a job")["seq"].clone();
        path = format!("history?limit=2&before={last}");
        if page["more"] == false {
            assert_eq!(pages, 3);
            break;
        }
    }
    seen.reverse();
    assert_eq!(seen, asked);
}

async fn a_job_is_shown_with_its_request_and_its_answer(servers: &Servers) {
    let mut bench = Bench::new(servers).await;
    let (request, said) = bench.job(5900, "with \"quotes\" and é", &[]).await;
    let job = bench.found(&format!("history/{}.json", request.id)).await;
    assert_eq!((&job["id"], &job["state"]), (&json!(request.id.to_hex()), &json!("done")));
    assert_eq!(job["request"], as_json(&request));
    assert_eq!(&verified(&job["answer"]), said.result());
}

async fn a_failed_job_is_shown_with_its_reason(servers: &Servers) {
    let mut bench = Bench::new(servers).await;
    let (request, said) = bench.job(5901, "this", &[]).await;
    let job = bench.found(&format!("history/{}.json", request.id)).await;
    assert_eq!(job["state"], "failed");
    assert_eq!(&verified(&job["answer"]), said.error());
}

async fn a_job_that_is_not_on_record_is_not_found(servers: &Servers) {
    let bench = Bench::new(servers).await;
    for path in [format!("history/{}.json", "ab".repeat(32)), "history/1234.json".to_owned()] {
        assert_eq!(bench.look(&path).await.status, 404, "{path}");
    }
    assert_eq!(bench.found("history").await, json!({"jobs": [], "more": false}));
}

async fn conversations_are_listed_and_shown(servers: &Servers) {
    let mut bench = Bench::new(servers).await;
    bench.job(5990, "I am Ada", &[]).await;
    bench.job(5990, "Who am I?", &[]).await;
    let key = bench.customer.public_key();
    let npub = key.to_bech32().expect("an npub");
    let sessions = bench.found("sessions").await;
    let session = &sessions["sessions"][0];
    assert_eq!((&session["npub"], &session["turns"]), (&json!(npub), &json!(4)), "{sessions}");
    for name in [npub, key.to_hex()] {
        let said = bench.found(&format!("sessions/{name}.json")).await;
        let turns: Vec<_> =
            said["turns"].as_array().expect("turns").iter().map(|turn| &turn["text"]).collect();
        let answer = "I shall remember that.";
        assert_eq!(turns, ["I am Ada", answer, "Who am I?", answer]);
        assert_eq!(said["turns"][0]["role"], "user");
    }
    assert_eq!(bench.look(&format!("sessions/{}.json", fresh_author().public_key())).await.status, 404);
    assert_eq!(bench.look("sessions/somebody.json").await.status, 404);
}

async fn memory_is_listed_by_prefix_and_shown(servers: &Servers) {
    let mut bench = Bench::new(servers).await;
    for key in ["cities/london", "cities/paris", "citizens/ada", "colours"] {
        bench.job(5990, key, &[("key", key)]).await;
    }
    let keys = |list: &Value| {
        let entries = list["entries"].as_array().expect("entries");
        entries.iter().map(|entry| entry["key"].as_str().expect("a key").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys(&bench.found("memory?prefix=cities/").await), ["cities/london", "cities/paris"]);
    let first = bench.found("memory?limit=2").await;
    assert_eq!((keys(&first).len(), &first["more"]), (2, &json!(true)));
    let rest = bench.found("memory?limit=2&after=cities%2Fparis").await;
    assert_eq!((keys(&rest), &rest["more"]), (vec!["citizens/ada".into(), "colours".into()], &json!(false)));
    let entry = bench.found("memory/cities/paris").await;
    assert_eq!((&entry["key"], &entry["value"]), (&json!("cities/paris"), &json!("cities/paris")));
    assert_eq!(bench.look("memory/cities").await.status, 404);
}

async fn a_key_with_slashes_and_signs_is_found(servers: &Servers) {
    let mut bench = Bench::new(servers).await;
    let key = "a/b c?d=e&f#g%é+\"";
    bench.job(5990, "found", &[("key", key)]).await;
    let encoded = "memory/a/b%20c%3Fd%3De%26f%23g%25%C3%A9%2B%22";
    for path in [encoded.to_owned(), encoded.replace("a/b", "a%2Fb"), encoded.replace("%2B", "+")] {
        assert_eq!(bench.found(&path).await["value"], "found", "{path}");
    }
    assert_eq!(bench.look("memory/%ff").await.status, 404);
    let (_, output, _) = bench.inspect(&["memory", key]).await;
    assert_eq!(output.trim(), "\"found\"");
}

async fn the_state_is_the_struct(servers: &Servers) {
    let mut bench = Bench::new(servers).await;
    assert_eq!(bench.found("state.json").await, json!({"count": 0, "ratio": 0.0, "steps": []}));
    bench.job(5911, "", &[]).await;
    bench.job(5905, "x", &[]).await;
    assert_eq!(
        bench.found("state.json").await,
        json!({"count": 1, "ratio": 0.0, "steps": ["start x", "end x"]})
    );
}

async fn a_senseless_query_is_refused(servers: &Servers) {
    let bench = Bench::new(servers).await;
    for path in ["history?limit=many", "history?before=-1", "sessions?limit=1.5", "memory?limit="] {
        assert_eq!(bench.look(path).await.status, 400, "{path}");
    }
    assert_eq!(bench.look("history?limit=100000").await.status, 200);
}

async fn the_command_shows_what_is_on_record(servers: &Servers) {
    let mut bench = Bench::new(servers).await;
    let (request, _) = bench.job(5990, "I am Ada", &[("key", "who")]).await;
    let npub = bench.customer.public_key().to_bech32().expect("an npub");
    let id = request.id.to_hex();
    for (arguments, expected) in [
        (&["history"][..], vec!["5990", "done", &id]),
        (&["job", &id], vec!["state", "I am Ada", "remembered"]),
        (&["sessions"], vec!["2", &npub]),
        (&["sessions", &npub], vec!["user: I am Ada", "assistant: I shall remember that."]),
        (&["memory"], vec!["who"]),
        (&["memory", "--prefix", "x"], vec!["The memory is empty."]),
        (&["memory", "who"], vec!["I am Ada"]),
        (&["metrics"], vec!["5990  done   1", "0 unfinished"]),
        (&["state"], vec!["\"count\": 0"]),
    ] {
        let (success, output, errors) = bench.inspect(arguments).await;
        assert!(success, "{arguments:?}: {errors}");
        for part in expected {
            assert!(output.contains(part), "{part} in {arguments:?}: {output}");
        }
    }
}

async fn the_command_prints_json(servers: &Servers) {
    let mut bench = Bench::new(servers).await;
    let (request, _) = bench.job(5900, "x", &[]).await;
    let (success, output, errors) = bench.inspect(&["history", "--json", "--limit", "1"]).await;
    assert!(success, "{errors}");
    let history: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(ids(&history), [request.id.to_hex()]);
}

async fn the_command_says_what_is_wrong(servers: &Servers) {
    let bench = Bench::new(servers).await;
    let (success, _, errors) = bench.inspect(&["job", &"ab".repeat(32)]).await;
    assert!(!success && errors.contains("404") && errors.contains("unknown"), "{errors}");
    let mut command = Command::new(binary("probe"));
    command.args(["inspect", "state", "--url", &bench.server.url()]);
    command.env("NOSTR_PRIVATE_KEY", fresh_author().secret_key().to_secret_hex());
    let output = command.current_dir(bench.server.data()).output().await.expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && errors.contains("403") && errors.contains("ADMIN_PUBKEYS"),
        "{errors}"
    );
    let mut command = Command::new(binary("probe"));
    command.args(["inspect", "state", "--data", "nowhere"]).env_remove("NOSTR_PRIVATE_KEY");
    let output = command.current_dir(bench.server.data()).output().await.expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && errors.contains("no key found"), "{errors}");
}

impl Bench {
    /// Waits until the clock has rung this often, and returns what it rang.
    async fn rings(&self, count: usize) -> Value {
        for _ in 0..100 {
            let rings = self.found("state.json").await["rings"].clone();
            if rings.as_array().is_some_and(|rings| rings.len() >= count) {
                return rings;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("it did not ring {count} times");
    }
}

async fn schedules_are_listed_and_run_by_hand(servers: &Servers) {
    let mut bench = Bench::of(servers, "clock").await;
    bench.job(5935, "later", &[("seconds", "3600")]).await.1.result();
    let (success, listed, errors) = bench.command("schedules", &["list"]).await;
    assert!(success, "{errors}");
    assert!(
        listed.contains("tick") && listed.contains("every 7000 ms") && listed.contains("later"),
        "{listed}"
    );
    let (success, output, errors) = bench.command("schedules", &["run", "ring", "--key", "later"]).await;
    assert!(success && output.trim() == "ring is due now", "{output} {errors}");
    assert_eq!(bench.rings(1).await, json!(["later"]));
    for (arguments, expected) in
        [(&["run", "sing"][..], "this agent has `tick`, `ring`"), (&["run", "ring"], "there are none")]
    {
        let (success, _, errors) = bench.command("schedules", arguments).await;
        assert!(!success && errors.contains("404") && errors.contains(expected), "{errors}");
    }
    let (_, listed, _) = bench.command("schedules", &["list", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["schedules"].as_array().map(Vec::len), Some(2), "{listed}");
}

async fn a_schedule_runs_by_hand_once_for_each_token(servers: &Servers) {
    let mut bench = Bench::of(servers, "clock").await;
    let ring_later: &[(&str, &str)] = &[("seconds", "3600")];
    bench.job(5935, "a", ring_later).await.1.result();
    let path = format!("/agent/{}/schedules/ring?key=a", bench.server.agent().to_bech32().expect("an npub"));
    let url = format!("http://{}{path}", bench.server.address());
    let header = authorization_of_body(bench.server.keys().expect("a key"), "POST", &url, "");
    let run = async |method: &str, header: &str| {
        let answer = request(bench.server.address(), method, &path, &[("Authorization", header)]).await;
        answer.expect("an answer").status
    };
    let stranger = authorization_of_body(&fresh_author(), "POST", &url, "");
    assert_eq!(
        (run("POST", "").await, run("POST", &stranger).await, run("GET", &header).await),
        (401, 403, 405)
    );
    assert_eq!(run("POST", &header).await, 202);
    assert_eq!(bench.rings(1).await, json!(["a"]));
    // Of another customer: the same request within a second would be the same event.
    let request = jobs::request(&fresh_author(), 5935, Some(bench.server.agent()), "a", ring_later);
    ask(&mut Client::connect(&bench.server.url()).await, &request).await.result();
    assert_eq!(run("POST", &header).await, 401);
}

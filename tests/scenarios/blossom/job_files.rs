//! Files as inputs of jobs: customers upload those that their `url` inputs name, and the jobs wait for them.

use std::time::{Duration, Instant};

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::blobs::{delete, get, sha256, upload};
use openagents_tests::events::{event, fresh_author, tag_value};
use openagents_tests::http::Response;
use openagents_tests::jobs::{ask, follow, follow_until, listen, status_text};
use openagents_tests::server::Server;
use openagents_tests::wire::Client;

use crate::servers::{Servers, scenarios};

scenarios![
    a_job_waits_for_the_file_that_its_customer_uploads,
    a_file_that_is_there_is_not_waited_for,
    a_file_of_another_server_is_fetched,
    a_customer_uploads_only_what_a_job_names,
    a_file_that_cannot_be_had_is_an_error_that_says_so,
];

/// How long the agent may take to hear of a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server at which customers upload what their jobs name, and nothing else.
fn server(servers: &Servers) -> Server {
    servers.own_with("probe", &[("BLOSSOM_UPLOAD", "agent".to_owned())])
}

fn fresh_file() -> Vec<u8> {
    format!("a file of {}", Keys::generate().public_key()).into_bytes()
}

fn reversed(file: &[u8]) -> Vec<u8> {
    file.iter().rev().copied().collect()
}

/// A request to reverse what is at this URL.
fn request(customer: &Keys, server: &Server, url: &str) -> Event {
    let agent = server.agent().to_hex();
    event(customer, 5_935, &[&["i", url, "url"], &["p", &agent]], "")
}

/// Uploads a file as soon as the agent has heard of the request that names it.
async fn upload_when_expected(server: &Server, customer: &Keys, file: &[u8]) -> Response {
    let end = Instant::now() + PATIENCE;
    loop {
        let response = upload(server.address(), customer, file, "image/png").await;
        if response.status != 403 || Instant::now() > end {
            return response;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The bytes of the blob that is a result, read by its hash.
async fn result_file(server: &Server, result: &Event) -> Vec<u8> {
    let hash = tag_value(result, "x").expect("a hash");
    let read = get(server.address(), &format!("/{hash}"), &[]).await;
    assert_eq!((read.status, read.header("content-type")), (200, Some("image/png")), "{result:?}");
    read.body
}

async fn a_job_waits_for_the_file_that_its_customer_uploads(servers: &Servers) {
    let server = server(servers);
    let (customer, file) = (fresh_author(), fresh_file());
    let hash = sha256(&file);
    let mut client = Client::connect(&server.url()).await;
    let request = request(&customer, &server, &format!("http://{}/{hash}.png", server.address()));
    let mut said = listen(&mut client, &request).await;
    client.publish_accepted(&request).await;
    follow_until(&mut client, &request, &mut said, PATIENCE, |said| !said.feedback.is_empty()).await;
    let told = status_text(&said.feedback[0]);
    assert!(told.contains("waiting") && told.contains(&hash), "{told}");
    let began = Instant::now();
    let stored = upload_when_expected(&server, &customer, &file).await;
    assert_eq!(stored.status, 201, "{stored:?}");
    follow(&mut client, &request, &mut said, PATIENCE).await;
    assert_eq!(result_file(&server, said.result()).await, reversed(&file));
    assert!(began.elapsed() < Duration::from_secs(10), "the upload wakes it: {:?}", began.elapsed());
    let read = get(server.address(), &format!("/{hash}"), &[]).await;
    assert_eq!(read.body, file);
    assert_eq!(delete(server.address(), &customer, &hash).await.status, 204, "it is the customer's");
}

async fn a_file_that_is_there_is_not_waited_for(servers: &Servers) {
    let server = servers.probe();
    let (customer, file) = (fresh_author(), fresh_file());
    assert_eq!(upload(server.address(), &customer, &file, "image/png").await.status, 201);
    let mut client = Client::connect(&server.url()).await;
    for url in ["blossom:{}.png", "https://cdn.example.com/{}.png"] {
        let request = request(&fresh_author(), &server, &url.replace("{}", &sha256(&file)));
        let said = ask(&mut client, &request).await;
        assert_eq!(result_file(&server, said.result()).await, reversed(&file), "{url}");
    }
}

async fn a_file_of_another_server_is_fetched(servers: &Servers) {
    let origin = servers.probe();
    let server = servers.own_with("probe", &[("ALLOW_PRIVATE_ADDRESSES", "true".to_owned())]);
    let file = fresh_file();
    let hash = sha256(&file);
    assert_eq!(upload(origin.address(), &fresh_author(), &file, "image/png").await.status, 201);
    let mut client = Client::connect(&server.url()).await;
    for url in [
        format!("http://{}/{hash}.png", origin.address()),
        format!("blossom:{hash}.png?xs=http%3A%2F%2F{}", origin.address().replace(':', "%3A")),
    ] {
        let said = ask(&mut client, &request(&fresh_author(), &server, &url)).await;
        assert_eq!(result_file(&server, said.result()).await, reversed(&file), "{url}");
    }
}

async fn a_customer_uploads_only_what_a_job_names(servers: &Servers) {
    let server = server(servers);
    let (address, customer, file) = (server.address(), fresh_author(), fresh_file());
    let before = upload(address, &customer, &file, "image/png").await;
    assert_eq!(before.status, 403, "{before:?}");
    let mut client = Client::connect(&server.url()).await;
    let request = request(&customer, &server, &format!("http://{address}/{}", sha256(&file)));
    let mut said = listen(&mut client, &request).await;
    client.publish_accepted(&request).await;
    follow_until(&mut client, &request, &mut said, PATIENCE, |said| !said.feedback.is_empty()).await;
    let others = upload(address, &fresh_author(), &file, "image/png").await;
    assert_eq!(others.status, 403, "of somebody else: {others:?}");
    let another = upload(address, &customer, &fresh_file(), "image/png").await;
    assert_eq!(another.status, 403, "another file: {another:?}");
    assert_eq!(upload_when_expected(&server, &customer, &file).await.status, 201);
    follow(&mut client, &request, &mut said, PATIENCE).await;
    said.result();
    let after = upload(address, &customer, &file, "image/png").await;
    assert_eq!(after.status, 403, "the job has ended: {after:?}");
}

async fn a_file_that_cannot_be_had_is_an_error_that_says_so(servers: &Servers) {
    let server = servers.probe();
    let mut client = Client::connect(&server.url()).await;
    for (url, reason) in [
        ("https://127.0.0.1/a.png", "not a public host"),
        ("http://cdn.example.com/a.png", "begins with `https:`"),
        ("not a url", "URL"),
    ] {
        let said = ask(&mut client, &request(&fresh_author(), &server, url)).await;
        let told = status_text(said.error());
        assert!(told.contains(reason), "{url}: {told}");
    }
}

//! Tests of HTTP requests against a local server: limits, redirects, secrets.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::*;

/// A server that answers each connection with the next of `answers`, and records the requests.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `SELF` in an answer is replaced by the server's address. After an answer that ends with `STALL`, the connection
    /// stays open.
    async fn answering(answers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let answers: Vec<String> = answers.into_iter().map(Into::into).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (own, asked) = (url.clone(), requests.clone());
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                loop {
                    let mut piece = [0; 4096];
                    let length = stream.read(&mut piece).await.unwrap();
                    request.extend_from_slice(&piece[..length]);
                    let text = String::from_utf8_lossy(&request);
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let expected = head
                        .split("content-length: ")
                        .nth(1)
                        .map_or(0, |rest| rest.lines().next().unwrap().parse::<usize>().unwrap());
                    if body.len() >= expected {
                        break;
                    }
                }
                asked.lock().unwrap().push(String::from_utf8(request).unwrap());
                // The client may disconnect before the end.
                let text = answer.replace("SELF", &own);
                let _ = stream.write_all(text.trim_end_matches("STALL").as_bytes()).await;
                if text.ends_with("STALL") {
                    tokio::spawn(async move {
                        sleep(Duration::from_secs(60)).await;
                        drop(stream);
                    });
                }
            }
        });
        Self { url, requests }
    }

    fn request(&self, at: usize) -> String {
        self.requests.lock().unwrap()[at].clone()
    }
}

fn limits() -> FetchLimits {
    FetchLimits { reach: Reach::Anywhere, ..FetchLimits::default() }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

#[tokio::test]
async fn reads_a_page() {
    let server = Server::answering([ok("hello")]).await;
    let request =
        FetchRequest::get(format!("{}/a%20b?c=d#e", server.url)).header("X-Custom", "1").limits(limits());
    let fetched = fetch(request).await.unwrap();
    assert_eq!((fetched.status, fetched.text().as_ref()), (200, "hello"));
    assert_eq!(fetched.content_type.as_deref(), Some("text/plain"));
    assert!(fetched.is_success());
    let asked = server.request(0);
    assert!(asked.starts_with("GET /a%20b?c=d HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: {}\r\n", server.url.trim_start_matches("http://"))), "{asked}");
    assert!(asked.contains("x-custom: 1\r\n") && asked.contains("user-agent: openagents/"), "{asked}");
}

#[tokio::test]
async fn sends_a_body() {
    let server = Server::answering([ok("done")]).await;
    let request = FetchRequest::post(&server.url, r#"{"a":1}"#)
        .header("content-type", "application/json")
        .limits(limits());
    assert_eq!(fetch(request).await.unwrap().body, b"done");
    let asked = server.request(0);
    assert!(asked.starts_with("POST / HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n{\"a\":1}"), "{asked}");
    assert!(asked.contains("content-length: 7\r\n"), "{asked}");
}

#[tokio::test]
async fn hands_back_a_status_that_is_no_success() {
    let server = Server::answering(["HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone"]).await;
    let fetched = fetch(FetchRequest::get(&server.url).limits(limits())).await.unwrap();
    assert_eq!((fetched.status, fetched.text().as_ref(), fetched.is_success()), (404, "gone", false));
}

#[tokio::test]
async fn reads_a_body_in_chunks_and_one_that_ends_with_the_connection() {
    let server = Server::answering([
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    ])
    .await;
    assert_eq!(fetch(FetchRequest::get(&server.url).limits(limits())).await.unwrap().body, b"abcde");
    assert_eq!(fetch(FetchRequest::get(&server.url).limits(limits())).await.unwrap().body, b"until the end");
}

#[tokio::test]
async fn cuts_off_a_body_above_the_limit() {
    let long = "x".repeat(1_001);
    let server = Server::answering([
        ok(&long),
        format!("HTTP/1.1 200 OK\r\n\r\n{long}"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n{long}\r\nSTALL"),
        // The length is announced, so nothing is read.
        "HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\nSTALL".to_owned(),
        ok(&"x".repeat(1_000)),
    ])
    .await;
    let limits = FetchLimits { max_bytes: 1_000, ..limits() };
    for _ in 0..4 {
        assert_eq!(
            fetch(FetchRequest::get(&server.url).limits(limits)).await,
            Err(FetchError::TooLarge { limit: 1_000 })
        );
    }
    assert_eq!(fetch(FetchRequest::get(&server.url).limits(limits)).await.unwrap().body.len(), 1_000);
}

#[tokio::test]
async fn gives_up_on_a_server_that_is_too_slow_at_any_point() {
    let server = Server::answering([
        "STALL",
        "HTTP/1.1 200 OK\r\nSTALL",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun STALL",
    ])
    .await;
    let after = Duration::from_millis(200);
    let limits = FetchLimits { timeout: after, ..limits() };
    for _ in 0..3 {
        let outcome = fetch(FetchRequest::get(&server.url).limits(limits)).await;
        assert_eq!(outcome, Err(FetchError::Timeout { after }));
    }
}

#[tokio::test]
async fn reports_a_connection_that_fails() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = Server::answering([
        "this is no HTTP\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncut off",
        "",
    ])
    .await;
    for url in [format!("http://{nobody}"), server.url.clone(), server.url.clone(), server.url.clone()] {
        let outcome = fetch(FetchRequest::get(url).limits(limits())).await;
        assert!(matches!(outcome, Err(FetchError::Network(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn follows_redirects_and_says_where_it_ended() {
    let server = Server::answering([
        redirect(301, "/b/c?d"),
        redirect(307, "SELF/b/e"),
        redirect(302, "f"),
        ok("there"),
    ])
    .await;
    let fetched = fetch(FetchRequest::get(format!("{}/a", server.url)).limits(limits())).await.unwrap();
    assert_eq!((fetched.text().as_ref(), fetched.url.path()), ("there", "/b/f"));
}

#[tokio::test]
async fn stops_after_the_allowed_redirects() {
    let server = Server::answering(vec![redirect(302, "/"); 4]).await;
    let outcome = fetch(FetchRequest::get(&server.url).limits(limits())).await;
    assert_eq!(outcome, Err(FetchError::Redirects { limit: 3 }));
    let server = Server::answering([redirect(302, "/")]).await;
    let limits = FetchLimits { max_redirects: 0, ..limits() };
    assert_eq!(
        fetch(FetchRequest::get(&server.url).limits(limits)).await,
        Err(FetchError::Redirects { limit: 0 })
    );
}

#[tokio::test]
async fn checks_the_target_of_every_redirect() {
    for location in
        ["file:///etc/passwd", "ftp://127.0.0.1/", "http://user:secret@127.0.0.1/", "http://[", "data:,x"]
    {
        let server = Server::answering([redirect(302, location)]).await;
        let outcome = fetch(FetchRequest::get(&server.url).limits(limits())).await;
        assert!(matches!(outcome, Err(FetchError::Address(_))), "{location}: {outcome:?}");
    }
    // With `Reach::Public`, under which no server on this machine may be reached.
    let request = FetchRequest::get("https://example.com/");
    for location in
        ["https://127.0.0.1/", "https://169.254.169.254/latest", "//localhost/", "http://example.com/"]
    {
        let redirected = Exchange::first(request.clone()).unwrap().redirected(302, location, Reach::Public);
        assert!(matches!(redirected, Err(FetchError::Address(_))), "{location}");
    }
}

#[tokio::test]
async fn turns_a_post_into_a_get_where_browsers_do() {
    for (status, method, body) in
        [(301, "GET", ""), (302, "GET", ""), (303, "GET", ""), (307, "POST", "x"), (308, "POST", "x")]
    {
        let server = Server::answering([redirect(status, "/next"), ok("")]).await;
        let request =
            FetchRequest::post(&server.url, "x").header("content-type", "text/plain").limits(limits());
        fetch(request).await.unwrap();
        let asked = server.request(1);
        assert!(
            asked.starts_with(&format!("{method} /next ")) && asked.ends_with(&format!("\r\n\r\n{body}")),
            "{asked}"
        );
        assert_eq!(asked.contains("content-type"), method == "POST", "{asked}");
    }
}

#[tokio::test]
async fn keeps_secrets_from_another_origin() {
    let other = Server::answering([ok("")]).await;
    let server = Server::answering([redirect(307, "/same"), redirect(307, &other.url)]).await;
    let request = FetchRequest::get(&server.url)
        .header("authorization", "Bearer secret")
        .header("x-api-key", "secret")
        .header("accept", "text/html")
        .limits(limits());
    fetch(request).await.unwrap();
    let asked = server.request(1);
    assert!(asked.contains("authorization: Bearer secret") && asked.contains("x-api-key: secret"), "{asked}");
    let asked = other.request(0);
    assert!(!asked.contains("secret") && asked.contains("accept: text/html"), "{asked}");
}

#[tokio::test]
async fn refuses_an_address_that_is_not_public_without_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for url in [
        format!("https://127.0.0.1:{port}/"),
        format!("https://localhost:{port}/"),
        format!("http://127.0.0.1:{port}/"),
    ] {
        let outcome = fetch(FetchRequest::get(url)).await;
        assert!(matches!(outcome, Err(FetchError::Address(_))), "{outcome:?}");
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_err());
}

#[tokio::test]
async fn refuses_headers_that_would_change_the_message() {
    for (name, value) in [
        ("Host", "example.com"),
        ("content-length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("connection", "upgrade"),
        ("a b", "c"),
        ("", "c"),
        ("x-header", "a\r\nhost: example.com"),
        ("x-header", "ä"),
    ] {
        let outcome =
            fetch(FetchRequest::get("http://127.0.0.1:1/").header(name, value).limits(limits())).await;
        assert_eq!(outcome, Err(FetchError::Header { name: name.to_owned() }));
    }
}

#[test]
fn shows_no_secret_of_a_request() {
    let request =
        FetchRequest::post("https://example.com/", "body-secret").header("authorization", "header-secret");
    let shown = format!("{request:?}");
    assert!(shown.contains("authorization") && !shown.contains("secret"), "{shown}");
}

#[test]
fn can_be_awaited_on_any_thread() {
    fn is_send<T: Send>(_: T) {}
    is_send(fetch(FetchRequest::get("https://example.com/")));
}

//! Tests of HTTP requests against a local server: methods, bodies, limits, redirects, secrets.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::*;
use crate::http::ByteStream;

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

/// A response that was read to its end.
#[derive(Debug, PartialEq)]
struct Fetched {
    status: u16,
    content_type: String,
    body: String,
    url: Url,
}

async fn fetch(request: HttpRequest) -> Result<Fetched, HttpError> {
    let response = send(request).await?;
    let (status, url) = (response.status(), response.url().clone());
    let content_type = response.content_type().to_owned();
    Ok(Fetched { status, content_type, url, body: response.text().await? })
}

fn post(url: &str, body: impl Into<Body>) -> HttpRequest {
    with_body(Method::POST, url, body)
}

fn with_body(method: Method, url: &str, body: impl Into<Body>) -> HttpRequest {
    HttpRequest { body: body.into(), ..HttpRequest::new(method, url) }
}

fn limits() -> HttpLimits {
    HttpLimits { reach: Reach::Anywhere, ..HttpLimits::default() }
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
        HttpRequest::get(format!("{}/a%20b?c=d#e", server.url)).header("X-Custom", "1").limits(limits());
    let fetched = fetch(request).await.unwrap();
    assert_eq!((fetched.status, &*fetched.body), (200, "hello"));
    assert_eq!(fetched.content_type, "text/plain");
    let asked = server.request(0);
    assert!(asked.starts_with("GET /a%20b?c=d HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: {}\r\n", server.url.trim_start_matches("http://"))), "{asked}");
    assert!(asked.contains("x-custom: 1\r\n") && asked.contains("user-agent: openagents/"), "{asked}");
}

#[tokio::test]
async fn sends_a_body() {
    let server = Server::answering([ok("done")]).await;
    let request = post(&server.url, r#"{"a":1}"#).header("content-type", "application/json").limits(limits());
    assert_eq!(fetch(request).await.unwrap().body, "done");
    let asked = server.request(0);
    assert!(asked.starts_with("POST / HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n{\"a\":1}"), "{asked}");
    assert!(asked.contains("content-length: 7\r\n"), "{asked}");
}

#[tokio::test]
async fn hands_back_a_status_that_is_no_success() {
    let server = Server::answering(["HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone"]).await;
    let fetched = fetch(HttpRequest::get(&server.url).limits(limits())).await.unwrap();
    assert_eq!((fetched.status, &*fetched.body), (404, "gone"));
}

#[tokio::test]
async fn reads_a_body_in_chunks_and_one_that_ends_with_the_connection() {
    let server = Server::answering([
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    ])
    .await;
    assert_eq!(fetch(HttpRequest::get(&server.url).limits(limits())).await.unwrap().body, "abcde");
    assert_eq!(fetch(HttpRequest::get(&server.url).limits(limits())).await.unwrap().body, "until the end");
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
    let limits = HttpLimits { max_bytes: 1_000, ..limits() };
    for _ in 0..4 {
        assert_eq!(
            fetch(HttpRequest::get(&server.url).limits(limits)).await,
            Err(HttpError::TooLarge { limit: 1_000 })
        );
    }
    assert_eq!(fetch(HttpRequest::get(&server.url).limits(limits)).await.unwrap().body.len(), 1_000);
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
    let limits = HttpLimits { timeout: after, ..limits() };
    for _ in 0..3 {
        let outcome = fetch(HttpRequest::get(&server.url).limits(limits)).await;
        assert_eq!(outcome, Err(HttpError::Timeout { after }));
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
    let outcome = fetch(HttpRequest::get(format!("http://{nobody}")).limits(limits())).await;
    assert!(matches!(outcome, Err(HttpError::Connect(_))), "{outcome:?}");
    for _ in 0..3 {
        let outcome = fetch(HttpRequest::get(server.url.clone()).limits(limits())).await;
        assert!(matches!(outcome, Err(HttpError::Network(_))), "{outcome:?}");
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
    let fetched = fetch(HttpRequest::get(format!("{}/a", server.url)).limits(limits())).await.unwrap();
    assert_eq!((&*fetched.body, fetched.url.path()), ("there", "/b/f"));
}

#[tokio::test]
async fn stops_after_the_allowed_redirects() {
    let server = Server::answering(vec![redirect(302, "/"); 4]).await;
    let outcome = fetch(HttpRequest::get(&server.url).limits(limits())).await;
    assert_eq!(outcome, Err(HttpError::Redirects { limit: 3 }));
    let server = Server::answering([redirect(302, "/")]).await;
    let limits = HttpLimits { max_redirects: 0, ..limits() };
    assert_eq!(
        fetch(HttpRequest::get(&server.url).limits(limits)).await,
        Err(HttpError::Redirects { limit: 0 })
    );
}

#[tokio::test]
async fn checks_the_target_of_every_redirect() {
    for location in
        ["file:///etc/passwd", "ftp://127.0.0.1/", "http://user:secret@127.0.0.1/", "http://[", "data:,x"]
    {
        let server = Server::answering([redirect(302, location)]).await;
        let outcome = fetch(HttpRequest::get(&server.url).limits(limits())).await;
        assert!(matches!(outcome, Err(HttpError::Address(_))), "{location}: {outcome:?}");
    }
    // With `Reach::Public`, under which no server on this machine may be reached.
    for location in
        ["https://127.0.0.1/", "https://169.254.169.254/latest", "//localhost/", "http://example.com/"]
    {
        let first = Redirectable::first(HttpRequest::get("https://example.com/")).unwrap();
        let redirected = first.redirected(StatusCode::FOUND, location, Reach::Public);
        assert!(matches!(redirected, Err(HttpError::Address(_))), "{location}");
    }
}

#[tokio::test]
async fn turns_a_post_into_a_get_where_browsers_do() {
    for (status, method, body) in
        [(301, "GET", ""), (302, "GET", ""), (303, "GET", ""), (307, "POST", "x"), (308, "POST", "x")]
    {
        let server = Server::answering([redirect(status, "/next"), ok("")]).await;
        let request = post(&server.url, "x").header("content-type", "text/plain").limits(limits());
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
async fn keeps_the_method_of_other_requests_where_browsers_do() {
    for (method, status, expected) in [
        (Method::PUT, 301, "PUT"),
        (Method::DELETE, 302, "DELETE"),
        (Method::PATCH, 308, "PATCH"),
        (Method::PUT, 303, "GET"),
        (Method::OPTIONS, 307, "OPTIONS"),
    ] {
        let server = Server::answering([redirect(status, "/next"), ok("")]).await;
        fetch(with_body(method, &server.url, "x").limits(limits())).await.unwrap();
        assert!(server.request(1).starts_with(&format!("{expected} /next ")), "{}", server.request(1));
    }
}

#[tokio::test]
async fn sends_any_method_but_those_of_proxies() {
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"];
    let server = Server::answering(methods.map(|_| ok(""))).await;
    for (at, method) in methods.into_iter().enumerate() {
        let method = Method::try_from(method).unwrap();
        let response = send(HttpRequest::new(method.clone(), &server.url).limits(limits())).await.unwrap();
        assert_eq!(response.bytes().await.unwrap(), "");
        assert!(server.request(at).starts_with(&format!("{method} / HTTP/1.1")));
    }
    for method in [Method::CONNECT, Method::TRACE] {
        let outcome = fetch(HttpRequest::new(method, &server.url).limits(limits())).await;
        assert!(matches!(outcome, Err(HttpError::Request(_))), "{outcome:?}");
    }
    let outcome = fetch(with_body(Method::GET, &server.url, "x").limits(limits())).await;
    assert_eq!(outcome.unwrap_err().to_string(), "the request cannot be sent: a GET request has no body");
}

fn stream(chunks: &'static [&'static str]) -> ByteStream {
    let chunks = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())));
    ByteStream::new(Box::pin(futures_util::stream::iter(chunks)))
}

#[tokio::test]
async fn sends_a_body_that_is_a_stream() {
    let server = Server::answering([ok("done"), ok("done")]).await;
    fetch(post(&server.url, stream(&["ab", "cd"]).with_length(4)).limits(limits())).await.unwrap();
    let asked = server.request(0);
    assert!(asked.contains("content-length: 4\r\n") && asked.ends_with("\r\n\r\nabcd"), "{asked}");
    fetch(post(&server.url, stream(&["ab", "cd"])).limits(limits())).await.unwrap();
    assert!(server.request(1).contains("transfer-encoding: chunked\r\n"), "{}", server.request(1));
}

#[tokio::test]
async fn does_not_send_a_stream_twice() {
    let server = Server::answering([redirect(307, "/next")]).await;
    let outcome = fetch(post(&server.url, stream(&["ab"]).with_length(2)).limits(limits())).await;
    assert_eq!(outcome, Err(HttpError::StreamRedirected));
    let server = Server::answering([redirect(303, "/next"), ok("there")]).await;
    let fetched = fetch(post(&server.url, stream(&["ab"]).with_length(2)).limits(limits())).await;
    assert_eq!(fetched.unwrap().body, "there");
}

#[tokio::test]
async fn reads_headers_in_any_case() {
    let server = Server::answering(["HTTP/1.1 201 Created\r\nX-Count: 7\r\ncontent-length: 0\r\n\r\n"]).await;
    let response = send(HttpRequest::get(&server.url).limits(limits())).await.unwrap();
    assert_eq!((response.status(), response.header("x-COUNT"), response.header("x")), (201, Some("7"), None));
    assert!(response.headers().any(|header| header == ("x-count", "7")));
}

#[tokio::test]
async fn reads_json_or_says_what_is_wrong_with_it() {
    let server = Server::answering([ok(r#"{"a": [1, 2]}"#), ok("{")]).await;
    let read = async || {
        let response = send(HttpRequest::get(&server.url).limits(limits())).await?;
        response.json::<std::collections::BTreeMap<String, Vec<u8>>>().await
    };
    assert_eq!(read().await.unwrap()["a"], [1, 2]);
    assert!(matches!(read().await, Err(HttpError::Json(_))));
}

#[tokio::test]
async fn an_error_of_the_server_says_what_it_wrote() {
    let long = "x".repeat(3_000);
    let server = Server::answering([
        "HTTP/1.1 401 No\r\ncontent-length: 9\r\n\r\nno such k".to_owned(),
        format!("HTTP/1.1 500 No\r\ncontent-length: 3000\r\n\r\n{long}"),
        ok("fine"),
    ])
    .await;
    let ask = async || send(HttpRequest::get(&server.url).limits(limits())).await?.error_for_status().await;
    let error = ask().await.unwrap_err();
    assert_eq!(error, HttpError::Status { status: 401, body: "no such k".to_owned() });
    let HttpError::Status { status: 500, body } = ask().await.unwrap_err() else { panic!() };
    assert_eq!(body.len(), 1_000);
    assert_eq!(ask().await.unwrap().text().await.unwrap(), "fine");
}

#[tokio::test]
async fn hands_over_chunks_and_events_as_they_arrive() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n";
    let server = Server::answering([
        format!("{head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nSTALL"),
        format!("{head}transfer-encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n5\r\ndata:\r\nSTALL"),
        ok("data: a\n\n"),
    ])
    .await;
    let mut response = send(HttpRequest::get(&server.url).limits(limits())).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "abc");
    let limits = HttpLimits { timeout: Duration::from_millis(300), ..limits() };
    let mut events = send(HttpRequest::get(&server.url).limits(limits)).await.unwrap().events();
    assert_eq!(events.next().await.unwrap().unwrap().data, "a");
    assert_eq!(events.next().await, Err(HttpError::Timeout { after: limits.timeout }));
    let outcome = send(HttpRequest::get(&server.url).limits(limits)).await.unwrap().events().next().await;
    let error = HttpError::ContentType { expected: "text/event-stream", found: "text/plain".to_owned() };
    assert_eq!(outcome, Err(error));
}

#[tokio::test]
async fn passes_a_body_on_within_its_limits() {
    let source = Server::answering([ok("abcd"), ok("abcdef")]).await;
    let target = Server::answering([ok("taken"), ok("taken")]).await;
    let limits = HttpLimits { max_bytes: 5, ..limits() };
    let body = send(HttpRequest::get(&source.url).limits(limits)).await.unwrap().into_body();
    assert_eq!(body.length(), Some(4));
    fetch(post(&target.url, body).limits(limits)).await.unwrap();
    assert!(target.request(0).ends_with("\r\n\r\nabcd"), "{}", target.request(0));
    let body = send(HttpRequest::get(&source.url).limits(limits)).await.unwrap().into_body();
    assert!(body.read_to_end(100).await.unwrap_err().to_string().contains("larger than 5 bytes"));
}

#[tokio::test]
async fn reaches_a_private_origin_only_if_it_is_allowed_and_never_by_a_redirect() {
    let private = Server::answering([ok("model"), redirect(307, "/same"), ok("model")]).await;
    let allowed_origins = AllowedOrigins::parse([&*private.url]).unwrap();
    let ask = |url: &str| HttpRequest { allowed_origins: allowed_origins.clone(), ..HttpRequest::get(url) };
    for _ in 0..2 {
        assert_eq!(fetch(ask(&format!("{}/v1", private.url))).await.unwrap().body, "model");
    }
    let other = Server::answering([ok("secret")]).await;
    for url in [&other.url, &private.url.replace("127.0.0.1", "localhost")] {
        assert!(matches!(fetch(ask(url)).await, Err(HttpError::Address(_))), "{url}");
    }
    // From a public site, and from the allowed origin to another private one.
    for (first, location) in [("https://example.com/", &private.url), (&*private.url, &other.url)] {
        let first = Redirectable::first(ask(first)).unwrap();
        let redirected = first.redirected(StatusCode::FOUND, location, Reach::Public);
        assert!(matches!(redirected, Err(HttpError::Address(_))), "{location}");
    }
}

#[tokio::test]
async fn keeps_secrets_from_another_origin() {
    let other = Server::answering([ok("")]).await;
    let server = Server::answering([redirect(307, "/same"), redirect(307, &other.url)]).await;
    let request = HttpRequest::get(&server.url)
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
        let outcome = fetch(HttpRequest::get(url)).await;
        assert!(matches!(outcome, Err(HttpError::Address(_))), "{outcome:?}");
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
            fetch(HttpRequest::get("http://127.0.0.1:1/").header(name, value).limits(limits())).await;
        assert_eq!(outcome, Err(HttpError::Header { name: name.to_owned() }));
    }
}

#[test]
fn shows_no_secret_of_a_request() {
    let request =
        post("https://example.com/?key=url-secret", "body-secret").header("authorization", "header-secret");
    let shown = format!("{request:?}");
    assert!(shown.contains("authorization") && !shown.contains("secret"), "{shown}");
}

#[test]
fn can_be_awaited_on_any_thread() {
    fn is_send<T: Send>(_: T) {}
    fn is_sync<T: Sync>(_: &HttpResponse, _: fn(HttpResponse) -> T) {}
    is_send(fetch(HttpRequest::get("https://example.com/")));
    let _ = |response: HttpResponse| is_sync(&response, |response| response);
}

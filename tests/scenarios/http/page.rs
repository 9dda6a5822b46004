//! The page at `/` in a browser: sending jobs, seeing what agents answer, and running nothing that others wrote.

use std::process::Output;

use openagents_tests::http::{Response, request};
use openagents_tests::server::Server;

use crate::clients::foreign_clients::{node, run, shown};
use crate::servers::{Servers, scenarios};

scenarios![
    browsers_get_the_page_and_programs_get_text,
    the_files_of_the_page_never_change,
    a_job_sent_from_the_page_gets_its_result,
    an_extension_signs_in_place_of_the_page,
    partial_output_and_errors_are_shown,
    a_payment_request_is_shown_with_its_invoice,
    a_returned_file_is_a_link,
    what_others_write_never_runs,
    what_is_not_signed_by_the_agent_is_not_shown,
    the_page_is_accessible_in_every_size_and_scheme,
    operators_see_records_and_others_are_told_why_not,
    a_keyboard_is_enough_to_send_a_job,
    the_page_tells_without_javascript_what_it_is,
];

const HTML: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Response {
    request(server.address(), "GET", path, headers).await.expect("an answer")
}

/// Runs a check of `tests/clients/page.mjs` in Chromium.
async fn holds(check: &str, server: &Server) {
    let secret = server.keys().map(|keys| keys.secret_key().to_secret_hex()).unwrap_or_default();
    let output: Output =
        run(node("page.mjs", &[check, &format!("http://{}/", server.address()), &secret])).await;
    assert!(output.status.success(), "{}", shown(&output));
}

async fn browsers_get_the_page_and_programs_get_text(servers: &Servers) {
    let server = servers.hello_world();
    let page = get(&server, "/", &[HTML]).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("vary"), Some("accept"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let policy = page.header("content-security-policy").unwrap_or_default();
    let relay = format!("connect-src 'self' ws://{0} wss://{0};", server.address());
    for part in ["default-src 'none'; script-src 'self';", &relay, "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    let html = String::from_utf8(page.body).expect("text");
    assert!(html.contains("<h1>hello-world</h1>") && !html.contains("nsec1"), "{html}");
    for headers in [&[][..], &[("Accept", "*/*")]] {
        let text = get(&server, "/", headers).await;
        assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    }
}

async fn the_files_of_the_page_never_change(servers: &Servers) {
    let server = servers.hello_world();
    let page = String::from_utf8(get(&server, "/", &[HTML]).await.body).expect("text");
    let files: Vec<&str> = page.split('"').filter(|text| text.starts_with("page/")).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for path in files {
        let file = get(&server, &format!("/{path}"), &[]).await;
        let cached = (file.status, file.header("cache-control"));
        assert_eq!(cached, (200, Some("public, max-age=31536000, immutable")), "{path}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(!file.body.is_empty(), "{path}");
    }
    assert_eq!(get(&server, "/page/0123456789abcdef.js", &[]).await.status, 404);
    let posted =
        request(server.address(), "POST", "/page/0123456789abcdef.js", &[]).await.expect("an answer");
    assert_eq!(posted.status, 404);
}

async fn a_job_sent_from_the_page_gets_its_result(servers: &Servers) {
    holds("job", &servers.hello_world()).await;
}

async fn an_extension_signs_in_place_of_the_page(servers: &Servers) {
    holds("extension", &servers.hello_world()).await;
}

async fn partial_output_and_errors_are_shown(servers: &Servers) {
    holds("feedback", &servers.probe()).await;
}

async fn a_payment_request_is_shown_with_its_invoice(servers: &Servers) {
    holds("payment", &servers.probe()).await;
}

async fn a_returned_file_is_a_link(servers: &Servers) {
    holds("file", &servers.probe()).await;
}

async fn what_others_write_never_runs(servers: &Servers) {
    let name = "<script>window.ran=1</script><img src=x onerror=window.ran=1>".to_owned();
    holds("hostile", &servers.own_with("probe", &[("RELAY_NAME", name)])).await;
}

async fn what_is_not_signed_by_the_agent_is_not_shown(servers: &Servers) {
    holds("forged", &servers.hello_world()).await;
}

async fn the_page_is_accessible_in_every_size_and_scheme(servers: &Servers) {
    holds("accessible", &servers.hello_world()).await;
}

async fn operators_see_records_and_others_are_told_why_not(servers: &Servers) {
    holds("operator", &servers.hello_world()).await;
}

async fn a_keyboard_is_enough_to_send_a_job(servers: &Servers) {
    holds("keyboard", &servers.hello_world()).await;
}

async fn the_page_tells_without_javascript_what_it_is(servers: &Servers) {
    holds("scriptless", &servers.hello_world()).await;
}

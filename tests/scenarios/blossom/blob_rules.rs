//! What is refused, by whom and with which status: authorization (BUD-11), requirements (BUD-06), limits, reports (BUD-09).

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use openagents_tests::blobs::{authorization, delete, get, sha256, token, upload};
use openagents_tests::events::{as_json, event, fresh_author, now, tag_value};
use openagents_tests::http::{Response, authorization_of_body, request, request_with_body};
use openagents_tests::jobs::{ask, request as request_for};
use openagents_tests::wire::Client;

use crate::servers::{Servers, scenarios};

scenarios![
    by_default_the_agent_uploads_and_nobody_else,
    a_token_must_be_for_this_action_this_blob_this_server_and_this_time,
    a_body_with_another_hash_is_refused,
    the_preflight_says_what_the_upload_would,
    limits_of_size_type_and_quota_hold,
    any_page_may_use_the_server,
    malformed_paths_are_told_from_missing_blobs,
    an_operator_deletes_and_blocks_what_others_uploaded,
    a_blob_is_mirrored_from_another_server,
    an_agent_keeps_blobs_of_its_own,
    the_blobs_of_whoever_vanishes_are_gone,
    a_banned_key_has_no_blobs_and_uploads_none,
    one_network_cannot_keep_the_server_busy,
];

fn reason(response: &Response) -> &str {
    response.header("x-reason").unwrap_or_default()
}

async fn by_default_the_agent_uploads_and_nobody_else(servers: &Servers) {
    let server = servers.own("hello-world");
    let address = server.address();
    let refused = upload(address, &fresh_author(), b"a stranger's", "text/plain").await;
    assert_eq!(refused.status, 403);
    assert!(reason(&refused).contains("BLOSSOM_UPLOAD"), "{}", reason(&refused));
    let agent = server.keys().expect("started with a key");
    assert_eq!(upload(address, agent, b"the agent's", "text/plain").await.status, 201);
}

async fn a_token_must_be_for_this_action_this_blob_this_server_and_this_time(servers: &Servers) {
    let server = servers.probe();
    let (address, author) = (server.address(), fresh_author());
    let blob = b"a token must be for this";
    let hash = sha256(blob);
    let (soon, before) = ((now() + 60).to_string(), (now() - 1).to_string());
    let (x, upload_verb, end) = (["x", hash.as_str()], ["t", "upload"], ["expiration", soon.as_str()]);
    let host = address.split(':').next().unwrap_or_default();
    let at = |created_at, tags: &[&[&str]]| token(&author, created_at, tags);
    for (name, header, status) in [
        ("none", String::new(), 401),
        ("no event", "Nostr abc".to_owned(), 401),
        ("another scheme", "Bearer abc".to_owned(), 401),
        ("another action", at(now(), &[&["t", "delete"], &end, &x]), 401),
        ("no action", at(now(), &[&end, &x]), 401),
        ("expired", at(now() - 100, &[&upload_verb, &["expiration", &before], &x]), 401),
        ("no expiration", at(now(), &[&upload_verb, &x]), 401),
        ("the future", at(now() + 600, &[&upload_verb, &["expiration", "9999999999"], &x]), 401),
        ("another server", at(now(), &[&upload_verb, &end, &x, &["server", "cdn.example.com"]]), 401),
        ("another blob", at(now(), &[&upload_verb, &end, &["x", &"0".repeat(64)]]), 401),
        ("no blob", at(now(), &[&upload_verb, &end]), 401),
        ("this server", at(now(), &[&upload_verb, &end, &x, &["server", host]]), 201),
        ("another one too", at(now(), &[&upload_verb, &end, &x, &["x", &"0".repeat(64)]]), 200),
        ("old and valid", at(now() - 86_400, &[&upload_verb, &end, &x]), 200),
        ("a slow clock here", at(now() + 30, &[&upload_verb, &end, &x]), 200),
    ] {
        let headers = [("authorization", header.as_str())];
        let response = request_with_body(address, "PUT", "/upload", &headers, blob).await.expect("an answer");
        assert_eq!(response.status, status, "{name}: {}", reason(&response));
        assert!(status < 400 || !reason(&response).is_empty(), "{name}");
    }
    let upload_token = authorization(&author, "upload", &[&hash]);
    let headers = [("authorization", upload_token.as_str())];
    let deleted = request(address, "DELETE", &format!("/{hash}"), &headers).await.expect("an answer");
    assert_eq!(deleted.status, 401, "a token for uploading does not delete");
    let unnamed = authorization(&author, "delete", &[]);
    let headers = [("authorization", unnamed.as_str())];
    let deleted = request(address, "DELETE", &format!("/{hash}"), &headers).await.expect("an answer");
    assert_eq!(deleted.status, 401, "a token without a blob deletes none");
}

async fn a_body_with_another_hash_is_refused(servers: &Servers) {
    let server = servers.probe();
    let (address, author) = (server.address(), fresh_author());
    let announced = sha256(format!("announced by {}", author.public_key()).as_bytes());
    let second = "1".repeat(64);
    let one = authorization(&author, "upload", &[&announced]);
    let two = authorization(&author, "upload", &[&announced, &second]);
    for (headers, status) in [
        (vec![("authorization", one.as_str())], 401),
        (vec![("authorization", one.as_str()), ("x-sha-256", announced.as_str())], 409),
        (vec![("authorization", one.as_str()), ("x-sha-256", second.as_str())], 401),
        (vec![("authorization", two.as_str())], 401),
    ] {
        let response =
            request_with_body(address, "PUT", "/upload", &headers, "another").await.expect("an answer");
        assert_eq!(response.status, status, "{headers:?}: {}", reason(&response));
    }
    for hash in [announced, sha256(b"another")] {
        assert_eq!(get(address, &format!("/{hash}"), &[]).await.status, 404);
    }
    // With several hashes and no header, the one that fits is found.
    let (blob, other) = (format!("one of two by {}", author.public_key()), "2".repeat(64));
    let several = authorization(&author, "upload", &[&other, &sha256(blob.as_bytes())]);
    let headers = [("authorization", several.as_str())];
    let created = request_with_body(address, "PUT", "/upload", &headers, &blob).await.expect("an answer");
    assert_eq!(
        (created.status, created.json()["sha256"].as_str()),
        (201, Some(sha256(blob.as_bytes()).as_str()))
    );
}

async fn the_preflight_says_what_the_upload_would(servers: &Servers) {
    let server = servers.probe();
    let (address, author) = (server.address(), fresh_author());
    let hash = sha256(b"preflight");
    let signed = authorization(&author, "upload", &[&hash]);
    let (length, type_of) = (("x-content-length", "9"), ("x-content-type", "text/plain"));
    let (x, auth) = (("x-sha-256", hash.as_str()), ("authorization", signed.as_str()));
    let expected = [
        (vec![x, length, type_of], 401),
        (vec![x, length, type_of, auth], 200),
        (vec![x, type_of, auth], 411),
        (vec![x, ("x-content-length", "many"), auth], 400),
        (vec![("x-sha-256", "abc"), length, auth], 400),
        (vec![x, length, ("x-content-type", "png"), auth], 400),
        (vec![x, ("x-content-length", "99999999999999"), type_of], 413),
    ];
    // workerd ends a connection 5 s after the answer to HEAD.
    let responses =
        join_all(expected.iter().map(|(headers, _)| request(address, "HEAD", "/upload", headers))).await;
    for ((headers, status), response) in expected.into_iter().zip(responses) {
        let response = response.expect("an answer");
        assert_eq!((response.status, response.body.len()), (status, 0), "{headers:?}: {}", reason(&response));
    }
    assert_eq!(get(address, &format!("/{hash}"), &[]).await.status, 404, "nothing was uploaded");
}

async fn limits_of_size_type_and_quota_hold(servers: &Servers) {
    let variables = [
        ("BLOSSOM_UPLOAD", "any".to_owned()),
        ("BLOSSOM_MAX_SIZE", "1KiB".to_owned()),
        ("BLOSSOM_QUOTA", "2000".to_owned()),
        ("BLOSSOM_ALLOWED_TYPES", "image/*,text/plain".to_owned()),
    ];
    let server = servers.own_with("hello-world", &variables);
    let (address, author) = (server.address(), fresh_author());
    assert_eq!(upload(address, &author, &[1; 1_025], "text/plain").await.status, 413);
    assert_eq!(upload(address, &author, &[1; 10], "text/html").await.status, 415);
    assert_eq!(upload(address, &author, &[1; 10], "").await.status, 415);
    assert_eq!(upload(address, &author, &[1; 1_000], "image/png").await.status, 201);
    assert_eq!(upload(address, &author, &[2; 1_000], "text/plain").await.status, 201);
    let full = upload(address, &author, &[3; 10], "text/plain").await;
    assert_eq!(full.status, 429);
    assert!(reason(&full).contains("2000"), "{}", reason(&full));
    assert_eq!(
        upload(address, &fresh_author(), &[3; 10], "text/plain").await.status,
        201,
        "others have their own"
    );
    assert_eq!(delete(address, &author, &sha256(&[1; 1_000])).await.status, 204);
    assert_eq!(upload(address, &author, &[4; 1_000], "text/plain").await.status, 201);
    let unsized_body = [("authorization", authorization(&author, "upload", &[&sha256(b"")]))];
    let headers = [("authorization", unsized_body[0].1.as_str())];
    let response = request(address, "PUT", "/upload", &headers).await.expect("an answer");
    assert_eq!(response.status, 411);
}

async fn any_page_may_use_the_server(servers: &Servers) {
    let server = servers.probe();
    let address = server.address();
    let hash = "0".repeat(64);
    for path in ["/upload", "/mirror", "/report", "/list/x", &format!("/{hash}")] {
        let preflight = [
            ("origin", "https://app.example"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "authorization,x-sha-256"),
        ];
        let response = request(address, "OPTIONS", path, &preflight).await.expect("an answer");
        assert!(response.status < 300, "{path}: {}", response.status);
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        let allowed =
            response.header("access-control-allow-headers").unwrap_or_default().to_ascii_lowercase();
        for name in ["authorization", "*", "content-type", "x-sha-256", "x-content-length", "x-content-type"]
        {
            assert!(allowed.split(',').any(|found| found.trim() == name), "{name} in {allowed}");
        }
        let methods = response.header("access-control-allow-methods").unwrap_or_default();
        for name in ["GET", "HEAD", "PUT", "DELETE"] {
            assert!(methods.split(',').any(|found| found.trim() == name), "{name} in {methods}");
        }
        for method in ["GET", "PUT", "DELETE", "PATCH"] {
            let error = request(address, method, path, &[]).await.expect("an answer");
            assert!(error.status >= 400, "{method} {path}: {}", error.status);
            assert_eq!(error.header("access-control-allow-origin"), Some("*"), "{method} {path}");
        }
    }
}

async fn malformed_paths_are_told_from_missing_blobs(servers: &Servers) {
    let server = servers.probe();
    let hash = "ab".repeat(32);
    for (path, status) in [
        (format!("/{hash}"), 404),
        (format!("/{hash}.png"), 404),
        (format!("/{}", hash.to_uppercase()), 400),
        (format!("/{hash}0"), 400),
        (format!("/{}", &hash[..63]), 400),
        (format!("/{hash}/../../etc/passwd"), 404),
        (format!("/{hash}%2f..%2f..%2fetc%2fpasswd"), 404),
        ("/../../../etc/passwd".to_owned(), 404),
        ("/list/npub1abc".to_owned(), 400),
        ("/list/".to_owned(), 400),
    ] {
        let response = get(server.address(), &path, &[]).await;
        assert_eq!(response.status, status, "{path}");
    }
}

async fn an_operator_deletes_and_blocks_what_others_uploaded(servers: &Servers) {
    let operator = fresh_author();
    let variables = [("BLOSSOM_UPLOAD", "any".to_owned()), ("ADMIN_PUBKEYS", operator.public_key().to_hex())];
    let server = servers.own_with("hello-world", &variables);
    let (address, author) = (server.address(), fresh_author());
    for blob in [b"deleted".as_slice(), b"blocked"] {
        assert_eq!(upload(address, &author, blob, "text/plain").await.status, 201);
    }
    assert_eq!(delete(address, &operator, &sha256(b"deleted")).await.status, 204);
    assert_eq!(upload(address, &author, b"deleted", "text/plain").await.status, 201, "it may come back");
    let blocked = sha256(b"blocked");
    for (reporter, status) in [(&author, 200), (&operator, 404)] {
        let report = as_json(&event(reporter, 1_984, &[&["x", &blocked, "spam"]], "unwanted")).to_string();
        let response = request_with_body(address, "PUT", "/report", &[], &report).await.expect("an answer");
        assert_eq!(response.status, 200, "{}", reason(&response));
        assert_eq!(get(address, &format!("/{blocked}"), &[]).await.status, status);
    }
    let refused = upload(address, &author, b"blocked", "text/plain").await;
    assert_eq!(refused.status, 403);
    assert!(reason(&refused).contains("spam"), "{}", reason(&refused));
    for body in ["", "{}", "[]", &as_json(&event(&author, 1, &[&["x", &blocked]], "")).to_string()] {
        let response = request_with_body(address, "PUT", "/report", &[], body).await.expect("an answer");
        assert_eq!(response.status, 400, "{body}");
    }
}

async fn a_blob_is_mirrored_from_another_server(servers: &Servers) {
    let variables = [
        ("BLOSSOM_UPLOAD", "any".to_owned()),
        ("ALLOW_PRIVATE_ADDRESSES", "true".to_owned()),
        ("BLOSSOM_MAX_SIZE", "1MiB".to_owned()),
    ];
    let (origin, server) = (servers.probe(), servers.own_with("hello-world", &variables));
    let (author, address) = (fresh_author(), server.address());
    let blob = format!("mirrored by {}", author.public_key()).into_bytes();
    let hash = sha256(&blob);
    let descriptor = upload(origin.address(), &author, &blob, "image/png").await.json();
    let url = descriptor["url"].as_str().expect("a URL").to_owned();
    let mirror = async |url: &str, named: &str| {
        let signed = authorization(&author, "upload", &[named]);
        let body = serde_json::json!({ "url": url }).to_string();
        request_with_body(address, "PUT", "/mirror", &[("authorization", &signed)], &body)
            .await
            .expect("an answer")
    };
    let wrong = mirror(&url, &"3".repeat(64)).await;
    assert_eq!(wrong.status, 409, "{}", reason(&wrong));
    let created = mirror(&url, &hash).await;
    assert_eq!((created.status, &created.json()["type"]), (201, &"image/png".into()), "{}", reason(&created));
    assert_eq!(get(address, &format!("/{hash}"), &[]).await.body, blob);
    assert_eq!(mirror(&url, &hash).await.status, 200);
    let gone = format!("http://{}/{}", origin.address(), "4".repeat(64));
    let missing = mirror(&gone, &"4".repeat(64)).await;
    assert_eq!(missing.status, 502, "{}", reason(&missing));
    let own = format!("http://{address}/{}", "5".repeat(64));
    assert_eq!(mirror(&own, &"5".repeat(64)).await.status, 400, "a server does not ask itself");
    // Without the variable for development, no private address is reached.
    let public = servers.probe();
    let signed = authorization(&author, "upload", &[&hash]);
    for url in [url.as_str(), "https://127.0.0.1/x", "https://169.254.169.254/x", "ftp://a.example/x", "x"] {
        let body = serde_json::json!({ "url": url }).to_string();
        let headers = [("authorization", signed.as_str())];
        let response =
            request_with_body(public.address(), "PUT", "/mirror", &headers, &body).await.expect("an answer");
        // The blob is there already where it came from; elsewhere the address is refused.
        assert_eq!(response.status, 400, "{url}: {}", reason(&response));
    }
}

async fn an_agent_keeps_blobs_of_its_own(servers: &Servers) {
    let server = servers.probe();
    let (customer, text) = (fresh_author(), format!("kept for {}", fresh_author().public_key()));
    let hash = sha256(text.as_bytes());
    let mut client = Client::connect(&server.url()).await;
    let said = ask(&mut client, &request_for(&customer, 5_934, Some(server.agent()), &text, &[])).await;
    let kept = said.result();
    assert_eq!(kept.content, format!("blossom:{hash}.md"), "without RELAY_URL nobody knows where it is");
    for (name, value) in [("m", "text/markdown"), ("x", &hash), ("size", &text.len().to_string())] {
        assert_eq!(tag_value(kept, name).as_deref(), Some(value));
    }
    let read = get(server.address(), &format!("/{hash}"), &[]).await;
    assert_eq!((read.status, read.body.as_slice()), (200, text.as_bytes()));
    let listed = get(server.address(), &format!("/list/{}", server.agent().to_hex()), &[]).await;
    assert!(listed.json().as_array().is_some_and(|blobs| blobs.iter().any(|blob| blob["sha256"] == *hash)));
    let stranger = delete(server.address(), &customer, &hash).await;
    assert_eq!(stranger.status, 403, "it is the agent's");
    let forget = request_for(&customer, 5_934, Some(server.agent()), &text, &[("forget", "true")]);
    ask(&mut client, &forget).await.result();
    assert_eq!(get(server.address(), &format!("/{hash}"), &[]).await.status, 404);
}

async fn the_blobs_of_whoever_vanishes_are_gone(servers: &Servers) {
    for deployment in ["hello-world", "relay"] {
        let server = servers.own_with(deployment, &[("BLOSSOM_UPLOAD", "any".to_owned())]);
        let (address, anna, bob) = (server.address(), fresh_author(), fresh_author());
        assert_eq!(upload(address, &anna, b"of Anna alone", "text/plain").await.status, 201);
        assert_eq!(upload(address, &anna, b"of both", "text/plain").await.status, 201);
        assert_eq!(upload(address, &bob, b"of both", "text/plain").await.status, 200);
        let mut client = Client::connect(&server.url()).await;
        client.publish_accepted(&event(&anna, 62, &[&["relay", "ALL_RELAYS"]], "")).await;
        let end = Instant::now() + Duration::from_secs(20);
        while get(address, &format!("/{}", sha256(b"of Anna alone")), &[]).await.status != 404 {
            assert!(Instant::now() < end, "{deployment}: it is still there");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(get(address, &format!("/{}", sha256(b"of both")), &[]).await.status, 200, "Bob stays");
        let listed = get(address, &format!("/list/{}", anna.public_key().to_hex()), &[]).await;
        assert_eq!(listed.json(), serde_json::json!([]));
    }
}

async fn a_banned_key_has_no_blobs_and_uploads_none(servers: &Servers) {
    let (operator, spammer, bob) = (fresh_author(), fresh_author(), fresh_author());
    let blocked = fresh_author();
    let variables = [
        ("BLOSSOM_UPLOAD", "any".to_owned()),
        ("ADMIN_PUBKEYS", operator.public_key().to_hex()),
        ("RELAY_BLOCKED_PUBKEYS", blocked.public_key().to_hex()),
    ];
    for deployment in ["hello-world", "relay"] {
        let server = servers.own_with(deployment, &variables);
        let address = server.address();
        assert_eq!(upload(address, &spammer, b"spam", "text/plain").await.status, 201);
        assert_eq!(upload(address, &spammer, b"of both", "text/plain").await.status, 201);
        assert_eq!(upload(address, &bob, b"of both", "text/plain").await.status, 200);
        let manage = async |method: &str| {
            let body =
                serde_json::json!({"method": method, "params": [spammer.public_key().to_hex()]}).to_string();
            let signed = authorization_of_body(&operator, "POST", &server.url(), &body);
            let headers =
                [("content-type", "application/nostr+json+rpc"), ("authorization", signed.as_str())];
            let answer = request_with_body(address, "POST", "/", &headers, &body).await.expect("an answer");
            assert_eq!(answer.json(), serde_json::json!({"result": true}), "{deployment}");
        };
        manage("banpubkey").await;
        let refused = upload(address, &spammer, b"more spam", "text/plain").await;
        assert_eq!((refused.status, reason(&refused)), (403, "this key is banned here"));
        let end = Instant::now() + Duration::from_secs(20);
        while get(address, &format!("/{}", sha256(b"spam")), &[]).await.status != 404 {
            assert!(Instant::now() < end, "{deployment}: it is still there");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(get(address, &format!("/{}", sha256(b"of both")), &[]).await.status, 200, "Bob stays");
        let listed = get(address, &format!("/list/{}", spammer.public_key().to_hex()), &[]).await;
        assert_eq!(listed.json(), serde_json::json!([]));
        manage("unbanpubkey").await;
        assert_eq!(upload(address, &spammer, b"no spam", "text/plain").await.status, 201);
        assert_eq!(upload(address, &blocked, b"blocked", "text/plain").await.status, 403, "by a variable");
    }
}

async fn one_network_cannot_keep_the_server_busy(servers: &Servers) {
    let variables = [
        ("RELAY_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
        ("RELAY_MAX_REQUESTS_PER_MINUTE", "1".to_owned()),
        ("RELAY_MAX_EVENTS_PER_MINUTE", "1".to_owned()),
    ];
    let server = servers.own_with("hello-world", &variables);
    let (address, missing) = (server.address(), format!("/{}", "0".repeat(64)));
    let send = async |method: &str, path: &str, client: &str| {
        let headers = [("x-forwarded-for", client), ("cf-connecting-ip", client)];
        request(address, method, path, &headers).await.expect("an answer")
    };
    for _ in 0..4 {
        assert_eq!(send("GET", &missing, "203.0.113.7").await.status, 404);
        assert_eq!(send("PUT", "/report", "203.0.113.7").await.status, 400);
    }
    for (method, path) in [("GET", missing.as_str()), ("PUT", "/report")] {
        let refused = send(method, path, "203.0.113.7").await;
        assert_eq!(refused.status, 429, "{method}");
        assert!(reason(&refused).contains("try again in"), "{}", reason(&refused));
        assert!(refused.header("retry-after").is_some());
        assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
        assert_ne!(send(method, path, "203.0.113.8").await.status, 429, "another network");
    }
}

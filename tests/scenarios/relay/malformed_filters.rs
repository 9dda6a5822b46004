//! Malformed filters: the subscription is `CLOSED` with the reason, and an earlier one with that id ends.

use openagents_tests::events::{fresh_author, note};
use openagents_tests::wire::{Client, PATIENCE};
use serde_json::json;

use crate::relay::counts::count;
use crate::relay::malformed_messages::{Answer, expect, expect_unharmed};
use crate::servers::{Servers, scenarios};

scenarios![
    a_request_without_a_filter,
    a_filter_that_is_no_object,
    a_condition_that_is_unknown,
    a_condition_of_the_wrong_type,
    a_list_with_something_wrong_in_it,
    hex_that_is_not_of_nip01,
    a_number_that_is_no_count_and_no_time,
    a_condition_that_is_there_twice,
    filters_that_are_too_long_together,
    a_refused_request_ends_the_subscription_of_its_name,
    a_time_beyond_all_events_is_the_last_one,
    a_number_that_is_no_kind_matches_nothing,
];

async fn expect_each(servers: &Servers, filters: &[&str], prefix: &str) {
    let mut client = servers.client().await;
    for filter in filters {
        let text = format!("[\"REQ\",\"s\",{filter}]");
        expect(&mut client, &text, Answer::Closed("s"), prefix).await;
        // One malformed filter invalidates the valid ones.
        let text = format!("[\"REQ\",\"s\",{{\"limit\":0}},{filter}]");
        expect(&mut client, &text, Answer::Closed("s"), prefix).await;
    }
    expect_unharmed(servers, client).await;
}

async fn a_request_without_a_filter(servers: &Servers) {
    let mut client = servers.client().await;
    expect(&mut client, r#"["REQ","s"]"#, Answer::Closed("s"), "invalid").await;
    expect_unharmed(servers, client).await;
}

async fn a_filter_that_is_no_object(servers: &Servers) {
    let filters = ["null", "true", "1", "\"filter\"", "[]", "[{}]", "\"{}\""];
    expect_each(servers, &filters, "invalid").await;
}

async fn a_condition_that_is_unknown(servers: &Servers) {
    let long = format!("{{\"{}\":1}}", "f".repeat(10_000));
    let filters = [
        r#"{"no such condition":1}"#,
        r#"{"id":"00"}"#,
        r#"{"Kinds":[1]}"#,
        r#"{"":1}"#,
        r##"{"#":["a"]}"##,
        r##"{"#ee":["a"]}"##,
        r##"{"#1":["a"]}"##,
        r##"{"#é":["a"]}"##,
        "{\"##\":[\"a\"]}",
        r#"{"t":["a"]}"#,
        &long,
    ];
    expect_each(servers, &filters, "unsupported").await;
}

async fn a_condition_of_the_wrong_type(servers: &Servers) {
    let id = "00".repeat(32);
    let mut filters = Vec::new();
    for list in ["ids", "authors", "kinds", "#e", "#p", "#t"] {
        for value in ["null", "true", "1", "{}", "\"\"", &format!("\"{id}\""), "{\"0\":1}"] {
            filters.push(format!("{{\"{list}\":{value}}}"));
        }
    }
    for number in ["since", "until", "limit"] {
        for value in ["null", "true", "\"1\"", "\"yesterday\"", "[]", "[1]", "{}"] {
            filters.push(format!("{{\"{number}\":{value}}}"));
        }
    }
    for value in ["null", "true", "1", "[]", "[\"word\"]", "{}"] {
        filters.push(format!("{{\"search\":{value}}}"));
    }
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    expect_each(servers, &filters, "invalid").await;
}

async fn a_list_with_something_wrong_in_it(servers: &Servers) {
    let id = "00".repeat(32);
    let mut filters = Vec::new();
    for list in ["ids", "authors", "#e", "#p"] {
        for item in ["null", "7", "[]", "{}"] {
            filters.push(format!("{{\"{list}\":[\"{id}\",{item}]}}"));
        }
    }
    for item in ["null", "1", "true", "[\"a\"]", "{}"] {
        filters.push(format!("{{\"#t\":[\"a\",{item}]}}"));
    }
    for item in ["null", "\"1\"", "1.0", "1.5", "1e3", "1e400", "[1]"] {
        filters.push(format!("{{\"kinds\":[1,{item}]}}"));
    }
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    expect_each(servers, &filters, "invalid").await;
}

async fn hex_that_is_not_of_nip01(servers: &Servers) {
    let mut filters = Vec::new();
    for list in ["ids", "authors", "#e", "#p"] {
        for hex in [
            "",
            "abc",
            &"ab".repeat(31),
            &"ab".repeat(33),
            &"AB".repeat(32),
            &"zz".repeat(32),
            &"é".repeat(32),
        ] {
            filters.push(format!("{{\"{list}\":[\"{hex}\"]}}"));
        }
    }
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    expect_each(servers, &filters, "invalid").await;
}

async fn a_number_that_is_no_count_and_no_time(servers: &Servers) {
    let mut filters = Vec::new();
    for field in ["since", "until", "limit"] {
        for number in ["-1", "1.0", "1.5", "1e3", "1e400", "18446744073709551616", "-9223372036854775809"] {
            filters.push(format!("{{\"{field}\":{number}}}"));
        }
    }
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    expect_each(servers, &filters, "invalid").await;
}

async fn a_condition_that_is_there_twice(servers: &Servers) {
    let filters = [
        r#"{"limit":1,"limit":1}"#,
        r#"{"kinds":[1],"kinds":[2]}"#,
        r##"{"#t":["a"],"#t":["b"]}"##,
        r##"{"#t":["a"],"\u0023t":["b"]}"##,
    ];
    expect_each(servers, &filters, "invalid").await;
}

async fn filters_that_are_too_long_together(servers: &Servers) {
    let server = servers.hello_world();
    let headers = [("Accept", "application/nostr+json")];
    let document = openagents_tests::http::request(server.address(), "GET", "/", &headers).await;
    let limits = document.expect("an answer").json()["limitation"].clone();
    let length = |name: &str| usize::try_from(limits[name].as_u64().expect("a limit")).expect("a length");
    let (together, message) = (length("max_filters_length"), length("max_message_length"));
    let mut client = Client::connect(&server.url()).await;
    let each = together.min(message) * 2 / 3 - 100;
    let filter = json!({"#t": ["x".repeat(each)], "limit": 0});
    let requests = together / each;
    for number in 0..requests {
        client.subscribe(&format!("long-{number}"), std::slice::from_ref(&filter)).await;
    }
    let text = json!(["REQ", "one more", filter]).to_string();
    expect(&mut client, &text, Answer::Closed("one more"), "restricted").await;
    // Existing subscriptions stay, replacing one does not add one, and closing one makes room.
    client.subscribe("long-0", std::slice::from_ref(&filter)).await;
    client.close("long-0").await;
    client.subscribe("one more", &[filter]).await;
    expect_unharmed(servers, client).await;
}

async fn a_refused_request_ends_the_subscription_of_its_name(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    client.subscribe("s", &[json!({"authors": [author.public_key()]})]).await;
    expect(&mut client, r#"["REQ","s",{"kinds":"1"}]"#, Answer::Closed("s"), "invalid").await;
    client.publish_accepted(&note(&author, "unheard")).await;
    client.expect_silence().await;
    expect_unharmed(servers, client).await;
}

async fn a_time_beyond_all_events_is_the_last_one(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let event = note(&author, "now");
    client.publish_accepted(&event).await;
    let author = author.public_key();
    for until in [9_007_199_254_740_993, u64::MAX] {
        let found = client.query(&[json!({"authors": [author], "until": until, "limit": u64::MAX})]).await;
        assert_eq!(found, std::slice::from_ref(&event));
        assert_eq!(client.query(&[json!({"authors": [author], "since": until})]).await, []);
    }
    // White space and unusual escapes are not errors.
    client.send_text(&format!(" [ \"REQ\" ,\n\"s\"\t, {{ \"\\u0061uthors\" : [ \"{author}\" ] }} ] ")).await;
    let sent = client.receive_text_within(PATIENCE).await.expect("an answer");
    assert!(sent.starts_with("[\"EVENT\",\"s\","), "{sent}");
}

/// NDK keeps a connection alive with such a question, and drops it unless an `EOSE` comes.
async fn a_number_that_is_no_kind_matches_nothing(servers: &Servers) {
    let mut client = servers.client().await;
    let event = note(&fresh_author(), "of kind 1");
    client.publish_accepted(&event).await;
    let author = event.pubkey.to_hex();
    for kind in [json!(65_536), json!(99_999), json!(-1)] {
        assert_eq!(client.subscribe("probe", &[json!({"kinds": [kind], "limit": 0})]).await, [], "{kind}");
        assert_eq!(client.query(&[json!({"kinds": [kind], "authors": [author]})]).await, [], "{kind}");
        let found = client.query(&[json!({"kinds": [1, kind], "authors": [author]})]).await;
        assert_eq!(found, std::slice::from_ref(&event), "{kind}");
        let counted = count(&mut client, "c", &[json!({"kinds": [kind], "authors": [author]})]).await;
        assert_eq!(counted.map(|counted| counted["count"].clone()), Ok(json!(0)), "{kind}");
    }
}

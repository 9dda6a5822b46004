//! The example `chat` with a language model that is a process of its own and streams its answers slowly.

use std::time::Duration;

use openagents_tests::events::fresh_author;
use openagents_tests::jobs::{Conversation, follow, listen, request, status, status_text};
use openagents_tests::language_model::LanguageModel;
use openagents_tests::server::Server;
use openagents_tests::wire::Client;
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios![
    an_answer_is_shown_while_the_model_writes_it,
    a_model_on_a_private_address_is_reached_only_if_the_operator_allows_it,
];

const PATIENCE: Duration = Duration::from_secs(60);

fn chat(servers: &Servers, model: &LanguageModel, allowed: bool) -> Server {
    let mut variables = vec![
        ("LLM_BASE_URL", format!("{}/v1", model.origin)),
        ("LLM_MODEL", "parrot".to_owned()),
        ("LLM_API_KEY", "sk-secret-of-the-test".to_owned()),
    ];
    if allowed {
        variables.push(("AGENT_HTTP_ALLOWED_ORIGINS", model.origin.clone()));
    }
    servers.own_with("chat", &variables)
}

async fn say(client: &mut Client, request: &nostr_sdk::nostr::Event) -> Conversation {
    let mut said = listen(client, request).await;
    client.publish_accepted(request).await;
    follow(client, request, &mut said, PATIENCE).await;
    said
}

async fn an_answer_is_shown_while_the_model_writes_it(servers: &Servers) {
    let model = LanguageModel::start().await;
    let server = chat(servers, &model, true);
    let mut client = Client::connect(&server.url()).await;
    let customer = fresh_author();
    // 14 words with the model's own, so three and a half seconds.
    let long = "a b c d e f g h i j k l";
    let said = say(&mut client, &request(&customer, 5050, Some(server.agent()), long, &[])).await;
    let answer = format!("You said: {long}");
    assert_eq!(said.result().content, answer);
    let partial: Vec<&str> = said
        .feedback
        .iter()
        .filter(|event| status(event) == "partial")
        .map(|event| event.content.as_str())
        .collect();
    assert!((2..=5).contains(&partial.len()), "{partial:?}");
    assert!(partial.iter().all(|shown| answer.starts_with(shown) && *shown != answer), "{partial:?}");

    let said = say(&mut client, &request(&customer, 5050, Some(server.agent()), "again", &[])).await;
    assert_eq!(said.result().content, "You said: again");
    let prompts = model.prompts();
    assert_eq!(prompts.len(), 2, "{prompts:?}");
    assert!(prompts[0].head.starts_with("post /v1/chat/completions http/1.1"), "{}", prompts[0].head);
    assert!(prompts[0].head.contains("authorization: bearer sk-secret-of-the-test"), "{}", prompts[0].head);
    assert_eq!(
        prompts[1].body,
        json!({ "model": "parrot", "stream": true, "messages": [
            { "role": "user", "content": long },
            { "role": "assistant", "content": answer },
            { "role": "user", "content": "again" },
        ] })
    );
}

async fn a_model_on_a_private_address_is_reached_only_if_the_operator_allows_it(servers: &Servers) {
    let model = LanguageModel::start().await;
    let server = chat(servers, &model, false);
    let mut client = Client::connect(&server.url()).await;
    let said = say(&mut client, &request(&fresh_author(), 5050, Some(server.agent()), "hello", &[])).await;
    let told = status_text(said.error());
    assert!(!told.contains("127.0.0.1") && !told.contains("sk-secret"), "{told}");
    assert!(model.prompts().is_empty());
}

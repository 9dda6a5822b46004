//! A handler with every extractor, one of the author's own included.

use openagents_sdk::__private::Run;
use openagents_sdk::declaration::InputDeclaration;
use openagents_sdk::nip90::{InputKind, JobInput};
use openagents_sdk::prelude::*;
use openagents_sdk::{FromInput, FromJob, Jobs, Session};

/// An extractor of the author's own.
struct Length(usize);

/// What the author makes of an input; the rest comes with it.
struct Word(String);

impl FromInput for Word {
    const INPUT: InputDeclaration = InputDeclaration {
        input_type: "text",
        mime_types: &["text/plain"],
        required: true,
        is_uploadable: false,
    };
    const KINDS: &'static [InputKind] = &[InputKind::Text];

    async fn from_inputs(_: &JobContext, inputs: &[&JobInput]) -> Result<Vec<Self>, JobError> {
        Ok(inputs.iter().map(|input| Self(input.data.clone())).collect())
    }
}

impl FromJob for Length {
    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        Ok(Self(context.request().inputs.len()))
    }
}

#[derive(Serialize)]
struct Report {
    length: usize,
}

#[derive(Deserialize)]
struct Order {
    pieces: usize,
}

#[agent(name = "every-extractor")]
#[derive(Default, Serialize, Deserialize)]
struct EveryExtractor;

#[jobs]
impl EveryExtractor {
    #[job(kind = 5000)]
    async fn by_value(&self, text: Option<Text>, inputs: Inputs, params: Params) -> JobResult<Text> {
        let _ = (inputs.len(), params.first("language"));
        text.ok_or_else(|| JobError::failed("send a text"))
    }

    #[job(kind = 5001)]
    async fn by_reference(&self, context: &JobContext, request: &JobRequest) -> JobResult<String> {
        Ok(format!("{} {:?}", context.attempt(), request.params))
    }

    #[job(kind = 5002)]
    async fn by_pattern(&self, Length(length): Length, _: Text, mut text: Text) -> JobResult<Json<Report>> {
        text = text.clone();
        Ok(Json(Report { length: length + text.len() }))
    }

    #[job(kind = 5003)]
    async fn with_own_error(&self) -> Result<(), std::fmt::Error> {
        Err(std::fmt::Error)
    }

    #[job(kind = 5004)]
    async fn of_inputs(&self, url: Url, event: &NostrEvent, documents: Vec<Document>) -> JobResult<Markdown> {
        let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
        Ok(Markdown(format!("{url} {} {}", event.content, texts.concat())))
    }

    #[job(kind = 5005)]
    async fn of_some_inputs(
        &self,
        url: Option<Url>,
        event: Option<NostrEvent>,
        document: Option<Document>,
        word: Option<Word>,
    ) -> JobResult<Output> {
        Output::json(&(url.is_some(), event.is_some(), document.is_some(), word.is_some()))
    }

    #[job(kind = 5006)]
    async fn of_all_inputs(
        &self,
        events: Vec<NostrEvent>,
        words: Vec<Word>,
        texts: Vec<Text>,
    ) -> JobResult<Tags> {
        let _ = (words.iter().map(|word| word.0.len()).sum::<usize>(), texts.len());
        Ok(Tags::events(events.iter().map(|event| event.id)))
    }

    #[job(kind = 5007)]
    async fn of_what_is_around(
        &self,
        customer: Customer,
        around: &AgentContext,
        _: Session,
    ) -> JobResult<Tags> {
        Ok(Tags::people([*customer, around.agent()]))
    }

    #[job(kind = 5008)]
    async fn of_json(
        &self,
        Json(order): Json<Order>,
        more: Option<Json<Order>>,
        all: Vec<Json<Order>>,
    ) -> JobResult<Json<usize>> {
        Ok(Json(order.pieces + more.map_or(0, |more| more.0.pieces) + all.len()))
    }
}

#[test]
fn is_accepted() {
    assert_eq!(EveryExtractor::HANDLERS.len(), 9);
    assert!(EveryExtractor::HANDLERS.iter().all(|handler| matches!(handler.run, Run::Shared(_))));
    assert_eq!(EveryExtractor::HANDLERS[2].declaration.output, "application/json");

    let inputs = |handler: usize| {
        let declared = EveryExtractor::HANDLERS[handler].declaration.inputs.iter().flatten();
        declared.map(|input| (input.input_type, input.required)).collect::<Vec<_>>()
    };
    assert_eq!(inputs(4), [("url", true), ("event", true), ("url", false)]);
    assert_eq!(inputs(5), [("url", false), ("event", false), ("url", false), ("text", false)]);
    assert!(inputs(7).is_empty());
    assert_eq!(inputs(8), [("text", true), ("text", false), ("text", false)]);
    let [Some(order), ..] = EveryExtractor::HANDLERS[8].declaration.inputs else { panic!("no input") };
    assert_eq!(order.mime_types, ["application/json"]);
}

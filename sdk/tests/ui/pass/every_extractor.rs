use openagents_sdk::prelude::*;
use openagents_sdk::{FromJob, Jobs, Run};

/// An extractor of the author's own.
struct Length(usize);

impl FromJob for Length {
    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        Ok(Self(context.request().inputs.len()))
    }
}

#[derive(Serialize)]
struct Report {
    length: usize,
}

#[agent(name = "every-extractor")]
#[derive(Default, Serialize, Deserialize)]
struct EveryExtractor;

#[jobs]
impl EveryExtractor {
    #[job(kind = 5000)]
    async fn by_value(&self, text: Option<Text>, inputs: Inputs, params: Params) -> JobResult<Text> {
        let _ = (inputs.0.len(), params.first("language"));
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
}

fn main() {
    assert_eq!(EveryExtractor::HANDLERS.len(), 4);
    assert!(EveryExtractor::HANDLERS.iter().all(|handler| matches!(handler.run, Run::Shared(_))));
    assert_eq!(EveryExtractor::HANDLERS[2].declaration.output, "application/json");
}

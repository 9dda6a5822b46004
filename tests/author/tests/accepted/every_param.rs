//! Parameters of every type, and with every attribute, that `#[derive(JobParams)]` and `#[derive(ParamChoice)]` accept.

#![deny(warnings)]

use openagents_sdk::__private::{ParamMap, ParamValue};
use openagents_sdk::Jobs;
use openagents_sdk::declaration::ParamDeclaration;
use openagents_sdk::nip90::RequestBuilder;
use openagents_sdk::nostr::{EventId, Keys, Kind, PublicKey, Timestamp};
use openagents_sdk::prelude::*;

/// A number under a name of the author's own.
type Tokens = u32;

/// Which model answers.
#[derive(Clone, Copy, Debug, PartialEq, ParamChoice)]
enum Model {
    /// Answers at once.
    VeryFast,
    #[param(name = "gpt-4", alias = "gpt4", alias = "GPT-4")]
    Gpt4,
    r#Match,
}

#[derive(ParamChoice)]
#[param(rename_all = "snake_case")]
enum Order {
    ByName,
}

/// A parameter's type of the author's own.
#[derive(Debug, PartialEq)]
struct Size(u32, u32);

impl ParamValue for Size {
    const TYPE: &'static str = "string";
    const EXPECTED: &'static str = "a width and a height";
    const EXAMPLE: &'static str = "1024x768";

    fn from_param(text: &str) -> Option<Self> {
        let (width, height) = text.split_once('x')?;
        Some(Self(width.parse().ok()?, height.parse().ok()?))
    }
}

mod generation {
    use super::*;

    #[derive(JobParams)]
    pub struct EveryParam {
        /// The longest answer.
        #[param(default = 512, min = 1, max = 4096)]
        pub max_tokens: Tokens,
        #[param(name = "top_k", alias = "top-k")]
        #[param(alias = "topk")]
        pub best: Option<u8>,
        #[param(default = 1, min = -2, max = 2.5)]
        pub temperature: f32,
        #[param(default = "very-fast")]
        pub model: Model,
        pub fallback: Option<Model>,
        pub order: std::option::Option<Order>,
        #[param(choices("1:1", "16:9"), default = "1:1")]
        pub ratio: String,
        #[param(default = "1024x768")]
        pub size: Size,
        #[param(default = false)]
        pub stream: bool,
        pub r#type: String,
        #[param(alias = "user")]
        pub target: Vec<PublicKey>,
        pub events: Vec<EventId>,
        pub since: Option<Timestamp>,
    }
}

use generation::EveryParam;

#[derive(JobParams)]
struct NoParams {}

#[agent(name = "every-param")]
#[derive(Default, Serialize, Deserialize)]
struct Generator;

#[jobs]
impl Generator {
    #[job(kind = 5050)]
    async fn generate(&self, Params(params): Params<EveryParam>, _: &Params<NoParams>) -> JobResult<String> {
        Ok(params.r#type)
    }
}

fn declaration(name: &str) -> ParamDeclaration {
    *EveryParam::DECLARATIONS.iter().find(|declaration| declaration.name == name).unwrap()
}

#[test]
fn is_accepted() {
    assert_eq!(Generator::HANDLERS[0].declaration.params, [EveryParam::DECLARATIONS, &[]]);

    let max_tokens = declaration("max_tokens");
    assert_eq!((max_tokens.about, max_tokens.value_type), ("The longest answer.", "integer"));
    assert_eq!(
        (max_tokens.minimum, max_tokens.maximum, max_tokens.default),
        (Some(1.0), Some(4096.0), Some("512"))
    );
    assert!(!max_tokens.required && !max_tokens.several);
    let top_k = declaration("top_k");
    assert_eq!((top_k.aliases, top_k.maximum), (["top-k", "topk"].as_slice(), Some(255.0)));
    let model = declaration("model");
    assert_eq!(model.choices, ["very-fast", "gpt-4", "match"]);
    assert_eq!(model.about, "Which model answers.\n\n- `very-fast`: Answers at once.");
    assert_eq!(declaration("order").choices, ["by_name"]);
    assert!(declaration("type").required && declaration("target").several);

    let none = EveryParam::from_params(&ParamMap::default()).err().unwrap();
    assert!(none.message().starts_with("this job needs the parameter `type`, text: add a tag"), "{none}");
    assert_eq!(Model::from_param("GPT-4"), Some(Model::Gpt4));
    assert_eq!(Model::from_param("Gpt4"), None);
    assert!(NoParams::from_params(&ParamMap::default()).is_ok());

    let customer = Keys::generate().unwrap();
    let request = RequestBuilder::new(Kind(5050))
        .param("topk", "40")
        .param("model", "gpt4")
        .param("order", "by_name")
        .params("size", ["640x480", "passed over"])
        .param("stream", "yes")
        .param("type", "story")
        .param("target", customer.npub())
        .params("user", [customer.public_key().to_hex(), customer.npub()])
        .param("since", "1700000000")
        .param("unknown", "passed over")
        .build()
        .sign(&customer, Timestamp::EPOCH);
    let request = JobRequest::from_event(request).unwrap();
    let params = EveryParam::from_params(&request.params).unwrap();
    assert_eq!((params.max_tokens, params.best, params.temperature), (512, Some(40), 1.0));
    assert_eq!((params.model, params.fallback), (Model::Gpt4, None));
    assert!(matches!(params.order, Some(Order::ByName)));
    assert_eq!((params.ratio.as_str(), params.size, params.stream), ("1:1", Size(640, 480), true));
    assert_eq!((params.r#type.as_str(), params.target), ("story", vec![customer.public_key(); 3]));
    assert_eq!((params.events, params.since), (vec![], Some(Timestamp::from_seconds(1_700_000_000))));
}

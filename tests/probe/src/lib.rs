//! An agent for the scenarios in `tests/`: its handlers do everything that a handler can do, right or wrong.

#[cfg(target_arch = "wasm32")]
mod conformance;

use std::time::Duration;

use openagents_sdk::client::{ClientError, Order};
use openagents_sdk::nip90::RequestBuilder;
use openagents_sdk::nostr::{Encryption, Kind, UnsignedEvent};
use openagents_sdk::prelude::*;
use openagents_sdk::relay::{Filter, Reason, Submission, WritePolicy};
use openagents_sdk::serde_json::{Value, json};
use openagents_sdk::{BlobDescriptor, HeaderMap, HttpError, RouteRequest, RouteResponse, StatusCode};

/// How long a hired agent may take.
const HIRED_PATIENCE: Duration = Duration::from_secs(20);

/// Does what its tests want.
#[agent(
    name = "probe",
    variables("PROBE_COLOUR" = "blue", "PROBE_SHAPE"),
    secrets("PROBE_PASSWORD")
)]
#[derive(Default, Serialize, Deserialize)]
pub struct Probe {
    count: u64,
    steps: Vec<String>,
    ratio: f64,
}

/// The words of a text.
#[derive(Serialize)]
pub struct Words {
    words: Vec<String>,
    count: usize,
}

/// What is to be added up.
#[derive(Deserialize)]
pub struct Parts {
    parts: Vec<i64>,
}

/// How long a handler waits.
#[derive(JobParams)]
pub struct Pause {
    /// The pause before the result.
    #[param(default = 0)]
    milliseconds: u64,
}

#[jobs]
impl Probe {
    /// Returns its input, `<script>window.ran=1</script>` included.
    #[job(kind = 5900, processing_after = "0s")]
    async fn echo(&self, input: Text) -> JobResult<String> {
        Ok(input.into_string())
    }

    /// Counts, then fails for good.
    #[job(kind = 5901, processing_after = "0s")]
    async fn fail(&mut self, input: Text) -> JobResult<String> {
        self.count += 1;
        Err(JobError::failed(format!("cannot do: {input}")))
    }

    /// Counts, then panics.
    #[job(kind = 5902, processing_after = "0s", attempts = 1)]
    async fn panic(&mut self, input: Text) -> JobResult<String> {
        self.count += 1;
        panic!("a panic with the input {input}")
    }

    /// Succeeds on the third attempt.
    #[job(kind = 5903, processing_after = "0s")]
    async fn persist(&self, context: JobContext) -> JobResult<String> {
        match context.attempt() {
            3 => Ok("attempt 3".to_owned()),
            attempt => Err(JobError::retry(format!("attempt {attempt} was in vain"))),
        }
    }

    /// Returns its input after some `milliseconds`.
    #[job(kind = 5904, processing_after = "0s")]
    async fn wait(&self, context: JobContext, input: Text, pause: Params<Pause>) -> JobResult<String> {
        context.sleep(Duration::from_millis(pause.milliseconds)).await;
        Ok(input.into_string())
    }

    /// Records in the state when it starts and, some `milliseconds` later, when it ends.
    #[job(kind = 5905, processing_after = "0s")]
    async fn change(&mut self, context: JobContext, input: Text, params: Params) -> JobResult<String> {
        self.steps.push(format!("start {input}"));
        context.sleep(milliseconds(&params)?).await;
        self.steps.push(format!("end {input}"));
        Ok(self.steps.len().to_string())
    }

    /// Counts, then runs into its timeout.
    #[job(kind = 5906, processing_after = "0s", timeout = "1s", attempts = 1)]
    async fn hang(&mut self, context: JobContext) -> JobResult<String> {
        self.count += 1;
        context.sleep(Duration::from_secs(3600)).await;
        Ok("too late".to_owned())
    }

    /// Shows the state.
    #[job(kind = 5907, processing_after = "0s")]
    async fn state(&self) -> JobResult<Json<Self>> {
        Ok(Json(Self { count: self.count, steps: self.steps.clone(), ratio: self.ratio }))
    }

    /// Splits its input into words.
    #[job(kind = 5908, processing_after = "0s")]
    async fn words(&self, input: Text) -> JobResult<Json<Words>> {
        let words: Vec<String> = input.split_whitespace().map(str::to_owned).collect();
        Ok(Json(Words { count: words.len(), words }))
    }

    /// Adds up the numbers in an object's `parts`.
    #[job(kind = 5933)]
    async fn sum(&self, Json(parts): Json<Parts>) -> JobResult<String> {
        Ok(parts.parts.iter().sum::<i64>().to_string())
    }

    /// Never succeeds.
    #[job(kind = 5909, processing_after = "0s", attempts = 2)]
    async fn despair(&self, context: JobContext) -> JobResult<String> {
        Err(JobError::retry(format!("attempt {} was in vain", context.attempt())))
    }

    /// Fails with an error that is not meant for customers.
    #[job(kind = 5910, processing_after = "0s", attempts = 1)]
    async fn leak(&self) -> JobResult<String> {
        Err(std::io::Error::other("the secret path /root/secret"))?
    }

    /// Counts.
    #[job(kind = 5911, processing_after = "0s")]
    async fn count(&mut self) -> JobResult<String> {
        self.count += 1;
        Ok(self.count.to_string())
    }

    /// Repeats its input until it has so many `bytes`.
    #[job(kind = 5912, processing_after = "0s")]
    async fn fill(&self, input: Text, params: Params) -> JobResult<String> {
        Ok(input.chars().cycle().take(params.parse("bytes")?.unwrap_or(0)).collect())
    }

    /// Adds a tag to its result.
    #[job(kind = 5913, processing_after = "0s")]
    async fn tag(&self, input: Text) -> JobResult<Output> {
        Ok(Output::new(input.into_string()).tag(["sort", "by", "rank"]))
    }

    /// Hires its own agent for a job of another kind, and returns its result.
    #[job(kind = 5914, processing_after = "0s", attempts = 1)]
    async fn hire(&self, context: JobContext, input: Text, params: Params) -> JobResult<String> {
        let kind = Kind(params.parse("kind")?.unwrap_or(5900));
        let request = RequestBuilder::new(kind).text(input.into_string()).provider(&context.agent());
        let order = match params.parse::<bool>("sealed")? {
            Some(true) => Order::new(request).sealed(Encryption::Nip44),
            _ => request.into(),
        };
        let mut hired = context.hire(order).await?;
        match hired.result(HIRED_PATIENCE).await {
            Ok(result) => Ok(result.content),
            Err(ClientError::Failed { message, .. }) => Err(JobError::failed(format!("hired: {message}"))),
            Err(error) => Err(error)?,
        }
    }

    /// Counts, works for some `milliseconds`, and succeeds after it has failed `failures` times; with `partials` it
    /// sends partial output meanwhile. Returns its input, the count and the attempt.
    #[job(kind = 5920, processing_after = "0s")]
    async fn work(&mut self, context: JobContext, input: Text, params: Params) -> JobResult<String> {
        self.count += 1;
        let output = format!("{input} {} {}", self.count, context.attempt());
        let shows = params.parse("partials")?.unwrap_or(false);
        let mut left = milliseconds(&params)?;
        while !left.is_zero() {
            let step = left.min(Duration::from_millis(50));
            if shows {
                context.partial(&output);
            }
            context.sleep(step).await;
            left -= step;
        }
        if context.attempt() <= params.parse("failures")?.unwrap_or(0) {
            return Err(JobError::retry("not yet"));
        }
        Ok(output)
    }

    /// Waits for some `milliseconds`; its customer is told after the usual time that it is being processed.
    #[job(kind = 5915)]
    async fn pause(&self, context: JobContext, input: Text, params: Params) -> JobResult<String> {
        context.sleep(milliseconds(&params)?).await;
        Ok(input.into_string())
    }

    /// Sends its output word by word, one word every 100 ms.
    #[job(kind = 5921, processing_after = "0s")]
    async fn stream(&self, context: JobContext, input: Text) -> JobResult<String> {
        let mut output = String::new();
        for word in input.split_whitespace() {
            output.push_str(word);
            context.partial(&output);
            context.sleep(Duration::from_millis(100)).await;
            output.push(' ');
        }
        Ok(output)
    }

    /// Reports progress ten times, every 150 ms.
    #[job(kind = 5922, processing_after = "0s")]
    async fn progress(&self, context: JobContext) -> JobResult<String> {
        for step in 1..=10 {
            context.progress(format!("step {step} of 10"));
            context.sleep(Duration::from_millis(150)).await;
        }
        Ok("there".to_owned())
    }

    /// Stores its input under a `key`, and returns the previous value; if the input is `fail`, it then fails.
    #[job(kind = 5923, processing_after = "0s", attempts = 1)]
    async fn exchange(&self, context: JobContext, input: Text, params: Params) -> JobResult<String> {
        let key = params.first("key").unwrap_or("key");
        let memory = context.memory();
        let before: Option<String> = memory.read(key).await?;
        memory.write(key, &*input)?;
        let own: Option<String> = memory.read(key).await?;
        if own.as_deref() != Some(&*input) || &*input == "fail" {
            return Err(JobError::failed("forgetful"));
        }
        Ok(before.unwrap_or_else(|| "nothing".to_owned()))
    }

    /// Adds its input and an answer to the conversation with the customer, and returns the whole conversation.
    #[job(kind = 5924, processing_after = "0s")]
    async fn converse(&self, context: JobContext, input: Text) -> JobResult<String> {
        let session = context.session();
        session.say("user", &*input);
        session.say("assistant", format!("you said {input}"));
        let turns = session.turns(100).await?;
        let lines: Vec<String> = turns.iter().map(|turn| format!("{}: {}", turn.role, turn.text)).collect();
        Ok(lines.join("\n"))
    }

    /// Counts how often its input was sent, in a table of its own.
    #[job(kind = 5925, processing_after = "0s")]
    async fn tally(&self, context: JobContext, input: Text) -> JobResult<String> {
        let memory = context.memory();
        memory.sql("CREATE TABLE IF NOT EXISTS my_words (word TEXT PRIMARY KEY, count INTEGER)", &[]).await?;
        let word = [input.into_string().into()];
        let insert = "INSERT INTO my_words VALUES (?, 1) ON CONFLICT (word) DO UPDATE SET count = count + 1";
        memory.sql(insert, &word).await?;
        let rows = memory.sql("SELECT count FROM my_words WHERE word = ?", &word).await?;
        Ok(openagents_sdk::serde_json::to_string(&rows)?)
    }

    /// Queries a table that is not its own.
    #[job(kind = 5926, processing_after = "0s", attempts = 1)]
    async fn pry(&self, context: JobContext) -> JobResult<String> {
        context.memory().sql("SELECT request FROM job", &[]).await?;
        Ok("seen".to_owned())
    }

    /// Publishes a note with its input; if the input is `fail`, it then fails.
    #[job(kind = 5927, processing_after = "0s", attempts = 1)]
    async fn post(&self, context: JobContext, input: Text) -> JobResult<String> {
        context.publish(UnsignedEvent::new(Kind(1), &*input).tag(["t", "probe"]));
        if &*input == "fail" {
            return Err(JobError::failed("changed my mind"));
        }
        Ok("posted".to_owned())
    }

    /// Lists the notes of the customer on the agent's relay, newest first.
    #[job(kind = 5928, processing_after = "0s")]
    async fn notes(&self, context: JobContext) -> JobResult<String> {
        let of_customer = Filter::new().kinds([1]).authors([context.request().customer()]);
        let notes = context.events([of_customer]).await?;
        let texts: Vec<&str> = notes.iter().map(|note| note.content.as_str()).collect();
        Ok(texts.join("\n"))
    }

    /// Shows what a handler gets of its request; of the parameters, all values of `value`.
    #[job(kind = 5929, processing_after = "0s")]
    async fn read(&self, request: JobRequest, inputs: Inputs) -> JobResult<Json<Value>> {
        let inputs =
            inputs.iter().map(|input| json!([input.data, input.kind.as_str(), input.relay, input.marker]));
        Ok(Json(json!({
            "inputs": inputs.collect::<Vec<_>>(),
            "values": request.params.all("value").collect::<Vec<_>>(),
            "output": request.output,
            "bid": request.bid,
            "relays": request.relays,
            "topics": request.topics,
            "expires_at": request.expires_at.map(|expiry| expiry.as_seconds()),
        })))
    }

    /// Shows its variables, and how long its secret is. The input names one more variable, if any.
    #[job(kind = 5930, processing_after = "0s")]
    async fn configuration(&self, context: JobContext, input: Option<Text>) -> JobResult<String> {
        let more = input.map(|name| context.variable(&name)).transpose()?;
        let [colour, shape] = [context.variable("PROBE_COLOUR")?, context.variable("PROBE_SHAPE")?];
        let password = context.secret("PROBE_PASSWORD")?;
        Ok(format!("{colour} {shape} {} {password:?} {more:?}", password.expose().len()))
    }

    /// Divides by its input, counts, and keeps the quotient, which may be no number.
    #[job(kind = 5931, processing_after = "0s", attempts = 1)]
    async fn divide(&mut self, input: Text) -> JobResult<String> {
        self.count += 1;
        self.ratio = 0.0 / input.parse::<f64>().tell_customer()?;
        Ok(self.count.to_string())
    }

    /// Logs its input.
    #[job(kind = 5932, processing_after = "0s")]
    async fn log(&self, input: Text) -> JobResult<()> {
        tracing::info!(length = input.len(), "halfway: {}", input.as_str());
        tracing::trace!("not at any level of a scenario");
        Ok(())
    }

    /// Stores its input as a blob, and answers with it; with `forget`, it is deleted at once.
    #[job(kind = 5934)]
    async fn keep(&self, input: Text, params: Params, context: JobContext) -> JobResult<BlobDescriptor> {
        let stored = context.blobs().store(input.to_string(), "text/markdown").await?;
        let read = context.blobs().read(&stored.sha256).await?;
        if read.is_none_or(|bytes| bytes != input.as_str().as_bytes()) {
            return Err(JobError::failed("the blob is another"));
        }
        if params.parse("forget")?.unwrap_or(false) && !context.blobs().delete(&stored.sha256).await? {
            return Err(JobError::failed("the blob is not the agent's"));
        }
        Ok(stored)
    }

    /// Reverses the bytes of a file, and answers with the new file.
    #[job(kind = 5935, processing_after = "0s", attempts = 1)]
    async fn reverse(&self, file: Blob, context: JobContext) -> JobResult<BlobDescriptor> {
        let reversed: Vec<u8> = file.bytes().iter().rev().copied().collect();
        context.blobs().store(reversed, &file.media_type()).await
    }

    /// Notes who mentions it, and replies. `fail` fails once with an error that can be retried, `give up` for good; `wait`
    /// takes a second.
    #[event(kind = 1, mentions)]
    async fn mentioned(&mut self, note: NostrEvent, context: AgentContext) -> JobResult<()> {
        let (text, attempt) = (note.content.as_str(), attempt_of(&note.id.to_hex(), &context).await?);
        self.steps.push(format!("{text} {attempt}"));
        match text {
            "fail" if attempt == 1 => return Err(JobError::retry("not yet")),
            "give up" => return Err(JobError::failed("never")),
            "wait" => context.sleep(Duration::from_secs(1)).await,
            _ => {}
        }
        let reply = UnsignedEvent::new(1, format!("re: {text}"));
        let [author, me] = [note.pubkey, context.agent()].map(|key| key.to_hex());
        // A reply that mentions the agent itself as well.
        context.publish(reply.tag(["e", &note.id.to_hex()]).tag(["p", &author]).tag(["p", &me]));
        Ok(())
    }

    /// Repeats a message and counts those of its author; says nothing to `silence`, and takes a second for `wait`.
    #[direct_message]
    async fn answer(
        &self,
        message: DirectMessage,
        session: Session,
        context: AgentContext,
    ) -> JobResult<Option<String>> {
        session.say("user", message.text());
        let count = session.turns(200).await?.len();
        Ok(match message.text() {
            "silence" => None,
            "wait" => {
                context.sleep(Duration::from_secs(1)).await;
                Some(format!("wait ({count})"))
            }
            text => Some(format!("{text} ({count})")),
        })
    }

    /// Counts; its changes are committed before the response.
    #[route(POST, "/count")]
    async fn count_by_http(&mut self) -> JobResult<String> {
        self.count += 1;
        Ok(self.count.to_string())
    }

    /// Shows the count.
    #[route(GET, "/count")]
    async fn show_count(&self) -> JobResult<String> {
        Ok(self.count.to_string())
    }

    /// Adds up the numbers in an object's `parts`.
    #[route(PUT, "/sum/of/parts", max_bytes = 1_000)]
    async fn sum_by_http(&self, Json(parts): Json<Parts>) -> JobResult<Json<i64>> {
        Ok(Json(parts.parts.iter().sum()))
    }

    /// Shows what a route gets of its request, with the status in the query.
    #[route(PATCH, "/mirrored")]
    async fn show_request(
        &self,
        request: RouteRequest,
        headers: HeaderMap,
        body: Text,
        params: Params,
    ) -> JobResult<RouteResponse> {
        let status = StatusCode::from_u16(params.parse("status")?.unwrap_or(200)).terminal()?;
        let shown = json!({
            "method": request.method().as_str(),
            "path": request.path(),
            "values": params.all("value").collect::<Vec<_>>(),
            "header": headers.get("x-probe").and_then(|value| value.to_str().ok()),
            "body": body.as_str(),
        });
        Ok(RouteResponse::json(&shown)?.with_status(status).header("x-answer", "from the probe")?)
    }

    /// Counts, writes a value, then fails, panics or hangs, as its body says.
    #[route(DELETE, "/fail", timeout = "1s")]
    async fn fail_by_http(&mut self, how: Text, context: AgentContext) -> JobResult<()> {
        self.count += 1;
        context.memory().write("failed", how.as_str())?;
        match how.as_str() {
            "error" => Err(std::io::Error::other("the secret path /root/secret"))?,
            "panic" => panic!("a panic in a route"),
            "hang" => context.sleep(Duration::from_secs(3600)).await,
            _ => return Err(JobError::failed("no such failure")),
        }
        Ok(())
    }

    /// Computes for a number of `rounds` without an `.await`.
    #[job(kind = 5993, processing_after = "0s", attempts = 1, timeout = "10m")]
    async fn compute(&self, params: Params) -> JobResult<String> {
        let rounds: u64 = params.parse("rounds")?.unwrap_or(0);
        let sum = (0..rounds).fold(1_u64, |sum, round| std::hint::black_box(sum.rotate_left(7) ^ round));
        Ok(sum.to_string())
    }

    /// Stores its input under a `key` and in the conversation.
    #[job(kind = 5990, processing_after = "0s")]
    async fn remember(&self, context: JobContext, input: Text, params: Params) -> JobResult<String> {
        context.memory().write(params.first("key").unwrap_or("last"), &*input)?;
        context.session().say("user", &*input);
        context.session().say("assistant", "I shall remember that.");
        Ok("remembered".to_owned())
    }

    /// Looks up the event in its input, and returns the event's content.
    #[job(kind = 5991, processing_after = "0s")]
    async fn look_up(&self, event: NostrEvent) -> JobResult<String> {
        Ok(event.content.clone())
    }

    /// Fetches the URL in its input, and returns the text there.
    #[job(kind = 5992, processing_after = "0s")]
    async fn fetch(&self, document: Document) -> JobResult<String> {
        Ok(document.text)
    }

    /// Makes the HTTP request that its input describes, and returns the response.
    #[job(kind = 5994, processing_after = "0s", attempts = 1)]
    async fn request(&self, input: Text, context: JobContext) -> JobResult<Json<Value>> {
        let HttpExchange { method, url, header, json, stream_from, milliseconds } =
            openagents_sdk::serde_json::from_str(&input)?;
        let mut request = context.http().request(&method, url).header("x-probe", header).bearer("secret");
        if let Some(json) = &json {
            request = request.json(json);
        }
        if let Some(source) = stream_from {
            request = request.body(context.http().get(source).send().await?.into_body());
        }
        if let Some(milliseconds) = milliseconds {
            request = request.timeout(Duration::from_millis(milliseconds));
        }
        let answered = async {
            let response = request.send().await?;
            let (status, answer) = (response.status(), response.header("x-answer").map(str::to_owned));
            Ok::<_, HttpError>(json!({ "status": status, "answer": answer, "text": response.text().await? }))
        };
        Ok(Json(answered.await.unwrap_or_else(|error| json!({ "error": error.to_string() }))))
    }
}

/// An HTTP request to be made.
#[derive(Deserialize)]
#[serde(crate = "openagents_sdk::serde")]
pub struct HttpExchange {
    method: String,
    url: String,
    #[serde(default)]
    header: String,
    json: Option<Value>,
    stream_from: Option<String>,
    milliseconds: Option<u64>,
}

/// Counts the attempts at an event, also those that fail.
async fn attempt_of(event: &str, context: &AgentContext) -> JobResult<u64> {
    let (memory, event) = (context.memory(), [Value::from(event)]);
    memory.sql("CREATE TABLE IF NOT EXISTS my_attempts (event TEXT PRIMARY KEY, count INTEGER)", &[]).await?;
    let insert = "INSERT INTO my_attempts VALUES (?, 1) ON CONFLICT (event) DO UPDATE SET count = count + 1";
    memory.sql(insert, &event).await?;
    let rows = memory.sql("SELECT count FROM my_attempts WHERE event = ?", &event).await?;
    Ok(rows.first().and_then(|row| row.first()).and_then(Value::as_u64).unwrap_or(0))
}

fn milliseconds(params: &Params) -> JobResult<Duration> {
    Ok(Duration::from_millis(params.parse("milliseconds")?.unwrap_or(0)))
}

/// The events that the probe's relay rejects.
struct Scruples;

impl WritePolicy for Scruples {
    fn admit(&self, submission: &Submission<'_>) -> Result<(), Reason> {
        match submission.event.content.as_str() {
            "forbidden by the policy" => Err(Reason::restricted("the policy forbids this")),
            "a panic in the policy" => panic!("the policy panics"),
            "only of those who are known" if submission.authenticated.is_empty() => {
                Err(Reason::auth_required("the policy wants to know who you are"))
            }
            _ => Ok(()),
        }
    }

    fn restricts_writes(&self) -> bool {
        false
    }
}

openagents_sdk::deployment! {
    agents: [Probe],
    policy: Scruples,
    gateway: openagents_sdk::gateway::Gateway::new(),
}

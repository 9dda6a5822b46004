//! The command `ask`: sends a job request to an agent and follows the job until its result. The customer's key signs the
//! request, and authenticates to the relay if it requires that (NIP-42).

mod advice;
pub(in crate::native) mod arguments;
mod customer_key;
mod files;
mod offer;
mod order;
mod payments;
mod save;

use std::cell::Cell;
use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use openagents_blossom::BlobClient;
use openagents_host::nostr::keys::npub;
use openagents_host::{EventId, Kind, PublicKey};
use serde_json::{Value, json};

use super::terminal::{foreign, foreign_output, say, tell};
use crate::author::agent::Jobs;
use crate::client::{ClientError, JobClient, JobHandle, JobUpdate};
use crate::nip90::{Amount, JobResultEvent};
use crate::payment::wallet::WalletError;
use arguments::Ask;
use customer_key::CustomerKeyError;
use files::{FileError, InputFile};
use offer::{AgentOffer, http_url};
use order::InputError;
use payments::{CustomerPayer, PayError};
use save::SaveError;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("cannot reach the relay {relay}: {error}{}", hint(error))]
    Connect { relay: String, error: ClientError },
    #[error(transparent)]
    Key(#[from] CustomerKeyError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error(
        "the agent at {relay} does no jobs of kind {kind}; its kinds: {kinds}. --kind KIND chooses one, and --to NPUB \
         asks another agent through this relay"
    )]
    NotOffered { relay: String, kind: u16, kinds: String },
    #[error("the relay rejected the request: {0}")]
    Refused(String),
    #[error("the relay closed the subscription: {0}")]
    Closed(String),
    #[error(transparent)]
    Client(ClientError),
    #[error("the connection was closed before there was a result")]
    Ended,
    #[error("the agent could not do the job: {}", advice::for_people(.0))]
    Failed(String),
    #[error("the agent was not paid: {0}")]
    NotPaid(String),
    #[error(transparent)]
    Pay(#[from] PayError),
    #[error("no result within {after:?}. {} --timeout SECONDS waits longer", waiting(*.is_begun))]
    TooLate { after: Duration, is_begun: bool },
}

impl AskError {
    /// The exit code, and the word for it in JSON. `--help` documents them.
    fn outcome(&self) -> (u8, &'static str) {
        match self {
            Self::NotOffered { .. } | Self::Refused(_) | Self::NotPaid(_) => (3, "refused"),
            Self::TooLate { .. } => (4, "too-late"),
            _ => (1, "failed"),
        }
    }
}

fn waiting(is_begun: bool) -> &'static str {
    if is_begun {
        "The agent is working on it, and will publish the result;"
    } else {
        "Is an agent for this job kind connected to the relay?"
    }
}

fn hint(error: &ClientError) -> &'static str {
    // The operating system's error is only available as text.
    if error.to_string().contains("Connection refused") {
        ". Nothing is listening there: start the agent first, or give another relay with --relay"
    } else {
        ""
    }
}

impl From<ClientError> for AskError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(reason) => Self::Refused(reason),
            ClientError::Closed(reason) => Self::Closed(reason),
            ClientError::Payment(error @ WalletError::Unreachable(_)) => {
                Self::NotPaid(format!("{error}. It may have been paid all the same: look into your wallet"))
            }
            ClientError::Payment(error) => Self::NotPaid(error.to_string()),
            error => Self::Client(error),
        }
    }
}

/// Prints the result or why there is none, and returns the command's exit code.
pub(in crate::native) async fn run<A: Jobs>(ask: &Ask) -> ExitCode {
    let own_kind = || A::HANDLERS.first().map(|job| job.declaration.kind);
    let kind = ask.kind.or_else(own_kind).unwrap_or(5050);
    let mut request = Request {
        began: Instant::now(),
        kind,
        customer: None,
        id: None,
        is_begun: Cell::new(false),
        is_unpaid: Cell::new(false),
    };
    let answer = request.answer(ask).await;
    if ask.json {
        say(format_args!("{}", request.in_json(&answer)));
    }
    match answer {
        Ok(result) => {
            if !ask.json && ask.output.is_none() {
                say(format_args!("{}", foreign_output(&result.content)));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            // It may contain text from a relay or an agent.
            tell(format_args!("error: {}", foreign(&error.to_string())));
            ExitCode::from(error.outcome().0)
        }
    }
}

/// The request, as far as it has come. Each line about its progress shows the time since it began.
struct Request {
    began: Instant,
    kind: u16,
    customer: Option<PublicKey>,
    id: Option<EventId>,
    /// Whether an agent has said that it is doing the job.
    is_begun: Cell<bool>,
    /// Whether its invoice was shown, and nobody has noticed a payment.
    is_unpaid: Cell<bool>,
}

impl Request {
    async fn answer(&mut self, ask: &Ask) -> Result<JobResultEvent, AskError> {
        let payer = ask.pay.map(|_| CustomerPayer::of(ask)).transpose()?;
        let keys = customer_key::of(ask)?;
        self.customer = Some(keys.public_key());
        let (client, offer) = futures_util::future::join(
            JobClient::connect(&ask.relay, keys.clone()),
            AgentOffer::at(&ask.relay),
        )
        .await;
        let mut client = client.map_err(|error| AskError::Connect { relay: ask.relay.clone(), error })?;
        if let Some(kinds) = offer.as_ref().and_then(|offer| offer.kinds_without(self.kind, ask)) {
            return Err(AskError::NotOffered { relay: ask.relay.clone(), kind: self.kind, kinds });
        }
        let server = ask.blossom.clone().or_else(|| http_url(&ask.relay, "/").map(String::from));
        let blobs = BlobClient::new(server.as_deref().unwrap_or(&ask.relay), keys)
            .map_err(FileError::from)?
            .timeout(ask.timeout);
        let meant = offer.as_ref().filter(|offer| offer.is_meant(ask));
        let takes_files = meant.and_then(|offer| offer.takes_files(self.kind));
        let files = files::read(ask, self.kind, takes_files, &blobs)?;
        let mut order = order::order(ask, Kind(self.kind), &files)?;
        if let Some(payer) = payer {
            client = client.on_payment(payer);
            // Only an agent that the request names is paid.
            if let (None, Some(agent)) = (&ask.to, offer.as_ref().and_then(AgentOffer::agent)) {
                order = order.provider(&agent);
            }
        }
        let input = ask.input.as_deref().map(|input| format!(" {input:?}")).unwrap_or_default();
        self.note("asking", format_args!("kind {}{input} through {}", self.kind, ask.relay));
        let answered = async {
            let mut job = client.submit(order).await?;
            self.id = Some(job.id());
            self.note("accepted", format_args!("request {}", job.id()));
            for file in &files {
                if let InputFile::Upload(file) = file {
                    let stored = file.upload(&blobs).await?;
                    self.note("uploaded", format_args!("{} bytes to {}", stored.size, stored.url));
                }
            }
            let result = self.follow(&mut job, ask).await?;
            if let Some(path) = &ask.output {
                let size = save::save(&result, path, &blobs).await?;
                self.note("saved", format_args!("{size} bytes to {}", path.display()));
            }
            Ok(result)
        };
        match tokio::time::timeout(ask.timeout, answered).await {
            Ok(answered) => answered,
            Err(_) if self.is_unpaid.get() => {
                Err(AskError::NotPaid(format!("its invoice was not paid within {:?}", ask.timeout)))
            }
            Err(_) => Err(AskError::TooLate { after: ask.timeout, is_begun: self.is_begun.get() }),
        }
    }

    /// Prints the job's progress until there is a result.
    async fn follow(&self, job: &mut JobHandle, ask: &Ask) -> Result<JobResultEvent, AskError> {
        if let Some(limit) = ask.cancel_after {
            match tokio::time::timeout(limit, self.result(job, ask)).await {
                Ok(result) => return result,
                Err(_) => {
                    job.cancel("it is taking too long").await?;
                    self.note("cancelled", format_args!("after {limit:?}"));
                }
            }
        }
        self.result(job, ask).await
    }

    async fn result(&self, job: &mut JobHandle, ask: &Ask) -> Result<JobResultEvent, AskError> {
        while let Some(update) = job.next().await? {
            let (word, provider, message) = match update {
                JobUpdate::Result(result) => {
                    self.note("result", format_args!("{}", npub(&result.provider)));
                    return Ok(*result);
                }
                // From any agent: this command sends one request, usually to one agent.
                JobUpdate::Error { message, .. } => return Err(AskError::Failed(message)),
                JobUpdate::UnreadableResult { error, .. } => {
                    return Err(AskError::Failed(format!("its result could not be decrypted: {error}")));
                }
                JobUpdate::PaymentRequired { provider, amount, message } => {
                    self.show_invoice(ask, amount.as_ref())?;
                    ("payment".to_owned(), provider, message.unwrap_or_default())
                }
                JobUpdate::Processing { provider, message } => {
                    self.is_begun.set(true);
                    self.is_unpaid.set(false);
                    ("processing".to_owned(), provider, message.unwrap_or_default())
                }
                JobUpdate::Partial { provider, content } => ("partial".to_owned(), provider, content),
                JobUpdate::Paid { provider, msat } => ("paid".to_owned(), provider, format!("{msat} msat")),
                JobUpdate::Other { provider, status, message } => {
                    (status, provider, message.unwrap_or_default())
                }
            };
            self.note(&word, format_args!("{} {message}", npub(&provider)));
        }
        Err(AskError::Ended)
    }

    /// Shows an invoice, which somebody may pay with any wallet while this command waits. With `--pay` it was refused.
    fn show_invoice(&self, ask: &Ask, amount: Option<&Amount>) -> Result<(), AskError> {
        let Some(Amount { msat, invoice: Some(invoice) }) = amount else {
            return Err(AskError::NotPaid("it asks for a payment without an invoice".to_owned()));
        };
        if let Some(limit) = ask.pay {
            let reason =
                format!("it asks for {msat} msat, and --pay allows {limit}, or its invoice is not in order");
            return Err(AskError::NotPaid(reason));
        }
        self.is_unpaid.set(true);
        let text = format!("pay {msat} msat with any wallet, and keep this command running:");
        tell(format_args!("\n{text}\n\n{}\n", foreign(invoice)));
        Ok(())
    }

    fn note(&self, what: &str, more: fmt::Arguments<'_>) {
        let line = format!("{what:<10} {more}");
        tell(format_args!("{:>7} ms  {}", self.began.elapsed().as_millis(), foreign(line.trim_end())));
    }

    /// The outcome as one JSON object.
    fn in_json(&self, answer: &Result<JobResultEvent, AskError>) -> Value {
        let (request, customer) = (self.id.map(|id| id.to_hex()), self.customer.as_ref().map(npub));
        match answer {
            Ok(result) => json!({
                "status": "success",
                "kind": self.kind,
                "request": request,
                "customer": customer,
                "provider": npub(&result.provider),
                "content": result.content,
                "amount_msat": result.amount.as_ref().map(|amount| amount.msat),
            }),
            Err(error) => json!({
                "status": error.outcome().1,
                "kind": self.kind,
                "request": request,
                "customer": customer,
                "message": error.to_string(),
            }),
        }
    }
}

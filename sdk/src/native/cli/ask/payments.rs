//! How `ask --pay` pays: from the customer's wallet, within a budget, with a record of every payment.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use openagents_host::Timestamp;
use openagents_host::native::{now, owner_only};
use openagents_host::net::{Reach, Url, public_url};
use serde::{Deserialize, Serialize};

use super::arguments::Ask;
use super::customer_key;
use crate::client::Payer;
use crate::payment::LnbitsWallet;
use crate::payment::bolt11::Bolt11;
use crate::payment::wallet::WalletError;

/// The variable with the customer's wallet. It is a secret.
const WALLET: &str = "OPENAGENTS_CUSTOMER_WALLET";

/// The file with the record, beside the customer's key.
const FILE: &str = "payments.jsonl";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `--pay` cannot be done.
#[derive(Debug, thiserror::Error)]
pub(in crate::native) enum PayError {
    #[error("--pay needs a wallet: set {WALLET} to lnbits+https://ADMIN_KEY@SERVER")]
    NoWallet,
    #[error("the variable {WALLET} must be of the form lnbits+https://ADMIN_KEY@SERVER")]
    Wallet,
    #[error("there is no folder for the record of payments: name a key file with --key FILE")]
    NoFolder,
}

/// The customer's wallet and budget.
pub(super) struct CustomerPayer {
    wallet: LnbitsWallet,
    record: PaymentRecord,
    per_day: Option<u64>,
}

impl CustomerPayer {
    /// The payer that the arguments and the environment describe.
    pub(super) fn of(ask: &Ask) -> Result<Self, PayError> {
        let text =
            std::env::var(WALLET).ok().filter(|text| !text.trim().is_empty()).ok_or(PayError::NoWallet)?;
        let wallet = read_wallet(text.trim()).ok_or(PayError::Wallet)?;
        let key = ask.key.clone().or_else(customer_key::default_path).ok_or(PayError::NoFolder)?;
        Ok(Self {
            wallet,
            record: PaymentRecord { path: key.with_file_name(FILE) },
            per_day: ask.pay_per_day,
        })
    }
}

/// `lnbits+https://ADMIN_KEY@SERVER`, or with `http`.
fn read_wallet(text: &str) -> Option<LnbitsWallet> {
    let (key, server) = text.strip_prefix("lnbits+")?.split_once("://").and_then(|(scheme, rest)| {
        let (key, server) = rest.split_once('@')?;
        Some((key, format!("{scheme}://{server}")))
    })?;
    let server: Url = public_url(&server, &["https", "http"], Reach::Anywhere).ok()?;
    let is_key = !key.is_empty() && key.chars().all(|character| character.is_ascii_alphanumeric());
    is_key.then(|| LnbitsWallet::new(server, key))
}

#[async_trait]
impl Payer for CustomerPayer {
    async fn pay(&self, invoice: &str, msat: u64) -> Result<(), WalletError> {
        let parsed = Bolt11::parse(invoice).map_err(|error| WalletError::Refused(error.to_string()))?;
        let payment_hash = base16ct::lower::encode_string(parsed.payment_hash());
        let unrecorded = |error: io::Error| {
            WalletError::Refused(format!(
                "the payment cannot be recorded in {}: {error}. Nothing was paid",
                self.record.path.display()
            ))
        };
        let now = now();
        let begun = Entry { at: now.as_seconds(), msat, payment_hash, outcome: Outcome::Begun };
        let spent = self.record.begin(&begun, self.per_day).map_err(unrecorded)?;
        if let Err(spent) = spent {
            return Err(WalletError::Refused(format!(
                "{msat} msat would exceed --pay-per-day: {spent} msat were paid in the last 24 hours"
            )));
        }
        let paid = self.wallet.pay(invoice, msat).await;
        let outcome = match &paid {
            Ok(()) => Outcome::Paid,
            Err(WalletError::Refused(_) | WalletError::Unsupported(_) | WalletError::NoWallet) => {
                Outcome::NotPaid
            }
            Err(WalletError::Unreachable(_)) => Outcome::Unknown,
        };
        // What was begun counts, whether or not this is recorded.
        let _ = self.record.add(&Entry { outcome, ..begun });
        paid
    }
}

/// The file with every payment, one JSON object a line.
struct PaymentRecord {
    path: PathBuf,
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// In seconds.
    at: u64,
    msat: u64,
    payment_hash: String,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// Written before the wallet is told.
    Begun,
    Paid,
    NotPaid,
    /// The wallet did not answer.
    Unknown,
}

impl PaymentRecord {
    /// Writes that a payment begins, if it stays within the day's budget. Otherwise returns what was spent.
    fn begin(&self, entry: &Entry, per_day: Option<u64>) -> io::Result<Result<(), u64>> {
        let file = self.open()?;
        // Another `ask` must not spend the same budget. The lock ends with the file.
        file.lock()?;
        let since = Timestamp::from_seconds(entry.at) - DAY;
        let spent = spent_since(&file, since.as_seconds())?;
        if per_day.is_some_and(|most| spent.saturating_add(entry.msat) > most) {
            return Ok(Err(spent));
        }
        write(&file, entry)?;
        Ok(Ok(()))
    }

    fn add(&self, entry: &Entry) -> io::Result<()> {
        let file = self.open()?;
        file.lock()?;
        write(&file, entry)
    }

    fn open(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            owner_only::create_folder(folder)?;
        }
        owner_only::open_file(OpenOptions::new().create(true).read(true).append(true), &self.path)
    }
}

fn write(mut file: &File, entry: &Entry) -> io::Result<()> {
    file.write_all(format!("{}\n", serde_json::to_string(entry)?).as_bytes())?;
    file.sync_all()
}

/// What was paid since this second, or may have been.
fn spent_since(file: &File, since: u64) -> io::Result<u64> {
    let mut spent: u64 = 0;
    for line in BufReader::new(file).lines() {
        // A line that was cut off by a crash was followed by no payment.
        let Ok(entry) = serde_json::from_str::<Entry>(&line?) else { continue };
        if entry.at < since {
            continue;
        }
        match entry.outcome {
            Outcome::Begun => spent = spent.saturating_add(entry.msat),
            Outcome::NotPaid => spent = spent.saturating_sub(entry.msat),
            Outcome::Paid | Outcome::Unknown => {}
        }
    }
    Ok(spent)
}

#[cfg(test)]
mod tests {
    use super::{Entry, Outcome, PaymentRecord, read_wallet};

    fn entry(at: u64, msat: u64, outcome: Outcome) -> Entry {
        Entry { at, msat, payment_hash: "00".repeat(32), outcome }
    }

    #[test]
    fn a_day_has_a_budget() {
        let folder = tempfile::tempdir().unwrap();
        let record = PaymentRecord { path: folder.path().join("new/payments.jsonl") };
        let day = 24 * 60 * 60;
        let begin = |at, msat| record.begin(&entry(at, msat, Outcome::Begun), Some(100)).unwrap();
        assert_eq!(begin(1_000_000, 60), Ok(()));
        assert_eq!(begin(1_000_001, 41), Err(60));
        assert_eq!(begin(1_000_001, 40), Ok(()));
        record.add(&entry(1_000_002, 40, Outcome::NotPaid)).unwrap();
        assert_eq!(begin(1_000_003, 41), Err(60), "what was not paid is free again");
        record.add(&entry(1_000_004, 60, Outcome::Unknown)).unwrap();
        assert_eq!(begin(1_000_004, 41), Err(60), "what may have been paid is not");
        assert_eq!(begin(1_000_001 + day, 100), Ok(()), "another day");
        assert_eq!(record.begin(&entry(1_000_005, u64::MAX, Outcome::Begun), None).unwrap(), Ok(()));
    }

    #[test]
    fn a_line_that_was_cut_off_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let record = PaymentRecord { path: folder.path().join("payments.jsonl") };
        std::fs::write(&record.path, "{\"at\":100,\"msa\n").unwrap();
        assert_eq!(record.begin(&entry(100, 5, Outcome::Begun), Some(5)).unwrap(), Ok(()));
    }

    #[test]
    fn reads_a_wallet() {
        assert!(read_wallet("lnbits+https://abc123@pay.example.com").is_some());
        assert!(read_wallet("lnbits+http://abc123@127.0.0.1:5000/sub").is_some());
        for wrong in [
            "",
            "https://abc@pay.example.com",
            "lnbits+https://pay.example.com",
            "lnbits+https://@pay.example.com",
            "lnbits+ftp://abc@pay.example.com",
            "lnbits+https://a:b@pay.example.com",
        ] {
            assert!(read_wallet(wrong).is_none(), "{wrong}");
        }
    }
}

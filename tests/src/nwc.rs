//! A wallet service of Nostr Wallet Connect (NIP-47) over a relay of this repository: `tests/clients/wallet-service.mjs`,
//! whose invoices are signed, and whose payments settle or are held.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::http::request_with_body;
use crate::process::Process;
use crate::server::{repository, scenario_log};

/// A running wallet service.
#[derive(Debug)]
pub struct WalletService {
    address: String,
    process: Mutex<Process>,
}

/// An account of the service.
#[derive(Clone, Debug)]
pub struct NwcAccount {
    id: String,
    /// Its connection URI, which has a secret.
    pub uri: String,
}

impl NwcAccount {
    /// The secret in its connection URI.
    ///
    /// # Panics
    /// When there is none.
    pub fn secret(&self) -> &str {
        self.uri.split_once("secret=").expect("a secret").1
    }
}

impl WalletService {
    /// Starts a service that listens at this relay.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(relay: &str) -> Result<Self, String> {
        let tests = repository().join("tests");
        let mut command = Command::new(tests.join("bin/with-tools"));
        command.arg("node").arg(tests.join("clients/wallet-service.mjs")).arg(relay);
        let mut process = Process::spawn(command, &scenario_log("wallet-service")?, true)?;
        let address = process.wait_for_address()?;
        Ok(Self { address, process: Mutex::new(process) })
    }

    /// A new account with so many msat.
    ///
    /// # Panics
    /// When the service refuses.
    pub async fn account(&self, msat: u64) -> NwcAccount {
        self.open(&json!({ "msat": msat })).await
    }

    /// A new account without money that npm's `@getalby/sdk` serves, which has no hold invoices.
    ///
    /// # Panics
    /// When the service refuses.
    pub async fn account_of_alby(&self) -> NwcAccount {
        self.open(&json!({ "msat": 0, "library": true })).await
    }

    async fn open(&self, account: &Value) -> NwcAccount {
        let made = self.call("POST", "/accounts", account).await.expect("an account");
        let part = |name: &str| made[name].as_str().expect("a text").to_owned();
        NwcAccount { id: part("id"), uri: part("uri") }
    }

    /// Pays an invoice from an account. Returns whether the payment has arrived, or is held.
    pub async fn pay(&self, from: &NwcAccount, invoice: &str) -> bool {
        let path = format!("/accounts/{}/pay", from.id);
        self.call("POST", &path, &json!({ "invoice": invoice })).await.is_ok()
    }

    /// The balance of an account, in msat. What it has paid and is held does not belong to it.
    ///
    /// # Panics
    /// When the service refuses.
    pub async fn balance(&self, account: &NwcAccount) -> u64 {
        let found = self.call("GET", &format!("/accounts/{}", account.id), &Value::Null).await;
        found.expect("an account")["msat"].as_u64().expect("a balance")
    }

    /// Leaves the relay, or returns to it.
    ///
    /// # Panics
    /// When the service cannot.
    pub async fn set_online(&self, is_online: bool) {
        let path = if is_online { "/online" } else { "/offline" };
        self.call("POST", path, &Value::Null).await.expect("it obeys");
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = request_with_body(&self.address, method, path, &[], body).await;
        let response = response.map_err(|error| error.to_string())?;
        if response.status == 200 { Ok(response.json()) } else { Err(format!("{response:?}")) }
    }
}

impl Drop for WalletService {
    fn drop(&mut self) {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }
}

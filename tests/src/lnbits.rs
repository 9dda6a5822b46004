//! LNbits, a real Lightning wallet server, as `tests/bin/setup` installs it: invoices are real, and payments between its
//! wallets settle. Its funding source is LNbits' own stand-in for a node.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::request_with_body;
use crate::process::Process;
use crate::server::{repository, scenario_log};

/// How long LNbits may take to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the server until its standard input ends, as it does when the tests end, in whatever way. The server is a process
/// of its own, in the same group.
const RUN: &str = "import os, signal, threading
threading.Thread(target=lambda: (os.read(0, 1), os.killpg(0, signal.SIGKILL)), daemon=True).start()
from lnbits.server import main
main()";

/// A running server.
#[derive(Debug)]
pub struct LnbitsServer {
    address: String,
    token: String,
    process: Mutex<Process>,
    _data: TempDir,
}

/// A wallet on the server.
#[derive(Clone, Debug)]
pub struct LnbitsAccount {
    id: String,
    /// The key that creates invoices.
    pub invoice_key: String,
    /// The key that also pays.
    pub admin_key: String,
}

/// The folder with the program, if `tests/bin/setup` could install it.
#[must_use]
pub fn installation() -> Option<PathBuf> {
    let folder = repository().join(".tools/lnbits");
    folder.join("bin/lnbits").exists().then_some(folder)
}

impl LnbitsServer {
    /// Starts a server without data.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub async fn start() -> Result<Self, String> {
        let installation = installation().ok_or("LNbits is not installed: run tests/bin/setup")?;
        let data = tempfile::tempdir().map_err(|error| error.to_string())?;
        let log = scenario_log("lnbits")?;
        let port = free_port().map_err(|error| error.to_string())?;
        let mut command = Command::new(installation.join("bin/python"));
        // Not `bin/lnbits`, whose first line has the path at which it was installed.
        // It opens files relative to its own folder.
        let versions = std::fs::read_dir(installation.join("lib")).map_err(|error| error.to_string())?;
        let mut packages = versions.flatten().map(|version| version.path().join("site-packages"));
        let packages = packages.find(|folder| folder.exists()).ok_or("LNbits has no packages")?;
        command
            .args(["-c", RUN, "--host", "127.0.0.1", "--port", &port.to_string()])
            .current_dir(packages)
            .env("LNBITS_DATA_FOLDER", data.path())
            .env("LNBITS_BACKEND_WALLET_CLASS", "FakeWallet")
            .env("LNBITS_ADMIN_UI", "true")
            .env("LNBITS_EXTENSIONS_MANIFESTS", "")
            .env("LNBITS_RATE_LIMIT_NO", "1000000")
            .env("FAKE_WALLET_SECRET", "a secret of the tests")
            .env("AUTH_SECRET_KEY", "another secret of the tests");
        let process = Process::spawn(command, &log, true)?;
        let mut server = Self {
            address: format!("127.0.0.1:{port}"),
            token: String::new(),
            process: Mutex::new(process),
            _data: data,
        };
        let body = json!({ "username": "operator", "password": "correct horse", "password_repeat": "correct horse" });
        let deadline = Instant::now() + PATIENCE;
        let installed = loop {
            match server.call("PUT", "/api/v1/auth/first_install", &[], &body).await {
                Ok(installed) => break installed,
                Err(error) if Instant::now() > deadline => {
                    return Err(format!("LNbits does not start: {error}"));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        };
        server.token = string(&installed, "access_token")?;
        Ok(server)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A new wallet with so many satoshis.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn account(&self, name: &str, satoshis: u64) -> LnbitsAccount {
        let made =
            self.call("POST", "/api/v1/account", &[], &json!({ "name": name })).await.expect("a wallet");
        let part = |name: &str| string(&made, name).expect("a key");
        let account =
            LnbitsAccount { id: part("id"), invoice_key: part("inkey"), admin_key: part("adminkey") };
        if satoshis > 0 {
            let authorization = format!("Bearer {}", self.token);
            let body = json!({ "id": account.id, "amount": satoshis });
            let operator = [("Authorization", authorization.as_str())];
            self.call("PUT", "/users/api/v1/balance", &operator, &body).await.expect("funded");
        }
        account
    }

    /// Pays an invoice from a wallet. Returns whether the payment arrived.
    ///
    /// # Panics
    /// When the server cannot be reached.
    pub async fn pay(&self, from: &LnbitsAccount, bolt11: &str) -> bool {
        let body = json!({ "out": true, "bolt11": bolt11 });
        self.call("POST", "/api/v1/payments", &[("X-Api-Key", &from.admin_key)], &body).await.is_ok()
    }

    /// The balance of a wallet, in msat.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn balance(&self, account: &LnbitsAccount) -> u64 {
        let key = [("X-Api-Key", &*account.invoice_key)];
        let wallet = self.call("GET", "/api/v1/wallet", &key, &Value::Null).await.expect("a wallet");
        wallet["balance"].as_u64().expect("a balance")
    }

    /// A new invoice whose description is the hash of a text. Returns it with its payment hash.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn described_invoice(
        &self,
        to: &LnbitsAccount,
        satoshis: u64,
        text: &str,
    ) -> Result<(String, String), String> {
        let hash = crate::blobs::sha256(text.as_bytes());
        let body = json!({ "out": false, "amount": satoshis, "memo": "", "description_hash": hash });
        let key = [("X-Api-Key", &*to.invoice_key)];
        let made = self.call("POST", "/api/v1/payments", &key, &body).await?;
        Ok((string(&made, "bolt11")?, string(&made, "payment_hash")?))
    }

    /// The preimage of a payment that has arrived.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn preimage(&self, to: &LnbitsAccount, payment_hash: &str) -> Result<Option<String>, String> {
        let key = [("X-Api-Key", &*to.invoice_key)];
        let payment =
            self.call("GET", &format!("/api/v1/payments/{payment_hash}"), &key, &Value::Null).await?;
        if payment["paid"] == true { string(&payment, "preimage").map(Some) } else { Ok(None) }
    }

    /// Ends the server.
    pub fn kill(&self) {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner).kill();
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value, String> {
        let headers = [&[("Content-Type", "application/json")], headers].concat();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = request_with_body(&self.address, method, path, &headers, body).await;
        let response = response.map_err(|error| error.to_string())?;
        if (200..300).contains(&response.status) { Ok(response.json()) } else { Err(format!("{response:?}")) }
    }
}

impl Drop for LnbitsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that is free now.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn string(value: &Value, name: &str) -> Result<String, String> {
    value[name].as_str().map(str::to_owned).ok_or_else(|| format!("no {name} in {value}"))
}

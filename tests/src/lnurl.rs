//! An LNURL-pay server with a Lightning address, in front of LNbits: LUD-06, LUD-16, LUD-21.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::lnbits::{LnbitsAccount, LnbitsServer};

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LnurlFault {
    /// Nothing.
    None,
    /// It does not tell where to verify a payment.
    NoVerify,
    /// Its invoices are for one satoshi more.
    Amount,
    /// Its invoices are for something else than its metadata says.
    Description,
    /// It calls every invoice paid, with a preimage of its own invention.
    Lies,
}

/// A server for one address.
#[derive(Debug)]
pub struct LnurlServer {
    /// The URL that the address stands for.
    pub url: String,
}

impl LnurlServer {
    /// Serves until the runtime ends. Payments arrive in this wallet.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(lnbits: Arc<LnbitsServer>, wallet: LnbitsAccount, fault: LnurlFault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let url = format!("{origin}/.well-known/lnurlp/agent");
        let served = Served { lnbits, wallet, fault, origin };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { drop(served.answer(stream).await) });
            }
        });
        Self { url }
    }
}

#[derive(Clone)]
struct Served {
    lnbits: Arc<LnbitsServer>,
    wallet: LnbitsAccount,
    fault: LnurlFault,
    origin: String,
}

impl Served {
    async fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split_whitespace().nth(1).unwrap_or_default();
        let body =
            self.respond(path).await.unwrap_or_else(|reason| json!({ "status": "ERROR", "reason": reason }));
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await
    }

    async fn respond(&self, path: &str) -> Result<Value, String> {
        let metadata =
            json!([["text/plain", "Work of an agent"], ["text/identifier", "agent@127.0.0.1"]]).to_string();
        if path == "/.well-known/lnurlp/agent" {
            return Ok(json!({
                "tag": "payRequest",
                "callback": format!("{}/callback?of=agent", self.origin),
                "minSendable": 1_000,
                "maxSendable": 100_000_000,
                "metadata": metadata,
                "commentAllowed": 40,
            }));
        }
        if let Some(query) = path.strip_prefix("/callback?of=agent&amount=") {
            let msat: u64 = query.split('&').next().and_then(|msat| msat.parse().ok()).ok_or("no amount")?;
            let described = if self.fault == LnurlFault::Description { "something else" } else { &metadata };
            let more = u64::from(self.fault == LnurlFault::Amount);
            let (bolt11, hash) =
                self.lnbits.described_invoice(&self.wallet, msat / 1_000 + more, described).await?;
            let verify = format!("{}/verify/{hash}", self.origin);
            let is_told = self.fault != LnurlFault::NoVerify;
            return Ok(json!({ "pr": bolt11, "routes": [], "verify": is_told.then_some(verify) }));
        }
        if let Some(hash) = path.strip_prefix("/verify/") {
            if self.fault == LnurlFault::Lies {
                return Ok(
                    json!({ "status": "OK", "settled": true, "preimage": "11".repeat(32), "pr": null }),
                );
            }
            let preimage = self.lnbits.preimage(&self.wallet, hash).await?;
            return Ok(json!({ "status": "OK", "settled": preimage.is_some(), "preimage": preimage }));
        }
        Err("Not found".to_owned())
    }
}

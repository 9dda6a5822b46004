//! Tests of the wallet over a relay that plays the wallet service too.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use openagents_host::{Encryption, Event, Keys, Timestamp, UnsignedEvent, VerifiedEvent};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::{Invoice, NwcTransaction, NwcUri, NwcWallet, Payer, Preimage, Settlement, Wallet, WalletError};
use crate::payment::bolt11::fixtures::{WrittenInvoice, invoice};
use crate::payment::wallet::InvoiceRequest;
use crate::price::Price;

const METHODS: &str = "make_invoice lookup_invoice pay_invoice";
const HOLD_METHODS: &str = "make_hold_invoice settle_hold_invoice cancel_hold_invoice lookup_invoice";
const MEMO: &str = "a job";

type Respond = dyn Fn(&str, &Value) -> Value + Send + Sync;

/// A scripted wallet service.
#[derive(Clone)]
struct Service {
    methods: &'static str,
    /// The tag `encryption` of the info event, if it has one.
    encryption: Option<&'static str>,
    /// The response to a method and its params: `{ "result": … }` or `{ "error": … }`.
    respond: Arc<Respond>,
    /// The methods that were called.
    called: Arc<Mutex<Vec<String>>>,
    /// Whether somebody else responds first.
    has_rival: bool,
}

impl Service {
    fn new(methods: &'static str, respond: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> Self {
        Self {
            methods,
            encryption: Some("nip04 nip44_v2"),
            respond: Arc::new(respond),
            called: Arc::default(),
            has_rival: false,
        }
    }

    fn called(&self) -> Vec<String> {
        self.called.lock().unwrap().clone()
    }

    /// Serves, and returns a wallet that is connected to it.
    async fn wallet(&self) -> NwcWallet {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = format!("ws://{}", listener.local_addr().unwrap());
        let service = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                    let mut subscription = Value::Null;
                    while let Some(Ok(message)) = socket.next().await {
                        let Message::Text(text) = message else { continue };
                        for answer in service.answer(&serde_json::from_str(&text).unwrap(), &mut subscription)
                        {
                            let _ = socket.send(Message::text(answer.to_string())).await;
                        }
                    }
                });
            }
        });
        let uri = format!(
            "nostr+walletconnect://{}?relay=ws://127.0.0.1:9&relay={relay}&secret={}",
            wallet_keys().public_key(),
            "11".repeat(32)
        );
        NwcWallet::new(uri.parse::<NwcUri>().unwrap())
    }

    fn answer(&self, message: &Value, subscription: &mut Value) -> Vec<Value> {
        match message[0].as_str() {
            Some("REQ") if message[2]["kinds"] == json!([13_194]) => {
                vec![json!(["EVENT", message[1], value(&self.info())]), json!(["EOSE", message[1]])]
            }
            Some("REQ") => {
                *subscription = message[1].clone();
                vec![json!(["EOSE", message[1]])]
            }
            Some("EVENT") => {
                let request = Event::from_json(&message[1].to_string()).unwrap().verify().unwrap();
                let mut answers = vec![json!(["OK", request.id.to_hex(), true, ""])];
                if self.has_rival {
                    let rival = Keys::from_secret(&[3; 32]).unwrap();
                    let result = json!({ "result_type": "lookup_invoice", "result": { "state": "settled" } });
                    answers.push(json!(["EVENT", subscription, value(&response(&rival, &request, &result))]));
                }
                let (text, _) = wallet_keys().decrypt(&request.pubkey, &request.content).unwrap();
                let body: Value = serde_json::from_str(&text).unwrap();
                let method = body["method"].as_str().unwrap().to_owned();
                self.called.lock().unwrap().push(method.clone());
                let mut result = (self.respond)(&method, &body["params"]);
                if result.get("result_type").is_none() {
                    result["result_type"] = method.into();
                }
                answers.push(json!([
                    "EVENT",
                    subscription,
                    value(&response(&wallet_keys(), &request, &result))
                ]));
                answers
            }
            _ => vec![],
        }
    }

    fn info(&self) -> VerifiedEvent {
        let tags = self.encryption.map(|names| vec!["encryption".to_owned(), names.to_owned()]);
        UnsignedEvent::new(13_194_u16, self.methods)
            .tags(tags)
            .sign(&wallet_keys(), Timestamp::from_seconds(1))
    }
}

fn wallet_keys() -> Keys {
    Keys::from_secret(&[2; 32]).unwrap()
}

fn value(event: &VerifiedEvent) -> Value {
    serde_json::from_str(event.json()).unwrap()
}

/// A response in the encryption that the request's tag names.
fn response(by: &Keys, request: &VerifiedEvent, result: &Value) -> VerifiedEvent {
    let encryption = match request.only_tag_value("encryption") {
        Some("nip44_v2") => Encryption::Nip44,
        _ => Encryption::Nip04,
    };
    let content = by.encrypt(&request.pubkey, &result.to_string(), encryption).unwrap();
    let event = UnsignedEvent::new(23_195_u16, content).tag(["e", &request.id.to_hex()]);
    event.tag(["p", &request.pubkey.to_hex()]).sign(by, openagents_host::now())
}

fn request(hold: Option<Preimage>) -> InvoiceRequest {
    InvoiceRequest { price: Price::sat(21), memo: MEMO.to_owned(), expiry: Duration::from_secs(900), hold }
}

/// A hold invoice of 21 sat.
fn hold_invoice(preimage: &Preimage) -> Invoice {
    let payment_hash: [u8; 32] = Sha256::digest([7_u8; 32]).into();
    assert_eq!(base16ct::lower::encode_string(&payment_hash), preimage.payment_hash());
    let bolt11 = WrittenInvoice::new("lnbc210n", &payment_hash, MEMO).encode();
    Invoice {
        bolt11,
        payment_hash: preimage.payment_hash(),
        expires_at: Timestamp::from_seconds(1),
        verify_url: None,
    }
}

fn preimage() -> Preimage {
    Preimage::from_bytes([7; 32])
}

fn error(code: &str) -> Value {
    json!({ "error": { "code": code, "message": "no" }, "result": null })
}

#[tokio::test]
async fn makes_an_invoice_in_millisatoshis_with_either_encryption() {
    for encryption in [Some("nip04 nip44_v2"), Some("nip04"), None] {
        let service = Service::new(METHODS, |_, params| {
            assert_eq!(params, &json!({ "amount": 21_000, "description": MEMO, "expiry": 900 }));
            json!({ "error": null, "result": { "invoice": invoice(21, MEMO) } })
        });
        let made = Service { encryption, ..service }.wallet().await.invoice(&request(None)).await;
        assert_eq!(made.unwrap().bolt11, invoice(21, MEMO));
    }
}

#[tokio::test]
async fn shows_no_invoice_for_another_amount() {
    let service = Service::new(METHODS, |_, _| json!({ "result": { "invoice": invoice(22, MEMO) } }));
    let refused = service.wallet().await.invoice(&request(None)).await;
    assert!(matches!(&refused, Err(WalletError::Refused(why)) if why.contains("amount")), "{refused:?}");
}

#[tokio::test]
async fn makes_no_hold_invoice_that_it_could_not_end() {
    for methods in [METHODS, "make_hold_invoice cancel_hold_invoice lookup_invoice", ""] {
        let service = Service::new(methods, |_, _| panic!("nothing is asked for"));
        let refused = service.wallet().await.invoice(&request(Some(preimage()))).await;
        assert!(matches!(&refused, Err(WalletError::Unsupported(_))), "{refused:?}");
        assert!(service.called().is_empty());
    }
}

#[tokio::test]
async fn finds_the_hold_invoice_whose_response_was_lost() {
    let service = Service::new(HOLD_METHODS, |method, params| {
        assert_eq!(params["payment_hash"], preimage().payment_hash());
        match method {
            "make_hold_invoice" => error("OTHER"),
            _ => json!({ "result": { "invoice": hold_invoice(&preimage()).bolt11, "state": "pending" } }),
        }
    });
    let found = service.wallet().await.invoice(&request(Some(preimage()))).await.unwrap();
    assert_eq!(found.bolt11, hold_invoice(&preimage()).bolt11);
    let service = Service::new(HOLD_METHODS, |_, _| error("OTHER"));
    let refused = service.wallet().await.invoice(&request(Some(preimage()))).await;
    assert_eq!(refused, Err(WalletError::Unreachable("no (OTHER)".to_owned())));
}

#[tokio::test]
async fn only_the_wallet_itself_tells_whether_an_invoice_is_paid() {
    let service = Service::new(METHODS, |_, _| json!({ "result": { "state": "pending" } }));
    let wallet = Service { has_rival: true, ..service }.wallet().await;
    assert_eq!(wallet.settlement(&hold_invoice(&preimage())).await, Ok(Settlement::Pending));
}

#[tokio::test]
async fn a_response_to_another_method_tells_nothing() {
    let service = Service::new(
        METHODS,
        |_, _| json!({ "result_type": "pay_invoice", "result": { "state": "settled" } }),
    );
    let told = service.wallet().await.settlement(&hold_invoice(&preimage())).await;
    assert!(matches!(told, Err(WalletError::Unreachable(_))), "{told:?}");
}

#[tokio::test]
async fn an_end_of_a_hold_may_be_repeated() {
    use WalletError::{Refused, Unreachable};
    let invoice = hold_invoice(&preimage());
    let no = |code: &str| format!("no ({code})");
    for (state, code, settled, cancelled) in [
        ("settled", "OTHER", Ok(()), Err(Refused("the payment has been taken".to_owned()))),
        ("failed", "NOT_FOUND", Err(Refused("the payment has been returned".to_owned())), Ok(())),
        ("accepted", "INTERNAL", Err(Unreachable(no("INTERNAL"))), Err(Unreachable(no("INTERNAL")))),
        ("accepted", "RESTRICTED", Err(Refused(no("RESTRICTED"))), Err(Refused(no("RESTRICTED")))),
    ] {
        let service = Service::new(HOLD_METHODS, move |method, _| match method {
            "lookup_invoice" => json!({ "result": { "state": state } }),
            _ => error(code),
        });
        let wallet = service.wallet().await;
        assert_eq!(wallet.settle(&invoice, &preimage()).await, settled, "{state}");
        assert_eq!(wallet.cancel(&invoice).await, cancelled, "{state}");
    }
    let service = Service::new(HOLD_METHODS, |method, params| {
        let expected = match method {
            "settle_hold_invoice" => json!({ "preimage": preimage().expose_hex() }),
            _ => json!({ "payment_hash": preimage().payment_hash() }),
        };
        assert_eq!(params, &expected);
        json!({ "result": {} })
    });
    let wallet = service.wallet().await;
    assert_eq!(wallet.settle(&invoice, &preimage()).await, Ok(()));
    assert_eq!(wallet.cancel(&invoice).await, Ok(()));
    assert_eq!(service.called(), ["settle_hold_invoice", "cancel_hold_invoice"]);
}

#[tokio::test]
async fn pays_only_with_a_proof() {
    let invoice = hold_invoice(&preimage()).bolt11;
    for (result, is_paid) in
        [(preimage().expose_hex(), true), ("00".repeat(32), false), (String::new(), false)]
    {
        let service = Service::new(METHODS, move |_, params| {
            assert!(params.get("amount").is_none(), "the invoice has one");
            json!({ "result": { "preimage": result } })
        });
        assert_eq!(service.wallet().await.pay(&invoice, 21_000).await.is_ok(), is_paid);
    }
    let service = Service::new(METHODS, |_, _| error("PAYMENT_FAILED"));
    let refused = service.wallet().await.pay(&invoice, 21_000).await;
    assert_eq!(refused, Err(WalletError::Refused("no (PAYMENT_FAILED)".to_owned())));
    assert!(service.wallet().await.pay(&invoice, 20_999).await.is_err());
    assert_eq!(service.called(), ["pay_invoice"]);
}

#[tokio::test]
async fn a_wallet_that_cannot_be_reached_is_one() {
    let uri = format!(
        "nostr+walletconnect://{}?relay=ws://127.0.0.1:9&secret={}",
        "ab".repeat(32),
        "11".repeat(32)
    );
    let told = NwcWallet::new(uri.parse().unwrap()).invoice(&request(None)).await;
    assert!(matches!(&told, Err(WalletError::Unreachable(why)) if !why.contains("1111")), "{told:?}");
}

#[test]
fn reads_the_states_of_an_invoice() {
    let invoice = hold_invoice(&preimage());
    let of = |said: Value| serde_json::from_value::<NwcTransaction>(said).unwrap().settlement(&invoice).ok();
    let (good, bad) = (preimage().expose_hex(), "00".repeat(32));
    for (said, settlement) in [
        (json!({ "state": "pending" }), Some(Settlement::Pending)),
        (json!({ "state": "accepted" }), Some(Settlement::Held)),
        (json!({ "state": "settled" }), Some(Settlement::Paid)),
        (json!({ "state": "settled", "preimage": "" }), Some(Settlement::Paid)),
        (json!({ "state": "settled", "preimage": good, "settled_at": 1 }), Some(Settlement::Paid)),
        (json!({ "state": "settled", "preimage": bad }), None),
        (json!({ "state": "expired" }), Some(Settlement::Expired)),
        (json!({ "state": "failed" }), Some(Settlement::Expired)),
        (json!({ "state": "on its way" }), None),
        // Wallets that know the preimage of every invoice show it before it is paid.
        (json!({ "preimage": good }), Some(Settlement::Pending)),
        (json!({ "preimage": good, "settled_at": 0 }), Some(Settlement::Pending)),
        (json!({ "preimage": good, "settled_at": 1_700_000_000 }), Some(Settlement::Paid)),
        (json!({ "state": "settled", "payment_hash": bad }), None),
        (json!({ "state": "settled", "invoice": "lnbc1" }), None),
    ] {
        assert_eq!(of(said.clone()), settlement, "{said}");
    }
}

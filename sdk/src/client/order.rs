//! `Order`: a job request with its encryption and payment limit.

use openagents_host::{Encryption, EventId, Keys, Kind, PublicKey, Timestamp};

use super::ClientError;
use crate::nip90::{JobRequest, RequestBuilder};

/// A job request, whether to encrypt it, and how much may be paid for it. A plain [`RequestBuilder`] can be used as
/// an order.
///
/// ```
/// use openagents_sdk::client::Order;
/// use openagents_sdk::nostr::{Encryption, Keys, Kind};
/// use openagents_sdk::nip90::RequestBuilder;
///
/// # let provider = Keys::generate().unwrap().public_key();
/// let request = RequestBuilder::new(Kind(5050)).provider(&provider).text("my diagnosis");
/// let order = Order::new(request).sealed(Encryption::Nip44).pay_up_to(21_000);
/// ```
#[derive(Clone, Debug)]
pub struct Order {
    request: RequestBuilder,
    encryption: Option<Encryption>,
    limit_msat: Option<u64>,
}

/// An order that has been signed and can be published.
pub(super) struct SignedOrder {
    pub(super) request: JobRequest,
    /// The payment limit, in msat.
    pub(super) limit_msat: u64,
}

impl Order {
    /// An order for this request, in clear text.
    #[must_use]
    pub fn new(request: RequestBuilder) -> Self {
        Self { request, encryption: None, limit_msat: None }
    }

    /// Encrypts inputs and parameters for the one provider that the request names. The answers are encrypted too; the
    /// client decrypts them.
    #[must_use]
    pub fn sealed(self, encryption: Encryption) -> Self {
        Self { encryption: Some(encryption), ..self }
    }

    /// Allows a payment of up to this amount, in msat, to a provider that the request names. By default the limit is
    /// the request's bid; without a bid, nothing is paid.
    #[must_use]
    pub fn pay_up_to(self, msat: u64) -> Self {
        Self { limit_msat: Some(msat), ..self }
    }

    /// Names a provider.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn provider(self, provider: &PublicKey) -> Self {
        Self { request: self.request.provider(provider), ..self }
    }

    /// Adds the output of another job as an input.
    pub(super) fn input_of_job(self, job: &EventId, relay: Option<&str>) -> Self {
        Self { request: self.request.job(job, relay), ..self }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.request.kind()
    }

    pub(crate) fn providers(&self) -> Vec<PublicKey> {
        self.request.providers()
    }

    /// Builds and signs the request event.
    pub(super) fn sign(self, keys: &Keys, now: Timestamp) -> Result<SignedOrder, ClientError> {
        let Self { request, encryption, limit_msat } = self;
        // Without this, two equal orders within one second would be the same event, and so one job.
        let salt = Keys::generate().map(|keys| keys.public_key().to_hex()).unwrap_or_default();
        let request = request.tag(["salt".to_owned(), salt]);
        let unsigned = match (encryption, request.providers().as_slice()) {
            (None, _) => request.build(),
            (Some(encryption), [provider]) => {
                request.build_sealed(|plaintext| keys.encrypt(provider, plaintext, encryption))?
            }
            (Some(_), providers) => return Err(ClientError::Providers { count: providers.len() }),
        };
        let request = JobRequest::from_event(unsigned.sign(keys, now))?;
        let limit_msat = limit_msat.or(request.bid).unwrap_or(0);
        Ok(SignedOrder { request, limit_msat })
    }
}

impl From<RequestBuilder> for Order {
    fn from(request: RequestBuilder) -> Self {
        Self::new(request)
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::{Encryption, Keys, Kind, Timestamp};

    use super::{ClientError, Order, RequestBuilder, SignedOrder};

    fn sign(order: Order, keys: &Keys) -> Result<SignedOrder, ClientError> {
        order.sign(keys, Timestamp::from_seconds(1_700_000_000))
    }

    #[test]
    fn seals_a_request_for_the_one_provider() {
        let (customer, provider) = (Keys::generate().unwrap(), Keys::generate().unwrap());
        let request = RequestBuilder::new(Kind(5050)).text("my diagnosis").provider(&provider.public_key());
        for encryption in [Encryption::Nip04, Encryption::Nip44] {
            let signed = sign(Order::new(request.clone()).sealed(encryption), &customer).unwrap().request;
            assert!(signed.encrypted && !signed.event.json().contains("diagnosis"));
            let (plaintext, used) = provider.decrypt(&customer.public_key(), &signed.event.content).unwrap();
            assert_eq!(used, encryption);
            assert_eq!(signed.unsealed(&plaintext).unwrap().text(), Some("my diagnosis"));
        }
    }

    #[test]
    fn seals_for_nobody_else() {
        let customer = Keys::generate().unwrap();
        let open = RequestBuilder::new(Kind(5050)).text("my diagnosis");
        let two = [1_u8, 2].iter().fold(open.clone(), |request, secret| {
            request.provider(&Keys::from_secret(&[*secret; 32]).unwrap().public_key())
        });
        for (request, count) in [(open, 0), (two, 2)] {
            let refused = sign(Order::new(request).sealed(Encryption::Nip44), &customer);
            assert_eq!(refused.map(|_| ()), Err(ClientError::Providers { count }));
        }
    }

    #[test]
    fn pays_no_more_than_was_bid_unless_told_to() {
        let customer = Keys::generate().unwrap();
        let request = RequestBuilder::new(Kind(5050));
        let limit = |order: Order| sign(order, &customer).unwrap().limit_msat;
        assert_eq!(limit(request.clone().into()), 0);
        assert_eq!(limit(request.clone().bid(5_000).into()), 5_000);
        assert_eq!(limit(Order::new(request.bid(5_000)).pay_up_to(7_000)), 7_000);
    }

    #[test]
    fn refuses_a_kind_that_no_job_has() {
        let customer = Keys::generate().unwrap();
        let refused = sign(RequestBuilder::new(Kind(1)).into(), &customer);
        assert!(matches!(refused, Err(ClientError::Kind(_))));
    }
}

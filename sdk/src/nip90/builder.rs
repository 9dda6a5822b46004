//! `RequestBuilder`: builds job requests.

use openagents_host::Timestamp;
use openagents_host::nostr::{EventId, Kind, PublicKey, Tag, UnsignedEvent};

use super::{InputKind, JobInput};

/// Builds a job request.
///
/// ```
/// use openagents_sdk::nip90::{JobRequest, RequestBuilder};
/// use openagents_sdk::nostr::{Keys, Timestamp};
///
/// let customer = Keys::generate().unwrap();
/// let event = RequestBuilder::new(5050).text("Ada").param("language", "en").build().sign(&customer, Timestamp::from_seconds(1_700_000_000));
/// let request = JobRequest::from_event(event).unwrap();
/// assert_eq!(request.text(), Some("Ada"));
/// assert_eq!(request.params.first("language"), Some("en"));
/// ```
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    kind: Kind,
    content: String,
    tags: Vec<Tag>,
}

impl RequestBuilder {
    /// A job request of this kind, for any provider.
    #[must_use]
    pub fn new(kind: impl Into<Kind>) -> Self {
        Self { kind: kind.into(), content: String::new(), tags: Vec::new() }
    }

    /// Adds a `text` input.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.input(&JobInput::new(InputKind::Text, text))
    }

    /// Adds a `url` input, which the provider fetches.
    #[must_use]
    pub fn url(self, url: impl Into<String>) -> Self {
        self.input(&JobInput::new(InputKind::Url, url))
    }

    /// Adds an `event` input with an optional relay hint.
    #[must_use]
    pub fn event(self, id: &EventId, relay: Option<&str>) -> Self {
        let relay = relay.map(str::to_owned);
        self.input(&JobInput { relay, ..JobInput::new(InputKind::Event, id.to_hex()) })
    }

    /// Adds a `job` input, the output of another job, with an optional relay hint.
    #[must_use]
    pub fn job(self, id: &EventId, relay: Option<&str>) -> Self {
        let relay = relay.map(str::to_owned);
        self.input(&JobInput { relay, ..JobInput::new(InputKind::Job, id.to_hex()) })
    }

    /// Adds any input.
    #[must_use]
    pub fn input(mut self, input: &JobInput) -> Self {
        self.tags.push(input.tag());
        self
    }

    /// Adds a parameter.
    #[must_use]
    pub fn param(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let value: String = value.into();
        self.params(key, [value])
    }

    /// Adds a parameter with any number of values.
    #[must_use]
    pub fn params<T: Into<String>>(
        mut self,
        key: impl Into<String>,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let mut tag = vec!["param".to_owned(), key.into()];
        tag.extend(values.into_iter().map(Into::into));
        self.tags.push(tag);
        self
    }

    /// Requests output of these MIME types, the preferred one first.
    #[must_use]
    pub fn output<T: Into<String>>(self, types: impl IntoIterator<Item = T>) -> Self {
        self.list("output", types)
    }

    /// Sets the bid: the most that the customer would pay, in msat.
    #[must_use]
    pub fn bid(self, msat: u64) -> Self {
        self.list("bid", [msat.to_string()])
    }

    /// Requests that answers be published to these relays.
    #[must_use]
    pub fn relays<T: Into<String>>(self, relays: impl IntoIterator<Item = T>) -> Self {
        self.list("relays", relays)
    }

    /// Names a provider (`p` tag). May be called more than once.
    #[must_use]
    pub fn provider(self, provider: &PublicKey) -> Self {
        self.list("p", [provider.to_hex()])
    }

    /// Adds a topic (`t` tag).
    #[must_use]
    pub fn topic(self, topic: impl Into<String>) -> Self {
        self.list("t", [topic.into()])
    }

    /// Sets when the request expires (NIP-40; rounded down to seconds).
    #[must_use]
    pub fn expiration(self, at: Timestamp) -> Self {
        self.list("expiration", [at.as_seconds().to_string()])
    }

    /// Sets the event's content, which a few job kinds use.
    #[must_use]
    pub fn content(mut self, content: impl Into<String>) -> Self {
        self.content = content.into();
        self
    }

    /// Adds any other tag.
    #[must_use]
    pub fn tag<T: Into<String>>(mut self, tag: impl IntoIterator<Item = T>) -> Self {
        self.tags.push(tag.into_iter().map(Into::into).collect());
        self
    }

    /// The job kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The providers that the request names.
    #[must_use]
    pub fn providers(&self) -> Vec<PublicKey> {
        let values = self.tags.iter().filter(|tag| tag.first().is_some_and(|name| name == "p"));
        values.filter_map(|tag| PublicKey::from_hex(tag.get(1)?).ok()).collect()
    }

    /// The event, to be signed with the customer's key.
    #[must_use]
    pub fn build(self) -> UnsignedEvent {
        UnsignedEvent::new(self.kind, self.content).tags(self.tags)
    }

    /// The event with encrypted inputs and parameters (NIP-90, "Encrypted Params"), to be signed with the customer's
    /// key. `encrypt` encrypts to the key of the provider that the request [names](Self::provider); its result
    /// becomes the content. If the builder already has a content, that becomes another text input. All other tags
    /// stay in clear text.
    ///
    /// ```
    /// use openagents_sdk::nip90::{JobRequest, RequestBuilder};
    /// use openagents_sdk::nostr::{Keys, Kind, Timestamp};
    ///
    /// # fn encrypt(plaintext: &str) -> Result<String, std::fmt::Error> { Ok(plaintext.chars().rev().collect()) }
    /// # fn decrypt(ciphertext: &str) -> String { ciphertext.chars().rev().collect() }
    /// # let (customer, provider) = (Keys::generate().unwrap(), Keys::generate().unwrap());
    /// let builder = RequestBuilder::new(Kind(5050)).provider(&provider.public_key()).text("my diagnosis");
    /// let event = builder.build_sealed(encrypt)?.sign(&customer, Timestamp::from_seconds(1_700_000_000));
    ///
    /// let request = JobRequest::from_event(event).unwrap();
    /// assert_eq!(request.text(), None);
    /// let request = request.unsealed(&decrypt(&request.event.content)).unwrap();
    /// assert_eq!(request.text(), Some("my diagnosis"));
    /// # Ok::<(), std::fmt::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error of `encrypt`.
    pub fn build_sealed<E>(
        self,
        encrypt: impl FnOnce(&str) -> Result<String, E>,
    ) -> Result<UnsignedEvent, E> {
        let Self { kind, content, tags } = self;
        let named =
            |tag: &Tag, names: &[&str]| tag.first().is_some_and(|name| names.contains(&name.as_str()));
        let (mut sealed, mut clear): (Vec<Tag>, Vec<Tag>) =
            tags.into_iter().partition(|tag| named(tag, &["i", "param"]));
        clear.retain(|tag| !named(tag, &["encrypted"]));
        if !content.is_empty() {
            sealed.push(JobInput::new(InputKind::Text, content).tag());
        }
        let plaintext = serde_json::Value::from_iter(sealed).to_string();
        Ok(UnsignedEvent::new(kind, encrypt(&plaintext)?).tags(clear).tag(["encrypted"]))
    }

    fn list<T: Into<String>>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let mut tag = vec![name.to_owned()];
        tag.extend(values.into_iter().map(Into::into));
        self.tags.push(tag);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use openagents_host::{Kind, Timestamp};

    use super::RequestBuilder;
    use crate::nip90::tests::{customer, provider, sign};

    fn builder() -> RequestBuilder {
        RequestBuilder::new(Kind(5050))
            .text("my diagnosis")
            .param("model", "secret-model")
            .output(["text/plain"])
            .bid(5_000)
            .relays(["wss://a.example", "wss://b.example"])
            .provider(&provider().public_key())
            .topic("health")
            .expiration(Timestamp::from_seconds(1_800_000_000))
            .tag(["client", "us"])
    }

    #[test]
    fn writes_tags_as_the_specification_has_them() {
        let id = sign(builder().build(), &customer()).id;
        let event = builder()
            .url("https://a.example/talk.mp3")
            .event(&id, Some("wss://a.example"))
            .job(&id, None)
            .content("filters")
            .build();
        let (id, me) = (id.to_hex(), provider().public_key().to_hex());
        let event = sign(event, &customer());
        assert_eq!(
            event.tags,
            [
                vec!["i", "my diagnosis", "text"],
                vec!["param", "model", "secret-model"],
                vec!["output", "text/plain"],
                vec!["bid", "5000"],
                vec!["relays", "wss://a.example", "wss://b.example"],
                vec!["p", &me],
                vec!["t", "health"],
                vec!["expiration", "1800000000"],
                vec!["client", "us"],
                vec!["i", "https://a.example/talk.mp3", "url"],
                vec!["i", &id, "event", "wss://a.example"],
                vec!["i", &id, "job"],
            ]
        );
        assert_eq!((event.kind, event.content.as_str()), (Kind(5050), "filters"));
    }

    #[test]
    fn seals_inputs_and_parameters_and_nothing_else() {
        let mut plaintext = String::new();
        let event = builder().content("and my prompt").tag(["encrypted"]).build_sealed(|text| {
            text.clone_into(&mut plaintext);
            Ok::<_, Infallible>("ciphertext".to_owned())
        });
        let event = sign(event.unwrap(), &customer());
        assert_eq!(
            plaintext,
            r#"[["i","my diagnosis","text"],["param","model","secret-model"],["i","and my prompt","text"]]"#
        );
        assert_eq!(event.content, "ciphertext");
        let names: Vec<_> = event.tags.iter().map(|tag| tag[0].as_str()).collect();
        assert_eq!(names, ["output", "bid", "relays", "p", "t", "expiration", "client", "encrypted"]);
    }

    #[test]
    fn passes_on_why_it_could_not_be_encrypted() {
        assert_eq!(builder().build_sealed(|_| Err("no random numbers")), Err("no random numbers"));
    }
}

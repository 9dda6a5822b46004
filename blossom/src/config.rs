//! What a blob server accepts and for how long, and the hosts by which clients know it.

use std::collections::BTreeSet;
use std::time::Duration;

use openagents_host::PublicKey;
use openagents_host::net::Reach;
use url::{Host, Url};

use crate::media_type::AllowedTypes;

/// The configuration of a blob server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlossomConfig {
    /// Who may upload.
    pub uploaders: Uploaders,
    /// Who may not upload, whatever else holds.
    pub blocked: BTreeSet<PublicKey>,
    /// Whether others may upload what the deployment [expects](crate::ExpectedUploads) of them.
    pub accepts_expected: bool,
    /// Who may delete every blob and has no quota.
    pub operators: BTreeSet<PublicKey>,
    /// The size of the largest blob, in bytes.
    pub max_blob_bytes: u64,
    /// How many bytes one public key may own; `None` for no limit. Operators have none.
    pub quota: Option<u64>,
    /// How long an upload is kept; `None` for as long as nobody deletes it.
    pub time_to_live: Option<Duration>,
    /// The types that may be uploaded.
    pub allowed_types: AllowedTypes,
    /// The hosts by which clients know this server.
    pub hosts: OwnHosts,
    /// From which servers blobs are mirrored. Public ones, unless for development.
    pub reach: Reach,
    /// The URL below which blobs are found, such as `https://cdn.example.com`; `None` for the host of each request.
    pub public_url: Option<Url>,
}

impl BlossomConfig {
    /// The usual limits, for these uploaders: 100 MiB a blob, no quota, no end.
    #[must_use]
    pub fn new(uploaders: Uploaders) -> Self {
        Self {
            uploaders,
            blocked: BTreeSet::new(),
            accepts_expected: false,
            operators: BTreeSet::new(),
            max_blob_bytes: 100 * 1024 * 1024,
            quota: None,
            time_to_live: None,
            allowed_types: AllowedTypes::default(),
            hosts: OwnHosts::default(),
            reach: Reach::Public,
            public_url: None,
        }
    }

    /// Whether this key may upload.
    #[must_use]
    pub fn may_upload(&self, key: &PublicKey) -> bool {
        let is_uploader = match &self.uploaders {
            Uploaders::Anyone => true,
            Uploaders::Keys(keys) => keys.contains(key),
        };
        (is_uploader || self.is_operator(key)) && !self.blocked.contains(key)
    }

    /// Whether this key may upload only what the deployment expects of it.
    pub(crate) fn may_expect_of(&self, key: &PublicKey) -> bool {
        self.accepts_expected && !self.may_upload(key) && !self.blocked.contains(key)
    }

    /// Whether this key is an operator's.
    #[must_use]
    pub fn is_operator(&self, key: &PublicKey) -> bool {
        self.operators.contains(key)
    }

    /// The quota of this key, in bytes.
    #[must_use]
    pub fn quota_of(&self, key: &PublicKey) -> Option<u64> {
        self.quota.filter(|_| !self.is_operator(key))
    }
}

/// Who may upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uploaders {
    /// Everyone who signs.
    Anyone,
    /// These keys only.
    Keys(BTreeSet<PublicKey>),
}

/// The hosts by which clients know a server, for the `server` tags of authorizations (BUD-11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnHosts(BTreeSet<String>);

impl OwnHosts {
    /// These hosts. If there are none, the host of each request counts: whoever forwards a request can choose it, so a
    /// server that is public should name its own.
    #[must_use]
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self(hosts.into_iter().map(|host| normalized(&host)).collect())
    }

    /// Whether a `server` tag names this server. BUD-11 demands a lowercase domain; clients also write `host:port` or a
    /// URL.
    #[must_use]
    pub fn is_named_by(&self, server: &str, request_host: &str) -> bool {
        let named = host_of(server);
        if self.0.is_empty() {
            return !named.is_empty() && named == host_of(request_host);
        }
        self.0.contains(&named)
    }
}

/// The host of a domain, of `host:port`, or of a URL; empty if there is none.
fn host_of(text: &str) -> String {
    let text = text.trim();
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("https://{text}")),
    };
    let host = url.as_ref().ok().and_then(Url::host).map(|host| match host {
        Host::Ipv6(address) => address.to_string(),
        host => host.to_string(),
    });
    normalized(&host.unwrap_or_default())
}

fn normalized(host: &str) -> String {
    host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::OwnHosts;

    #[test]
    fn own_hosts_are_named_by_domain_authority_or_url() {
        let own = OwnHosts::new(["cdn.example.com".to_owned(), "::1".to_owned()]);
        for server in [
            "cdn.example.com",
            "CDN.example.com.",
            "cdn.example.com:8787",
            "https://cdn.example.com",
            "https://cdn.example.com/",
            "http://cdn.example.com:8787/upload",
            "[::1]:8787",
        ] {
            assert!(own.is_named_by(server, "elsewhere.example"), "{server}");
        }
        for server in ["", "example.com", "evil.example", "cdn.example.com.evil.example", "https://", "a b"] {
            assert!(!own.is_named_by(server, "evil.example"), "{server}");
        }
    }

    #[test]
    fn without_own_hosts_that_of_the_request_counts() {
        let own = OwnHosts::default();
        assert!(own.is_named_by("127.0.0.1:8787", "127.0.0.1:8787"));
        assert!(own.is_named_by("http://localhost/", "localhost:1"));
        assert!(!own.is_named_by("localhost", "127.0.0.1:8787"));
        assert!(!own.is_named_by("", ""));
    }
}

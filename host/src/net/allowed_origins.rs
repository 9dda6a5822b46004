//! `AllowedOrigins`: servers that an operator has allowed an agent to reach although they are private or unencrypted.

use std::sync::Arc;

use url::{Origin, Url};

use super::address::{AddressError, Reach, public_url};

/// Origins (scheme, host and port) that HTTP requests may reach in addition to public ones, such as
/// `http://127.0.0.1:11434` for a language model on the same machine.
///
/// A redirect from elsewhere to such an origin is refused.
///
/// ```
/// use openagents_host::net::{AllowedOrigins, Url};
///
/// let allowed = AllowedOrigins::parse(["http://127.0.0.1:11434"])?;
/// assert!(allowed.contains(&Url::parse("http://127.0.0.1:11434/v1/models").unwrap()));
/// assert!(!allowed.contains(&Url::parse("http://127.0.0.1:5432/").unwrap()));
/// # Ok::<(), openagents_host::net::AddressError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Arc<[Origin]>);

impl AllowedOrigins {
    /// The origins of these URLs.
    ///
    /// # Errors
    /// When one is not an absolute `http` or `https` URL, or has more than an origin: a path, a query, a password.
    pub fn parse<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, AddressError> {
        let origins = urls.into_iter().map(|text| {
            let url = public_url(text, &["https", "http"], Reach::Anywhere)?;
            if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
                let reason = "only its scheme, host and port may be given, such as http://127.0.0.1:11434";
                return Err(AddressError::Form(reason.to_owned()));
            }
            Ok(url.origin())
        });
        Ok(Self(origins.collect::<Result<_, _>>()?))
    }

    /// The origin of this URL, which the operator has set.
    #[must_use]
    pub fn of(url: &Url) -> Self {
        Self(Arc::new([url.origin()]))
    }

    /// Whether this URL is of one of the origins.
    #[must_use]
    pub fn contains(&self, url: &Url) -> bool {
        !self.0.is_empty() && self.0.contains(&url.origin())
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::AllowedOrigins;

    #[test]
    fn contains_exactly_the_named_scheme_host_and_port() {
        let allowed = AllowedOrigins::parse(["http://10.0.0.7:8000", "https://models.example/"]).unwrap();
        for (url, expected) in [
            ("http://10.0.0.7:8000/v1?x", true),
            ("https://models.example:443/", true),
            ("https://10.0.0.7:8000/", false),
            ("http://10.0.0.7/", false),
            ("http://10.0.0.8:8000/", false),
            ("http://models.example/", false),
            ("https://other.models.example/", false),
            ("data:,x", false),
        ] {
            assert_eq!(allowed.contains(&Url::parse(url).unwrap()), expected, "{url}");
        }
        assert!(!AllowedOrigins::default().contains(&Url::parse("http://10.0.0.7:8000/").unwrap()));
    }

    #[test]
    fn refuses_what_is_more_or_less_than_an_origin() {
        for wrong in [
            "10.0.0.7:8000",
            "localhost",
            "http://a.example/v1",
            "http://a.example/?x",
            "http://me:pw@a.example",
            "ws://a.example",
            "*",
        ] {
            assert!(AllowedOrigins::parse([wrong]).is_err(), "{wrong}");
        }
    }
}

use std::time::Duration;

use openagents_host::net::{AddressError, HttpError, Url};

use super::{Document, Fetched, explain};

fn fetched(status: u16, content_type: Option<&str>, body: impl Into<Vec<u8>>) -> Fetched {
    Fetched {
        status,
        content_type: content_type.map(str::to_owned),
        body: body.into(),
        url: Url::parse("https://example.com/").unwrap(),
    }
}

#[test]
fn takes_what_can_be_text_whatever_its_type() {
    for content_type in [None, Some("text/plain"), Some("application/json"), Some("application/octet-stream")]
    {
        let document = Document::read(fetched(200, content_type, "\u{feff}text")).unwrap();
        assert_eq!((&*document.text, document.content_type.as_deref()), ("text", content_type));
    }
}

#[test]
fn refuses_what_is_no_text() {
    for body in [&[0xff, 0xd8, 0xff][..], b"a\0b"] {
        let error = Document::read(fetched(200, Some("Image/JPEG"), body)).unwrap_err();
        assert!(!error.is_retryable());
        assert!(error.message().ends_with("not lead to text, but to image/jpeg"), "{error}");
        assert!(
            Document::read(fetched(200, None, body)).unwrap_err().message().contains("does not lead to text")
        );
    }
}

#[test]
fn replaces_what_is_not_utf8_in_what_is_said_to_be_text() {
    let document = Document::read(fetched(200, Some("text/html; charset=iso-8859-1"), *b"caf\xe9")).unwrap();
    assert_eq!((&*document.text, document.content_type.as_deref()), ("caf\u{fffd}", Some("text/html")));
}

#[test]
fn tries_again_only_after_a_status_that_may_change() {
    for (status, may_change) in
        [(404, false), (304, false), (403, false), (429, true), (500, true), (503, true)]
    {
        let error = Document::read(fetched(status, None, "secret of the server")).unwrap_err();
        assert_eq!(error.is_retryable(), may_change, "{status}");
        assert!(error.message().ends_with(&status.to_string()), "{error}");
    }
}

#[test]
fn tells_the_customer_what_went_wrong_and_nothing_of_the_agents_network() {
    let explained = explain;
    let unreachable = [
        HttpError::Network("connect to 10.0.0.7:443: refused".to_owned()),
        HttpError::Address(AddressError::Resolved { host: "db.internal.example".to_owned() }),
    ];
    for error in unreachable.map(explained) {
        assert_eq!(error.message(), "the input URL could not be reached");
        assert!(error.is_retryable());
    }
    let late = explained(HttpError::Timeout { after: Duration::from_secs(20) });
    assert!(late.is_retryable() && late.message().ends_with("within 20s"), "{late}");
    let large = explained(HttpError::TooLarge { limit: 7 });
    assert!(!large.is_retryable() && large.message().ends_with("larger than 7 bytes"), "{large}");
}

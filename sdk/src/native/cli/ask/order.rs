//! The job request that the arguments of `ask` describe.

use std::io::{self, Read};

use openagents_host::{Encryption, Kind};

use super::arguments::{Ask, Scheme};
use super::files::{InputFile, MAX_TEXT_BYTES};
use crate::client::Order;
use crate::nip90::RequestBuilder;

/// An input cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error("cannot read the standard input: {0}")]
    StandardInput(io::Error),
}

/// Texts come first, then files, URLs, events and outputs of jobs.
pub(super) fn order(ask: &Ask, kind: Kind, files: &[InputFile]) -> Result<Order, InputError> {
    let mut request = RequestBuilder::new(kind);
    match ask.input.as_deref() {
        Some("-") => request = request.text(text_of(io::stdin()).map_err(InputError::StandardInput)?),
        Some(input) => request = request.text(input),
        None => {}
    }
    for file in files {
        request = match file {
            InputFile::Text(text) => request.text(text),
            InputFile::Upload(file) => request.url(&file.url),
        };
    }
    request = ask.url.iter().fold(request, RequestBuilder::url);
    request = ask.event.iter().fold(request, |request, id| request.event(id, None));
    request = ask.job.iter().fold(request, |request, id| request.job(id, None));
    for (key, value) in &ask.param {
        request = request.param(key, value);
    }
    if let Some(msat) = ask.bid {
        request = request.bid(msat);
    }
    if let Some(provider) = &ask.to {
        request = request.provider(provider);
    }
    let order = match ask.encrypt {
        Some(Scheme::Nip44) => Order::new(request).sealed(Encryption::Nip44),
        Some(Scheme::Nip04) => Order::new(request).sealed(Encryption::Nip04),
        None => request.into(),
    };
    // Without `--pay` nothing is paid, whatever the bid.
    Ok(order.pay_up_to(ask.pay.unwrap_or(0)))
}

/// All of a text, without the line break at its end.
fn text_of(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    let mut limited = source.take(MAX_TEXT_BYTES.saturating_add(1));
    if limited.read_to_string(&mut text)? as u64 > MAX_TEXT_BYTES {
        return Err(io::Error::other(format!("it is longer than {MAX_TEXT_BYTES} bytes")));
    }
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{MAX_TEXT_BYTES, text_of};

    #[test]
    fn reads_text_of_a_bounded_length() {
        assert_eq!(text_of(&b"a\n b\r\n\n"[..]).unwrap(), "a\n b");
        assert!(text_of(&b"\xff"[..]).is_err());
        assert!(
            text_of(std::io::repeat(b'a')).unwrap_err().to_string().contains(&MAX_TEXT_BYTES.to_string())
        );
    }
}

//! `GET /list/<pubkey>` (BUD-12): somebody's blobs, latest first, page by page.

use openagents_host::http::{Parts, Response, StatusCode};
use openagents_host::{BlobHash, PublicKey};
use url::form_urlencoded;

use super::base_url;
use super::host::BlobHost;
use crate::descriptor::BlobDescriptor;
use crate::index::{IndexRead, IndexReply, ListQuery};
use crate::refusal::Refusal;
use crate::response::json;

/// How many blobs a page has without `limit`.
const USUAL_LIMIT: u32 = 100;

pub(super) async fn list<H: BlobHost>(
    host: &H,
    owner: Option<PublicKey>,
    parts: &Parts,
) -> Result<Response, Refusal> {
    let owner = owner
        .ok_or_else(|| Refusal::bad_request("expected /list/<pubkey> with 64 lowercase hex characters"))?;
    let query = query(owner, parts.uri.query().unwrap_or_default())?;
    let records = match host.read_index(IndexRead::List(query)).await? {
        IndexReply::Listed(records) => records,
        _ => Vec::new(),
    };
    let base = base_url(host.config(), parts);
    let descriptors: Vec<_> = records.iter().map(|record| BlobDescriptor::new(Some(&base), record)).collect();
    Ok(json(StatusCode::OK, &descriptors))
}

/// Reads `cursor`, `limit`, `since` and `until`; other parameters are ignored.
fn query(owner: PublicKey, text: &str) -> Result<ListQuery, Refusal> {
    let mut query = ListQuery { owner, cursor: None, limit: USUAL_LIMIT, since: None, until: None };
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let number = || {
            let number = value.parse::<u64>();
            number.map_err(|_| Refusal::bad_request(format!("`{name}` must be a whole number")))
        };
        match &*name {
            "cursor" if value.is_empty() => {}
            "cursor" => {
                let hash = BlobHash::from_hex(&value);
                query.cursor =
                    Some(hash.map_err(|_| {
                        Refusal::bad_request("`cursor` must be the SHA-256 of the last blob")
                    })?);
            }
            "limit" => query.limit = u32::try_from(number()?).unwrap_or(u32::MAX),
            "since" => query.since = Some(number()?),
            "until" => query.until = Some(number()?),
            _ => {}
        }
    }
    Ok(query)
}

#[cfg(test)]
mod tests {
    use openagents_host::{BlobHash, PublicKey};

    use super::query;

    #[test]
    fn reads_what_bud_12_defines_and_refuses_what_it_cannot_read() {
        let owner = PublicKey::from_bytes([1; 32]);
        let found =
            query(owner, &format!("cursor={}&limit=5&since=1&until=2&other=x", "ab".repeat(32))).unwrap();
        assert_eq!(found.cursor, Some(BlobHash::from_bytes([0xab; 32])));
        assert_eq!((found.limit, found.since, found.until), (5, Some(1), Some(2)));
        assert_eq!(query(owner, "").unwrap().limit, 100);
        for wrong in ["cursor=ab", "limit=-1", "limit=many", "since=", "until=1.5"] {
            assert_eq!(query(owner, wrong).unwrap_err().status.as_u16(), 400, "{wrong}");
        }
    }
}

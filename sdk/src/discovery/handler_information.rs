//! Handler information (kind 31990, NIP-89): the job kinds of an agent.
//!
//! Clients use different names, so several are written: those of NIP-01 and NIP-89 (`k`, `t`, `picture`), of
//! nostr-dvm and Amethyst (`supportsEncryption`, `acceptsNutZaps`, `amount`, `nip90Params`), of Primal and the kind
//! registry (`image`, `encryptionSupported`, `cashuAccepted`), and of OpenAgents (`handler`, `capability`, `price`,
//! `description`).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Announcement, HANDLER_INFORMATION, Profile, json};
use crate::declaration::ParamDeclaration;
use crate::manifest::offer::{Cost, Offer};
use crate::price::Price;

pub(super) fn of(profile: &Profile) -> Announcement {
    let Profile { agent, offers, .. } = profile;
    let cost = Cost::of_all(offers);
    let content = Content {
        name: agent.name,
        about: agent.about,
        description: agent.about,
        picture: agent.picture,
        image: agent.picture,
        website: agent.homepage,
        nip05: agent.nip05,
        lud16: profile.lud16(),
        amount: amount(cost),
        supports_encryption: true,
        encryption_supported: true,
        accepts_nut_zaps: false,
        cashu_accepted: false,
        personalized: false,
        subscription: false,
        nip90_params: params(offers),
    };
    let mut announcement = profile.announcement(HANDLER_INFORMATION, agent.name, json(&content));
    for Offer { job, .. } in offers {
        announcement = announcement.tag(["k".to_owned(), job.kind.to_string()]);
    }
    for &topic in agent.topics {
        announcement = announcement.tag(["t", topic]);
    }
    announcement = announcement.tag(["handler", "agent"]);
    for Offer { job, .. } in offers {
        announcement = announcement
            .tag(["capability", job.name])
            .tag(["capability".to_owned(), format!("nip90-kind-{}", job.kind)]);
    }
    match cost {
        Cost::Fixed(price) => {
            announcement.tag(["price", &price.as_msat().to_string(), "per_request", "msats"])
        }
        Cost::Free | Cost::Varies => announcement,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    name: &'a str,
    about: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    picture: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    image: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    website: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    nip05: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    lud16: &'a str,
    amount: String,
    supports_encryption: bool,
    encryption_supported: bool,
    accepts_nut_zaps: bool,
    cashu_accepted: bool,
    personalized: bool,
    subscription: bool,
    #[serde(rename = "nip90Params")]
    nip90_params: BTreeMap<&'a str, ParamContent<'a>>,
}

#[derive(Serialize)]
struct ParamContent<'a> {
    required: bool,
    values: Vec<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
}

/// `free`, `flexible`, or a number of satoshis as text: clients append "Sats".
fn amount(cost: Cost) -> String {
    match cost {
        Cost::Free => "free".to_owned(),
        Cost::Varies => "flexible".to_owned(),
        Cost::Fixed(price) => satoshis(price),
    }
}

fn satoshis(price: Price) -> String {
    let msat = price.as_msat();
    let whole = msat / 1_000;
    match msat % 1_000 {
        0 => whole.to_string(),
        thousandths => format!("{whole}.{thousandths:03}").trim_end_matches('0').to_owned(),
    }
}

/// The parameters of all jobs by name, since the format has one list for all kinds. A parameter of several jobs is
/// required if all of them require it.
fn params(offers: &[Offer]) -> BTreeMap<&'static str, ParamContent<'static>> {
    let mut params: BTreeMap<&str, ParamContent<'_>> = BTreeMap::new();
    let all = offers.iter().flat_map(|offer| offer.job.params.iter().copied().flatten());
    for ParamDeclaration { name, required, choices, about, .. } in all {
        let param = params.entry(name).or_insert_with(|| ParamContent {
            required: *required,
            values: Vec::new(),
            description: about,
        });
        param.required &= *required;
        for &choice in *choices {
            if !param.values.contains(&choice) {
                param.values.push(choice);
            }
        }
        if param.description.is_empty() {
            param.description = about;
        }
    }
    params
}

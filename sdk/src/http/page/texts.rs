//! The texts that the server writes, from `sdk/page/texts.json`. The script has the others from the same file.

use std::sync::LazyLock;

use serde::Deserialize;

/// The texts, by their names in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Texts {
    pub(super) title: &'static str,
    pub(super) title_of_relay: &'static str,
    pub(super) kind_of_agent: &'static str,
    pub(super) kind_of_relay: &'static str,
    pub(super) skip: &'static str,
    pub(super) version: &'static str,
    pub(super) jobs: &'static str,
    pub(super) jobs_about: &'static str,
    pub(super) without_script: &'static str,
    pub(super) no_jobs: &'static str,
    pub(super) kind: &'static str,
    pub(super) free: &'static str,
    pub(super) price_fixed: &'static str,
    pub(super) price_varies: &'static str,
    pub(super) returns: &'static str,
    pub(super) input_text: &'static str,
    pub(super) input_url: &'static str,
    pub(super) input_event: &'static str,
    pub(super) input_job: &'static str,
    pub(super) optional: &'static str,
    pub(super) one_each_line: &'static str,
    pub(super) default_value: &'static str,
    pub(super) unset: &'static str,
    pub(super) yes: &'static str,
    pub(super) no: &'static str,
    pub(super) send: &'static str,
    pub(super) deployment: &'static str,
    pub(super) public_key: &'static str,
    pub(super) copy: &'static str,
    pub(super) relay: &'static str,
    pub(super) agent: &'static str,
    pub(super) blobs: &'static str,
    pub(super) unknown_yet: &'static str,
    pub(super) you: &'static str,
    pub(super) you_none: &'static str,
    pub(super) read: &'static str,
    pub(super) routes: &'static str,
    pub(super) link_manifest: &'static str,
    pub(super) link_manifest_about: &'static str,
    pub(super) link_nip05: &'static str,
    pub(super) link_nip05_about: &'static str,
    pub(super) link_health: &'static str,
    pub(super) link_health_about: &'static str,
    pub(super) link_metrics: &'static str,
    pub(super) link_metrics_about: &'static str,
    pub(super) link_docs: &'static str,
    pub(super) link_docs_about: &'static str,
    pub(super) link_home: &'static str,
    pub(super) link_home_about: &'static str,
    pub(super) recent: &'static str,
    pub(super) recent_about: &'static str,
    pub(super) recent_without_script: &'static str,
    pub(super) operator: &'static str,
    pub(super) operator_about: &'static str,
    pub(super) operator_show: &'static str,
}

const FILE: &str = include_str!("../../../page/texts.json");

/// The texts of the page.
pub(super) static TEXTS: LazyLock<Texts> = LazyLock::new(|| serde_json::from_str(FILE).unwrap_or_default());

/// A text with the value of its one placeholder, such as `{kind}`.
pub(super) fn fill(text: &str, placeholder: &str, value: &str) -> String {
    text.replace(&format!("{{{placeholder}}}"), value)
}

#[cfg(test)]
mod tests {
    use super::{FILE, Texts, fill};

    #[test]
    fn the_file_has_every_text() {
        let texts: Texts = serde_json::from_str(FILE).unwrap();
        assert_eq!(fill(texts.kind, "kind", "5050"), "kind 5050");
    }
}

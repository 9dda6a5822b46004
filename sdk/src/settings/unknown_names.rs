//! Finds variables that nobody reads, above all mistyped ones: a limit that is not set should not look as if it were.

use super::error::SettingError;
use super::known_variables;

/// The beginnings of names that are the SDK's alone.
const OWN_PREFIXES: [&str; 7] =
    ["AUMOS_", "BLOSSOM_", "GATEWAY_", "LNBITS_", "NWC_", "OPENAGENTS_", "RELAY_"];

/// Beginnings that other programs use as well.
const SHARED_PREFIXES: [&str; 3] = ["AGENT_", "LOG_", "NOSTR_"];

/// Names for tests of this repository.
#[cfg(not(target_arch = "wasm32"))]
const TEST_PREFIX: &str = "OPENAGENTS_TEST_";

/// How many letters a mistyped name may differ in.
const MAX_DISTANCE: usize = 3;

/// Where a name was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameSource {
    /// The environment of a process, where most names are for other programs.
    #[cfg(not(target_arch = "wasm32"))]
    Environment,
    /// The `.dev.vars` file, where every name is for this deployment.
    #[cfg(not(target_arch = "wasm32"))]
    File,
    /// The variables, secrets and bindings of a Worker.
    #[cfg(any(target_arch = "wasm32", test))]
    Worker,
}

/// Fails at the first name that is meant for this deployment and that neither the SDK nor the agent, which declares
/// `declared`, reads.
pub(crate) fn check_names(
    names: impl IntoIterator<Item = String>,
    source: NameSource,
    declared: &[&'static str],
) -> Result<(), SettingError> {
    for name in names {
        let mut known = known_names().chain(declared.iter().copied());
        if known.any(|known| known == name) {
            continue;
        }
        let nearest = known_names()
            .chain(declared.iter().copied())
            .map(|known| (distance(&name, known), known))
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, known)| *distance <= MAX_DISTANCE.min(known.len() / 3))
            .map(|(_, known)| known);
        if is_meant(&name, source, nearest.is_some()) {
            return Err(SettingError::Unknown { name, nearest });
        }
    }
    Ok(())
}

fn known_names() -> impl Iterator<Item = &'static str> {
    let known = known_variables::all();
    #[cfg(not(target_arch = "wasm32"))]
    let known = known.chain(known_variables::PROCESS);
    known.map(|variable| variable.name)
}

/// Whether an unknown name is meant for this deployment.
fn is_meant(name: &str, source: NameSource, is_like_a_known_one: bool) -> bool {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    match source {
        #[cfg(not(target_arch = "wasm32"))]
        NameSource::File => true,
        #[cfg(not(target_arch = "wasm32"))]
        NameSource::Environment if name.starts_with(TEST_PREFIX) || is_service_link(name) => false,
        _ => begins(&OWN_PREFIXES) || (begins(&SHARED_PREFIXES) && is_like_a_known_one),
    }
}

/// Whether Kubernetes or Docker sets this variable, for a service that is called `relay`: `RELAY_PORT_8787_TCP`.
#[cfg(not(target_arch = "wasm32"))]
fn is_service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.contains("_PORT_")
}

/// How many letters must be inserted, left out or changed to make one name of the other (Levenshtein's distance).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.bytes().enumerate() {
        let mut diagonal = index;
        let mut left = index.saturating_add(1);
        let mut next = vec![left];
        for (above, other) in row.iter().skip(1).zip(other.bytes()) {
            let changed = diagonal.saturating_add(usize::from(letter != other));
            left = changed.min(above.saturating_add(1)).min(left.saturating_add(1));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{NameSource, check_names, distance};

    fn told(name: &str, source: NameSource) -> Option<String> {
        let checked = check_names([name.to_owned()], source, &["MODEL_NAME"]);
        checked.err().map(|error| error.to_string())
    }

    #[test]
    fn a_mistyped_name_is_refused_with_the_right_one() {
        for (name, nearest) in [
            ("RELAY_MAX_FILTER", "RELAY_MAX_FILTERS"),
            ("RELAY_ADMIN_MAX_LIMIT", ""),
            ("BLOSSOM_UPLAOD", "BLOSSOM_UPLOAD"),
            ("LOG_LEVLE", "LOG_LEVEL"),
            ("AGENT_ANOUNCE", "AGENT_ANNOUNCE"),
            ("NOSTR_PRIVAT_KEY", "NOSTR_PRIVATE_KEY"),
        ] {
            for source in [NameSource::Environment, NameSource::File, NameSource::Worker] {
                let told = told(name, source).unwrap_or_else(|| panic!("{name} {source:?}"));
                assert!(told.contains(&format!("`{name}`")) && told.contains(nearest), "{told}");
                assert_eq!(told.contains("did you mean"), !nearest.is_empty(), "{told}");
            }
        }
    }

    #[test]
    fn what_other_programs_read_is_left_alone() {
        for name in [
            "PATH",
            "HOME",
            "AGENT_TOOLSDIRECTORY",
            "LOG_DIR",
            "NOSTR_SECRET",
            "RELAY_SERVICE_HOST",
            "RELAY_PORT",
            "RELAY_PORT_8787_TCP_ADDR",
            "OPENAGENTS_TEST_HOSTS",
            "WALLETS",
            "MODEL_NAME",
            "RELAY_NAME",
            "OPENAGENTS_DATA",
        ] {
            assert_eq!(told(name, NameSource::Environment), None, "{name}");
        }
        for name in ["MODEL_NAME", "RELAY", "AGENT", "BLOSSOM", "BLOBS", "OTHER_VARIABLE", "WALLET"] {
            assert_eq!(told(name, NameSource::Worker), None, "{name}");
        }
    }

    #[test]
    fn a_file_for_this_deployment_has_no_other_names() {
        for name in ["PATH", "MODEL_NAMES", "AGENT_TOOLSDIRECTORY"] {
            assert!(told(name, NameSource::File).is_some(), "{name}");
        }
        assert!(told("MODEL_NAMES", NameSource::File).unwrap().contains("did you mean `MODEL_NAME`"));
        assert_eq!(told("MODEL_NAME", NameSource::File), None);
    }

    #[test]
    fn counts_the_letters_that_differ() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "AB", 2),
            ("AB", "", 2),
            ("KITTEN", "SITTING", 3),
            ("A_B", "A_B", 0),
            ("AB", "BA", 2),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}

//! Validates the path of a `#[route]`: its form, and that the deployment does not use it itself.

/// The longest path, in bytes.
const MAX_LENGTH: usize = 128;

/// What the deployment serves itself, at the root or below `/agent/{npub}`, or may serve in a later release. The
/// beginning of a path up to its first dot is compared.
const RESERVED: [&str; 31] = [
    "agent",
    "agents",
    "audit",
    "blob",
    "blobs",
    "health",
    "history",
    "internal",
    "jobs",
    "keys",
    "list",
    "manifest",
    "mcp",
    "media",
    "memory",
    "metrics",
    "mirror",
    "page",
    "payments",
    "relay",
    "report",
    "requests",
    "schedules",
    "search",
    "sessions",
    "state",
    "upload",
    "v1",
    "v2",
    "visits",
    "well-known",
];

/// Validates a path.
pub(crate) fn check(path: &str) -> Result<(), String> {
    let rule = "the path of a route is `/` and words of letters, digits, `-`, `_`, `.` and `~`, as in \"/hook\" or \"/github/push\"";
    let Some(segments) = path.strip_prefix('/') else {
        return Err(format!("{rule}; this one does not begin with `/`"));
    };
    if path.contains(['?', '#']) {
        return Err(format!("{rule}; take the query of a request as `Params`"));
    }
    if path.contains(['{', ':', '*']) {
        return Err(format!("{rule}; it has no placeholders: take a varying part in the query, as `Params`"));
    }
    let is_word = |word: &str| {
        let fits = |character: char| character.is_ascii_alphanumeric() || "-_.~".contains(character);
        !word.is_empty() && word.chars().all(fits)
    };
    if !segments.split('/').all(is_word) {
        return Err(rule.to_owned());
    }
    if segments.split('/').any(|word| word.starts_with('.')) {
        return Err(format!("{rule}; a word cannot begin with a dot: such paths belong to the deployment"));
    }
    if path.len() > MAX_LENGTH {
        return Err(format!(
            "the path of a route has at most {MAX_LENGTH} characters; this one has {}",
            path.len()
        ));
    }
    let first = segments.split('/').next().unwrap_or_default();
    let name = first.split('.').next().unwrap_or_default().to_ascii_lowercase();
    if name.len() == 64 && name.chars().all(|digit| digit.is_ascii_hexdigit()) {
        return Err("paths that begin with 64 hexadecimal digits are those of blobs (BUD-01)".to_owned());
    }
    if RESERVED.contains(&name.as_str()) {
        return Err(format!(
            "the deployment itself uses paths that begin with `/{name}`: choose another, as in \"/my-{name}\""
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn accepts_paths_that_the_deployment_does_not_use() {
        for path in ["/hook", "/github/push", "/a.b/c_d~e-f", "/listing", "/v3/x", "/abc123", "/my-upload"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn refuses_what_is_no_path() {
        for path in [
            "", "/", "hook", "/a/", "//a", "/a//b", "/a b", "/ä", "/a?b", "/a#b", "/{id}", "/a/*", "/a/../b",
            "/.env",
        ] {
            assert!(check(path).is_err(), "{path}");
        }
        assert!(check(&format!("/{}", "a".repeat(127))).is_ok());
        assert!(check(&format!("/{}", "a".repeat(128))).unwrap_err().contains("at most 128"));
    }

    #[test]
    fn refuses_what_the_deployment_serves_itself() {
        for name in [
            "upload", "media", "mirror", "list", "report", "jobs", "agents", "agent", "v1", "audit", "mcp",
            "health", "metrics", "page", "keys",
        ] {
            for path in [
                format!("/{name}"),
                format!("/{name}/x"),
                format!("/{name}.json"),
                format!("/{}", name.to_uppercase()),
            ] {
                assert!(check(&path).unwrap_err().starts_with("the deployment itself uses"), "{path}");
            }
        }
        assert!(check("/.well-known/nostr.json").is_err());
        let hash = "aB".repeat(32);
        assert!(check(&format!("/{hash}")).is_err() && check(&format!("/{hash}.png")).is_err());
        assert_eq!(check(&format!("/{hash}a")), Ok(()));
    }
}

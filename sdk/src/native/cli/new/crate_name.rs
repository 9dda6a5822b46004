//! Names that are valid for a crate, an agent and a Worker alike.

use std::path::Path;

/// A Worker's name is part of a host name.
const MAX_LENGTH: usize = 63;

/// What cargo or the compiler refuses as the name of a crate with a program and a library.
const RESERVED: &str = "abstract alloc as async await become box break build const continue core crate deps do dyn else \
    enum examples extern false final fn for gen if impl in incremental let loop macro match mod move mut \
    openagents-sdk override priv proc-macro pub ref return self static std struct super test trait true try type \
    typeof unsafe unsized use virtual where while yield";

/// The name cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::native) enum NameError {
    #[error(
        "an agent's crate needs a name of lowercase letters, digits and `-` that begins with a letter, such as \
         my-agent{}",
        .0.as_ref().map(|name| format!("; `{name}` is not one")).unwrap_or_default()
    )]
    Form(Option<String>),
    #[error("the name `{0}` is longer than {MAX_LENGTH} characters")]
    Long(String),
    #[error("the name `{0}` means something else to Rust or cargo: choose another")]
    Reserved(String),
}

/// The name of the crate in this folder.
pub(super) fn of(path: &Path) -> Result<&str, NameError> {
    let Some(name) = path.file_name() else { return Err(NameError::Form(None)) };
    let refused = || name.to_string_lossy().into_owned();
    let name = name.to_str().ok_or_else(|| NameError::Form(Some(refused())))?;
    let fits =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    let begins_well = name.starts_with(|first: char| first.is_ascii_lowercase());
    if !begins_well || !name.chars().all(fits) || name.ends_with('-') || name.contains("--") {
        Err(NameError::Form(Some(refused())))
    } else if name.len() > MAX_LENGTH {
        Err(NameError::Long(refused()))
    } else if RESERVED.split_whitespace().any(|reserved| reserved == name) {
        Err(NameError::Reserved(refused()))
    } else {
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{NameError, of};

    #[test]
    fn accepts_what_cargo_and_cloudflare_accept() {
        for (path, name) in [("a", "a"), ("../my-agent", "my-agent"), ("/tmp/x/agent-007/", "agent-007")] {
            assert_eq!(of(Path::new(path)), Ok(name));
        }
    }

    #[test]
    fn says_what_is_wrong_with_any_other() {
        for path in
            ["My-Agent", "my_agent", "7up", "-a", "a-", "a--b", "a b", "poète", "a.b", "", "/", "..", "a/.."]
        {
            assert!(matches!(of(Path::new(path)), Err(NameError::Form(_))), "{path}");
        }
        for path in ["test", "self", "core", "x/build", "openagents-sdk", "proc-macro"] {
            assert!(matches!(of(Path::new(path)), Err(NameError::Reserved(_))), "{path}");
        }
        let long = "a".repeat(64);
        assert_eq!(of(Path::new(&long)), Err(NameError::Long(long.clone())));
    }
}

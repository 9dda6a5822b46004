//! Where a new crate gets the SDK from: a checkout, a git repository, or the registry.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The SDK that this program was built with.
const OWN: &str = env!("CARGO_MANIFEST_DIR");

/// A source of the SDK, as `Cargo.toml` names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SdkSource {
    /// The folder of the crate `openagents-sdk`.
    Path(String),
    Git(String),
    Version(String),
}

/// There is no such SDK.
#[derive(Debug, thiserror::Error)]
pub(in crate::native) enum SdkSourceError {
    #[error(
        "the SDK's checkout {OWN}, from which this program was built, is gone: name another with --sdk PATH|GIT|VERSION"
    )]
    OwnIsGone,
    #[error(
        "`{path}` is not a checkout of the SDK: {error}. --sdk takes its folder, a git URL (https://…) or a version (0.1)"
    )]
    NoCheckout { path: String, error: io::Error },
    #[error("{} has no crate named openagents-sdk, neither there nor in sdk/", path.display())]
    NoSdk { path: PathBuf },
    #[error("the path {} cannot be written into a Cargo.toml", path.display())]
    Unwritable { path: PathBuf },
    #[error("the git URL `{0}` contains a quote or a space")]
    Url(String),
}

impl SdkSource {
    /// What `--sdk` names; by default, the SDK that this program was built with.
    pub(super) fn find(given: Option<&str>) -> Result<Self, SdkSourceError> {
        let Some(given) = given else {
            return Self::at(Path::new(OWN)).map_err(|_| SdkSourceError::OwnIsGone);
        };
        if given.contains("://") || given.starts_with("git@") {
            let is_quotable =
                |character: char| character.is_ascii_graphic() && !matches!(character, '"' | '\\');
            return match given.chars().all(is_quotable) {
                true => Ok(Self::Git(given.to_owned())),
                false => Err(SdkSourceError::Url(given.to_owned())),
            };
        }
        if is_version(given) {
            return Ok(Self::Version(given.to_owned()));
        }
        let path = Path::new(given)
            .canonicalize()
            .map_err(|error| SdkSourceError::NoCheckout { path: given.to_owned(), error })?;
        Self::at(&path)
    }

    /// The SDK in this folder, or in `sdk/` below it.
    fn at(path: &Path) -> Result<Self, SdkSourceError> {
        let is_sdk = |folder: &PathBuf| {
            std::fs::read_to_string(folder.join("Cargo.toml"))
                .is_ok_and(|manifest| manifest.lines().any(|line| line == "name = \"openagents-sdk\""))
        };
        let found = [path.to_owned(), path.join("sdk")].into_iter().find(is_sdk);
        let found = found.ok_or_else(|| SdkSourceError::NoSdk { path: path.to_owned() })?;
        match found.to_str() {
            Some(text) if !text.chars().any(char::is_control) => Ok(Self::Path(text.to_owned())),
            _ => Err(SdkSourceError::Unwritable { path: found }),
        }
    }

    /// The key and value of the dependency in `Cargo.toml`.
    pub(super) fn dependency(&self) -> String {
        match self {
            Self::Path(path) => {
                format!("path = \"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
            }
            Self::Git(url) => format!("git = \"{url}\""),
            Self::Version(version) => format!("version = \"{version}\""),
        }
    }

    /// The lock file of a checkout.
    pub(super) fn lock_file(&self) -> Option<String> {
        let Self::Path(path) = self else { return None };
        std::fs::read_to_string(Path::new(path).parent()?.join("Cargo.lock")).ok()
    }
}

impl fmt::Display for SdkSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(path),
            Self::Git(url) => f.write_str(url),
            Self::Version(version) => write!(f, "version {version} on crates.io"),
        }
    }
}

/// Whether this is a version requirement, such as `0.1` or `^0.1.2`.
fn is_version(text: &str) -> bool {
    let fits = |character: char| character.is_ascii_alphanumeric() || ".^~=+-".contains(character);
    let number = text.trim_start_matches(['^', '~', '=']);
    number.starts_with(|first: char| first.is_ascii_digit()) && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::{OWN, SdkSource, SdkSourceError};

    #[test]
    fn is_a_checkout_a_git_repository_or_a_version() {
        let dependency = |given: Option<&str>| SdkSource::find(given).unwrap().dependency();
        let own = format!("path = \"{OWN}\"");
        assert_eq!(dependency(None), own);
        assert_eq!(dependency(Some(OWN)), own);
        assert_eq!(dependency(Some(&format!("{OWN}/.."))), own);
        assert_eq!(dependency(Some("https://example.com/sdk.git")), "git = \"https://example.com/sdk.git\"");
        assert_eq!(dependency(Some("git@example.com:sdk")), "git = \"git@example.com:sdk\"");
        assert_eq!(dependency(Some("0.1")), "version = \"0.1\"");
        assert_eq!(dependency(Some("=0.1.0-alpha.1")), "version = \"=0.1.0-alpha.1\"");
        assert!(SdkSource::find(None).unwrap().lock_file().unwrap().contains("openagents-sdk"));
    }

    #[test]
    fn refuses_what_is_none_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |given: &str| SdkSource::find(Some(given)).unwrap_err();
        assert!(matches!(refused(folder.path().to_str().unwrap()), SdkSourceError::NoSdk { .. }));
        assert!(matches!(refused("no/such/folder"), SdkSourceError::NoCheckout { .. }));
        assert!(matches!(refused("https://e.com/\" evil = \""), SdkSourceError::Url(_)));
    }
}

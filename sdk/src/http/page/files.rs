//! `GET /page/<hash>.js` and the like: the page's script, style and icon, named by their content.

use std::sync::LazyLock;

use openagents_host::http::{HeaderValue, Response, StatusCode, header, response};
use sha2::{Digest as _, Sha256};

/// How many bytes of the hash are in the name.
const NAME_BYTES: usize = 8;

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageFile {
    /// The script, with all its modules.
    Script,
    /// The style sheet.
    Style,
    /// The icon that browsers show beside the title.
    Icon,
}

impl PageFile {
    const ALL: [Self; 3] = [Self::Script, Self::Style, Self::Icon];

    /// The file at a path, if it is in this release. It may be cached for ever, so another one must not take its name.
    pub(crate) fn at(path: &str) -> Option<Self> {
        let name = path.strip_prefix("/page/")?;
        Self::ALL.into_iter().find(|file| file.path().strip_prefix("/page/") == Some(name))
    }

    /// The file's address in a document at `/`: relative, since a proxy may serve that below a path.
    pub(super) fn address(self) -> &'static str {
        self.path().trim_start_matches('/')
    }

    fn path(self) -> &'static str {
        static PATHS: LazyLock<[String; 3]> = LazyLock::new(|| PageFile::ALL.map(PageFile::path_by_content));
        let [script, style, icon] = &*PATHS;
        match self {
            Self::Script => script,
            Self::Style => style,
            Self::Icon => icon,
        }
    }

    /// The response with the file.
    pub(crate) fn response(self) -> Response {
        let content_type = match self {
            Self::Script => "text/javascript; charset=utf-8",
            Self::Style => "text/css; charset=utf-8",
            Self::Icon => "image/svg+xml",
        };
        let file = response::bytes(StatusCode::OK, HeaderValue::from_static(content_type), self.content());
        let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
        response::with_header(file, header::CACHE_CONTROL, forever)
    }

    const fn content(self) -> &'static [u8] {
        match self {
            Self::Script => include_bytes!("../../../page/bundle/page.js"),
            Self::Style => include_bytes!("../../../page/bundle/page.css"),
            Self::Icon => include_bytes!("../../../page/icon.svg"),
        }
    }

    fn path_by_content(self) -> String {
        let hash = Sha256::digest(self.content());
        let name: String = hash.iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect();
        let extension = match self {
            Self::Script => "js",
            Self::Style => "css",
            Self::Icon => "svg",
        };
        format!("/page/{name}.{extension}")
    }
}

#[cfg(test)]
mod tests {
    use super::PageFile;

    #[test]
    fn a_file_is_at_its_path_only() {
        for file in PageFile::ALL {
            assert_eq!(PageFile::at(file.path()), Some(file));
            assert_eq!(file.response().headers()["cache-control"], "public, max-age=31536000, immutable");
        }
        for path in ["/page/", "/page/0000000000000000.js", "/page/../page.js", "/page"] {
            assert_eq!(PageFile::at(path), None, "{path}");
        }
    }
}

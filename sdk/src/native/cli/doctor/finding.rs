//! What the checks found: each with its verdict and, where something is wrong, what to do about it.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was checked, in a word.
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// What was found, in a line.
    pub(super) detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    /// It works, but not for everybody, or not as the operator may think.
    Warn,
    /// Clients cannot use it.
    Fail,
    /// It could not be checked, or need not work here.
    Skip,
}

impl Finding {
    pub(super) fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, detail: detail.into(), advice: None }
    }

    pub(super) fn skip(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Skip, detail: detail.into(), advice: None }
    }

    pub(super) fn warn(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warn, detail: detail.into(), advice: Some(advice.into()) }
    }

    pub(super) fn fail(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fail, detail: detail.into(), advice: Some(advice.into()) }
    }
}

/// All findings about a deployment.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) url: String,
    pub(super) findings: Vec<Finding>,
}

impl Findings {
    /// How many checks failed.
    pub(super) fn failures(&self) -> usize {
        self.count(Verdict::Fail)
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }

    /// A line for each check, and how many failed.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.url);
        for Finding { check, verdict, detail, advice } in &self.findings {
            let word = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warn => "warn",
                Verdict::Fail => "fail",
                Verdict::Skip => "skip",
            };
            // What a server says may have several lines.
            let _ = writeln!(text, "  {word:<4}  {check:<12}  {}", in_one_line(detail));
            if let Some(advice) = advice {
                let _ = writeln!(text, "  {:<4}  {:<12}  -> {}", "", "", in_one_line(advice));
            }
        }
        let warnings = match self.count(Verdict::Warn) {
            0 => "no warnings".to_owned(),
            1 => "1 warning".to_owned(),
            warnings => format!("{warnings} warnings"),
        };
        let _ = match self.failures() {
            0 => write!(text, "\nNothing failed; {warnings}."),
            failures => write!(text, "\n{failures} failed; {warnings}."),
        };
        text
    }

    /// The same for programs.
    pub(super) fn json(&self) -> String {
        json!({
            "url": self.url,
            "failures": self.failures(),
            "warnings": self.count(Verdict::Warn),
            "findings": self.findings,
        })
        .to_string()
    }
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Finding, Findings};

    #[test]
    fn says_what_to_do_where_something_is_wrong() {
        let findings = Findings {
            url: "https://a.example/".to_owned(),
            findings: vec![
                Finding::ok("address", "answers within 4 ms"),
                Finding::fail("health", "failing\n", "look into the log"),
            ],
        };
        assert_eq!(findings.failures(), 1);
        let expected = "https://a.example/\n\n  ok    address       answers within 4 ms\n  \
            fail  health        failing\n                      -> look into the log\n\n1 failed; no warnings.";
        assert_eq!(findings.text(), expected);
        let json: serde_json::Value = serde_json::from_str(&findings.json()).unwrap();
        assert_eq!((&json["failures"], &json["findings"][1]["verdict"]), (&1.into(), &"fail".into()));
        assert!(json["findings"][0].get("advice").is_none());
    }
}

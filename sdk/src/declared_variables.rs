//! `DeclaredVariables`: the values of the variables and secrets that an agent declares in `#[agent]`.

use std::collections::BTreeMap;
use std::fmt;

use crate::declaration::AgentDeclaration;

/// The value of a secret, from [`AgentContext::secret`](crate::AgentContext::secret).
///
/// It cannot be printed, logged, stored or returned by accident: its `Debug` form does not show it, and it has no
/// `Display` or `Serialize`. [`expose`](Self::expose) gives the text.
///
/// ```
/// # use openagents_sdk::{AgentContext, JobResult};
/// # fn authorization(context: &AgentContext) -> JobResult<String> {
/// let key = context.secret("LLM_API_KEY")?;
/// Ok(format!("Bearer {}", key.expose()))
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text of the secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Secret {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The values of an agent's variables and secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeclaredVariables {
    variables: BTreeMap<&'static str, String>,
    secrets: BTreeMap<&'static str, Secret>,
}

/// Variables that must be set are not. The message has names only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the agent needs {}. Set them in the environment or in a .dev.vars file; on Cloudflare, variables in the \
     [vars] of wrangler.toml and secrets with `npx wrangler secret put NAME`",
    self.names()
)]
pub(crate) struct MissingVariables {
    variables: Vec<&'static str>,
    secrets: Vec<&'static str>,
}

impl MissingVariables {
    /// `the variable A and the secrets B, C, which are not set`.
    pub(crate) fn names(&self) -> String {
        let list = |names: &[&str], one: &str| match names {
            [] => None,
            [name] => Some(format!("the {one} {name}")),
            names => Some(format!("the {one}s {}", names.join(", "))),
        };
        let lists = [list(&self.variables, "variable"), list(&self.secrets, "secret")];
        let lists: Vec<String> = lists.into_iter().flatten().collect();
        let verb = if self.variables.len().saturating_add(self.secrets.len()) == 1 { "is" } else { "are" };
        format!("{}, which {verb} not set", lists.join(" and "))
    }
}

/// A handler asked for something that its agent does not declare.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UndeclaredVariable {
    #[error("the variable `{0}` is not declared: write `#[agent(…, variables(\"{0}\"))]`")]
    Variable(String),
    #[error("the secret `{0}` is not declared: write `#[agent(…, secrets(\"{0}\"))]`")]
    Secret(String),
    #[error("`{0}` is declared as a secret: read it with `context.secret(\"{0}\")`")]
    IsSecret(String),
    #[error("`{0}` is declared as a variable: read it with `context.variable(\"{0}\")`")]
    IsVariable(String),
}

impl DeclaredVariables {
    /// Those of an agent that declares none.
    pub(crate) fn none() -> &'static Self {
        static NONE: DeclaredVariables =
            DeclaredVariables { variables: BTreeMap::new(), secrets: BTreeMap::new() };
        &NONE
    }

    /// Reads what an agent declares. A value is used without the white space around it, and counts as not set if there
    /// is nothing else.
    pub(crate) fn read(
        agent: &AgentDeclaration,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, MissingVariables> {
        let value = |name: &str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let mut read = Self::default();
        let mut missing = MissingVariables { variables: Vec::new(), secrets: Vec::new() };
        for declared in agent.variables {
            match value(declared.name).or_else(|| declared.default.map(str::to_owned)) {
                Some(value) => drop(read.variables.insert(declared.name, value)),
                None => missing.variables.push(declared.name),
            }
        }
        for name in agent.secrets {
            match value(name) {
                Some(value) => drop(read.secrets.insert(name, Secret(value))),
                None => missing.secrets.push(name),
            }
        }
        if missing.variables.is_empty() && missing.secrets.is_empty() { Ok(read) } else { Err(missing) }
    }

    pub(crate) fn variable(&self, name: &str) -> Result<&str, UndeclaredVariable> {
        self.variables.get(name).map(String::as_str).ok_or_else(|| match self.secrets.contains_key(name) {
            true => UndeclaredVariable::IsSecret(name.to_owned()),
            false => UndeclaredVariable::Variable(name.to_owned()),
        })
    }

    pub(crate) fn secret(&self, name: &str) -> Result<&Secret, UndeclaredVariable> {
        self.secrets.get(name).ok_or_else(|| match self.variables.contains_key(name) {
            true => UndeclaredVariable::IsVariable(name.to_owned()),
            false => UndeclaredVariable::Secret(name.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{DeclaredVariables, UndeclaredVariable};
    use crate::declaration::{AgentDeclaration, VariableDeclaration};

    const AGENT: AgentDeclaration = AgentDeclaration {
        variables: &[
            VariableDeclaration { name: "MODEL", default: Some("small") },
            VariableDeclaration { name: "BASE_URL", default: None },
        ],
        secrets: &["API_KEY"],
        ..AgentDeclaration::new("scribe")
    };

    fn read(set: &[(&str, &str)]) -> Result<DeclaredVariables, String> {
        let value =
            |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        DeclaredVariables::read(&AGENT, value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_variable_is_what_was_set_or_its_default() {
        let given = read(&[("BASE_URL", " http://a \n"), ("API_KEY", "k\n"), ("OTHER", "x")]).unwrap();
        assert_eq!(given.variable("MODEL").unwrap(), "small");
        assert_eq!(given.variable("BASE_URL").unwrap(), "http://a");
        assert_eq!(given.secret("API_KEY").unwrap().expose(), "k");
        let given = read(&[("BASE_URL", "b"), ("API_KEY", "k"), ("MODEL", "large")]).unwrap();
        assert_eq!(given.variable("MODEL").unwrap(), "large");
        let undeclared = |name: &str| UndeclaredVariable::Variable(name.to_owned());
        assert_eq!(given.variable("OTHER"), Err(undeclared("OTHER")));
    }

    #[test]
    fn all_that_is_missing_is_told_at_once() {
        let told = read(&[("API_KEY", " "), ("MODEL", "secret-value")]).unwrap_err();
        assert!(told.contains("the variable BASE_URL and the secret API_KEY, which are not set"), "{told}");
        assert!(told.contains(".dev.vars") && told.contains("wrangler secret put"), "{told}");
        assert!(!told.contains("MODEL") && !told.contains("secret-value"), "{told}");
        let told = read(&[("BASE_URL", "b")]).unwrap_err();
        assert!(told.contains("the secret API_KEY, which is not set"), "{told}");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let given = read(&[("BASE_URL", "b"), ("API_KEY", "hunter2")]).unwrap();
        let shown = format!("{given:?} {:?}", given.secret("API_KEY"));
        assert!(!shown.contains("hunter2") && shown.contains("Secret(…)"), "{shown}");
        for error in [given.variable("API_KEY").map(drop), given.secret("MODEL").map(drop)] {
            let told = error.unwrap_err().to_string();
            assert!(told.contains("is declared as a") && !told.contains("hunter2"), "{told}");
        }
    }
}

//! The arguments that an attribute accepts, and the errors about others.

/// The arguments that an attribute accepts.
pub(crate) struct Form {
    /// The attribute, such as `#[job]`.
    pub(crate) attribute: &'static str,
    /// An example of its use.
    pub(crate) example: &'static str,
    /// The accepted arguments.
    pub(crate) arguments: &'static [Accepted],
}

/// An accepted argument.
pub(crate) struct Accepted {
    name: &'static str,
    /// An example of its value.
    example: &'static str,
    pub(super) shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `name = value`.
    Once,
    /// `name = value`, any number of times.
    Repeated,
    /// `name("a", "b")`.
    List,
    /// `name`.
    Flag,
}

impl Accepted {
    /// An argument that is written `name = example`.
    pub(crate) const fn once(name: &'static str, example: &'static str) -> Self {
        Self { name, example, shape: Shape::Once }
    }

    /// An argument that is written `name = example`, any number of times.
    pub(crate) const fn repeated(name: &'static str, example: &'static str) -> Self {
        Self { name, example, shape: Shape::Repeated }
    }

    /// An argument that is written `name(example)`.
    pub(crate) const fn list(name: &'static str, example: &'static str) -> Self {
        Self { name, example, shape: Shape::List }
    }

    /// An argument that is written `name`.
    pub(crate) const fn flag(name: &'static str) -> Self {
        Self { name, example: "", shape: Shape::Flag }
    }

    fn written(&self) -> String {
        let Self { name, example, shape } = self;
        match shape {
            Shape::Once | Shape::Repeated => format!("{name} = {example}"),
            Shape::List => format!("{name}({example})"),
            Shape::Flag => (*name).to_owned(),
        }
    }
}

impl Form {
    pub(super) fn accepted(&self, name: &str) -> Option<&'static Accepted> {
        self.arguments.iter().find(|accepted| accepted.name == name)
    }

    pub(super) fn unknown(&self, name: &str) -> String {
        let meant =
            self.meant_by(name).map(|accepted| format!(" (did you mean `{accepted}`?)")).unwrap_or_default();
        let names: Vec<&str> = self.arguments.iter().map(|accepted| accepted.name).collect();
        format!("unknown argument `{name}`{meant}; `{}` takes: {}", self.attribute, names.join(", "))
    }

    pub(super) fn meant_by(&self, name: &str) -> Option<&'static str> {
        let mut names = self.arguments.iter().map(|accepted| accepted.name);
        names.find(|accepted| is_close(name, accepted))
    }

    /// How the argument is written, to be appended to an error: `` : `kind = 5050` ``.
    pub(crate) fn example_of(&self, name: &str) -> String {
        self.accepted(name).map(|accepted| format!(": `{}`", accepted.written())).unwrap_or_default()
    }
}

/// Whether one name is likely a misspelling of the other.
fn is_close(name: &str, accepted: &str) -> bool {
    let slips = if accepted.len() < 5 { 1 } else { 2 };
    edit_distance(name, accepted) <= slips
}

/// The number of letters to add, drop or replace (Levenshtein distance).
fn edit_distance(one: &str, other: &str) -> usize {
    let mut above: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut left = index.saturating_add(1);
        let mut row = vec![left];
        for (other_letter, pair) in other.chars().zip(above.windows(2)) {
            if let [diagonal, up] = pair {
                let replaced = diagonal.saturating_add(usize::from(letter != other_letter));
                left = replaced.min(left.min(*up).saturating_add(1));
                row.push(left);
            }
        }
        above = row;
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::edit_distance;

    #[test]
    fn counts_slips() {
        assert_eq!(edit_distance("timeout", "timeout"), 0);
        assert_eq!(edit_distance("timout", "timeout"), 1);
        assert_eq!(edit_distance("knid", "kind"), 2);
        assert_eq!(edit_distance("", "kind"), 4);
    }
}

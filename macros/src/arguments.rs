//! The `name = value` arguments of an attribute.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, ExprLit, Ident, Lit, LitInt, LitStr, Token};

use crate::mistakes::Mistakes;

/// What an attribute accepts.
pub(crate) struct Form {
    /// The attribute as it is written, `#[job]`.
    pub(crate) attribute: &'static str,
    /// A whole one.
    pub(crate) example: &'static str,
    /// The names of its arguments, each with a value for it.
    pub(crate) arguments: &'static [(&'static str, &'static str)],
}

/// The arguments of one attribute, each taken out by the name it was given.
pub(crate) struct Arguments {
    form: &'static Form,
    given: Vec<Argument>,
    /// The arguments that were probably meant by the unknown ones; nothing more is said about them.
    misspelt: Vec<&'static str>,
    is_well_formed: bool,
}

struct Argument {
    name: Ident,
    value: Expr,
}

impl Arguments {
    /// Reads an attribute's arguments. Those that the form does not have, or has already, are mistakes.
    pub(crate) fn parse(tokens: TokenStream, form: &'static Form, mistakes: &mut Mistakes) -> Self {
        let mut arguments = Self { form, given: Vec::new(), misspelt: Vec::new(), is_well_formed: true };
        let read_all = |input: ParseStream<'_>| {
            while !input.is_empty() {
                arguments.add(argument(input, form)?, mistakes);
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        };
        if let Err(error) = read_all.parse2(tokens) {
            mistakes.add(error);
            arguments.is_well_formed = false;
        }
        arguments
    }

    fn add(&mut self, argument: Argument, mistakes: &mut Mistakes) {
        let name = argument.name.unraw().to_string();
        if !self.form.names().any(|accepted| accepted == name) {
            mistakes.at(&argument.name, self.form.unknown(&name));
            self.misspelt.extend(self.form.meant_by(&name));
        } else if self.given.iter().any(|earlier| earlier.name == argument.name) {
            mistakes.at(&argument.name, format!("`{name}` is given twice"));
        } else {
            self.given.push(argument);
        }
    }

    /// Whether this argument was left out, not merely written wrong.
    pub(crate) fn lacks(&self, name: &str) -> bool {
        let is_given = self.given.iter().any(|argument| argument.name == name);
        self.is_well_formed && !is_given && !self.misspelt.contains(&name)
    }

    /// The text given for this argument.
    pub(crate) fn text(&self, name: &str, mistakes: &mut Mistakes) -> Option<LitStr> {
        let value = self.value(name)?;
        if let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value {
            return Some(text.clone());
        }
        mistakes.at(value, format!("`{name}` is text in quotes{}", self.form.example_of(name)));
        None
    }

    /// The whole number given for this argument.
    pub(crate) fn number(&self, name: &str, mistakes: &mut Mistakes) -> Option<LitInt> {
        let value = self.value(name)?;
        if let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = value {
            return Some(number.clone());
        }
        mistakes.at(value, format!("`{name}` is a number, written out{}", self.form.example_of(name)));
        None
    }

    fn value(&self, name: &str) -> Option<&Expr> {
        let mut value = &self.given.iter().find(|argument| argument.name == name)?.value;
        // A value that a `macro_rules!` macro passed on comes in an invisible group.
        while let Expr::Group(group) = value {
            value = &group.expr;
        }
        Some(value)
    }
}

impl Form {
    fn unknown(&self, name: &str) -> String {
        let meant =
            self.meant_by(name).map(|accepted| format!(" (did you mean `{accepted}`?)")).unwrap_or_default();
        let names: Vec<&str> = self.names().collect();
        format!("unknown argument `{name}`{meant}; `{}` takes: {}", self.attribute, names.join(", "))
    }

    fn meant_by(&self, name: &str) -> Option<&'static str> {
        self.names().find(|accepted| is_close(name, accepted))
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.arguments.iter().map(|(accepted, _)| *accepted)
    }

    fn example_of(&self, name: &str) -> String {
        let value = self.arguments.iter().find(|(accepted, _)| *accepted == name);
        value.map(|(_, value)| format!(": `{name} = {value}`")).unwrap_or_default()
    }
}

fn argument(input: ParseStream<'_>, form: &Form) -> syn::Result<Argument> {
    let written = || format!("arguments are written `name = value`: `{}`", form.example);
    let start = input.span();
    let name = input.call(Ident::parse_any).map_err(|_| syn::Error::new(start, written()))?;
    if !input.peek(Token![=]) {
        return Err(syn::Error::new(start, written()));
    }
    input.parse::<Token![=]>()?;
    Ok(Argument { name, value: input.parse()? })
}

/// Whether a name is another but for a slip or two of the fingers.
fn is_close(name: &str, accepted: &str) -> bool {
    let slips = if accepted.len() < 5 { 1 } else { 2 };
    edit_distance(name, accepted) <= slips
}

/// How many letters to add, drop or replace (Levenshtein).
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
    use quote::{ToTokens, quote};

    use super::{Arguments, Form, edit_distance};
    use crate::mistakes::Mistakes;

    static FORM: Form = Form {
        attribute: "#[job]",
        example: "#[job(kind = 5050)]",
        arguments: &[("kind", "5050"), ("timeout", "\"60s\"")],
    };

    fn told(mistakes: &Mistakes) -> String {
        mistakes.to_token_stream().to_string()
    }

    #[test]
    fn takes_arguments_by_name() {
        let mut mistakes = Mistakes::default();
        let arguments = Arguments::parse(quote!(timeout = "60s", kind = 5050,), &FORM, &mut mistakes);
        assert_eq!(arguments.number("kind", &mut mistakes).unwrap().base10_digits(), "5050");
        assert_eq!(arguments.text("timeout", &mut mistakes).unwrap().value(), "60s");
        assert_eq!(told(&mistakes), "");
    }

    #[test]
    fn tells_every_mistake() {
        let mut mistakes = Mistakes::default();
        let arguments =
            Arguments::parse(quote!(kid = 1, kind = "5050", kind = 2, price = 3), &FORM, &mut mistakes);
        assert!(!arguments.lacks("kind") && arguments.lacks("timeout"));
        assert!(arguments.number("kind", &mut mistakes).is_none());
        let told = told(&mistakes);
        assert!(
            told.contains("unknown argument `kid` (did you mean `kind`?); `#[job]` takes: kind, timeout"),
            "{told}"
        );
        assert!(told.contains("`kind` is given twice"), "{told}");
        assert!(told.contains("unknown argument `price`; `#[job]` takes: kind, timeout"), "{told}");
        assert!(told.contains("`kind` is a number, written out: `kind = 5050`"), "{told}");
    }

    #[test]
    fn says_how_arguments_are_written() {
        for tokens in [quote!(5050), quote!(kind), quote!(kind: 5050), quote!(kind(5050))] {
            let mut mistakes = Mistakes::default();
            assert!(!Arguments::parse(tokens, &FORM, &mut mistakes).lacks("kind"));
            let told = told(&mistakes);
            assert!(told.contains("arguments are written `name = value`: `#[job(kind = 5050)]`"), "{told}");
        }
    }

    #[test]
    fn counts_slips() {
        assert_eq!(edit_distance("timeout", "timeout"), 0);
        assert_eq!(edit_distance("timout", "timeout"), 1);
        assert_eq!(edit_distance("knid", "kind"), 2);
        assert_eq!(edit_distance("", "kind"), 4);
    }
}

//! Parses the arguments of an attribute: `name = value`, and lists such as `name("a", "b")`.

mod form;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitInt, LitStr, Meta, Token, parenthesized};

use crate::invisible_group::ungrouped_expression;
use crate::mistakes::Mistakes;
use form::Shape;
pub(crate) use form::{Accepted, Form};

/// The arguments of one attribute.
pub(crate) struct Arguments {
    form: &'static Form,
    given: Vec<NamedArgument>,
    /// The accepted arguments that were probably meant by unknown ones, so that they are not reported as missing too.
    misspelt: Vec<&'static str>,
    is_well_formed: bool,
}

struct NamedArgument {
    name: Ident,
    value: ArgumentValue,
}

enum ArgumentValue {
    /// `= value`.
    One(Expr),
    /// `("a", "b")`.
    List(Vec<Expr>),
    /// Nothing.
    Flag,
}

impl Arguments {
    /// Parses the arguments. Unknown and repeated ones are mistakes.
    pub(crate) fn parse(tokens: TokenStream, form: &'static Form, mistakes: &mut Mistakes) -> Self {
        let mut arguments = Self { form, given: Vec::new(), misspelt: Vec::new(), is_well_formed: true };
        arguments.read(tokens, mistakes);
        arguments
    }

    /// Parses the arguments of several attributes, as if they were one.
    pub(crate) fn of<'a>(
        attributes: impl IntoIterator<Item = &'a Attribute>,
        form: &'static Form,
        mistakes: &mut Mistakes,
    ) -> Self {
        let mut arguments = Self::parse(TokenStream::new(), form, mistakes);
        for attribute in attributes {
            let tokens = match &attribute.meta {
                Meta::Path(_) => TokenStream::new(),
                Meta::List(list) => list.tokens.clone(),
                Meta::NameValue(meta) => meta.value.to_token_stream(),
            };
            arguments.read(tokens, mistakes);
        }
        arguments
    }

    fn read(&mut self, tokens: TokenStream, mistakes: &mut Mistakes) {
        let read_all = |input: ParseStream<'_>| {
            while !input.is_empty() {
                let argument = argument(input, self.form)?;
                self.add(argument, mistakes);
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        };
        if let Err(error) = read_all.parse2(tokens) {
            mistakes.add(error);
            self.is_well_formed = false;
        }
    }

    fn add(&mut self, argument: NamedArgument, mistakes: &mut Mistakes) {
        let name = argument.name.unraw().to_string();
        let Some(accepted) = self.form.accepted(&name) else {
            mistakes.at(&argument.name, self.form.unknown(&name));
            self.misspelt.extend(self.form.meant_by(&name));
            return;
        };
        let is_repeated = self.given.iter().any(|earlier| earlier.name == argument.name);
        if is_repeated && accepted.shape != Shape::Repeated {
            mistakes.at(&argument.name, format!("`{name}` is given twice"));
        } else {
            self.given.push(argument);
        }
    }

    /// Whether this argument is missing, rather than misspelt.
    pub(crate) fn lacks(&self, name: &str) -> bool {
        self.is_well_formed && !self.has(name) && !self.misspelt.contains(&name)
    }

    /// Whether this argument was given, even if it is invalid.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.given.iter().any(|argument| argument.name == name)
    }

    /// The string given for this argument.
    pub(crate) fn text(&self, name: &str, mistakes: &mut Mistakes) -> Option<LitStr> {
        self.texts(name, mistakes).into_iter().next()
    }

    /// All strings given for this argument, from a list or from repetitions.
    pub(crate) fn texts(&self, name: &str, mistakes: &mut Mistakes) -> Vec<LitStr> {
        let mut texts = Vec::new();
        for value in self.values(name) {
            if let Some(text) = text(value) {
                texts.push(text);
            } else {
                mistakes.at(value, format!("`{name}` must be text in quotes{}", self.form.example_of(name)));
            }
        }
        texts
    }

    /// All strings given for this list, some of them as `"name" = "default"`.
    pub(crate) fn texts_with_defaults(
        &self,
        name: &str,
        mistakes: &mut Mistakes,
    ) -> Vec<(LitStr, Option<LitStr>)> {
        let mut texts = Vec::new();
        for value in self.values(name) {
            let read = match value {
                Expr::Assign(assign) => text(&assign.left)
                    .and_then(|text| Some((text, Some(self::text(ungrouped_expression(&assign.right))?)))),
                value => text(value).map(|text| (text, None)),
            };
            if read.is_none() {
                mistakes.at(value, format!("`{name}` must be text in quotes{}", self.form.example_of(name)));
            }
            texts.extend(read);
        }
        texts
    }

    /// The integer given for this argument.
    pub(crate) fn number(&self, name: &str, mistakes: &mut Mistakes) -> Option<LitInt> {
        let value = self.value(name)?;
        if let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = value {
            return Some(number.clone());
        }
        mistakes.at(value, format!("`{name}` must be a literal number{}", self.form.example_of(name)));
        None
    }

    /// The expression given for this argument.
    pub(crate) fn value(&self, name: &str) -> Option<&Expr> {
        self.values(name).next()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &Expr> {
        let given = self.given.iter().filter(move |argument| argument.name == name);
        let values = given.flat_map(|argument| match &argument.value {
            ArgumentValue::One(value) => std::slice::from_ref(value),
            ArgumentValue::List(values) => values.as_slice(),
            ArgumentValue::Flag => &[],
        });
        values.map(ungrouped_expression)
    }
}

fn text(value: &Expr) -> Option<LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.clone()),
        _ => None,
    }
}

fn argument(input: ParseStream<'_>, form: &Form) -> syn::Result<NamedArgument> {
    let written = || format!("an argument must be `name = value`: `{}`", form.example);
    let start = input.span();
    let name = input.call(Ident::parse_any).map_err(|_| syn::Error::new(start, written()))?;
    let accepted = form.accepted(&name.unraw().to_string());
    if accepted.is_some_and(|accepted| accepted.shape == Shape::Flag) {
        if !input.is_empty() && !input.peek(Token![,]) {
            return Err(input.error(format!("`{name}` takes no value")));
        }
        return Ok(NamedArgument { name, value: ArgumentValue::Flag });
    }
    let is_list = accepted.is_some_and(|accepted| accepted.shape == Shape::List);
    if input.peek(Token![=]) && !is_list {
        input.parse::<Token![=]>()?;
        return Ok(NamedArgument { name, value: ArgumentValue::One(input.parse()?) });
    }
    if input.peek(syn::token::Paren) && (is_list || accepted.is_none()) {
        let list;
        parenthesized!(list in input);
        let values = list.call(Punctuated::<Expr, Token![,]>::parse_terminated)?;
        if is_list && values.is_empty() {
            let message = format!(
                "`{name}` is an empty list; leave it out or add an entry{}",
                form.example_of(&name.to_string())
            );
            return Err(syn::Error::new(start, message));
        }
        return Ok(NamedArgument { name, value: ArgumentValue::List(values.into_iter().collect()) });
    }
    let message = if is_list {
        format!("`{name}` must be a list{}", form.example_of(&name.to_string()))
    } else {
        written()
    };
    Err(syn::Error::new(start, message))
}

#[cfg(test)]
mod tests {
    use quote::{ToTokens, quote};
    use syn::LitStr;

    use super::{Accepted, Arguments, Form};
    use crate::mistakes::Mistakes;

    static FORM: Form = Form {
        attribute: "#[job]",
        example: "#[job(kind = 5050)]",
        arguments: &[
            Accepted::once("kind", "5050"),
            Accepted::once("timeout", "\"60s\""),
            Accepted::repeated("alias", "\"top-k\""),
            Accepted::list("topics", "\"greeting\", \"manners\""),
        ],
    };

    fn told(mistakes: &Mistakes) -> String {
        mistakes.to_token_stream().to_string()
    }

    #[test]
    fn takes_arguments_by_name() {
        let mut mistakes = Mistakes::default();
        let tokens = quote!(timeout = "60s", alias = "a", kind = 5050, topics("b", "c"), alias = "d",);
        let arguments = Arguments::parse(tokens, &FORM, &mut mistakes);
        assert_eq!(arguments.number("kind", &mut mistakes).unwrap().base10_digits(), "5050");
        assert_eq!(arguments.text("timeout", &mut mistakes).unwrap().value(), "60s");
        let mut texts = |name| -> Vec<String> {
            arguments.texts(name, &mut mistakes).iter().map(LitStr::value).collect()
        };
        assert_eq!(
            (texts("alias"), texts("topics")),
            (vec!["a".into(), "d".into()], vec!["b".into(), "c".into()])
        );
        assert_eq!(told(&mistakes), "");
    }

    #[test]
    fn tells_every_mistake() {
        let mut mistakes = Mistakes::default();
        let tokens = quote!(kid = 1, kind = "5050", kind = 2, price = 3, topics("a", 4));
        let arguments = Arguments::parse(tokens, &FORM, &mut mistakes);
        assert!(!arguments.lacks("kind") && arguments.lacks("timeout"));
        assert!(arguments.number("kind", &mut mistakes).is_none());
        assert_eq!(arguments.texts("topics", &mut mistakes).len(), 1);
        let told = told(&mistakes);
        for expected in [
            "unknown argument `kid` (did you mean `kind`?); `#[job]` takes: kind, timeout, alias, topics",
            "`kind` is given twice",
            "unknown argument `price`; `#[job]` takes: kind, timeout, alias, topics",
            "`kind` must be a literal number: `kind = 5050`",
            "`topics` must be text in quotes: `topics(\\\"greeting\\\", \\\"manners\\\")`",
        ] {
            assert!(told.contains(expected), "{expected}: {told}");
        }
    }

    #[test]
    fn says_how_arguments_are_written() {
        for tokens in [quote!(5050), quote!(kind), quote!(kind: 5050), quote!(kind(5050))] {
            let mut mistakes = Mistakes::default();
            assert!(!Arguments::parse(tokens, &FORM, &mut mistakes).lacks("kind"));
            let told = told(&mistakes);
            assert!(told.contains("an argument must be `name = value`: `#[job(kind = 5050)]`"), "{told}");
        }
        for (tokens, expected) in [
            (quote!(topics = "a"), "`topics` must be a list: `topics("),
            (quote!(topics), "`topics` must be a list: `topics("),
            (quote!(topics()), "`topics` is an empty list; leave it out or add an entry: `topics("),
        ] {
            let mut mistakes = Mistakes::default();
            Arguments::parse(tokens, &FORM, &mut mistakes);
            assert!(told(&mistakes).contains(expected), "{}", told(&mistakes));
        }
    }
}

//! Parses a field of a `JobParams` struct and its `#[param]`.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{GenericArgument, Ident, LitStr, PathArguments, Type};

use super::literal::{Literal, Value};
use crate::arguments::{Accepted, Arguments, Form};
use crate::documentation;
use crate::invisible_group::ungrouped_type;
use crate::mistakes::Mistakes;

static FORM: Form = Form {
    attribute: "#[param]",
    example: "#[param(default = 512, max = 4096)]",
    arguments: &[
        Accepted::once("name", "\"top_k\""),
        Accepted::repeated("alias", "\"top-k\""),
        Accepted::once("default", "512"),
        Accepted::once("min", "1"),
        Accepted::once("max", "4096"),
        Accepted::list("choices", "\"fast\", \"good\""),
    ],
};

/// A parsed field.
pub(super) struct Field {
    pub(super) ident: Ident,
    /// The type of one value.
    pub(super) ty: Type,
    pub(super) amount: Amount,
    /// Its key, then its aliases, each with its span.
    pub(super) keys: Vec<(String, Span)>,
    pub(super) about: String,
    pub(super) default: Option<Literal>,
    pub(super) minimum: Option<Literal>,
    pub(super) maximum: Option<Literal>,
    pub(super) choices: Vec<LitStr>,
}

/// How many values the field holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    /// `T`.
    One,
    /// `Option<T>`.
    AtMostOne,
    /// `Vec<T>`.
    Any,
}

/// The kind of values, as far as the name of the type tells; it may be the author's own type.
#[derive(Clone, Copy, PartialEq)]
enum Holds {
    Text,
    Truth,
    /// The smallest and the largest value.
    Whole(i128, i128),
    Float,
    Unknown,
}

impl Field {
    /// Parses a field; `None` if its type cannot be that of a parameter. Other mistakes are noted, and the argument
    /// ignored.
    pub(super) fn parse(field: &syn::Field, mistakes: &mut Mistakes) -> Option<Self> {
        let ident = field.ident.clone()?;
        let attributes = field.attrs.iter().filter(|attribute| attribute.path().is_ident("param"));
        let arguments = Arguments::of(attributes, &FORM, mistakes);
        let keys = keys(&ident, &arguments, mistakes);
        let choices = choices(&arguments, mistakes);
        let [default, minimum, maximum] =
            ["default", "min", "max"].map(|name| literal(name, &arguments, mistakes));
        let (amount, ty) = value_type(&field.ty, mistakes)?;
        let mut field = Self {
            ident,
            ty,
            amount,
            keys,
            about: documentation::text(&field.attrs),
            default,
            minimum,
            maximum,
            choices,
        };
        field.check(mistakes);
        Some(field)
    }

    /// Notes arguments that do not fit together, and drops them.
    fn check(&mut self, mistakes: &mut Mistakes) {
        let holds = Holds::of(&self.ty);
        self.minimum = self.minimum.take().filter(|bound| self.is_bound("min", bound, holds, mistakes));
        self.maximum = self.maximum.take().filter(|bound| self.is_bound("max", bound, holds, mistakes));
        let number = |literal: &Option<Literal>| literal.as_ref().and_then(Literal::number);
        if let (Some(minimum), Some(maximum)) = (number(&self.minimum), number(&self.maximum))
            && minimum > maximum
        {
            let at = self.maximum.as_ref().map_or_else(Span::call_site, |bound| bound.at);
            mistakes.add(syn::Error::new(
                at,
                format!("`max` is below `min`, {minimum}: no value would be accepted"),
            ));
        }
        if let Some(first) = self.choices.first()
            && !matches!(holds, Holds::Text | Holds::Unknown)
        {
            let message = "`choices` are for text; for a number, use `min` and `max`";
            mistakes.at(first, message);
            self.choices.clear();
        }
        self.default = self.default.take().filter(|default| self.is_default(default, holds, mistakes));
    }

    fn is_bound(&self, name: &str, bound: &Literal, holds: Holds, mistakes: &mut Mistakes) -> bool {
        let message = match (holds, bound.number()) {
            (Holds::Text | Holds::Truth, _) => "`min` and `max` are for numbers".to_owned(),
            (Holds::Whole(..), _) if !matches!(bound.value, Value::Whole(_)) => {
                format!("`{name}` of a whole number must be a whole number: `{name} = 1`")
            }
            (Holds::Whole(least, most), Some(_)) if !is_in(&bound.value, least, most) => {
                format!("`{name}` must be from {least} to {most}, the range of the field's type")
            }
            (_, None) => format!("`{name}` must be a number of at most 15 digits: `{name} = 1`"),
            _ => return true,
        };
        mistakes.add(syn::Error::new(bound.at, message));
        false
    }

    fn is_default(&self, default: &Literal, holds: Holds, mistakes: &mut Mistakes) -> bool {
        let message = match (self.amount, holds, &default.value) {
            (Amount::AtMostOne, ..) => {
                "an `Option` cannot have a `default`: it is `None` if no value is given".to_owned()
            }
            (Amount::Any, ..) => {
                "a `Vec` cannot have a `default`: it is empty if no value is given".to_owned()
            }
            (_, Holds::Text, Value::Text(text)) => {
                if self.choices.is_empty() || self.choices.iter().any(|choice| choice.value() == *text) {
                    return true;
                }
                format!("`{text}` is not one of the `choices`")
            }
            (_, Holds::Text, value) => {
                format!("the default of a text must be in quotes: `default = \"{value}\"`")
            }
            (_, Holds::Truth, value) if !matches!(value, Value::Truth(_)) => {
                "the default of a `bool` must be `true` or `false`, without quotes".to_owned()
            }
            (_, Holds::Whole(least, most), Value::Whole(number)) if !(least..=most).contains(number) => {
                format!("`default` must be from {least} to {most}, the range of the field's type")
            }
            (_, Holds::Whole(..), value) if !matches!(value, Value::Whole(_)) => {
                "the default of a whole number must be a whole number, without quotes: `default = 512`"
                    .to_owned()
            }
            (_, Holds::Float, Value::Text(_) | Value::Truth(_)) => {
                "the default of a number must be without quotes: `default = 0.5`".to_owned()
            }
            _ => {
                let value = match default.value {
                    Value::Whole(number) => number as f64,
                    Value::Float(number) => number,
                    _ => return true,
                };
                let number = |literal: &Option<Literal>| literal.as_ref().and_then(Literal::number);
                if number(&self.minimum).is_some_and(|minimum| value < minimum) {
                    format!("the default {value} is below `min`")
                } else if number(&self.maximum).is_some_and(|maximum| value > maximum) {
                    format!("the default {value} is above `max`")
                } else {
                    return true;
                }
            }
        };
        mistakes.add(syn::Error::new(default.at, message));
        false
    }
}

impl Holds {
    fn of(ty: &Type) -> Self {
        let Type::Path(path) = ungrouped_type(ty) else { return Self::Unknown };
        let Some(word) = path.path.segments.last() else { return Self::Unknown };
        let unsigned = |most: u64| Self::Whole(0, i128::from(most));
        let signed = |least: i64, most: i64| Self::Whole(i128::from(least), i128::from(most));
        match word.ident.to_string().as_str() {
            "String" => Self::Text,
            "bool" => Self::Truth,
            "u8" => unsigned(u8::MAX.into()),
            "u16" => unsigned(u16::MAX.into()),
            // A Worker's `usize` has 32 bits.
            "u32" | "usize" => unsigned(u32::MAX.into()),
            "u64" => unsigned(u64::MAX),
            "u128" => Self::Whole(0, i128::MAX),
            "i8" => signed(i8::MIN.into(), i8::MAX.into()),
            "i16" => signed(i16::MIN.into(), i16::MAX.into()),
            "i32" | "isize" => signed(i32::MIN.into(), i32::MAX.into()),
            "i64" => signed(i64::MIN, i64::MAX),
            "i128" => Self::Whole(i128::MIN, i128::MAX),
            "f32" | "f64" => Self::Float,
            _ => Self::Unknown,
        }
    }
}

fn is_in(value: &Value, least: i128, most: i128) -> bool {
    matches!(value, Value::Whole(number) if (least..=most).contains(number))
}

fn keys(ident: &Ident, arguments: &Arguments, mistakes: &mut Mistakes) -> Vec<(String, Span)> {
    let name = arguments.text("name", mistakes);
    let name = match &name {
        Some(name) => (name.value(), name.span()),
        None => (ident.unraw().to_string(), ident.span()),
    };
    let aliases = arguments.texts("alias", mistakes);
    let aliases = aliases.iter().map(|alias| (alias.value(), alias.span()));
    let keys: Vec<_> = std::iter::once(name).chain(aliases).collect();
    for (key, at) in &keys {
        if key.is_empty() || key.chars().any(|character| character.is_whitespace() || character.is_control())
        {
            let message = "a parameter's name must be one word, since it is the key of a tag, [\"param\", \"top_k\", \"40\"]";
            mistakes.add(syn::Error::new(*at, message));
        }
    }
    keys
}

fn choices(arguments: &Arguments, mistakes: &mut Mistakes) -> Vec<LitStr> {
    let mut choices: Vec<LitStr> = Vec::new();
    for choice in arguments.texts("choices", mistakes) {
        if choices.contains(&choice) {
            mistakes.at(&choice, format!("\"{}\" is in this list already", choice.value()));
        } else {
            choices.push(choice);
        }
    }
    choices
}

fn literal(name: &str, arguments: &Arguments, mistakes: &mut Mistakes) -> Option<Literal> {
    let expression = arguments.value(name)?;
    let literal = Literal::read(expression);
    if literal.is_none() {
        let form =
            if name == "default" { "a number, `true` or `false`, or text in quotes" } else { "a number" };
        let example = FORM.example_of(name);
        mistakes
            .at(expression, format!("`{name}` must be {form}, as a literal without a type suffix{example}"));
    }
    literal
}

/// The number of values in a field, and their type.
fn value_type(ty: &Type, mistakes: &mut Mistakes) -> Option<(Amount, Type)> {
    let (amount, value) = match (inside("Option", ty), inside("Vec", ty)) {
        (Some(value), _) => (Amount::AtMostOne, value),
        (_, Some(value)) => (Amount::Any, value),
        (None, None) => (Amount::One, ty),
    };
    let message = if matches!(ungrouped_type(value), Type::Reference(_)) {
        "a `JobParams` struct must own its values: write `String` for text, `Vec<T>` for a list"
    } else if amount != Amount::One && (inside("Option", value).is_some() || inside("Vec", value).is_some()) {
        "a field must be a `T`, an `Option<T>` or a `Vec<T>`; a `Vec` is empty if no value is given"
    } else {
        return Some((amount, value.clone()));
    };
    mistakes.at(ty, message);
    None
}

/// The `T` of `wrapper<T>`.
fn inside<'a>(wrapper: &str, ty: &'a Type) -> Option<&'a Type> {
    let Type::Path(path) = ungrouped_type(ty) else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == wrapper)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(inner)) if arguments.args.len() == 1 => Some(inner),
        _ => None,
    }
}

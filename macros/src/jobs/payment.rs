//! The arguments `pay` and `free` of `#[job]`: when a job is paid for, and how many a day are free.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::LitStr;

use crate::arguments::Arguments;
use crate::mistakes::Mistakes;

/// The most free jobs a day.
const MAX_FREE: u32 = 1_000_000;

/// The parsed arguments, and where they are.
#[derive(Clone, Copy, Default)]
pub(super) struct PaymentArguments {
    timing: Option<(Timing, Span)>,
    free_per_day: Option<(u32, Span)>,
}

#[derive(Clone, Copy)]
enum Timing {
    Before,
    Hold,
    After,
}

impl PaymentArguments {
    pub(super) fn parse(arguments: &Arguments, mistakes: &mut Mistakes) -> Self {
        let timing = arguments.text("pay", mistakes);
        let free = arguments.text("free", mistakes);
        Self {
            timing: timing.and_then(|literal| Some((read_timing(&literal, mistakes)?, literal.span()))),
            free_per_day: free.and_then(|literal| Some((read_free(&literal, mistakes)?, literal.span()))),
        }
    }

    /// Notes arguments that have no effect on a handler that costs nothing.
    pub(super) fn note_without_price(&self, mistakes: &mut Mistakes) {
        let pay = self.timing.map(|(_, span)| ("pay", span));
        let free = self.free_per_day.map(|(_, span)| ("free", span));
        for (name, span) in pay.into_iter().chain(free) {
            let message = format!(
                "`{name}` needs a price: add `price = \"21 sat\"`, or a price function with `#[price(kind = …)]`"
            );
            mistakes.add(syn::Error::new(span, message));
        }
    }
}

/// The fields of a `JobDeclaration`.
impl ToTokens for PaymentArguments {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        if let Some((timing, _)) = self.timing {
            let timing = match timing {
                Timing::Before => quote!(Before),
                Timing::Hold => quote!(Hold),
                Timing::After => quote!(After),
            };
            tokens.extend(quote!(payment: ::openagents_sdk::__private::PaymentTiming::#timing,));
        }
        if let Some((free_per_day, _)) = self.free_per_day {
            tokens.extend(quote!(free_per_day: #free_per_day,));
        }
    }
}

fn read_timing(literal: &LitStr, mistakes: &mut Mistakes) -> Option<Timing> {
    match literal.value().as_str() {
        "before" => Some(Timing::Before),
        "hold" => Some(Timing::Hold),
        "after" => Some(Timing::After),
        other => {
            let message = format!(
                "`{other}` does not say when the job is paid for; write \"before\" (it runs), \"hold\" (the payment is \
                 returned if it fails) or \"after\" (to get the result)"
            );
            mistakes.at(literal, message);
            None
        }
    }
}

fn read_free(literal: &LitStr, mistakes: &mut Mistakes) -> Option<u32> {
    let text = literal.value();
    let count = parse_free(&text);
    if count.is_none() {
        let message = format!("`{text}` is not a number of free jobs a day; write \"3/day\"");
        mistakes.at(literal, message);
    }
    count
}

fn parse_free(text: &str) -> Option<u32> {
    let number = text.strip_suffix("/day")?;
    let is_plain = number.chars().all(|character| character.is_ascii_digit());
    number.parse().ok().filter(|count| is_plain && (1..=MAX_FREE).contains(count))
}

#[cfg(test)]
mod tests {
    use super::parse_free;

    #[test]
    fn reads_a_number_of_jobs_a_day() {
        assert_eq!(parse_free("3/day"), Some(3));
        assert_eq!(parse_free("1000000/day"), Some(1_000_000));
        for text in ["", "3", "/day", "0/day", "+3/day", "3 / day", "3/hour", "1000001/day", "3/day "] {
            assert_eq!(parse_free(text), None, "{text:?}");
        }
    }
}

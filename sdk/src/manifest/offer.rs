//! `Offer`: a job that an agent offers, for the manifest and announcements.

use crate::author::agent::Jobs;
use crate::declaration::JobDeclaration;
use crate::price::Price;

/// A job that an agent offers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Offer {
    pub(crate) job: JobDeclaration,
    /// Whether a `#[price]` function computes the price of each request.
    pub(crate) quoted: bool,
}

impl Offer {
    /// All jobs that an agent offers, in source order of the handlers.
    pub(crate) fn all<A: Jobs>() -> Vec<Self> {
        let offers = A::HANDLERS
            .iter()
            .map(|handler| Self { job: handler.declaration, quoted: handler.quote.is_some() });
        offers.collect()
    }

    pub(crate) fn cost(&self) -> Cost {
        match self.job.price {
            _ if self.quoted => Cost::Varies,
            price if price.is_free() => Cost::Free,
            price => Cost::Fixed(price),
        }
    }
}

/// The price of a job, as far as it is known in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    Free,
    Fixed(Price),
    /// The price depends on the request.
    Varies,
}

impl Cost {
    /// The price that all offers have in common, if they have one.
    pub(crate) fn of_all(offers: &[Offer]) -> Self {
        let mut costs = offers.iter().map(Offer::cost);
        let first = costs.next().unwrap_or(Self::Free);
        if costs.all(|cost| cost == first) { first } else { Self::Varies }
    }
}

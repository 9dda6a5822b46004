//! A job on offer, for the manifest and for announcements.

use crate::author::agent::Jobs;
use crate::declaration::JobDeclaration;
use crate::price::Price;

/// A job that an agent does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Offer {
    pub(crate) job: JobDeclaration,
    /// Whether the price is found for each request (`#[price]`).
    pub(crate) quoted: bool,
}

impl Offer {
    /// All that an agent offers, in the order its handlers are written.
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

/// What a job costs, before it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    Free,
    Fixed(Price),
    /// It depends on the request.
    Varies,
}

impl Cost {
    /// What any job of these costs: what they have in common, if anything.
    pub(crate) fn of_all(offers: &[Offer]) -> Self {
        let mut costs = offers.iter().map(Offer::cost);
        let first = costs.next().unwrap_or(Self::Free);
        if costs.all(|cost| cost == first) { first } else { Self::Varies }
    }
}

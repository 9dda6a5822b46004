//! `#[schedule]`: parses a function that runs at an interval or at the times of a cron expression.

use std::time::Duration;

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, ImplItemFn, LitStr};

use super::handler::{DEFAULT_TIMEOUT, TIMEOUT};
use super::mark::Mark;
use super::signature::{Method, Role};
use crate::arguments::{Accepted, Arguments, Form};
use crate::duration::Limits;
use crate::mistakes::Mistakes;
use crate::{cron, documentation, name};

static FORM: Form = Form {
    attribute: "#[schedule]",
    example: "#[schedule(every = \"10m\")]",
    arguments: &[
        Accepted::once("every", "\"10m\""),
        Accepted::once("cron", "\"0 3 * * *\""),
        Accepted::flag("once"),
        Accepted::once("name", "\"refresh\""),
        Accepted::once("timeout", "\"60s\""),
    ],
};

static ROLE: Role = Role {
    subject: "schedules",
    returns: "`JobResult<()>`",
    text: "schedules have no job request; they take `&AgentContext` or nothing",
};

static EVERY: Limits = Limits { name: "every", range: "1s"..="366d", reason: "" };

/// A parsed schedule.
pub(super) struct Schedule {
    pub(super) method: Method,
    pub(super) name: String,
    name_at: Span,
    pub(super) about: String,
    pub(super) rule: ScheduleRule,
    pub(super) timeout: Duration,
}

/// When the schedule is due.
pub(super) enum ScheduleRule {
    Every(Duration),
    Cron(LitStr),
    Once,
}

impl Schedule {
    /// Parses a method and its `#[schedule]`; `None` if it cannot be a schedule.
    pub(super) fn parse(mark: &Attribute, method: &ImplItemFn, mistakes: &mut Mistakes) -> Option<Self> {
        let arguments = Arguments::of([mark], &FORM, mistakes);
        let rule = rule(mark, &arguments, mistakes);
        let name_literal = arguments.text("name", mistakes);
        let method_name = &method.sig.ident;
        let name = name_literal.as_ref().map_or_else(|| method_name.unraw().to_string(), LitStr::value);
        let name_at = name_literal.as_ref().map_or_else(|| method_name.span(), Spanned::span);
        if let Err(message) = name::check_method("a schedule's name", &name) {
            mistakes.add(syn::Error::new(name_at, message));
        }
        let timeout = arguments.text("timeout", mistakes);
        let timeout = timeout.and_then(|literal| TIMEOUT.read(&literal, mistakes));
        let about = documentation::text(&method.attrs);
        let method = Method::parse(method, &ROLE, mistakes);
        Some(Self {
            method: method?,
            name,
            name_at,
            about,
            rule: rule?,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        })
    }
}

fn rule(mark: &Attribute, arguments: &Arguments, mistakes: &mut Mistakes) -> Option<ScheduleRule> {
    let every = arguments.text("every", mistakes);
    let cron = arguments.text("cron", mistakes);
    if let (Some(_), Some(cron)) = (&every, &cron) {
        mistakes.at(cron, "a schedule has either `every` or `cron`, not both");
        return None;
    }
    if let (true, Some(timing)) = (arguments.has("once"), every.as_ref().or(cron.as_ref())) {
        mistakes.at(
            timing,
            "a schedule that runs `once` has neither `every` nor `cron`: handlers choose its times",
        );
        return None;
    }
    if arguments.has("once") {
        return Some(ScheduleRule::Once);
    }
    if arguments.lacks("every") && arguments.lacks("cron") && arguments.lacks("once") {
        let message = "a schedule needs an interval or times: `#[schedule(every = \"10m\")]` or `#[schedule(cron = \"0 3 * * *\")]`; `#[schedule(once)]` runs when a handler says so";
        mistakes.at(mark, message);
    }
    if let Some(every) = every {
        return EVERY.read(&every, mistakes).map(ScheduleRule::Every);
    }
    let cron = cron?;
    if let Err(message) = cron::check(&cron.value()) {
        mistakes.at(&cron, message);
        return None;
    }
    Some(ScheduleRule::Cron(cron))
}

/// Notes schedules with the same name.
pub(super) fn note_duplicates(schedules: &[Schedule], mistakes: &mut Mistakes) {
    for (index, schedule) in schedules.iter().enumerate() {
        let mut earlier = schedules.iter().take(index).filter(|earlier| {
            // Alternatives under `#[cfg]` are only known after it has been applied.
            earlier.method.cfg.is_empty() && schedule.method.cfg.is_empty()
        });
        if let Some(first) = earlier.find(|earlier| earlier.name == schedule.name) {
            let (name, mark, method) = (&schedule.name, Mark::Schedule.name(), &first.method.name);
            let message = format!("the `#[{mark}]` `{method}` already has the name `{name}`");
            mistakes.add(syn::Error::new(schedule.name_at, message));
        }
    }
}

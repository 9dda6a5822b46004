//! `#[jobs]`: parses the impl block and finds its handlers.

mod direct_message;
mod event;
mod expand;
mod handler;
mod hook;
mod kind;
mod mark;
mod payment;
mod quote;
mod route;
mod schedule;
mod signature;

use ::quote::{ToTokens, quote};
use proc_macro2::{Span, TokenStream};
use syn::{Attribute, ImplItem, ImplItemFn, Item, ItemImpl, Type};

use crate::invisible_group::ungrouped_type;
use crate::mistakes::Mistakes;
use direct_message::DirectMessage;
use event::Event;
use handler::JobHandler;
use hook::{Hook, Migrate};
use mark::take_marks;
pub(crate) use mark::{LifecycleHook, Mark};
use quote::Quote;
use route::Route;
use schedule::Schedule;

/// A parsed `#[jobs]` block; the marks are removed from its methods.
struct JobsBlock {
    item: ItemImpl,
    handlers: Vec<JobHandler>,
    quotes: Vec<Quote>,
    schedules: Vec<Schedule>,
    routes: Vec<Route>,
    events: Vec<Event>,
    direct_messages: Vec<DirectMessage>,
    hooks: Vec<Hook>,
    migrations: Vec<Migrate>,
}

/// Expands `#[jobs]` on `item`.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    if !arguments.is_empty() {
        mistakes.at(arguments, "`#[jobs]` takes no arguments; those of a handler belong in its `#[job]`");
    }
    let expanded = match syn::parse2(item.clone()) {
        Ok(Item::Impl(item)) => match JobsBlock::parse(item, &mut mistakes) {
            Ok(block) => block.into_token_stream(),
            Err(item) => item.into_token_stream(),
        },
        Ok(_) => {
            let message =
                "`#[jobs]` marks an impl block: `impl HelloWorld { … }`, with its job handlers in it";
            mistakes.add(syn::Error::new(Span::call_site(), message));
            item
        }
        Err(error) => {
            mistakes.add(error);
            item
        }
    };
    quote!(#expanded #mistakes)
}

/// Expands a mark outside a `#[jobs]` block.
pub(crate) fn expand_stray(mark: Mark, item: &TokenStream) -> TokenStream {
    let message = format!("`#[{}]` only works inside an impl block marked `#[jobs]`", mark.name());
    let error = syn::Error::new(Span::call_site(), message).to_compile_error();
    quote!(#item #error)
}

impl JobsBlock {
    /// Parses the block, or gives it back without its marks if it cannot hold handlers.
    fn parse(mut item: ItemImpl, mistakes: &mut Mistakes) -> Result<Self, Box<ItemImpl>> {
        let is_suitable = is_suitable(&item, mistakes);
        let marks: Vec<_> = item.items.iter_mut().map(take_marks).collect();
        if !is_suitable {
            return Err(Box::new(item));
        }
        let mut block = Self {
            item,
            handlers: Vec::new(),
            quotes: Vec::new(),
            schedules: Vec::new(),
            routes: Vec::new(),
            events: Vec::new(),
            direct_messages: Vec::new(),
            hooks: Vec::new(),
            migrations: Vec::new(),
        };
        let has = |wanted: Mark| marks.iter().flatten().any(|(mark, _)| *mark == wanted);
        if ![Mark::Job, Mark::Schedule, Mark::Route, Mark::Event, Mark::DirectMessage].into_iter().any(has) {
            let message =
                "there is no job handler in this block: write `#[job(kind = 5050)]` above an `async fn`";
            mistakes.at(&block.item.self_ty, message);
        }
        for (member, marks) in block.item.items.clone().iter().zip(&marks) {
            if let Some((mark, attribute, method)) = marked_method(member, marks, mistakes) {
                block.add(mark, attribute, method, mistakes);
            }
        }
        handler::note_duplicates(&block.handlers, mistakes);
        schedule::note_duplicates(&block.schedules, mistakes);
        route::note_duplicates(&block.routes, mistakes);
        event::note_duplicates(&block.events, mistakes);
        direct_message::note_duplicates(&block.direct_messages, mistakes);
        hook::note_duplicates(&block.hooks, &block.migrations, mistakes);
        // A handler with a mistake is not reported as missing.
        if marks.iter().flatten().filter(|(mark, _)| *mark == Mark::Job).count() == block.handlers.len() {
            quote::note_misfits(&block.quotes, &block.handlers, mistakes);
        }
        Ok(block)
    }

    fn add(&mut self, mark: Mark, attribute: &Attribute, method: &ImplItemFn, mistakes: &mut Mistakes) {
        match mark {
            Mark::Job => self.handlers.extend(JobHandler::parse(attribute, method, mistakes)),
            Mark::Price => self.quotes.extend(Quote::parse(attribute, method, mistakes)),
            Mark::Schedule => self.schedules.extend(Schedule::parse(attribute, method, mistakes)),
            Mark::Event => self.events.extend(Event::parse(attribute, method, mistakes)),
            Mark::DirectMessage => {
                self.direct_messages.extend(DirectMessage::parse(attribute, method, mistakes));
            }
            Mark::Route => self.routes.extend(Route::parse(attribute, method, mistakes)),
            Mark::Hook(kind) => self.hooks.extend(Hook::parse(kind, attribute, method, mistakes)),
            Mark::Migrate => self.migrations.extend(Migrate::parse(attribute, method, mistakes)),
        }
    }
}

/// Whether this is an inherent impl block of a plain type.
fn is_suitable(item: &ItemImpl, mistakes: &mut Mistakes) -> bool {
    let mut is_suitable = true;
    if let Some((_, path, _)) = &item.trait_ {
        let ty = item.self_ty.to_token_stream();
        mistakes
            .at(path, format!("`#[jobs]` marks an inherent impl block of the agent: `impl {ty} {{ … }}`"));
        is_suitable = false;
    }
    let is_plain = matches!(ungrouped_type(&item.self_ty), Type::Path(path)
        if path.qself.is_none() && path.path.segments.iter().all(|segment| segment.arguments.is_none()));
    if !is_plain || !item.generics.params.is_empty() {
        let message = "a `#[jobs]` block cannot have generic parameters";
        mistakes.at(&item.self_ty, message);
        is_suitable = false;
    }
    is_suitable
}

/// The method and its mark, if it has one.
fn marked_method<'a>(
    member: &'a ImplItem,
    marks: &'a [(Mark, Attribute)],
    mistakes: &mut Mistakes,
) -> Option<(Mark, &'a Attribute, &'a ImplItemFn)> {
    let [(mark, attribute), more @ ..] = marks else { return None };
    let name = mark.name();
    let ImplItem::Fn(method) = member else {
        mistakes.at(attribute, format!("`#[{name}]` marks a method: `{}`", mark.example()));
        return None;
    };
    for (other, repeated) in more {
        let method = &method.sig.ident;
        let way = match (mark, other) {
            (Mark::Job, Mark::Job) => "write one method for each kind",
            (Mark::Price, Mark::Price) => "write one method for each kind",
            (Mark::Schedule, Mark::Schedule) => "write one method for each schedule",
            (Mark::Route, Mark::Route) => "write one method for each route",
            (Mark::Event, Mark::Event) => "write one method for each kind",
            _ => "write another method for this",
        };
        mistakes.at(repeated, format!("`{method}` has a `#[{name}]` already; {way}"));
    }
    Some((*mark, attribute, method))
}

//! `#[jobs]`: reads the impl block and finds its handlers.

mod expand;
mod handler;
mod signature;

use std::mem;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Attribute, ImplItem, Item, ItemImpl, Type};

use crate::mistakes::Mistakes;
use handler::JobHandler;

/// The handlers of an impl block, which is kept without their `#[job]`s.
struct JobsBlock {
    item: ItemImpl,
    handlers: Vec<JobHandler>,
}

/// Expands `#[jobs]` on `item`.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    if !arguments.is_empty() {
        mistakes.at(arguments, "`#[jobs]` takes no arguments; those of a handler stand on its `#[job]`");
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

/// Expands a `#[job]` that no `#[jobs]` has taken off.
pub(crate) fn expand_stray_job(item: &TokenStream) -> TokenStream {
    let message = "`#[job]` works inside an impl block marked `#[jobs]`";
    let error = syn::Error::new(Span::call_site(), message).to_compile_error();
    quote!(#item #error)
}

impl JobsBlock {
    /// Reads the block, or gives it back, without its `#[job]`s, when it cannot hold handlers.
    fn parse(mut item: ItemImpl, mistakes: &mut Mistakes) -> Result<Self, Box<ItemImpl>> {
        let is_suitable = is_suitable(&item, mistakes);
        let mut handlers = Vec::new();
        let mut has_jobs = false;
        for member in &mut item.items {
            let jobs = take_jobs(member);
            has_jobs |= !jobs.is_empty();
            if is_suitable {
                handlers.extend(handler(member, &jobs, mistakes));
            }
        }
        if !is_suitable {
            return Err(Box::new(item));
        }
        if !has_jobs {
            let message =
                "there is no job handler in this block: write `#[job(kind = 5050)]` above an `async fn`";
            mistakes.at(&item.self_ty, message);
        }
        note_duplicates(&handlers, mistakes);
        Ok(Self { item, handlers })
    }
}

/// Whether this is an inherent impl block of a plain type.
fn is_suitable(item: &ItemImpl, mistakes: &mut Mistakes) -> bool {
    let mut is_suitable = true;
    if let Some((_, path, _)) = &item.trait_ {
        let ty = item.self_ty.to_token_stream();
        mistakes.at(path, format!("`#[jobs]` marks the agent's own impl block: `impl {ty} {{ … }}`"));
        is_suitable = false;
    }
    let is_plain = matches!(&*item.self_ty, Type::Path(path)
        if path.qself.is_none() && path.path.segments.iter().all(|segment| segment.arguments.is_none()));
    if !is_plain || !item.generics.params.is_empty() {
        let message = "an agent is one plain type: a `#[jobs]` block takes no generic parameters";
        mistakes.at(&item.self_ty, message);
        is_suitable = false;
    }
    is_suitable
}

/// Takes the `#[job]`s off a member of the block.
fn take_jobs(member: &mut ImplItem) -> Vec<Attribute> {
    let attributes = match member {
        ImplItem::Const(item) => &mut item.attrs,
        ImplItem::Fn(item) => &mut item.attrs,
        ImplItem::Type(item) => &mut item.attrs,
        ImplItem::Macro(item) => &mut item.attrs,
        _ => return Vec::new(),
    };
    let is_job = |attribute: &Attribute| {
        attribute.path().segments.last().is_some_and(|segment| segment.ident == "job")
    };
    let (jobs, others) = mem::take(attributes).into_iter().partition(is_job);
    *attributes = others;
    jobs
}

fn handler(member: &ImplItem, jobs: &[Attribute], mistakes: &mut Mistakes) -> Option<JobHandler> {
    let [job, more @ ..] = jobs else { return None };
    let ImplItem::Fn(method) = member else {
        mistakes
            .at(job, "`#[job]` marks a method: `async fn hello(&mut self, name: Text) -> JobResult<String>`");
        return None;
    };
    for repeated in more {
        let name = &method.sig.ident;
        let message = format!("`{name}` has a `#[job]` already; to answer two kinds, write two methods");
        mistakes.at(repeated, message);
    }
    JobHandler::parse(job, method, mistakes)
}

/// Each kind, and each name, leads to one handler.
fn note_duplicates(handlers: &[JobHandler], mistakes: &mut Mistakes) {
    for (index, handler) in handlers.iter().enumerate() {
        // Which of two alternatives there is, is known only after `#[cfg]`.
        let earlier =
            handlers.iter().take(index).filter(|earlier| earlier.cfg.is_empty() && handler.cfg.is_empty());
        let mut earlier_by_kind = earlier.clone();
        if let Some(first) = earlier_by_kind.find(|earlier| earlier.kind == handler.kind) {
            let message = format!("kind {} is answered by `{}` already", handler.kind, first.method);
            mistakes.add(syn::Error::new(handler.kind_at, message));
        }
        let mut earlier_by_name = earlier;
        if let Some(first) = earlier_by_name.find(|earlier| earlier.name == handler.name) {
            let message = format!("the name `{}` is taken by the handler `{}`", handler.name, first.method);
            mistakes.add(syn::Error::new(handler.name_at, message));
        }
    }
}

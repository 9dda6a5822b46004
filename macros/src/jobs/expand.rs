//! Expands `#[jobs]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

use super::JobsBlock;
use super::direct_message::DirectMessage;
use super::event::Event;
use super::handler::JobHandler;
use super::hook::Migrate;
use super::mark::LifecycleHook;
use super::quote::Quote;
use super::route::Route;
use super::schedule::{Schedule, ScheduleRule};
use super::signature::{Access, Argument, Method};
use crate::duration;

/// The block, and the tables of its handlers, schedules, routes, events and hooks.
impl ToTokens for JobsBlock {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { item, handlers, quotes, schedules, routes, events, .. } = self;
        let ty = &item.self_ty;
        let has_constants = handlers.iter().any(|handler| handler.kind.is_constant());
        let handlers = handlers.iter().map(|handler| handler.expand(quotes));
        let handlers = quote!(&[#(#handlers),*]);
        let handlers = match has_constants {
            true => quote_spanned!(ty.span() => ::openagents_sdk::__private::distinct_kinds(#handlers)),
            false => handlers,
        };
        // Constants are only evaluated where they are used, and a mistake in one should not wait for the deployment.
        let evaluation = has_constants.then(|| {
            quote! {
                const _: () = {
                    let _ = <#ty as ::openagents_sdk::__private::Jobs>::HANDLERS;
                };
            }
        });
        let schedules = (!schedules.is_empty()).then(
            || quote!(const SCHEDULES: &'static [::openagents_sdk::__private::Schedule<Self>] = &[#(#schedules),*];),
        );
        let routes = (!routes.is_empty()).then(
            || quote!(const ROUTES: &'static [::openagents_sdk::__private::RouteHandler<Self>] = &[#(#routes),*];),
        );
        let events = (!events.is_empty()).then(
            || quote!(const EVENTS: &'static [::openagents_sdk::__private::EventHandler<Self>] = &[#(#events),*];),
        );
        let alternatives = self.direct_messages.iter();
        let alternatives = alternatives.map(|function| (function.method.cfg.as_slice(), function.expand()));
        let direct_message = first(alternatives).map(
            |function| quote!(const DIRECT_MESSAGE: ::core::option::Option<::openagents_sdk::__private::DirectMessageHandler<Self>> = #function;),
        );
        let hooks = self.hooks();
        let assertions = self.migrations.iter().map(|migrate| migrate.assertion(ty));
        tokens.extend(quote! {
            #item

            // If all fields are given, the defaults are not needed.
            #[allow(clippy::needless_update)]
            #[automatically_derived]
            impl ::openagents_sdk::__private::Jobs for #ty {
                const HANDLERS: &'static [::openagents_sdk::__private::Handler<Self>] = #handlers;
                #schedules
                #routes
                #events
                #direct_message
                #hooks
            }

            #evaluation
            #(#assertions)*
        });
    }
}

impl JobsBlock {
    fn hooks(&self) -> Option<TokenStream> {
        let Self { hooks, migrations, .. } = self;
        if hooks.is_empty() && migrations.is_empty() {
            return None;
        }
        let fields = LifecycleHook::ALL.into_iter().filter_map(|kind| {
            let field = format_ident!("{}", kind.name());
            let hooks = hooks.iter().filter(|hook| hook.kind == kind);
            let alternatives = hooks.map(|hook| (hook.method.cfg.as_slice(), hook.method.run_in_agent()));
            first(alternatives).map(|hook| quote!(#field: #hook,))
        });
        let alternatives = migrations.iter().map(|migrate| (migrate.cfg.as_slice(), migrate.expand()));
        let migrate = first(alternatives).map(|migrate| quote!(migrate: #migrate,));
        Some(quote! {
            const HOOKS: ::openagents_sdk::__private::Hooks<Self> =
                ::openagents_sdk::__private::Hooks { #(#fields)* #migrate ..::openagents_sdk::__private::Hooks::NONE };
        })
    }
}

/// The alternative that remains after `#[cfg]`, as an `Option`; `None` if there are no alternatives.
fn first<'a>(alternatives: impl Iterator<Item = (&'a [syn::Attribute], TokenStream)>) -> Option<TokenStream> {
    let alternatives: Vec<_> = alternatives.collect();
    if let [([], only)] = alternatives.as_slice() {
        return Some(quote!(::core::option::Option::Some(#only)));
    }
    let alternatives = alternatives
        .iter()
        .map(|(cfg, alternative)| quote!(#(#cfg)* ::core::option::Option::Some(#alternative)));
    let alternatives: Vec<_> = alternatives.collect();
    (!alternatives.is_empty()).then(
        || quote!(::openagents_sdk::__private::first(&[#(#alternatives,)* ::core::option::Option::None])),
    )
}

impl JobHandler {
    fn expand(&self, quotes: &[Quote]) -> TokenStream {
        let cfg = &self.method.cfg;
        let declaration = self.declaration();
        let quotes = quotes.iter().filter(|quote| quote.kind == self.kind);
        let quote = first(quotes.map(|quote| (quote.cfg.as_slice(), quote.expand())));
        let quote = quote.unwrap_or_else(|| quote!(::core::option::Option::None));
        let run = self.method.run_on_job();
        quote! {
            #(#cfg)*
            ::openagents_sdk::__private::Handler {
                declaration: #declaration,
                quote: #quote,
                run: #run,
            }
        }
    }

    fn declaration(&self) -> TokenStream {
        let Self { kind, name, about, attempts, .. } = self;
        let timeout = duration::tokens(self.timeout);
        let processing_after = duration::tokens(self.processing_after);
        let inputs = self.method.arguments.iter().map(|argument| {
            let ty = &argument.ty;
            quote_spanned!(ty.span() => <#ty as ::openagents_sdk::__private::FromJob>::INPUT)
        });
        let params = self.method.arguments.iter().map(|argument| {
            let ty = &argument.ty;
            quote_spanned!(ty.span() => <#ty as ::openagents_sdk::__private::FromJob>::PARAMS)
        });
        let returns = &self.method.returns;
        let output =
            quote_spanned!(returns.span() => <#returns as ::openagents_sdk::__private::HandlerReturn>::MIME);
        let price = self.price.map(|msat| quote!(price: ::openagents_sdk::__private::Price::msat(#msat),));
        let payment = &self.payment;
        quote! {
            ::openagents_sdk::__private::JobDeclaration {
                kind: #kind,
                name: #name,
                about: #about,
                timeout: #timeout,
                attempts: #attempts,
                processing_after: #processing_after,
                #price
                #payment
                inputs: &[#(#inputs),*],
                params: &[#(#params),*],
                output: #output,
                ..::openagents_sdk::__private::JobDeclaration::new(#kind, #name)
            }
        }
    }
}

impl Quote {
    /// An expression of type `Quote<Self>`.
    fn expand(&self) -> TokenStream {
        let Self { method, request, returns, .. } = self;
        let agent = local("agent", method.span(), method);
        let request = local("request", request.span(), method);
        let call = quote_spanned!(method.span() => Self::#method(#agent, #request));
        quote_spanned! {returns.span() =>
            |#agent, #request| <#returns as ::openagents_sdk::__private::QuoteReturn>::into_quote(#call)
        }
    }
}

impl ToTokens for Schedule {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { method, name, about, rule, .. } = self;
        let cfg = &method.cfg;
        let timeout = duration::tokens(self.timeout);
        let rule = match rule {
            ScheduleRule::Every(pause) => {
                let pause = duration::tokens(*pause);
                quote!(::openagents_sdk::__private::ScheduleRule::Every(#pause))
            }
            ScheduleRule::Cron(expression) => {
                quote!(::openagents_sdk::__private::ScheduleRule::Cron(#expression))
            }
            ScheduleRule::Once => quote!(::openagents_sdk::__private::ScheduleRule::Once),
        };
        let run = method.run_in_agent();
        tokens.extend(quote! {
            #(#cfg)*
            ::openagents_sdk::__private::Schedule {
                declaration: ::openagents_sdk::__private::ScheduleDeclaration {
                    name: #name,
                    about: #about,
                    rule: #rule,
                    timeout: #timeout,
                },
                run: #run,
            }
        });
    }
}

impl ToTokens for Route {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { method, path, about, max_bytes, .. } = self;
        let cfg = &method.cfg;
        let verb = format_ident!("{}", self.verb.variant());
        let timeout = duration::tokens(self.timeout);
        let run = method.run_on_request();
        tokens.extend(quote! {
            #(#cfg)*
            ::openagents_sdk::__private::RouteHandler {
                declaration: ::openagents_sdk::__private::RouteDeclaration {
                    method: ::openagents_sdk::__private::RouteMethod::#verb,
                    path: #path,
                    about: #about,
                    timeout: #timeout,
                    max_bytes: #max_bytes,
                },
                run: #run,
            }
        });
    }
}

impl ToTokens for Event {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { method, kind, name, about, .. } = self;
        let cfg = &method.cfg;
        let timeout = duration::tokens(self.timeout);
        let run = method.run_on_event();
        tokens.extend(quote! {
            #(#cfg)*
            ::openagents_sdk::__private::EventHandler {
                declaration: ::openagents_sdk::__private::EventDeclaration {
                    kind: #kind,
                    name: #name,
                    about: #about,
                    timeout: #timeout,
                },
                run: #run,
            }
        });
    }
}

impl DirectMessage {
    /// An expression of type `DirectMessageHandler<Self>`.
    fn expand(&self) -> TokenStream {
        let Self { method, name, about, .. } = self;
        let timeout = duration::tokens(self.timeout);
        let run = method.run_on_direct_message();
        quote! {
            ::openagents_sdk::__private::DirectMessageHandler {
                declaration: ::openagents_sdk::__private::DirectMessageDeclaration {
                    name: #name,
                    about: #about,
                    timeout: #timeout,
                },
                run: #run,
            }
        }
    }
}

impl Migrate {
    /// An expression of type `Migrate`.
    fn expand(&self) -> TokenStream {
        let Self { method, returns, .. } = self;
        let [version, state] = ["version", "state"].map(|name| local(name, method.span(), method));
        let call = quote_spanned!(method.span() => Self::#method(#version, #state));
        quote_spanned! {returns.span() =>
            |#version, #state| <#returns as ::openagents_sdk::__private::MigrateReturn>::into_state(#call)
        }
    }

    /// Checks that `state_version` is above 1.
    fn assertion(&self, agent: &syn::Type) -> TokenStream {
        let Self { method, cfg, .. } = self;
        quote_spanned! {method.span() =>
            #(#cfg)*
            const _: () = ::core::assert!(
                <#agent as ::openagents_sdk::__private::Agent>::DECLARATION.state_version > 1,
                "there is no earlier state to migrate: write `state_version = 2` in this agent's `#[agent]`"
            );
        }
    }
}

impl Method {
    /// As a job handler: makes the arguments from the job, and converts the return value.
    fn run_on_job(&self) -> TokenStream {
        let extract = |ty: &syn::Type, context: &Ident| quote_spanned!(ty.span() => <#ty as ::openagents_sdk::__private::FromJob>::from_job(&#context).await?);
        self.run(extract, &quote!(HandlerReturn), &quote!(into_outcome))
    }

    /// As a route: makes the arguments from the request, or returns the response that refuses it.
    fn run_on_request(&self) -> TokenStream {
        let extract = |ty: &syn::Type, context: &Ident| {
            quote_spanned! {ty.span() =>
                match <#ty as ::openagents_sdk::__private::FromRequest>::from_request(&#context).await {
                    ::core::result::Result::Ok(argument) => argument,
                    ::core::result::Result::Err(refusal) => return ::core::result::Result::Ok(refusal),
                }
            }
        };
        self.run(extract, &quote!(RouteReturn), &quote!(into_route_response))
    }

    /// As a function for events: makes the arguments from the event.
    fn run_on_event(&self) -> TokenStream {
        let extract = |ty: &syn::Type, context: &Ident| quote_spanned!(ty.span() => <#ty as ::openagents_sdk::__private::FromEvent>::from_event(&#context));
        self.run(extract, &quote!(RunReturn), &quote!(into_result))
    }

    /// As a function for direct messages: makes the arguments from the message.
    fn run_on_direct_message(&self) -> TokenStream {
        let extract = |ty: &syn::Type, context: &Ident| quote_spanned!(ty.span() => <#ty as ::openagents_sdk::__private::FromDirectMessage>::from_direct_message(&#context));
        self.run(extract, &quote!(ReplyReturn), &quote!(into_reply_result))
    }

    /// As a schedule or hook: makes the arguments from the agent's context.
    fn run_in_agent(&self) -> TokenStream {
        let extract = |ty: &syn::Type, context: &Ident| quote_spanned!(ty.span() => <#ty as ::openagents_sdk::__private::FromAgent>::from_agent(&#context));
        self.run(extract, &quote!(RunReturn), &quote!(into_result))
    }

    /// An expression of type `Run`. It is a closure, so that `Self` in the author's types keeps its meaning.
    fn run(
        &self,
        extract: impl Fn(&syn::Type, &Ident) -> TokenStream,
        conversion: &TokenStream,
        convert: &TokenStream,
    ) -> TokenStream {
        let Self { name, arguments, returns, .. } = self;
        let variant = match self.access {
            Access::Shared => quote!(Shared),
            Access::Exclusive => quote!(Exclusive),
        };
        let agent = local("agent", name.span(), name);
        let context = local("context", name.span(), name);
        let context = if arguments.is_empty() { quote!(_) } else { quote!(#context) };
        let values: Vec<_> = (0..arguments.len()).map(|index| format_ident!("__argument_{index}")).collect();
        let extractions = arguments.iter().zip(&values).map(|(Argument { ty, .. }, value)| {
            let extraction = extract(ty, &local("context", ty.span(), name));
            quote_spanned!(ty.span() => let #value = #extraction;)
        });
        let passed =
            arguments.iter().zip(&values).map(
                |(Argument { by_reference, .. }, value)| {
                    if *by_reference { quote!(&#value) } else { quote!(#value) }
                },
            );
        let call = quote_spanned!(name.span() => Self::#name(#agent, #(#passed),*).await);
        let outcome = quote_spanned! {returns.span() =>
            <#returns as ::openagents_sdk::__private::#conversion>::#convert(#call)
        };
        // With the span of the method's name, where a future that is not `Send` is then reported.
        let run = quote_spanned! {name.span() =>
            |#agent, #context| ::std::boxed::Box::pin(async move { #(#extractions)* #outcome })
        };
        quote!(::openagents_sdk::__private::Run::#variant(#run))
    }
}

/// The name of a local variable in the code that calls this method. An error there is reported `at` its own place, but
/// the name resolves as one in the method's name would: the parts of a method in a `macro_rules!` macro may come from
/// different expansions, and a variable is only found by a name of the same one.
fn local(name: &str, at: Span, method: &Ident) -> Ident {
    Ident::new(name, at.resolved_at(method.span()))
}

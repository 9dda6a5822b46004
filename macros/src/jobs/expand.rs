//! What `#[jobs]` writes.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

use super::JobsBlock;
use super::handler::JobHandler;
use super::signature::{Access, Argument};

/// The block, and beside it the table of its handlers.
impl ToTokens for JobsBlock {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { item, handlers } = self;
        let ty = &item.self_ty;
        tokens.extend(quote! {
            #item

            #[automatically_derived]
            impl ::openagents_sdk::Jobs for #ty {
                const HANDLERS: &'static [::openagents_sdk::Handler<Self>] = &[#(#handlers),*];
            }
        });
    }
}

impl ToTokens for JobHandler {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let cfg = &self.cfg;
        let declaration = self.declaration();
        let run = self.run();
        tokens.extend(quote! {
            #(#cfg)*
            ::openagents_sdk::Handler {
                declaration: #declaration,
                quote: ::core::option::Option::None,
                run: #run,
            }
        });
    }
}

impl JobHandler {
    fn declaration(&self) -> TokenStream {
        let Self { kind, name, about, attempts, .. } = self;
        let milliseconds = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let inputs = self.signature.arguments.iter().map(|argument| {
            let ty = &argument.ty;
            quote_spanned!(ty.span() => <#ty as ::openagents_sdk::FromJob>::INPUT)
        });
        let params = self.signature.arguments.iter().map(|argument| {
            let ty = &argument.ty;
            quote_spanned!(ty.span() => <#ty as ::openagents_sdk::FromJob>::PARAMS)
        });
        let returns = &self.signature.returns;
        let output = quote_spanned!(returns.span() => <#returns as ::openagents_sdk::HandlerReturn>::MIME);
        quote! {
            ::openagents_sdk::JobDeclaration {
                kind: #kind,
                name: #name,
                about: #about,
                timeout: ::core::time::Duration::from_millis(#milliseconds),
                attempts: #attempts,
                inputs: &[#(#inputs),*],
                params: &[#(#params),*],
                output: #output,
                ..::openagents_sdk::JobDeclaration::new(#kind, #name)
            }
        }
    }

    /// The call: its arguments taken from the job, its return turned into an outcome. A closure, so that `Self` in the
    /// author's types means what it means there.
    fn run(&self) -> TokenStream {
        let variant = match self.signature.access {
            Access::Shared => quote!(Shared),
            Access::Exclusive => quote!(Exclusive),
        };
        let arguments = &self.signature.arguments;
        let context = if arguments.is_empty() { quote!(_) } else { quote!(context) };
        let names: Vec<_> = (0..arguments.len()).map(|index| format_ident!("__argument_{index}")).collect();
        let extractions = arguments.iter().zip(&names).map(|(Argument { ty, .. }, name)| {
            quote_spanned! {ty.span() =>
                let #name = <#ty as ::openagents_sdk::FromJob>::from_job(&context).await?;
            }
        });
        let passed =
            arguments.iter().zip(&names).map(
                |(Argument { by_reference, .. }, name)| {
                    if *by_reference { quote!(&#name) } else { quote!(#name) }
                },
            );
        let method = &self.method;
        let call = quote_spanned!(method.span() => Self::#method(agent, #(#passed),*).await);
        let returns = &self.signature.returns;
        let outcome = quote_spanned! {returns.span() =>
            <#returns as ::openagents_sdk::HandlerReturn>::into_outcome(#call)
        };
        // At the method's name: there a future that is not `Send` is reported.
        let run = quote_spanned! {method.span() =>
            |agent, #context| ::std::boxed::Box::pin(async move { #(#extractions)* #outcome })
        };
        quote!(::openagents_sdk::Run::#variant(#run))
    }
}

//! `deployment!`: parses a deployment and leaves the host-specific code to the SDK.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, Token, Type, braced, bracketed, token};

use crate::mistakes::Mistakes;

const EXAMPLE: &str = "`deployment!(MyAgent)`, \
                       `deployment! { agents: [MyAgent], policy: MyPolicy, gateway: Gateway::new() }`, \
                       or `agents: []` for a relay alone";

/// A parsed deployment.
#[derive(Default)]
struct Deployment {
    agents: Option<Punctuated<AgentEntry, Token![,]>>,
    policy: Option<Expr>,
    gateway: Option<Expr>,
}

/// An element of `agents: […]`: a type, and its own fields in braces.
struct AgentEntry {
    agent: Type,
    fields: Punctuated<DeploymentField, Token![,]>,
}

/// A field `name: value` in the braces of an agent.
struct DeploymentField {
    name: Ident,
}

/// Expands `deployment!`.
pub(crate) fn expand(tokens: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let read = |input: ParseStream<'_>| Deployment::read(input, &mut mistakes);
    let deployment = read.parse2(tokens).unwrap_or_else(|error| {
        mistakes.add(error);
        Deployment::default()
    });
    let agent = deployment.agent(&mut mistakes).into_iter();
    if mistakes.is_empty() {
        let (policy, gateway) = (deployment.policy.iter(), deployment.gateway.iter());
        return quote!(::openagents_sdk::__deployment! { (#(#agent)*) (#((#policy))*) (#((#gateway))*) });
    }
    quote! {
        /// Takes the place of an invalid deployment.
        pub fn main() -> ::std::process::ExitCode {
            ::std::process::ExitCode::FAILURE
        }
        #mistakes
    }
}

impl Deployment {
    fn read(input: ParseStream<'_>, mistakes: &mut Mistakes) -> syn::Result<Self> {
        if input.is_empty() {
            return Err(input.error(format!("a deployment must list its agents: {EXAMPLE}")));
        }
        if !(input.peek(Ident) && input.peek2(Token![:]) && !input.peek2(Token![::])) {
            return Self::read_short(input, mistakes);
        }
        let mut deployment = Self::default();
        while !input.is_empty() {
            deployment.read_field(input, mistakes)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(deployment)
    }

    /// `deployment!(MyAgent)`.
    fn read_short(input: ParseStream<'_>, mistakes: &mut Mistakes) -> syn::Result<Self> {
        let agent: Type = input.parse()?;
        let _: Option<Token![,]> = input.parse()?;
        if !input.is_empty() {
            let rest: TokenStream = input.parse()?;
            let agent = quote!(#agent);
            mistakes.at(
                rest,
                format!(
                    "a deployment has named fields: `deployment! {{ agents: [{agent}], policy: MyPolicy }}`"
                ),
            );
        }
        let entry = AgentEntry { agent, fields: Punctuated::new() };
        Ok(Self { agents: Some(Punctuated::from_iter([entry])), ..Self::default() })
    }

    fn read_field(&mut self, input: ParseStream<'_>, mistakes: &mut Mistakes) -> syn::Result<()> {
        let name: Ident = input.parse()?;
        input.parse::<Token![:]>()?;
        let is_repeated = match name.to_string().as_str() {
            "agents" => {
                let agents;
                bracketed!(agents in input);
                self.agents.replace(Punctuated::parse_terminated(&agents)?).is_some()
            }
            "policy" => self.policy.replace(input.parse()?).is_some(),
            "gateway" => self.gateway.replace(input.parse()?).is_some(),
            unknown => {
                mistakes.at(
                    &name,
                    format!("a deployment has no field `{unknown}`; it has `agents`, `policy` and `gateway`: {EXAMPLE}"),
                );
                input.parse::<Expr>()?;
                false
            }
        };
        if is_repeated {
            mistakes.at(&name, format!("`{name}` is given twice"));
        }
        Ok(())
    }

    /// The deployment's agent; `None` for a relay alone.
    fn agent(&self, mistakes: &mut Mistakes) -> Option<&Type> {
        let Some(agents) = &self.agents else {
            if mistakes.is_empty() {
                mistakes.add(syn::Error::new(
                    proc_macro2::Span::call_site(),
                    format!("a deployment must list its agents: {EXAMPLE}"),
                ));
            }
            return None;
        };
        for entry in agents {
            for field in &entry.fields {
                mistakes.at(
                    &field.name,
                    format!(
                        "an agent in a deployment has no field `{}`, and no fields at all yet",
                        field.name
                    ),
                );
            }
        }
        for other in agents.iter().skip(1) {
            mistakes.at(
                &other.agent,
                "a deployment can have only one agent for now: put this one into a crate and a deployment of its own",
            );
        }
        if let (true, Some(gateway)) = (agents.is_empty(), &self.gateway) {
            mistakes.at(
                gateway,
                "a gateway needs an agent, whose database counts its requests: `agents: [MyAgent]`",
            );
        }
        agents.first().map(|entry| &entry.agent)
    }
}

impl Parse for AgentEntry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let agent = input.parse()?;
        let mut fields = Punctuated::new();
        if input.peek(token::Brace) {
            let braces;
            braced!(braces in input);
            fields = Punctuated::parse_terminated(&braces)?;
        }
        Ok(Self { agent, fields })
    }
}

impl Parse for DeploymentField {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![:]>()?;
        input.parse::<Expr>()?;
        Ok(Self { name })
    }
}

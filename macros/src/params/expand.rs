//! Expands `#[derive(JobParams)]`.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::DeriveInput;
use syn::spanned::Spanned;

use super::ParamsStruct;
use super::field::{Amount, Field};
use super::literal::{Literal, Value};

impl ToTokens for ParamsStruct {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { name, fields } = self;
        let constants: Vec<Ident> = (0..fields.len()).map(|index| format_ident!("PARAM_{index}")).collect();
        let types = fields.iter().map(|field| &field.ty);
        let declarations = fields.iter().map(Field::declaration);
        let assertions = fields.iter().map(Field::assertions);
        let values = fields.iter().zip(&constants).map(|(field, constant)| field.reading(constant));
        let params = if fields.is_empty() { quote!(_) } else { quote!(params) };
        tokens.extend(quote! {
            const _: () = {
                #(const #constants: ::openagents_sdk::__private::Param<#types> = #declarations;)*

                #(#assertions)*

                #[automatically_derived]
                impl ::openagents_sdk::__private::JobParams for #name {
                    const DECLARATIONS: &'static [::openagents_sdk::__private::ParamDeclaration] = &[#(#constants.declaration),*];

                    fn from_params(
                        #params: &::openagents_sdk::__private::ParamMap,
                    ) -> ::core::result::Result<Self, ::openagents_sdk::__private::JobError> {
                        ::core::result::Result::Ok(Self { #(#values),* })
                    }
                }
            };
        });
    }
}

/// An empty implementation in place of an invalid one, so that a missing `JobParams` is not reported too.
pub(super) fn stand_in(item: &DeriveInput) -> TokenStream {
    let name = &item.ident;
    let (generics, arguments, conditions) = item.generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #generics ::openagents_sdk::__private::JobParams for #name #arguments #conditions {
            const DECLARATIONS: &'static [::openagents_sdk::__private::ParamDeclaration] = &[];

            fn from_params(
                _: &::openagents_sdk::__private::ParamMap,
            ) -> ::core::result::Result<Self, ::openagents_sdk::__private::JobError> {
                ::core::result::Result::Err(::openagents_sdk::__private::JobError::failed(""))
            }
        }
    }
}

impl Field {
    fn declaration(&self) -> TokenStream {
        let Self { ty, about, choices, .. } = self;
        let mut keys = self.keys.iter().map(|(key, _)| key);
        let name = keys.next();
        let aliases = quote!(aliases: &[#(#keys),*],);
        let about = (!about.is_empty()).then(|| quote!(about: #about,));
        let choices = (!choices.is_empty()).then(|| quote!(choices: &[#(#choices),*],));
        let required = self.amount == Amount::One && self.default.is_none();
        let several = self.amount == Amount::Any;
        let default = self.default.as_ref().map(|default| {
            let text = default.value.to_string();
            quote!(default: ::core::option::Option::Some(#text),)
        });
        let minimum = self.minimum.as_ref().and_then(Literal::number);
        let minimum = minimum.map(|bound| quote!(minimum: ::core::option::Option::Some(#bound),));
        let maximum = self.maximum.as_ref().and_then(Literal::number);
        let maximum = maximum.map(|bound| quote!(maximum: ::core::option::Option::Some(#bound),));
        // With the span of the type, where the error is reported if it cannot be a parameter.
        let param = quote_spanned!(ty.span() => ::openagents_sdk::__private::param::<#ty>(#name));
        quote! {{
            let param = #param;
            let declaration = ::openagents_sdk::__private::ParamDeclaration {
                #aliases
                #about
                #choices
                required: #required,
                several: #several,
                #default
                #minimum
                #maximum
                ..param.declaration
            };
            param.declared(declaration)
        }}
    }

    /// Checks that only the compiler can do, since it knows the type.
    fn assertions(&self) -> TokenStream {
        let Self { ty, .. } = self;
        let bound = self.minimum.as_ref().or(self.maximum.as_ref());
        let number = bound.map(|_| {
            quote_spanned!(ty.span() => const _: () = ::openagents_sdk::__private::assert_param_number::<#ty>();)
        });
        let choice = self.default.as_ref().and_then(|default| match &default.value {
            Value::Text(text) => Some(quote_spanned! {default.at =>
                const _: () = ::core::assert!(
                    ::openagents_sdk::__private::is_choice(<#ty as ::openagents_sdk::__private::ParamValue>::CHOICES, #text),
                    "this default is not one of the choices of the field's type"
                );
            }),
            _ => None,
        });
        quote!(#number #choice)
    }

    fn reading(&self, param: &Ident) -> TokenStream {
        let Self { ident, amount, .. } = self;
        let read = match amount {
            Amount::One => quote!(required),
            Amount::AtMostOne => quote!(optional),
            Amount::Any => quote!(several),
        };
        quote!(#ident: #param.#read(params)?)
    }
}

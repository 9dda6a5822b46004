//! Reads doc comments as plain text.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The text of an item's doc comment, without the space after `///`; empty if there is none.
pub(crate) fn text(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(line).collect();
    lines.join("\n").trim().to_owned()
}

fn line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attribute.meta else { return None };
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &meta.value else { return None };
    let text = meta.path.is_ident("doc").then(|| text.value())?;
    let lines: Vec<&str> =
        text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::text;
    use syn::parse_quote;

    #[test]
    fn joins_the_lines_and_leaves_other_attributes_alone() {
        let item: syn::ItemStruct = parse_quote! {
            /// Greets whoever asks.
            ///
            ///   - politely
            #[serde(rename = "x")]
            #[doc(hidden)]
            struct A;
        };
        assert_eq!(text(&item.attrs), "Greets whoever asks.\n\n  - politely");
        let bare: syn::ItemStruct = parse_quote!(
            struct A;
        );
        assert_eq!(text(&bare.attrs), "");
    }
}

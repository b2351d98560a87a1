//! `#[derive(Command)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Ident, LitStr, Result, Variant};

use crate::attributes::{aggregate_said, enum_of, said};
use crate::name::{Name, all_different};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let variants = &enum_of(input, "command")?.variants;
    let aggregate = aggregate_said(&input.attrs, "command")?;
    let commands = variants.iter().map(Command::of).collect::<Result<Vec<_>>>()?;
    let specs = commands.iter().map(Command::spec).collect::<Vec<_>>();
    all_different(&commands.into_iter().map(|command| command.name).collect::<Vec<_>>())?;
    let (idents, indexes) = (variants.iter().map(|variant| &variant.ident), 0..variants.len());
    let index = quote!(match self { #(Self::#idents { .. } => #indexes,)* });
    Ok(implementation(&input.ident, &said(aggregate.as_ref()), &specs, &index))
}

/// The trait of an enum that could not be read.
pub(crate) fn stub(ident: &Ident) -> TokenStream {
    implementation(ident, &said(None), &[], &quote!(0))
}

fn implementation(ident: &Ident, aggregate: &TokenStream, specs: &[TokenStream], index: &TokenStream) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl ::amends_sdk::Commands for #ident {
            const AGGREGATE: ::core::option::Option<&'static str> = #aggregate;
            const COMMANDS: &'static [::amends_sdk::__exports::CommandSpec] = &[#(#specs),*];

            fn index(&self) -> usize {
                #index
            }
        }
    }
}

struct Command {
    name: Name,
    presence: Presence,
}

#[derive(Clone, Copy)]
enum Presence {
    Any,
    New,
    Existing,
}

impl Command {
    fn of(variant: &Variant) -> Result<Command> {
        let (mut said, mut presence) = (None::<LitStr>, Presence::Any);
        for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("command")) {
            attribute.parse_nested_meta(|meta| {
                let word = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                match (word.as_str(), presence) {
                    ("name", _) => said = Some(meta.value()?.parse()?),
                    ("new", Presence::Any) => presence = Presence::New,
                    ("existing", Presence::Any) => presence = Presence::Existing,
                    ("new" | "existing", _) => return Err(meta.error("a command is `new` or `existing` or neither")),
                    _ => return Err(meta.error("a command says `new`, `existing` or `name = \"…\"`")),
                }
                Ok(())
            })?;
        }
        Ok(Command { name: Name::of(&variant.ident, said.as_ref())?, presence })
    }

    fn spec(&self) -> TokenStream {
        let name = &self.name.text;
        let on = match self.presence {
            Presence::Any => quote!(Any),
            Presence::New => quote!(New),
            Presence::Existing => quote!(Existing),
        };
        quote! {
            ::amends_sdk::__exports::CommandSpec { name: #name, on: ::amends_sdk::__exports::Presence::#on }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(source: &str) -> String {
        let input = syn::parse_str(source).unwrap();
        match expand(&input) {
            Ok(tokens) => tokens.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn a_variant_says_its_name_and_whether_there_is_an_aggregate() {
        let code =
            expanded("enum Do { #[command(new)] Open { limit: u64 }, #[command(existing, name = \"shut\")] Close, Rest(u8) }");
        for spec in ["\"open\" , on : :: amends_sdk :: __exports :: Presence :: New", "\"shut\"", "Existing", "\"rest\"", "Any"] {
            assert!(code.contains(spec), "{spec} in {code}");
        }
        assert!(code.contains("Self :: Rest { .. } => 2usize"), "{code}");
        assert!(code.contains(":: None"), "{code}");
        assert!(expanded("#[command(aggregate = \"door\")] enum Do { Open }").contains("Some (\"door\")"));
    }

    #[test]
    fn what_cannot_be_derived_is_said_in_a_sentence() {
        let cases = [
            ("struct Do;", "the commands of an aggregate are an enum with a variant for each"),
            ("enum Do {}", "an aggregate has at least one command"),
            ("enum Do<T> { Open(T) }", "the commands of an aggregate have no type parameters"),
            ("#[command(new)] enum Do { Open }", "the enum says `aggregate = \"…\"`; the rest belongs on a variant"),
            ("#[command(aggregate = \"C\")] enum Do { Open }", "the name `C` is not of the form [a-z][a-z0-9-]{0,62}"),
            ("enum Do { #[command(old)] Open }", "a command says `new`, `existing` or `name = \"…\"`"),
            ("enum Do { #[command(new, existing)] Open }", "a command is `new` or `existing` or neither"),
            ("enum Do { #[command(existing, new)] Open }", "a command is `new` or `existing` or neither"),
            ("enum Do { Open, #[command(name = \"open\")] Reopen }", "an earlier variant is named `open` too"),
            ("enum Do { #[command(name = \"Open\")] Open }", "the name `Open` is not of the form [a-z][a-z0-9-]{0,62}"),
            (
                "#[serde(tag = \"type\")] enum Do { Open }",
                "serde cannot do this to the commands of an aggregate: \
                 the data of a variant is what it holds, and every variant has its name",
            ),
            (
                "enum Do { #[serde(rename = \"x\")] Open }",
                "serde cannot do this to the commands of an aggregate: \
                 names are those of the variants, or of `#[command(name = \"…\")]`",
            ),
        ];
        for (source, problem) in cases {
            assert_eq!(expanded(source), format!("error: {problem}"), "{source}");
        }
        let many: String = (0..257).map(|number| format!("C{number},")).collect();
        assert_eq!(expanded(&format!("enum Do {{ {many} }}")), "error: 257 commands; an aggregate has at most 256");
    }
}

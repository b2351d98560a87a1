//! `#[derive(Event)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, ExprPath, Ident, LitInt, LitStr, Result, Token, Variant, parenthesized, token};

use crate::attributes::{aggregate_said, enum_of, is_unit, said};
use crate::name::{Name, all_different};
use crate::released;

pub(crate) fn expand(input: &DeriveInput, released: Option<&str>) -> Result<TokenStream> {
    let variants = &enum_of(input, "event")?.variants;
    let events = variants.iter().map(Event::of).collect::<Result<Vec<_>>>()?;
    let aggregate = aggregate_said(&input.attrs, "event")?;
    let rebuild = match released {
        Some(text) => {
            nothing_vanished(&input.ident, aggregate.as_ref(), &events, text)?;
            // Names the file among those that the crate is built of.
            let file = released::FILE;
            quote! {
                const _: &[u8] = ::core::include_bytes!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", #file));
            }
        }
        None => TokenStream::new(),
    };
    let specs = events.iter().map(Event::spec).collect::<Vec<_>>();
    all_different(&events.into_iter().map(|event| event.name).collect::<Vec<_>>())?;
    let aggregate = said(aggregate.as_ref());
    let (idents, indexes) = (variants.iter().map(|variant| &variant.ident), 0..variants.len());
    let index = quote!(match self { #(Self::#idents { .. } => #indexes,)* });
    let implementation = implementation(&input.ident, &aggregate, &specs, &index);
    Ok(quote! { #rebuild #implementation })
}

/// The trait of an enum that could not be read.
pub(crate) fn stub(ident: &Ident) -> TokenStream {
    implementation(ident, &said(None), &[], &quote!(0))
}

fn implementation(ident: &Ident, aggregate: &TokenStream, specs: &[TokenStream], index: &TokenStream) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl ::amends_sdk::Events for #ident {
            const AGGREGATE: ::core::option::Option<&'static str> = #aggregate;
            const EVENTS: &'static [::amends_sdk::__exports::EventSpec<Self>] = &[#(#specs),*];

            fn index(&self) -> usize {
                #index
            }
        }
    }
}

struct Event {
    name: Name,
    version: u32,
    is_unit: bool,
    /// A function for each older version, in their order.
    from: Vec<ExprPath>,
}

impl Event {
    fn of(variant: &Variant) -> Result<Event> {
        let (mut said, mut version, mut from) = (None::<LitStr>, None::<LitInt>, Vec::new());
        for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("event")) {
            attribute.parse_nested_meta(|meta| {
                let word = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                match word.as_str() {
                    "name" => said = Some(meta.value()?.parse()?),
                    "version" => version = Some(meta.value()?.parse()?),
                    "from" => {
                        let value = meta.value()?;
                        from = if value.peek(token::Paren) { list(value)? } else { vec![value.parse()?] };
                    }
                    _ => return Err(meta.error("an event says `name = \"…\"`, `version = 2` or `from = a_function`")),
                }
                Ok(())
            })?;
        }
        let name = Name::of(&variant.ident, said.as_ref())?;
        let number = version.as_ref().map_or(Ok(1), LitInt::base10_parse)?;
        let span = version.map_or_else(|| variant.ident.span(), |version| version.span());
        all_are_read(number, from.len()).map_err(|problem| Error::new(span, problem))?;
        Ok(Event { name, version: number, is_unit: is_unit(&variant.fields), from })
    }

    fn spec(&self) -> TokenStream {
        let Event { name, version, is_unit, from } = self;
        let name = &name.text;
        let reads = from.iter().map(|function| {
            // Types that do not fit are told at the function's name.
            quote_spanned!(function.span()=> |data| ::amends_sdk::__exports::upcast::<Self, _, _, _>(#function, data))
        });
        quote! {
            ::amends_sdk::__exports::EventSpec { name: #name, version: #version, is_unit: #is_unit, from: &[#(#reads),*] }
        }
    }
}

fn list(value: ParseStream) -> Result<Vec<ExprPath>> {
    let inner;
    parenthesized!(inner in value);
    Ok(Punctuated::<ExprPath, Token![,]>::parse_terminated(&inner)?.into_iter().collect())
}

/// Whether there is a function for each version before this one.
fn all_are_read(version: u32, functions: usize) -> std::result::Result<(), String> {
    match version {
        0 => Err("versions count from 1".to_owned()),
        _ if usize::try_from(version - 1) == Ok(functions) => Ok(()),
        1 => Err("the first version of an event has no older ones; say which one this is with `version`".to_owned()),
        _ => Err(format!(
            "before version {version} there were {}, which are read for ever: `from` names a function for each, in their order, \
             and has {functions}",
            version - 1
        )),
    }
}

/// Whether each released event is still read.
fn nothing_vanished(ident: &Ident, aggregate: Option<&Name>, events: &[Event], released: &str) -> Result<()> {
    let file = released::FILE;
    let Some(aggregate) = aggregate.map(|name| name.text.as_str()) else {
        let problem = format!("there is a {file}: say whose events these are, as `#[event(aggregate = \"customer\")]`");
        return Err(Error::new(ident.span(), problem));
    };
    for released in released::events(released, aggregate)? {
        let (name, version) = (released.event, released.version);
        let problem = match events.iter().find(|event| event.name.text == name) {
            Some(event) if version <= event.version => continue,
            Some(event) => format!("and the newest version here is {}", event.version),
            None => format!("and no variant has this name; if one was renamed, add `#[event(name = \"{name}\")]` to it"),
        };
        let problem = format!("{file} says that `event {aggregate}.{name} {version}` was released, {problem}");
        return Err(Error::new(ident.span(), problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(source: &str, released: Option<&str>) -> String {
        let input = syn::parse_str(source).unwrap();
        match expand(&input, released) {
            Ok(tokens) => tokens.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn a_variant_says_its_name_its_version_and_how_older_ones_are_read() {
        let code = expanded(
            "#[event(aggregate = \"customer\")]
             enum Did { Opened { limit: u64 }, #[event(version = 3, from = (of_v1, old::of_v2))] Reserved(u8), #[event(name = \"shut\")] Closed }",
            None,
        );
        for part in [
            "Some (\"customer\")",
            "name : \"opened\" , version : 1u32 , is_unit : false , from : & []",
            "name : \"reserved\" , version : 3u32",
            "(of_v1 , data) , | data | :: amends_sdk :: __exports :: upcast :: < Self , _ , _ , _ > (old :: of_v2 , data)",
            "name : \"shut\" , version : 1u32 , is_unit : true",
            "Self :: Closed { .. } => 2usize",
        ] {
            assert!(code.contains(part), "{part} in {code}");
        }
    }

    #[test]
    fn what_cannot_be_derived_is_said_in_a_sentence() {
        let cases = [
            ("struct Did;", "the events of an aggregate are an enum with a variant for each"),
            ("enum Did { #[event(versions = 2)] A }", "an event says `name = \"…\"`, `version = 2` or `from = a_function`"),
            ("#[event(name = \"x\")] enum Did { A }", "the enum says `aggregate = \"…\"`; the rest belongs on a variant"),
            ("#[event(aggregate = \"C\")] enum Did { A }", "the name `C` is not of the form [a-z][a-z0-9-]{0,62}"),
            ("enum Did { A, #[event(name = \"a\")] B }", "an earlier variant is named `a` too"),
            ("enum Did { #[event(version = 0)] A }", "versions count from 1"),
            (
                "enum Did { #[event(from = f)] A }",
                "the first version of an event has no older ones; say which one this is with `version`",
            ),
            (
                "enum Did { #[event(version = 2)] A }",
                "before version 2 there were 1, which are read for ever: \
                 `from` names a function for each, in their order, and has 0",
            ),
            (
                "enum Did { #[event(version = 3, from = f)] A }",
                "before version 3 there were 2, which are read for ever: \
                 `from` names a function for each, in their order, and has 1",
            ),
        ];
        for (source, problem) in cases {
            assert_eq!(expanded(source, None), format!("error: {problem}"), "{source}");
        }
    }

    const RELEASED: &str = "event customer.opened 1\nevent customer.credit-reserved 2\nevent order.created 7\n";

    #[test]
    fn a_released_name_or_version_that_vanishes_does_not_compile() {
        let customer =
            |variants: &str| expanded(&format!("#[event(aggregate = \"customer\")] enum Did {{ {variants} }}"), Some(RELEASED));
        let complete = customer("Opened, #[event(version = 3, from = (f, g))] CreditReserved, Closed");
        assert!(complete.contains("impl :: amends_sdk :: Events for Did"), "{complete}");
        assert!(complete.contains("(\"CARGO_MANIFEST_DIR\") , \"/\" , \"names.lock\")"), "{complete}");
        assert_eq!(
            customer("Begun, #[event(version = 2, from = f)] CreditReserved"),
            "error: names.lock says that `event customer.opened 1` was released, and no variant has this name; \
             if one was renamed, add `#[event(name = \"opened\")]` to it",
        );
        assert_eq!(
            customer("Opened, CreditReserved"),
            "error: names.lock says that `event customer.credit-reserved 2` was released, and the newest version here is 1",
        );
        let renamed = customer("#[event(name = \"opened\")] Begun, #[event(version = 2, from = f)] CreditReserved");
        assert!(!renamed.starts_with("error"), "{renamed}");
    }

    #[test]
    fn beside_a_lock_an_enum_says_whose_events_it_has() {
        assert_eq!(
            expanded("enum Did { Opened }", Some(RELEASED)),
            "error: there is a names.lock: say whose events these are, as `#[event(aggregate = \"customer\")]`",
        );
    }
}

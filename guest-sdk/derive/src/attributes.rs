//! What the attributes of an enum say, and the ones of serde that would change the form of the data.

use proc_macro2::TokenStream;
use quote::quote;
use syn::punctuated::Punctuated;
use syn::{Attribute, Data, DataEnum, DeriveInput, Error, Fields, LitStr, Meta, Result, Token};

use crate::name::Name;

const VARIANTS_MAX: usize = 256;

/// The enum of a derive, if it is one that can be derived for.
pub(crate) fn enum_of<'a>(input: &'a DeriveInput, kind: &str) -> Result<&'a DataEnum> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(input.ident.span(), format!("the {kind}s of an aggregate are an enum with a variant for each")));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, format!("the {kind}s of an aggregate have no type parameters")));
    }
    match data.variants.len() {
        0 => return Err(Error::new(input.ident.span(), format!("an aggregate has at least one {kind}"))),
        many if many > VARIANTS_MAX => {
            let problem = format!("{many} {kind}s; an aggregate has at most {VARIANTS_MAX}");
            return Err(Error::new(input.ident.span(), problem));
        }
        _ => {}
    }
    let of_enum = ["tag", "content", "untagged", "from", "try_from", "into", "remote", "rename_all"];
    serde_leaves_alone(&input.attrs, &of_enum, kind)?;
    let of_variant = ["rename", "alias", "skip", "skip_serializing", "skip_deserializing", "other", "untagged"];
    for variant in &data.variants {
        serde_leaves_alone(&variant.attrs, &of_variant, kind)?;
    }
    Ok(data)
}

/// Whether a variant holds nothing.
pub(crate) fn is_unit(fields: &Fields) -> bool {
    matches!(fields, Fields::Unit)
}

/// What the enum says of the aggregate: `#[event(aggregate = "…")]` or `#[command(aggregate = "…")]`.
pub(crate) fn aggregate_said(attributes: &[Attribute], kind: &str) -> Result<Option<Name>> {
    let mut said = None::<LitStr>;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(kind)) {
        attribute.parse_nested_meta(|meta| match meta.path.is_ident("aggregate") {
            true => {
                said = Some(meta.value()?.parse()?);
                Ok(())
            }
            false => Err(meta.error("the enum says `aggregate = \"…\"`; the rest belongs on a variant")),
        })?;
    }
    said.as_ref().map(Name::said).transpose()
}

/// The same as an `Option` of the crate that the code goes into.
pub(crate) fn said(aggregate: Option<&Name>) -> TokenStream {
    match aggregate.map(|name| &name.text) {
        Some(name) => quote!(::core::option::Option::Some(#name)),
        None => quote!(::core::option::Option::None),
    }
}

/// The name of an event is not in its data, and neither is that of a command, so serde's own ways to write it have no place here.
fn serde_leaves_alone(attributes: &[Attribute], forbidden: &[&str], kind: &str) -> Result<()> {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        // What serde cannot read either is an error of its own derive, with its own words.
        let Ok(said) = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) else { continue };
        let found = said.iter().find(|meta| forbidden.iter().any(|name| meta.path().is_ident(name)));
        let Some(meta) = found else { continue };
        let remedy = match meta.path().get_ident().map(ToString::to_string).as_deref() {
            Some("rename" | "alias" | "rename_all") => {
                format!("names are those of the variants, or of `#[{kind}(name = \"…\")]`")
            }
            _ => "the data of a variant is what it holds, and every variant has its name".to_owned(),
        };
        return Err(Error::new_spanned(meta, format!("serde cannot do this to the {kind}s of an aggregate: {remedy}")));
    }
    Ok(())
}

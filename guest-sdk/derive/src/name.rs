//! Names on the wire: kebab-case of the variants', and the rule that all names follow.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{Error, Ident, LitStr, Result};

/// A name on the wire, and what in the source said it.
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Name {
    /// The name of a variant: the one that its attribute says, or its own in kebab-case.
    pub(crate) fn of(variant: &Ident, said: Option<&LitStr>) -> Result<Name> {
        match said {
            Some(said) => checked(said.value(), said.span(), ""),
            None => {
                let text = kebab(&variant.unraw().to_string());
                checked(text, variant.span(), "; say another one with `name = \"…\"`")
            }
        }
    }

    /// A name that an attribute says.
    pub(crate) fn said(said: &LitStr) -> Result<Name> {
        checked(said.value(), said.span(), "")
    }
}

fn checked(text: String, span: Span, remedy: &str) -> Result<Name> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(letter) && text.len() <= 63;
    match fits {
        true => Ok(Name { text, span }),
        false => Err(Error::new(span, format!("the name `{text}` is not of the form [a-z][a-z0-9-]{{0,62}}{remedy}"))),
    }
}

/// `CreditReserved` is `credit-reserved`, and `HTTPFailed` is `http-failed`.
fn kebab(variant: &str) -> String {
    let letters: Vec<char> = variant.chars().collect();
    let mut kebab = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let after_small = index > 0 && !letters[index - 1].is_uppercase();
        let before_small = letters.get(index + 1).is_some_and(|next| next.is_lowercase());
        let begins_word = letter.is_uppercase() && index > 0 && (after_small || before_small);
        if begins_word && !kebab.ends_with('-') {
            kebab.push('-');
        }
        match letter {
            '_' => kebab.push('-'),
            _ => kebab.extend(letter.to_lowercase()),
        }
    }
    kebab
}

/// The first name that is there twice is said at the second place.
pub(crate) fn all_different(names: &[Name]) -> Result<()> {
    for (index, name) in names.iter().enumerate() {
        if names[..index].iter().any(|earlier| earlier.text == name.text) {
            return Err(Error::new(name.span, format!("an earlier variant is named `{}` too", name.text)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_variants_in_kebab_case() {
        let cases = [
            ("Opened", "opened"),
            ("CreditReserved", "credit-reserved"),
            ("HTTPFailed", "http-failed"),
            ("PaidByIBAN", "paid-by-iban"),
            ("Step2Done", "step2-done"),
            ("A", "a"),
            ("AToB", "a-to-b"),
            ("Old_Name", "old-name"),
        ];
        for (variant, name) in cases {
            assert_eq!(kebab(variant), name);
        }
    }

    #[test]
    fn a_name_that_the_host_would_refuse_is_refused() {
        let refused = |variant: &str| match Name::of(&Ident::new(variant, Span::call_site()), None) {
            Ok(name) => name.text,
            Err(error) => error.to_string(),
        };
        let rule = "is not of the form [a-z][a-z0-9-]{0,62}; say another one with `name = \"…\"`";
        assert_eq!(refused("Überwiesen"), format!("the name `überwiesen` {rule}"));
        assert_eq!(refused("_Hidden"), format!("the name `-hidden` {rule}"));
        let long = "a".repeat(64);
        assert_eq!(refused(&long), format!("the name `{long}` {rule}"));
    }
}

//! The derives of `amends-sdk`, which exports and documents them: the names of an aggregate's commands and events.

mod attributes;
mod command;
mod event;
mod name;
mod released;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes an enum the commands of an aggregate: it names each variant, and says whether there must be an aggregate before it.
///
/// | on a variant | |
/// |---|---|
/// | | the command is named like the variant: `ReserveCredit` is `reserve-credit` |
/// | `#[command(name = "reserve")]` | another name |
/// | `#[command(new)]` | only where no aggregate of the id is yet: else the host refuses it with `exists` |
/// | `#[command(existing)]` | only where there is one: else the host refuses it with `no_such_aggregate` |
///
/// | on the enum | |
/// |---|---|
/// | `#[command(aggregate = "customer")]` | the aggregate's name, so that policies can send the commands |
///
/// The data of a command is what its variant holds, as JSON: an object of the fields, the one value of a tuple variant, or `null`
/// or `{}` for a variant that holds nothing. The enum also derives serde's `Deserialize`; with `Serialize` tests can send it. One
/// that is itself called `Command` derives `amends_sdk::Command` by its path.
#[proc_macro_derive(Command, attributes(command))]
pub fn command(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    command::expand(&input).unwrap_or_else(|error| with_stub(&error, command::stub(&input.ident))).into()
}

/// Makes an enum the events of an aggregate: it names each variant, and says in which form its data is recorded and which older
/// forms are read.
///
/// | on a variant | |
/// |---|---|
/// | | the event is named like the variant, behind the aggregate's name: `CreditReserved` of `customer` is `customer.credit-reserved` |
/// | `#[event(name = "reserved")]` | another name |
/// | `#[event(version = 2, from = of_v1)]` | its data has a second form; the function makes the event of data in the first one |
/// | `#[event(version = 3, from = (of_v1, of_v2))]` | and so on, a function for each older form, in their order |
///
/// | on the enum | |
/// |---|---|
/// | `#[event(aggregate = "customer")]` | the aggregate's name, so that projections and policies can read the events, and the build can compare the names with `names.lock` |
///
/// The data of an event is what its variant holds, as that of a command; an event that holds nothing is `null`. The enum also
/// derives serde's `Serialize` and `Deserialize`. One that is itself called `Event` derives `amends_sdk::Event` by its path.
///
/// A function that reads an older form is `fn(Old) -> Enum` or `fn(Old) -> Result<Enum, impl Display>`, where `Old` is any type
/// that serde reads, also a `serde_json::Value`. Each makes the event as it is today: when the form changes again, the compiler
/// shows each of them that must follow.
///
/// # Released names
///
/// What was recorded is read for ever, so a name that was once released must stay. If there is a file `names.lock` beside the
/// crate's `Cargo.toml`, it lists the released ones, a line each, as `event customer.credit-reserved 2`, and an enum that no
/// longer reads one of them does not compile. A test that calls `Module::check` finds names that the file lacks; with
/// `AMENDS_NAMES=write` in its environment it adds them, and makes the file if there is none:
///
/// ```sh
/// AMENDS_NAMES=write cargo test
/// ```
///
/// Commit the file. A name that was never released can be removed from it by hand.
#[proc_macro_derive(Event, attributes(event))]
pub fn event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let expanded = released::read().and_then(|released| event::expand(&input, released.as_deref()));
    expanded.unwrap_or_else(|error| with_stub(&error, event::stub(&input.ident))).into()
}

/// An error, and a trait that is implemented all the same: without it each use of the enum would be an error too, and hide this
/// one.
fn with_stub(error: &syn::Error, stub: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    let error = error.to_compile_error();
    quote::quote! { #error #stub }
}

//! Which document an event is about.

use super::rows;
use crate::{Recorded, host};

/// A function that says which document an event is about: `fn(&Recorded<E>) -> Option<String>`, or with `&mut`[`Links`] as second
/// argument. It may return a `String` too.
#[diagnostic::on_unimplemented(
    message = "this does not say which document an event is about",
    label = "not a `fn(&Recorded<E>) -> Option<String>`, nor one with `&mut amends_sdk::Links` as second argument"
)]
pub trait Key<E, Shape> {
    #[doc(hidden)]
    fn key(&self, event: &Recorded<E>, links: &mut Links) -> Option<String>;
}

/// A function of the event alone.
pub struct One<K>(K);

/// A function of the event and the links.
pub struct Two<K>(K);

impl<E, K: Into<Option<String>>, F: Fn(&Recorded<E>) -> K> Key<E, One<K>> for F {
    fn key(&self, event: &Recorded<E>, _: &mut Links) -> Option<String> {
        self(event).into()
    }
}

impl<E, K: Into<Option<String>>, F: Fn(&Recorded<E>, &mut Links) -> K> Key<E, Two<K>> for F {
    fn key(&self, event: &Recorded<E>, links: &mut Links) -> Option<String> {
        self(event, links).into()
    }
}

/// Names that lead to keys of documents, for events that do not say which document they are about.
///
/// Only the first event of an order says whose it is, for example; a link from the order to its customer says it for the others.
/// Links are rows of the projection: they are built with the documents, and serve as long.
///
/// ```
/// use amends_sdk::testing::given;
/// use amends_sdk::{Documents, Event, Links, Projection, Recorded};
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
///
/// #[derive(Event, Serialize, Deserialize)]
/// #[event(aggregate = "order")]
/// enum Did { Created { customer: String }, Shipped }
///
/// fn customer(event: &Recorded<Did>, orders: &mut Links) -> Option<String> {
///     match &event.event {
///         Did::Created { customer } => {
///             orders.put(&event.key, customer);
///             Some(customer.clone())
///         }
///         Did::Shipped => orders.get(&event.key),
///     }
/// }
///
/// let shipped: Projection<Documents<u32>> = Projection::documents("shipped")
///     .on(customer, |shipped: &mut u32, event: Recorded<Did>| *shipped += u32::from(matches!(event.event, Did::Shipped)))
///     .query("all", |shipped: &Documents<u32>| shipped.list("", None, 1000));
/// given(shipped)
///     .events("O1", [Did::Created { customer: "ada".into() }, Did::Shipped])
///     .events("O2", [Did::Created { customer: "ada".into() }])
///     .query("all", json!({}))
///     .then(r#"[["ada",1]]"#);
/// ```
pub struct Links;

/// No text in UTF-8 has this byte, so that links come behind all documents.
pub(super) const FIRST_BYTE: u8 = 0xff;

impl Links {
    /// The key to which a name leads, if it leads to one.
    pub fn get(&self, name: &str) -> Option<String> {
        get(name)
    }

    /// Lets a name lead to a key, and no longer to another one. A name has at most 1,023 bytes.
    pub fn put(&mut self, name: &str, key: &str) {
        host::put_row(&row_key(name), key.as_bytes());
    }

    /// Lets a name lead nowhere.
    pub fn remove(&mut self, name: &str) {
        host::delete_row(&row_key(name));
    }
}

pub(super) fn get(name: &str) -> Option<String> {
    let row_key = row_key(name);
    let key = rows::fits(&row_key).then(|| host::row(&row_key))??;
    String::from_utf8(key).ok()
}

fn row_key(name: &str) -> Vec<u8> {
    [&[FIRST_BYTE], name.as_bytes()].concat()
}

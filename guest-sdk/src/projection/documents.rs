//! Documents: JSON values by key, for queries to read and for events to change.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rows::KEY_MAX;
use super::{View, key, rows};
use crate::host;
use crate::stop::Failure;

/// In bytes.
const DOCUMENT_MAX: usize = 65_536;

/// The documents of a projection, as a query reads them: all as of one moment.
///
/// ```
/// use amends_sdk::Documents;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Trips { flights: Vec<String> }
///
/// fn flights(trips: &Documents<Trips>, passenger: &str) -> Option<usize> {
///     trips.get(passenger).map(|trips| trips.flights.len())
/// }
/// ```
///
/// A document that does not read ends the call: the form of the documents has changed, and
/// [`rows_version`](crate::Projection::rows_version) has not.
pub struct Documents<D> {
    projection: String,
    documents: PhantomData<fn() -> D>,
}

/// Whether a document stays after an event. A `fold` that returns nothing keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// It stays.
    Kept,
    /// There is no document with its key any more. A later event begins a new one.
    Removed,
}

/// What a `fold` returns: nothing, or a [`Document`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whether the document stays",
    label = "a `fold` returns nothing or an `amends_sdk::Document`"
)]
pub trait Folded {
    #[doc(hidden)]
    fn folded(self) -> Document;
}

impl Folded for () {
    fn folded(self) -> Document {
        Document::Kept
    }
}

impl Folded for Document {
    fn folded(self) -> Document {
        self
    }
}

impl<D: DeserializeOwned> Documents<D> {
    /// The document with this key.
    pub fn get(&self, key: &str) -> Option<D> {
        let row = rows::fits(key.as_bytes()).then(|| host::row(key.as_bytes()))??;
        Some(self.read(key, &row))
    }

    /// The first `limit` documents whose keys begin with `prefix` and come behind `after`, in the order of their keys, which is that
    /// of their bytes. A page ends with the key that the next one comes behind.
    ///
    /// One call of a query reads at most 100,000 documents.
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<(String, D)> {
        let rows = rows::scan(prefix.as_bytes(), after.map(str::as_bytes), limit, false);
        let documents = rows.into_iter().map_while(|(key, row)| {
            // The first link is behind the last document.
            let key = String::from_utf8(key).ok()?;
            let document = self.read(&key, &row);
            Some((key, document))
        });
        documents.collect()
    }

    /// The key to which a name leads: see [`Links`](crate::Links).
    pub fn link(&self, name: &str) -> Option<String> {
        key::get(name)
    }

    fn read(&self, key: &str, row: &[u8]) -> D {
        decode(&self.projection, key, row).unwrap_or_else(|failure| panic!("{}", failure.message))
    }
}

/// The documents of the events of one call: each is read once and written once.
pub struct Cache<D> {
    projection: String,
    documents: BTreeMap<String, Cached<D>>,
}

struct Cached<D> {
    document: Option<D>,
    /// As it was read.
    row: Option<Vec<u8>>,
}

impl<D: Default + Serialize + DeserializeOwned> Cache<D> {
    /// Takes something into the document with this key, or into a new one.
    pub(super) fn fold(&mut self, key: String, fold: impl FnOnce(&mut D) -> Document) -> Result<(), Failure> {
        let Cache { projection, documents } = self;
        let document = match documents.entry(key) {
            Entry::Occupied(cached) => &mut cached.into_mut().document,
            Entry::Vacant(unread) => {
                let cached = Cached::read(projection, unread.key())?;
                &mut unread.insert(cached).document
            }
        };
        if fold(document.get_or_insert_default()) == Document::Removed {
            *document = None;
        }
        Ok(())
    }

    fn write(self) -> Result<(), Failure> {
        for (key, Cached { document, row }) in self.documents {
            let now = document.map(|document| encode(&self.projection, &key, &document)).transpose()?;
            match now {
                _ if now == row => {}
                Some(now) => host::put_row(key.as_bytes(), &now),
                None => host::delete_row(key.as_bytes()),
            }
        }
        Ok(())
    }
}

impl<D: DeserializeOwned> Cached<D> {
    fn read(projection: &str, key: &str) -> Result<Cached<D>, Failure> {
        if !rows::fits(key.as_bytes()) {
            let message = format_args!("the key of a document of {projection} has 1 to {KEY_MAX} bytes, not {}", key.len());
            return Err(Failure::new("bad_key", message));
        }
        let row = host::row(key.as_bytes());
        let document = row.as_ref().map(|row| decode(projection, key, row)).transpose()?;
        Ok(Cached { document, row })
    }
}

impl<D: Default + Serialize + DeserializeOwned + 'static> View for Documents<D> {
    type Batch = Cache<D>;

    fn of(projection: &str) -> Documents<D> {
        Documents { projection: projection.to_owned(), documents: PhantomData }
    }

    fn begin(projection: &str) -> Cache<D> {
        Cache { projection: projection.to_owned(), documents: BTreeMap::new() }
    }

    fn end(batch: Cache<D>) -> Result<(), Failure> {
        batch.write()
    }
}

fn encode<D: Serialize>(projection: &str, key: &str, document: &D) -> Result<Vec<u8>, Failure> {
    let failed = |why: String| Failure::new("bad_document", format_args!("the document {key} of {projection} {why}"));
    let row = serde_json::to_vec(document).map_err(|error| failed(format!("does not serialize: {error}")))?;
    if row.len() > DOCUMENT_MAX {
        return Err(failed(format!("has {} bytes; at most {DOCUMENT_MAX}", row.len())));
    }
    Ok(row)
}

fn decode<D: DeserializeOwned>(projection: &str, key: &str, row: &[u8]) -> Result<D, Failure> {
    serde_json::from_slice(row).map_err(|error| {
        let remedy = "raise `rows_version` when the form of the documents changes";
        Failure::new("bad_document", format_args!("the document {key} of {projection} does not read: {error}; {remedy}"))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::host::{Row, Rows, World, inside};
    use crate::log::Level;
    use crate::{Moment, http};

    /// Rows that say what is asked of them. There is one under the key `old`, which says 7.
    #[derive(Default)]
    struct Told(RefCell<Vec<String>>);

    impl Rows for Told {
        fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
            self.0.borrow_mut().push(format!("get {}", key.escape_ascii()));
            (key == b"old").then(|| b"7".to_vec())
        }

        fn put(&self, key: &[u8], value: &[u8]) {
            self.0.borrow_mut().push(format!("put {} {}", key.escape_ascii(), value.escape_ascii()));
        }

        fn delete(&self, key: &[u8]) {
            self.0.borrow_mut().push(format!("delete {}", key.escape_ascii()));
        }

        fn scan(&self, _: &[u8], _: Option<&[u8]>, _: u32, _: bool) -> Vec<Row> {
            unreachable!("no event scans")
        }
    }

    impl World for Told {
        fn now(&self) -> Moment {
            unreachable!()
        }

        fn attempt_started_at(&self) -> Moment {
            unreachable!()
        }

        fn new_id(&self) -> String {
            unreachable!()
        }

        fn random_bytes(&self, _: u32) -> Vec<u8> {
            unreachable!()
        }

        fn config(&self, _: &str) -> Option<String> {
            unreachable!()
        }

        fn secret(&self, _: &str) -> Option<String> {
            unreachable!()
        }

        fn log(&self, _: Level, _: &str) {}

        fn send(&self, _: &http::Request) -> Result<http::Response, http::Error> {
            unreachable!()
        }

        fn rows(&self) -> &dyn Rows {
            self
        }
    }

    /// What is asked of the rows when these events come at once: a number is added to the document, and none removes it.
    fn asked(events: &[(&str, Option<u64>)]) -> String {
        let told = Rc::new(Told::default());
        inside(told.clone(), || {
            let mut cache = Documents::<u64>::begin("sums");
            for (key, number) in events {
                let fold = |sum: &mut u64| {
                    *sum += number.unwrap_or_default();
                    if number.is_some() { Document::Kept } else { Document::Removed }
                };
                cache.fold((*key).to_owned(), fold).unwrap();
            }
            Documents::end(cache).unwrap();
        });
        told.0.take().join(", ")
    }

    #[test]
    fn a_document_is_read_once_and_written_once() {
        assert_eq!(asked(&[("old", Some(1)), ("new", Some(2)), ("old", Some(3))]), "get old, get new, put new 2, put old 11");
        assert_eq!(asked(&[("old", Some(0))]), "get old");
        assert_eq!(asked(&[("old", Some(1)), ("old", None)]), "get old, delete old");
        assert_eq!(asked(&[("old", None), ("old", Some(7))]), "get old");
        assert_eq!(asked(&[("new", Some(1)), ("new", None)]), "get new");
    }
}

//! What surrounds a projection: its rows, and nothing else.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::host::{Row, Rows, World};
use crate::log::Level;
use crate::{Moment, http};

/// In bytes.
const KEY_MAX: usize = 1024;
/// In bytes.
const VALUE_MAX: usize = 65_536;
/// The most rows of one scan.
const SCAN_MAX: u32 = 1000;

#[derive(Default)]
pub(super) struct RowsWorld {
    rows: RefCell<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Whether a query is around.
    asked: Cell<bool>,
}

impl RowsWorld {
    /// From now on the rows are only read.
    pub(super) fn for_query(&self) {
        self.asked.set(true);
    }

    /// The first row that is not the same in both; JSON is compared by what it says.
    pub(super) fn difference(&self, other: &RowsWorld) -> Option<String> {
        let (these, those) = (self.rows.borrow(), other.rows.borrow());
        let key = these.keys().chain(those.keys()).find(|key| !same(these.get(*key), those.get(*key)))?;
        let shown = |value: Option<&Vec<u8>>| value.map_or("nothing".into(), |value| String::from_utf8_lossy(value).into_owned());
        Some(format!("{}: {}\nnot {}", key.escape_ascii(), shown(those.get(key)), shown(these.get(key))))
    }

    fn nothing(&self, what: &str) -> ! {
        match self.asked.get() {
            true => panic!("the query asks for {what}; an answer depends on the view and the parameters alone"),
            false => panic!("it asks for {what}; a view depends on its events alone, so put it into the event"),
        }
    }

    fn change(&self, key: &[u8]) -> std::cell::RefMut<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        assert!(!self.asked.get(), "the query writes; only events change rows");
        check(key);
        self.rows.borrow_mut()
    }
}

fn same(one: Option<&Vec<u8>>, other: Option<&Vec<u8>>) -> bool {
    let parsed = |row: &[u8]| serde_json::from_slice::<serde_json::Value>(row).ok();
    match (one, other) {
        (Some(one), Some(other)) => one == other || parsed(one).is_some_and(|one| Some(one) == parsed(other)),
        _ => one == other,
    }
}

fn check(key: &[u8]) {
    assert!((1..=KEY_MAX).contains(&key.len()), "the key of a row has 1 to {KEY_MAX} bytes, not {}", key.len());
}

impl Rows for RowsWorld {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        check(key);
        self.rows.borrow().get(key).cloned()
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        assert!(value.len() <= VALUE_MAX, "the value of a row has at most {VALUE_MAX} bytes, not {}", value.len());
        self.change(key).insert(key.to_vec(), value.to_vec());
    }

    fn delete(&self, key: &[u8]) {
        self.change(key).remove(key);
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: u32, reverse: bool) -> Vec<Row> {
        assert!(limit <= SCAN_MAX, "a scan returns at most {SCAN_MAX} rows, not {limit}");
        let rows = self.rows.borrow();
        let is_behind = |key: &[u8]| after.is_none_or(|after| if reverse { key < after } else { key > after });
        let found = rows.iter().filter(|(key, _)| key.starts_with(prefix) && is_behind(key));
        let found: Box<dyn Iterator<Item = _>> = if reverse { Box::new(found.rev()) } else { Box::new(found) };
        found.take(limit as usize).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl World for RowsWorld {
    fn now(&self) -> Moment {
        self.nothing("the time")
    }

    fn attempt_started_at(&self) -> Moment {
        self.nothing("the time")
    }

    fn new_id(&self) -> String {
        self.nothing("an id")
    }

    fn random_bytes(&self, _: u32) -> Vec<u8> {
        self.nothing("random bytes")
    }

    fn config(&self, _: &str) -> Option<String> {
        self.nothing("a setting")
    }

    fn secret(&self, _: &str) -> Option<String> {
        self.nothing("a secret")
    }

    fn log(&self, _: Level, _: &str) {}

    fn send(&self, request: &http::Request) -> Result<http::Response, http::Error> {
        self.nothing(&format!("{} {}", request.method(), request.url()))
    }

    fn rows(&self) -> &dyn Rows {
        self
    }
}

//! A schedule as it is shown.

use amends_core::{
    Instant, Payload,
    id::Namespace,
    schedule::{Calendar as _, Schedule},
};

use super::{ScheduleKey, calendar::Calendar, kept};
use crate::{
    journal::keys,
    store::{Row, Store, StoreError, Table},
};

/// Moments that are shown of what comes: enough to see that an expression means what was meant.
const NEXT_SHOWN: usize = 5;

/// A schedule with what follows from it.
#[derive(Clone, Debug)]
pub struct ScheduleView {
    /// Its name.
    pub name: String,
    /// What it is.
    pub schedule: Schedule,
    /// What its sagas are started with; none in a page, of which a thousand would be too much.
    pub input: Option<Payload>,
    /// The moments that are due next, at most five, as if it were not paused.
    pub next: Vec<Instant>,
}

impl ScheduleView {
    pub(crate) fn new(name: &str, schedule: Schedule, input: Option<Payload>) -> Self {
        let calendar = Calendar::of(&schedule.spec.when);
        let next = std::iter::successors(schedule.next, |due| calendar.after(*due)).take(NEXT_SHOWN).collect();
        Self { name: name.to_owned(), schedule, input, next }
    }
}

/// One, as of its last committed record.
pub(crate) fn one(store: &dyn Store, key: &ScheduleKey) -> Result<Option<ScheduleView>, StoreError> {
    let Some(row) = store.row(Table::Schedules, &keys::schedule(&key.0, &key.1))? else { return Ok(None) };
    let schedule = kept::decode(&row)?;
    let input = kept::input_of(&schedule, store.log(schedule.made_at, 1)?.pop())?;
    Ok(Some(ScheduleView::new(&key.1, schedule, Some(input))))
}

/// Those of a namespace by name, after this one.
pub(crate) fn page(
    store: &dyn Store,
    namespace: &Namespace,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<ScheduleView>, StoreError> {
    let all = keys::schedules(namespace, limit);
    let range = match after {
        Some(name) => all.after(&keys::schedule(namespace, name)),
        None => all,
    };
    let view = |row: &Row| {
        let (_, name) = keys::parse_schedule(&row.key)?;
        Ok(ScheduleView::new(&name, kept::decode(&row.value)?, None))
    };
    store.rows(&range)?.iter().map(view).collect()
}

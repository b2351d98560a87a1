//! Projections under test: the events so far, and what queries answer.

mod rows;

use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::write_variant;
use crate::bindings::imports::amends::module::types::{Payload, RecordedEvent};
use crate::bindings::projections::exports::amends::module::projection as wit;
use crate::host::inside;
use crate::projection::{Untyped, View};
use crate::stop::Failure;
use crate::testing::trace::Trace;
use crate::testing::world::START_MS;
use crate::{__exports, Documents, Events, Module, Moment, payload};

use rows::RowsWorld;

/// The most events of one call.
const BATCH_MAX: usize = 1000;

/// A projection under test: the events so far, and what queries answer.
///
/// ```
/// use amends_sdk::testing::given;
/// # use amends_sdk::{Documents, Event, Projection, Recorded};
/// # use serde::{Deserialize, Serialize};
/// # use serde_json::json;
/// # #[derive(Event, Serialize, Deserialize)] #[event(aggregate = "account")]
/// # enum Did { #[event(version = 2, from = in_euros)] PaidIn { cents: u64 } }
/// # #[derive(Deserialize)] struct InEuros { euros: u64 }
/// # fn in_euros(old: InEuros) -> Did { Did::PaidIn { cents: old.euros * 100 } }
/// # #[derive(Default, Serialize, Deserialize)] struct Balance { cents: u64 }
/// # #[derive(Deserialize)] struct Of { account: String }
/// # fn pay_in(balance: &mut Balance, event: Recorded<Did>) { let Did::PaidIn { cents } = event.event; balance.cents += cents; }
/// # fn balances() -> Projection<Documents<Balance>> {
/// #     Projection::documents("balances")
/// #         .on(|event: &Recorded<Did>| event.key.clone(), pay_in)
/// #         .query("of", |balances: &Documents<Balance>, of: Of| balances.get(&of.account))
/// # }
///
/// given(balances())
///     .events("A", [Did::PaidIn { cents: 500 }, Did::PaidIn { cents: 34 }])
///     .stored("account.paid-in", 1, "A", json!({"euros": 7})) // as an older version of the module recorded it
///     .query("of", json!({"account": "A"}))
///     .query("of", json!({"account": "B"}))
///     .then(
///         r#"{"cents":1234}
///            failed not_found"#,
///     );
/// ```
///
/// Events and questions go the way that they go in the host, through JSON and rows. The events are taken at once, and once more one
/// at a time, as the host may give them; a test stops where the rows differ. The kit's own part is small: rows by key, and the
/// limits of keys and values. It has no schemas and no limits of a call, and no positions but numbers.
pub struct Journal<V> {
    projection: Rc<dyn Untyped>,
    events: Vec<RecordedEvent>,
    now: Moment,
    trace: Trace,
    /// How many lines of the trace `then` has compared already.
    shown: usize,
    /// What the latest query came to.
    latest: Option<Result<Payload, Failure>>,
    view: PhantomData<fn() -> V>,
}

impl<V: View> Journal<V> {
    pub(super) fn new(projection: Rc<dyn Untyped>) -> Journal<V> {
        Journal {
            projection,
            events: Vec::new(),
            now: Moment::from_millis(START_MS),
            trace: Trace::default(),
            shown: 0,
            latest: None,
            view: PhantomData,
        }
    }

    /// Records events of the aggregate with this id; its name is the one that the enum says.
    ///
    /// Panics if the projection does not read them.
    #[must_use = "nothing happens until `query`"]
    #[track_caller]
    pub fn events<E: Events>(mut self, id: &str, events: impl IntoIterator<Item = E>) -> Self {
        for event in events {
            let spec = &E::EVENTS[event.index()];
            let data =
                write_variant(&event).unwrap_or_else(|error| panic!("the event {} does not serialize: {error}", spec.name));
            let event_type = format!("{}.{}", E::AGGREGATE.unwrap_or_default(), spec.name);
            self.record(&event_type, spec.version, id, Some(payload::json(data)));
        }
        self
    }

    /// Records an event of an aggregate as it is stored, for example by an older version of the module: its type as
    /// `customer.opened`, the version of its form, the aggregate's id, and its data.
    ///
    /// Panics if the projection does not read events of this type.
    #[must_use = "nothing happens until `query`"]
    #[track_caller]
    pub fn stored(mut self, event_type: &str, version: u32, id: &str, data: impl Serialize) -> Self {
        let data = payload::encode(&data).unwrap_or_else(|error| panic!("the data of {event_type} does not serialize: {error}"));
        self.record(event_type, version, id, Some(data));
        self
    }

    /// Records an event of an aggregate, by its type and the aggregate's id, whose data was erased.
    #[must_use = "nothing happens until `query`"]
    #[track_caller]
    pub fn erased(mut self, event_type: &str, id: &str) -> Self {
        self.record(event_type, 1, id, None);
        self
    }

    /// Publishes an event, with its type, its key and its data.
    ///
    /// Panics if the projection does not read events of this type.
    #[must_use = "nothing happens until `query`"]
    #[track_caller]
    pub fn published(mut self, event_type: &str, key: &str, data: impl Serialize) -> Self {
        let data = payload::encode(&data).unwrap_or_else(|error| panic!("the data of {event_type} does not serialize: {error}"));
        self.record(event_type, 1, key, Some(data));
        if let Some(event) = self.events.last_mut() {
            (event.revision, event.source) = (0, "test".to_owned());
        }
        self
    }

    /// Lets time pass, so that later events are recorded later.
    #[must_use = "nothing happens until `query`"]
    pub fn advance(mut self, time: Duration) -> Self {
        self.now = self.now + time;
        self
    }

    /// Asks a question, by the name of the query and its parameters.
    ///
    /// Panics if the projection has no such query, if it stops at an event, and if a function of it panics or does what the host
    /// forbids.
    #[track_caller]
    pub fn query(mut self, name: &str, parameters: impl Serialize) -> Self {
        let known = self.projection.definition();
        assert!(known.queries.iter().any(|query| query.name == name), "the projection {} has no query {name}", known.name);
        let parameters = payload::encode(&parameters).unwrap_or_else(|error| panic!("the parameters do not serialize: {error}"));
        let question = wit::Question { projection: known.name, name: name.to_owned(), parameters };
        let answer = inside(self.readable(), || __exports::query(self.module(), &question));
        let answer = answer.map_err(|failure| Failure::from(&failure));
        self.trace.push(match &answer {
            Ok(answer) => payload::text(answer).unwrap_or("bytes").to_owned(),
            Err(failure) => format!("failed {}", failure.code),
        });
        self.latest = Some(answer);
        self
    }

    /// Compares what the queries since the last `then` came to, a line each; blanks around lines do not count.
    ///
    /// ```text
    /// {"orders":[]}
    /// failed not_found
    /// ```
    ///
    /// Equal lines that follow each other are one with a count, `failed not_found ×2`. Panics with both texts if they differ.
    #[track_caller]
    pub fn then(mut self, expected: &str) -> Self {
        self.shown = self.trace.compare(self.shown, expected);
        self
    }

    /// What the latest query answered. Panics if it failed, or is no `T`.
    #[track_caller]
    pub fn answer<T: DeserializeOwned>(&self) -> T {
        match self.latest.as_ref().map(|latest| latest.as_ref().map(payload::decode)) {
            Some(Ok(Ok(answer))) => answer,
            Some(Ok(Err(error))) => panic!("the answer is not what was expected: {error}"),
            Some(Err(failure)) => panic!("the latest query failed: {failure}"),
            None => panic!("there was no query"),
        }
    }

    /// Why the latest query failed, if it did.
    pub fn failure(&self) -> Option<Failure> {
        self.latest.as_ref().and_then(|latest| latest.as_ref().err().cloned())
    }

    #[track_caller]
    fn record(&mut self, event_type: &str, version: u32, key: &str, data: Option<Payload>) {
        let name = self.projection.name();
        let reads = self.projection.types().iter().any(|known| known.name == event_type);
        assert!(reads, "the projection {name} does not read events {event_type}");
        let source = event_type.split_once('.').map_or(event_type, |(aggregate, _)| aggregate).to_owned();
        let earlier = self.events.iter().filter(|event| event.source == source && event.key == key);
        let (revision, number) = (earlier.count() as u64 + 1, self.events.len() + 1);
        self.events.push(RecordedEvent {
            id: format!("event-{number}"),
            event_type: event_type.to_owned(),
            version,
            source,
            key: key.to_owned(),
            revision,
            position: number.to_string(),
            at: self.now.as_millis(),
            correlation: "test".to_owned(),
            data,
        });
    }

    fn module(&self) -> Module {
        Module::of_projection("test", self.projection.clone())
    }

    /// The rows that the events come to, for a query.
    #[track_caller]
    fn readable(&self) -> Rc<RowsWorld> {
        let (at_once, one_at_a_time) = (self.projected(BATCH_MAX), self.projected(1));
        if let Some(difference) = at_once.difference(&one_at_a_time) {
            panic!(
                "{} makes other rows of the same events when they come one at a time; a document serializes all that `fold` needs, \
                 and `fold` depends on its arguments alone\n{difference}",
                self.projection.name()
            );
        }
        at_once.for_query();
        at_once
    }

    /// The rows that the events come to, so many at a time.
    #[track_caller]
    fn projected(&self, at_a_time: usize) -> Rc<RowsWorld> {
        let world = Rc::new(RowsWorld::default());
        for events in self.events.chunks(at_a_time) {
            let batch = wit::Batch { projection: self.projection.name().to_owned(), events: events.to_vec() };
            if let Err(failure) = inside(world.clone(), || __exports::project(self.module(), &batch)) {
                panic!("{} stops: {}", self.projection.name(), Failure::from(&failure));
            }
        }
        world
    }
}

impl<D: Default + Serialize + DeserializeOwned + 'static> Journal<Documents<D>> {
    /// The document with this key.
    #[track_caller]
    pub fn document(&self, key: &str) -> Option<D> {
        inside(self.readable(), || Documents::of(self.projection.name()).get(key))
    }
}

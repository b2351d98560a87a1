//! Projections: views of recorded events, in the form in which readers ask for it.

mod documents;
mod key;
mod query;
mod reading;
mod rows;
mod untyped;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Events;
use crate::recorded::{self, Erased, Recorded};
use crate::stop::Failure;

use documents::Cache;
pub use documents::{Document, Documents, Folded};
pub use key::{Key, Links};
pub use query::{Answer, Query};
use reading::{Reading, Taken, Type};
pub use rows::Rows;
pub(crate) use untyped::Untyped;

/// A projection: it makes a view of recorded events, and answers questions about it.
///
/// The host gives it the events that it reads, of any aggregates and published ones, in the order of the journal. `V` is what it
/// makes of them: [`Documents`], which most projections make, or [`Rows`].
///
/// ```
/// use amends_sdk::testing::given;
/// use amends_sdk::{Document, Documents, Event, Module, Projection, Recorded};
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
///
/// /// What is recorded of a flight, which is an aggregate of this module or of another one.
/// #[derive(Event, Serialize, Deserialize)]
/// #[event(aggregate = "flight")]
/// enum Flight {
///     Scheduled { seats: u32 },
///     Booked { passenger: String },
///     Landed,
/// }
///
/// /// A document: what a passenger wants to see.
/// #[derive(Default, Serialize, Deserialize)]
/// struct Trips { flights: Vec<String>, latest_ms: u64 }
///
/// #[derive(Deserialize)]
/// struct Of { passenger: String }
///
/// fn trips() -> Projection<Documents<Trips>> {
///     Projection::documents("trips")
///         .on(passenger, book)
///         .query("of", |trips: &Documents<Trips>, of: Of| trips.get(&of.passenger))
/// }
///
/// /// Which document an event is about.
/// fn passenger(event: &Recorded<Flight>) -> Option<String> {
///     match &event.event {
///         Flight::Booked { passenger } => Some(passenger.clone()),
///         Flight::Scheduled { .. } | Flight::Landed => None,
///     }
/// }
///
/// /// Takes the event into the document.
/// fn book(trips: &mut Trips, event: Recorded<Flight>) {
///     trips.flights.push(event.key);
///     trips.latest_ms = event.at.as_millis();
/// }
///
/// fn module() -> Module {
///     Module::new("travel").projection(trips())
/// }
/// amends_sdk::export!(projection: module); // with aggregates: export!(aggregate: module, projection: module)
///
/// given(trips())
///     .events("LH1", [Flight::Scheduled { seats: 2 }, Flight::Booked { passenger: "ada".into() }])
///     .events("LH2", [Flight::Booked { passenger: "ada".into() }])
///     .query("of", json!({"passenger": "ada"}))
///     .query("of", json!({"passenger": "bob"}))
///     .then(
///         r#"{"flights":["LH1","LH2"],"latest_ms":1767225600000}
///            failed not_found"#,
///     );
/// ```
///
/// # What may not happen
///
/// A projection is pure: what it makes depends on the events and its rows alone, and it asks for nothing else, as the time. The
/// host can then build its rows again at any time. Nothing is decided on a view: it comes after the events, and a decision needs an
/// aggregate. The test kit stops at a breach, and at rows that depend on how many events come at once.
///
/// An event that cannot be read stops the projection: `unreadable_event` names the event, its type, its version and why. So does
/// a panic. The projection goes on with a version of the module that reads the event.
///
/// # Erased data
///
/// An event whose data was erased, for example because a person had a right to that, is skipped, if
/// [`on_erased`](Projection::on_erased) does not say otherwise. An event that holds nothing has nothing to lose, and is taken as ever.
#[must_use = "a projection does nothing until a module has it"]
pub struct Projection<V: View> {
    name: Cow<'static, str>,
    readings: Vec<Reading<V::Batch>>,
    on_erased: Option<Box<Taking<V::Batch, Erased>>>,
    queries: Vec<(String, Box<dyn query::Asking<V>>)>,
    rows_version: Option<u32>,
    /// By the name of the query.
    schemas: Vec<(String, String)>,
}

type Taking<B, E> = dyn Fn(&mut B, Recorded<E>) -> Result<(), Failure>;

/// What a projection makes of events: [`Documents`] or [`Rows`].
pub trait View: Sized + 'static {
    /// Where the events of one call are taken.
    #[doc(hidden)]
    type Batch;

    /// That of the projection of this name, for its queries.
    #[doc(hidden)]
    fn of(projection: &str) -> Self;

    #[doc(hidden)]
    fn begin(projection: &str) -> Self::Batch;

    /// Writes what the call has changed.
    #[doc(hidden)]
    fn end(batch: Self::Batch) -> Result<(), Failure>;
}

impl<V: View> Projection<V> {
    fn new(name: Cow<'static, str>) -> Projection<V> {
        Projection { name, readings: Vec::new(), on_erased: None, queries: Vec::new(), rows_version: None, schemas: Vec::new() }
    }

    fn reading<E>(
        mut self,
        types: Vec<Type>,
        read: impl Fn(&recorded::Raw) -> Result<Option<E>, String> + 'static,
        take: impl Fn(&mut V::Batch, Recorded<E>) -> Result<(), Failure> + 'static,
    ) -> Self {
        let take = move |batch: &mut V::Batch, raw: &recorded::Raw| match read(raw) {
            Ok(Some(event)) => take(batch, Recorded::new(raw, event)).map(|()| Taken::Whole),
            Ok(None) => Ok(Taken::Erased),
            Err(why) => Err(recorded::unreadable(raw, &why)),
        };
        self.readings.push(Reading { types, take: Box::new(take) });
        self
    }

    /// Adds a question that readers can ask, with a name of the form `[a-z][a-z0-9-]{0,62}`. A projection has 1 to 64.
    ///
    /// The function receives the view, as it is at one moment, and the parameters, a JSON object; parameters that its type does not
    /// read are the failure `bad_parameters`, with the place. Without a second argument it takes no parameters.
    ///
    /// It returns an `Option`, a `Vec`, a [`serde_json::Value`], or a [`Result`](crate::Result) of anything that serializes.
    /// `None`, which is JSON's `null`, is the failure `not_found`. [`refused`](crate::refused) says why there is no answer.
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{Documents, Projection, Result, refused};
    /// use serde::{Deserialize, Serialize};
    /// use serde_json::json;
    /// # use amends_sdk::{Event, Recorded};
    /// # #[derive(Event, Serialize, Deserialize)] #[event(aggregate = "club")] enum Did { Joined { name: String } }
    /// # #[derive(Default, Serialize, Deserialize)] struct Club { members: Vec<String> }
    ///
    /// #[derive(Deserialize)]
    /// struct Page { prefix: String, after: Option<String> }
    ///
    /// fn page(clubs: &Documents<Club>, page: Page) -> Result<Vec<(String, Club)>> {
    ///     match page.prefix.len() {
    ///         0 => Err(refused("no_prefix", "say how their names begin")),
    ///         _ => Ok(clubs.list(&page.prefix, page.after.as_deref(), 50)),
    ///     }
    /// }
    ///
    /// let clubs: Projection<Documents<Club>> = Projection::documents("clubs")
    /// #   .on(|event: &Recorded<Did>| event.key.clone(), |club: &mut Club, event| { let Did::Joined { name } = event.event; club.members.push(name) })
    ///     .query("page", page)
    ///     .query("all", |clubs: &Documents<Club>| clubs.list("", None, 100));
    /// given(clubs).query("page", json!({"prefix": ""})).query("page", json!({})).query("all", json!({})).then(
    ///     "failed no_prefix
    ///      failed bad_parameters
    ///      []",
    /// );
    /// ```
    pub fn query<Shape: 'static>(mut self, name: impl Into<String>, query: impl Query<V, Shape> + 'static) -> Self {
        self.queries.push((name.into(), query::boxed(query)));
        self
    }

    /// A JSON Schema of a query's parameters, as text or as a `serde_json::Value`: the host shows it, and refuses parameters that do
    /// not match. It must not refer to other documents; an invalid schema is refused at deploy. The test kit does not check it.
    pub fn schema(mut self, query: impl Into<String>, schema: impl fmt::Display) -> Self {
        self.schemas.push((query.into(), schema.to_string()));
        self
    }

    /// Lets rows serve other versions of the module too: all whose projection has the same number here. Raise it when the form of the
    /// rows changes, or what is made of an event, or when more events are read. By default rows serve only the version that built
    /// them, and a new one builds its own.
    pub fn rows_version(mut self, version: u32) -> Self {
        self.rows_version = Some(version);
        self
    }
}

impl<D> Projection<Documents<D>>
where
    D: Default + Serialize + DeserializeOwned + 'static,
{
    /// A projection with this name, `[a-z][a-z0-9-]{0,62}`, that makes documents: JSON values of the type `D`, each under a key.
    ///
    /// Only one module of a namespace may have a projection of this name. A document has at most 65,536 bytes; what grows without
    /// end, as all bookings of a company, is better a document for each booking, which [`Documents::list`] finds by the begin of its
    /// key. For documents of another type, make another projection.
    pub fn documents(name: impl Into<Cow<'static, str>>) -> Self {
        Projection::new(name.into())
    }

    /// Takes the events of an aggregate: those of an enum with [`#[derive(Event)]`](derive@crate::Event) that says
    /// `#[event(aggregate = "…")]`, in every form that was ever recorded.
    ///
    /// `key` says which document an event is about, as a `String` or an `Option<String>`: without a key, it is about none. `fold`
    /// takes the event into it; if there is no document with this key, into a new one, `D::default()`. A `fold` that returns
    /// [`Document::Removed`] removes it. With a second argument, `key` reads and writes [`Links`], for events that do not say it.
    ///
    /// An event that is about two documents is taken by two calls of this function.
    ///
    /// ```compile_fail
    /// # use amends_sdk::{Documents, Event, Projection, Recorded};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Event, Serialize, Deserialize)]
    /// enum Did { Joined } // #[event(aggregate = "club")] is missing
    ///
    /// let count = |club: &mut u64, _: Recorded<Did>| *club += 1;
    /// let clubs: Projection<Documents<u64>> = Projection::documents("clubs").on(|event: &Recorded<Did>| event.key.clone(), count);
    /// ```
    pub fn on<E: Events, R: Folded + 'static, Shape: 'static>(
        self,
        key: impl Key<E, Shape> + 'static,
        fold: impl Fn(&mut D, Recorded<E>) -> R + 'static,
    ) -> Self {
        self.reading(reading::types_of::<E>(), recorded::of_aggregate, taking(key, fold))
    }

    /// Takes published events of a type, whose data is a `T`; without data, it is JSON's `null`. `key` and `fold` are those of
    /// [`on`](Projection::on).
    ///
    /// ```
    /// # use amends_sdk::testing::given;
    /// # use amends_sdk::{Documents, Projection, Recorded};
    /// # use serde::Deserialize;
    /// # use serde_json::json;
    /// #[derive(Deserialize)]
    /// struct Weighed { grams: u64 }
    ///
    /// let grams = |grams: &mut u64, event: Recorded<Weighed>| *grams = event.event.grams;
    /// let parcels: Projection<Documents<u64>> = Projection::documents("parcels")
    ///     .on_published("weighed", |event: &Recorded<Weighed>| event.key.clone(), grams)
    ///     .query("heaviest", |parcels: &Documents<u64>| parcels.list("", None, 1000).into_iter().max_by_key(|(_, grams)| *grams));
    /// given(parcels)
    ///     .published("weighed", "P1", json!({"grams": 700}))
    ///     .published("weighed", "P2", json!({"grams": 900}))
    ///     .query("heaviest", json!({}))
    ///     .then(r#"["P2",900]"#);
    /// ```
    pub fn on_published<T: DeserializeOwned + 'static, R: Folded + 'static, Shape: 'static>(
        self,
        event_type: impl Into<String>,
        key: impl Key<T, Shape> + 'static,
        fold: impl Fn(&mut D, Recorded<T>) -> R + 'static,
    ) -> Self {
        self.reading(reading::published(event_type.into()), recorded::published, taking(key, fold))
    }

    /// What remains of an event whose data was erased. By default nothing does: the event is skipped.
    ///
    /// `key` and `fold` are those of [`on`](Projection::on), for the events of all types; [`Recorded::event_type`] says which. The
    /// aggregate's id and the time are still known, and so are [`Links`].
    ///
    /// ```
    /// # use amends_sdk::testing::given;
    /// # use amends_sdk::{Document, Documents, Erased, Event, Projection, Recorded};
    /// # use serde::{Deserialize, Serialize};
    /// # use serde_json::json;
    /// # #[derive(Event, Serialize, Deserialize)] #[event(aggregate = "member")] enum Did { Joined { name: String } }
    /// # fn id<E>(event: &Recorded<E>) -> String { event.key.clone() }
    /// let forget = |_: &mut String, event: Recorded<Erased>| match &*event.event_type {
    ///     "member.joined" => Document::Removed,
    ///     _ => Document::Kept,
    /// };
    /// let names: Projection<Documents<String>> = Projection::documents("names")
    ///     .on(id, |name: &mut String, event: Recorded<Did>| { let Did::Joined { name: joined } = event.event; *name = joined })
    ///     .on_erased(id, forget)
    ///     .query("all", |names: &Documents<String>| names.list("", None, 1000));
    /// given(names)
    ///     .events("M1", [Did::Joined { name: "ada".into() }])
    ///     .erased("member.joined", "M2")
    ///     .query("all", json!({}))
    ///     .then(r#"[["M1","ada"]]"#);
    /// ```
    pub fn on_erased<R: Folded + 'static, Shape: 'static>(
        mut self,
        key: impl Key<Erased, Shape> + 'static,
        fold: impl Fn(&mut D, Recorded<Erased>) -> R + 'static,
    ) -> Self {
        self.on_erased = Some(Box::new(taking(key, fold)));
        self
    }
}

/// Takes an event into the document that it is about.
fn taking<D, E, R, Shape>(
    key: impl Key<E, Shape>,
    fold: impl Fn(&mut D, Recorded<E>) -> R,
) -> impl Fn(&mut Cache<D>, Recorded<E>) -> Result<(), Failure>
where
    D: Default + Serialize + DeserializeOwned,
    R: Folded,
{
    move |cache, event| match key.key(&event, &mut Links) {
        Some(key) => cache.fold(key, |document| fold(document, event).folded()),
        None => Ok(()),
    }
}

impl Projection<Rows> {
    /// A projection with this name, `[a-z][a-z0-9-]{0,62}`, that writes rows itself: bytes under keys of bytes, for views that
    /// [`Documents`] do not fit, as one with several orders of the same things.
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{Event, Projection, Recorded, Rows};
    /// use serde::{Deserialize, Serialize};
    /// use serde_json::json;
    ///
    /// #[derive(Event, Serialize, Deserialize)]
    /// #[event(aggregate = "member")]
    /// enum Did { Joined { name: String, year: u32 } }
    ///
    /// fn join(rows: &mut Rows, event: Recorded<Did>) {
    ///     let Did::Joined { name, year } = event.event;
    ///     rows.put(format!("by-name/{name}"), &event.key);
    ///     rows.put(format!("by-year/{year}/{}", event.key), name);
    /// }
    ///
    /// /// Those who joined latest.
    /// fn latest(rows: &Rows) -> Vec<String> {
    ///     let names = rows.scan_back("by-year/", None, 10).into_iter().map(|(_, name)| String::from_utf8(name));
    ///     names.flatten().collect()
    /// }
    ///
    /// let members = Projection::rows("members").on(join).query("latest", latest);
    /// given(members)
    ///     .events("M1", [Did::Joined { name: "bob".into(), year: 2025 }])
    ///     .events("M2", [Did::Joined { name: "ada".into(), year: 2026 }])
    ///     .query("latest", json!({}))
    ///     .then(r#"["ada","bob"]"#);
    /// ```
    pub fn rows(name: impl Into<Cow<'static, str>>) -> Self {
        Projection::new(name.into())
    }

    /// Takes the events of an aggregate, as [`on`](Projection::on) of documents does.
    pub fn on<E: Events>(self, take: impl Fn(&mut Rows, Recorded<E>) + 'static) -> Self {
        self.reading(reading::types_of::<E>(), recorded::of_aggregate, move |rows, event| {
            take(rows, event);
            Ok(())
        })
    }

    /// Takes published events of a type, as [`on_published`](Projection::on_published) of documents does.
    pub fn on_published<T: DeserializeOwned + 'static>(
        self,
        event_type: impl Into<String>,
        take: impl Fn(&mut Rows, Recorded<T>) + 'static,
    ) -> Self {
        self.reading(reading::published(event_type.into()), recorded::published, move |rows, event| {
            take(rows, event);
            Ok(())
        })
    }

    /// What remains of an event whose data was erased; by default nothing.
    pub fn on_erased(mut self, take: impl Fn(&mut Rows, Recorded<Erased>) + 'static) -> Self {
        self.on_erased = Some(Box::new(move |rows, event| {
            take(rows, event);
            Ok(())
        }));
        self
    }
}

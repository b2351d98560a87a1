//! The replay gate: what other code makes of the events that were recorded, before it is active.
//!
//! A version that cannot read a recorded form of an event is not activated. What it makes of the forms that it can read shows a fold of
//! every stream: the states of the active code and of the other one are compared. Nothing is written, and commands go on meanwhile.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant as Moment},
};

use amends_core::{
    aggregate::{Definition, Shape},
    id::Namespace,
    policy,
    value::Payload,
};
use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{
    folds::Folds,
    reader::{Reader, UnreadableStates},
};
use crate::engine::{
    aggregate::shapes,
    module::Modules,
    refusal::{Refusal, RefusalCode},
};

/// Streams that are folded at a time: they share the places for guests with everybody else.
const AT_ONCE: usize = 4;

/// Ids that are read at a time.
const IDS: usize = 512;

/// Events of an unreadable form are counted up to so many.
const COUNTED_MAX: usize = 100_000;

/// Compares what versions make of recorded events. Cloning shares what was found.
#[derive(Clone)]
pub struct Gate {
    reader: Reader,
    folds: Folds,
    /// One comparison at a time: the streams that it folds are in memory, whole.
    place: Arc<Semaphore>,
    /// What the last comparison of each version found, as long as this host lives.
    found: Arc<Mutex<HashMap<Candidate, Found>>>,
}

/// A version of a module: where, which module, which version.
type Candidate = (Namespace, String, u32);

#[derive(Clone, Copy, Debug)]
struct Found {
    /// The version that was active then.
    against: Option<u32>,
    /// Streams of which it makes another state, or none.
    differences: u64,
}

/// What the caller takes upon itself, by number, so that it is what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Streams whose states differ.
    pub differences: Option<u64>,
    /// Events that cannot be read any more, at most.
    pub unreadable: Option<u64>,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The version that was compared.
    pub version: u32,
    /// The active one; none if none is.
    pub against: Option<u32>,
    /// By name, and behind them those that the version does not have.
    pub aggregates: Vec<OfAggregate>,
    /// How long it took.
    pub took: Duration,
}

/// What a comparison found about the aggregates of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfAggregate {
    /// The name.
    pub aggregate: String,
    /// How many there are.
    pub streams: u64,
    /// How many events they have together.
    pub events: u64,
    /// Both versions make the same state.
    pub equal: u64,
    /// They make different ones.
    pub different: u64,
    /// The compared version fails on events that the active one folds.
    pub trapped: u64,
    /// The active version fails too.
    pub broken: u64,
    /// Events of forms that the compared version does not read.
    pub unreadable: u64,
    /// The first stream, by id, of which they make different states.
    pub first_different: Option<Difference>,
    /// The first stream, by id, on which the compared version fails.
    pub first_trapped: Option<Trapped>,
}

/// A stream of which two versions make different states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The aggregate's id.
    pub id: String,
    /// How many events it has.
    pub revision: u64,
    /// The first place that differs, as `reserved.O9`; empty: all of it.
    pub path: String,
    /// What the active version has there, as JSON; none: nothing.
    pub active: Option<String>,
    /// What the compared version has there.
    pub compared: Option<String>,
}

/// A stream on which a version fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trapped {
    /// The aggregate's id.
    pub id: String,
    /// How many events it has.
    pub revision: u64,
    /// What happened.
    pub why: String,
}

impl Comparison {
    /// Streams of which the compared version makes another state, or none.
    pub fn differences(&self) -> u64 {
        self.aggregates.iter().map(|found| found.different + found.trapped).sum()
    }

    /// Events that it cannot read.
    pub fn unreadable(&self) -> u64 {
        self.aggregates.iter().map(|found| found.unreadable).sum()
    }
}

fn refuse_states(found: &[UnreadableStates]) -> Result<(), Refusal> {
    let Some(UnreadableStates { policy, version, count, example }) = found.first() else { return Ok(()) };
    let instances = if *count == 1 { "1 instance" } else { &format!("{count} instances") };
    let example = example.escape_debug();
    let said = format!(
        "the state of {instances} of the policy `{policy}` has form {version}, as that of `{example}`, which it does not read"
    );
    Err(Refusal::new(RefusalCode::StatesUnreadable, said)
        .hint("declare that it reads the form and bring the state into the new one, or reset the policy first"))
}

/// What came of one stream.
enum Outcome {
    Equal,
    Different(Difference),
    Trapped(Trapped),
    Broken,
    /// It is not there any more, or was not when it was read.
    Nothing,
}

impl Gate {
    /// A gate over these reads and folds.
    pub fn new(reader: Reader, folds: Folds) -> Self {
        Self { reader, folds, place: Arc::new(Semaphore::new(1)), found: Arc::default() }
    }

    /// Folds every stream of a version's aggregates by its code and by the active code, and compares the states.
    pub async fn compare(&self, namespace: &Namespace, module: &str, version: u32) -> Result<Comparison, Refusal> {
        let _place = self.place.try_acquire().map_err(|_| {
            let said = "another version is being compared, and the streams of one are in memory";
            Refusal::new(RefusalCode::Overloaded, said).hint("try again when it has ended")
        })?;
        let began = Moment::now();
        let (against, names) = self
            .blocking({
                let (namespace, module) = (namespace.clone(), module.to_owned());
                move |reader| reader.with_shapes(&namespace, |modules, _| aggregates_of(modules, &namespace, &module, version))?
            })
            .await?;
        let unreadable = self.unreadable(namespace, &[(module.to_owned(), version)], None).await?;
        let mut aggregates = Vec::new();
        for name in &names {
            let of_it = unreadable.iter().filter(|(shape, _)| shape.aggregate == *name).map(|(_, count)| count).sum();
            let found = self.compare_all(namespace, name, (module, version)).await?;
            aggregates.push(OfAggregate { unreadable: of_it, ..found });
        }
        // Aggregates that the version does not have.
        let mut dropped: BTreeMap<&String, u64> = BTreeMap::new();
        for (shape, count) in unreadable.iter().filter(|(shape, _)| !names.contains(&shape.aggregate)) {
            *dropped.entry(&shape.aggregate).or_default() += count;
        }
        aggregates.extend(dropped.into_iter().map(|(aggregate, unreadable)| OfAggregate {
            aggregate: aggregate.clone(),
            unreadable,
            ..OfAggregate::default()
        }));
        let comparison = Comparison { version, against, aggregates, took: began.elapsed() };
        let found = Found { against, differences: comparison.differences() };
        self.found().insert((namespace.clone(), module.to_owned(), version), found);
        Ok(comparison)
    }

    /// Whether versions may become active, as far as recorded events go.
    ///
    /// Answers which forms are given up by that: the owner of the journal holds the change to them, for commands go on meanwhile.
    pub async fn check(&self, namespace: &Namespace, asked: &[(String, u32)], accepted: Accepted) -> Result<Vec<Shape>, Refusal> {
        let unreadable = self.unreadable(namespace, asked, None).await?;
        refuse_unreadable(&unreadable, accepted)?;
        let mut differences = 0;
        for (module, version) in asked {
            let active = self.blocking({
                let (namespace, module) = (namespace.clone(), module.clone());
                move |reader| Ok(reader.module(&namespace, &module)?.and_then(|module| module.active))
            });
            let active = active.await?;
            let found = self.found().get(&(namespace.clone(), module.clone(), *version)).copied();
            let found = found.filter(|found| found.against == active && active != Some(*version));
            differences += found.map_or(0, |found| found.differences);
        }
        if differences == 0 || accepted.differences == Some(differences) {
            return Ok(unreadable.into_iter().map(|(shape, _)| shape).collect());
        }
        let streams = if differences == 1 { "1 stream" } else { &format!("{differences} streams") };
        let names: Vec<String> = asked.iter().map(|(module, version)| format!("{module} v{version}")).collect();
        let said = format!("the states of {streams} differ by the code of {}, or cannot be computed by it", names.join(" and "));
        Err(Refusal::new(RefusalCode::StatesDiffer, said)
            .hint(format!("if that is meant, accept {differences} differences; else mend the module")))
    }

    /// The same for a version that is not deployed yet.
    pub async fn check_new(&self, namespace: &Namespace, module: &str, aggregates: &[Definition]) -> Result<(), Refusal> {
        let new = (module.to_owned(), aggregates.to_vec());
        refuse_unreadable(&self.unreadable(namespace, &[], Some(new)).await?, Accepted::default())
    }

    /// Whether versions may become active, as far as the states of policies go that are kept.
    pub async fn check_states(&self, namespace: &Namespace, asked: &[(String, u32)]) -> Result<(), Refusal> {
        let (namespace, asked) = (namespace.clone(), asked.to_vec());
        let found = self.blocking(move |reader| {
            let policies = reader.policies_of(&namespace, &asked)?;
            reader.unreadable_states(&namespace, &policies)
        });
        refuse_states(&found.await?)
    }

    /// The same of a version that is not deployed yet.
    pub async fn check_new_states(&self, namespace: &Namespace, policies: &[policy::Definition]) -> Result<(), Refusal> {
        let (namespace, policies) = (namespace.clone(), policies.to_vec());
        refuse_states(&self.blocking(move |reader| reader.unreadable_states(&namespace, &policies)).await?)
    }

    /// The recorded forms that are read now and would not be afterwards, with the number of events of each.
    async fn unreadable(
        &self,
        namespace: &Namespace,
        asked: &[(String, u32)],
        new: Option<(String, Vec<Definition>)>,
    ) -> Result<Vec<(Shape, u64)>, Refusal> {
        let (namespace, asked) = (namespace.clone(), asked.to_vec());
        self.blocking(move |reader| {
            let lost = reader.with_shapes(&namespace, |modules, shapes| {
                shapes::lost(
                    modules,
                    &namespace,
                    shapes,
                    &asked,
                    new.as_ref().map(|(module, new)| (module.as_str(), new.as_slice())),
                )
            })?;
            let count = |shape: Shape| Ok((shape.clone(), reader.count_of(&namespace, &shape, COUNTED_MAX)? as u64));
            lost.into_iter().map(count).collect()
        })
        .await
    }

    async fn compare_all(&self, namespace: &Namespace, name: &str, code: (&str, u32)) -> Result<OfAggregate, Refusal> {
        let mut found = OfAggregate { aggregate: name.to_owned(), ..OfAggregate::default() };
        let mut after: Option<String> = None;
        loop {
            let ids = self.blocking({
                let (namespace, name, after) = (namespace.clone(), name.to_owned(), after.clone());
                move |reader| reader.aggregate_ids(&namespace, &name, after.as_deref(), IDS)
            });
            let ids = ids.await?;
            let Some(last) = ids.last().cloned() else { return Ok(found) };
            // In the order of the ids, so that the first difference is the same each time.
            let mut compared = stream::iter(ids).map(|id| self.compare_one(namespace, name, id, code)).buffered(AT_ONCE);
            while let Some(outcome) = compared.next().await {
                let (revision, outcome) = outcome?;
                found.count(revision, outcome);
            }
            after = Some(last);
        }
    }

    async fn compare_one(
        &self,
        namespace: &Namespace,
        name: &str,
        id: String,
        (module, version): (&str, u32),
    ) -> Result<(u64, Outcome), Refusal> {
        let read = self.blocking({
            let (namespace, name, id, module) = (namespace.clone(), name.to_owned(), id.clone(), module.to_owned());
            move |reader| reader.aggregate_twice(&namespace, (&name, &id), (&module, version))
        });
        let (active, compared) = read.await?;
        let Some(compared) = compared else { return Ok((0, Outcome::Nothing)) };
        let revision = compared.revision;
        let compared = self.folds.state(compared).await?;
        let Some(active) = active else {
            // Nothing is active that knows it: what it makes of the events is all there is.
            return Ok((
                revision,
                compared.map_or_else(|why| Outcome::Trapped(Trapped { id, revision, why }), |_| Outcome::Equal),
            ));
        };
        let outcome = match (self.folds.state(active).await?, compared) {
            (Err(_), _) => Outcome::Broken,
            (Ok(_), Err(why)) => Outcome::Trapped(Trapped { id, revision, why }),
            (Ok(active), Ok(compared)) => match difference(&active, &compared) {
                Some((path, active, compared)) => Outcome::Different(Difference { id, revision, path, active, compared }),
                None => Outcome::Equal,
            },
        };
        Ok((revision, outcome))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(Reader) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let reader = self.reader.clone();
        let done = tokio::task::spawn_blocking(move || read(reader)).await;
        done.unwrap_or_else(|_| Err(Refusal::new(RefusalCode::Stopping, "the host is stopping")))
    }

    fn found(&self) -> MutexGuard<'_, HashMap<Candidate, Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfAggregate {
    fn count(&mut self, revision: u64, outcome: Outcome) {
        match outcome {
            Outcome::Nothing => return,
            Outcome::Equal => self.equal += 1,
            Outcome::Different(difference) => {
                self.different += 1;
                self.first_different.get_or_insert(difference);
            }
            Outcome::Trapped(trapped) => {
                self.trapped += 1;
                self.first_trapped.get_or_insert(trapped);
            }
            Outcome::Broken => self.broken += 1,
        }
        self.streams += 1;
        self.events += revision;
    }
}

/// The version that is active, and the names of the aggregates of the other one.
fn aggregates_of(
    modules: &Modules,
    namespace: &Namespace,
    module: &str,
    version: u32,
) -> Result<(Option<u32>, Vec<String>), Refusal> {
    let known = modules.get(namespace, module).ok_or_else(|| {
        Refusal::new(RefusalCode::ModuleNotFound, format!("no module `{module}` is deployed in namespace `{namespace}`"))
    })?;
    let facts = known
        .versions
        .get(&version)
        .ok_or_else(|| Refusal::new(RefusalCode::VersionNotFound, format!("module `{module}` has no version {version}")))?;
    let mut names: Vec<String> = facts.aggregates.iter().map(|aggregate| aggregate.definition.name.clone()).collect();
    names.sort_unstable();
    Ok((known.active, names))
}

fn refuse_unreadable(unreadable: &[(Shape, u64)], accepted: Accepted) -> Result<(), Refusal> {
    let total: u64 = unreadable.iter().map(|(_, count)| count).sum();
    // Commands go on, and there may be fewer than when somebody looked; or more, which is to be looked at again.
    if unreadable.is_empty() || accepted.unreadable.is_some_and(|accepted| accepted >= total) {
        return Ok(());
    }
    let events = |count: u64| if count == 1 { "1 event".to_owned() } else { format!("{count} events") };
    let recorded = if total == 1 { "1 recorded event".to_owned() } else { format!("{total} recorded events") };
    let reasons: Vec<String> = unreadable
        .iter()
        .map(|(shape, count)| format!("{} of `{}` in form {}", events(*count), shape.event_type, shape.version))
        .collect();
    let said = format!("{recorded} could no longer be read: {}", reasons.join(", "));
    let hint = format!(
        "let the module read these forms; or store the version without activating it, and activate it with `accept_unreadable` {total}"
    );
    Err(Refusal { reasons, ..Refusal::new(RefusalCode::ShapesUnreadable, said).hint(hint) })
}

/// The first place at which two states differ, in the order of the first one's names, and what each has there.
fn difference(one: &Payload, other: &Payload) -> Option<(String, Option<String>, Option<String>)> {
    let read = |payload: &Payload| serde_json::from_slice::<Value>(&payload.bytes);
    match (read(one), read(other)) {
        (Ok(one), Ok(other)) => {
            let mut path = Vec::new();
            let (one, other) = first_difference(&one, &other, &mut path)?;
            Some((path.join("."), one.map(|value| value.to_string()), other.map(|value| value.to_string())))
        }
        // States of bytes have no places.
        _ => (one != other).then(|| {
            let shown = |payload: &Payload| Some(format!("{} bytes", payload.bytes.len()));
            (String::new(), shown(one), shown(other))
        }),
    }
}

type Pair<'v> = (Option<&'v Value>, Option<&'v Value>);

fn first_difference<'v>(one: &'v Value, other: &'v Value, path: &mut Vec<String>) -> Option<Pair<'v>> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            names.into_iter().find_map(|name| in_place(one.get(name), other.get(name), name.clone(), path))
        }
        (Value::Array(one), Value::Array(other)) => {
            (0..one.len().max(other.len())).find_map(|index| in_place(one.get(index), other.get(index), index.to_string(), path))
        }
        (one, other) => (one != other).then_some((Some(one), Some(other))),
    }
}

fn in_place<'v>(one: Option<&'v Value>, other: Option<&'v Value>, name: String, path: &mut Vec<String>) -> Option<Pair<'v>> {
    path.push(name);
    let found = match (one, other) {
        (Some(one), Some(other)) => first_difference(one, other, path),
        pair => Some(pair),
    };
    if found.is_none() {
        path.pop();
    }
    found
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_difference_is_told_by_its_first_place_and_what_stands_there() {
        let told = |one: &str, other: &str| {
            let found = difference(&Payload::json(one.to_owned()), &Payload::json(other.to_owned()));
            found.map_or_else(|| "equal".to_owned(), |(path, one, other)| format!("{path:?}: {one:?} {other:?}"))
        };
        let lines = [
            told(r#"{"a":1,"b":{"c":[1,2]}}"#, r#"{"b":{"c":[1,2]},"a":1}"#),
            told(r#"{"limit":1500,"reserved":{"O9":1234}}"#, r#"{"limit":1500,"reserved":{}}"#),
            told(r#"{"reserved":{}}"#, r#"{"reserved":{"O9":1}}"#),
            told(r#"{"a":[1,2]}"#, r#"{"a":[1,3]}"#),
            told(r#"{"a":[1]}"#, r#"{"a":[1,3]}"#),
            told("7", r#"{"a":1}"#),
            told("nothing", "nothing"),
            told("nothing", "something"),
        ];
        expect![[r#"
            equal
            "reserved.O9": Some("1234") None
            "reserved.O9": None Some("1")
            "a.1": Some("2") Some("3")
            "a.1": None Some("3")
            "": Some("7") Some("{\"a\":1}")
            equal
            "": Some("7 bytes") Some("9 bytes")"#]]
        .assert_eq(&lines.join("\n"));
    }
}

//! Questions to views: answered from one generation as of one moment, by the code that built it.

use std::sync::Arc;

use amends_core::{
    id::Namespace,
    value::{Failure, Payload},
};

use super::{
    Shared, Views, builder,
    generation::{Generation, Role},
    no_view,
    rows::ReadRows,
    state::{Live, State, ViewKey},
    stopping,
};
use crate::{
    engine::{
        guests::{CallFault, GuestCall, GuestReport, QueryCall, Work},
        refusal::{Refusal, RefusalCode, nearest},
    },
    journal,
    service::alone,
    store::{
        Position,
        redb::views::{Progress, Snapshot},
    },
};

/// How long an answer may take.
const DEADLINE_MS: u64 = 10_000;

/// A question to a view.
#[derive(Clone, Debug)]
pub struct Question {
    /// Where.
    pub namespace: Namespace,
    /// The projection's name.
    pub view: String,
    /// Which of its queries.
    pub query: String,
    /// A JSON object.
    pub parameters: Payload,
    /// The answer must include everything up to here.
    pub at_least: Option<Position>,
}

/// What a view answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What the code said, or why it said nothing.
    pub said: Result<Payload, Failure>,
    /// Everything up to here that the view reads is in it.
    pub through: Position,
    /// The generation that answered.
    pub generation: u64,
    /// The module whose code that is.
    pub module: String,
    /// And its version.
    pub version: u32,
}

/// The rows that a question is answered from.
struct Found {
    known: Generation,
    progress: Progress,
    rows: Snapshot,
}

impl Views {
    /// Waits for a view of a module that was activated a moment ago. One that nobody offers is not waited for.
    pub async fn arrived(
        &self,
        namespace: &Namespace,
        name: &str,
        until_given_up: impl Future<Output = ()>,
    ) -> Result<(), Refusal> {
        let key = (namespace.clone(), name.to_owned());
        if active(&self.0.state(), &key).is_ok() {
            return Ok(());
        }
        let mut progress = self.0.progress.subscribe();
        tokio::pin!(until_given_up);
        let (reader, asked) = (self.0.reader.clone(), key.clone());
        let is_offered = tokio::task::spawn_blocking(move || reader.has_projection(&asked.0, &asked.1)).await;
        if !is_offered.map_err(|_| stopping())?? {
            return Err(no_view(&self.0.state(), &key));
        }
        loop {
            progress.mark_unchanged();
            let failed = {
                let state = self.0.state();
                if active(&state, &key).is_ok() {
                    return Ok(());
                }
                state.failed.clone()
            };
            if let Some(why) = failed {
                let said = format!("the view `{name}` is not built, because the file of the views failed: {why}");
                return Err(Refusal::new(RefusalCode::StorageFailed, said));
            }
            tokio::select! {
                changed = progress.changed() => changed.map_err(|_| stopping())?,
                () = &mut until_given_up => return Err(Refusal::new(RefusalCode::Behind, format!("the view `{name}` is not begun yet"))),
            }
        }
    }

    /// The JSON Schema of a query's parameters, if it has one.
    pub fn schema(&self, namespace: &Namespace, view: &str, query: &str) -> Result<Option<String>, Refusal> {
        let key = (namespace.clone(), view.to_owned());
        let state = self.0.state();
        let live = active(&state, &key)?;
        let known = live.known.definition.query(query).ok_or_else(|| no_query(live, query))?;
        Ok(known.schema.clone())
    }

    /// Answers a question. Where the view has not read far enough, it waits, as long as `until_given_up` lets it.
    pub async fn ask(&self, question: Question, until_given_up: impl Future<Output = ()>) -> Result<Answered, Refusal> {
        let Found { known, progress, rows } = self.0.find(&question, until_given_up).await?;
        let now = (self.0.clock)();
        let call = GuestCall {
            of: builder::of(&known),
            module: known.module.clone(),
            version: known.version,
            digest: known.digest,
            now,
            started_at: now,
            deadline_at: now.plus(DEADLINE_MS),
            reaches_outside: false,
            effect_free: true,
            grants: Arc::default(),
            trace_context: None,
            work: Work::Query(Box::new(QueryCall {
                projection: question.view,
                name: question.query,
                parameters: question.parameters,
                rows: Arc::new(ReadRows::new(rows)),
            })),
        };
        let said = match alone::call(self.0.guests.as_ref(), call).await {
            Some(GuestReport::Queried(said)) => said.map_err(|fault| refused(&known, &fault))?,
            Some(_) | None => return Err(stopping()),
        };
        let Generation { number, module, version, .. } = known;
        Ok(Answered { said, through: progress.through, generation: number, module, version })
    }
}

impl Shared {
    /// Holds a question against what its query declares. A schema may take its time: it is asked before anything is locked.
    fn check(&self, key: &ViewKey, question: &Question) -> Result<(), Refusal> {
        let (projection, query) = {
            let state = self.state();
            let live = active(&state, key)?;
            let query = live.known.definition.query(&question.query).ok_or_else(|| no_query(live, &question.query))?;
            (live.projection.clone(), query.clone())
        };
        match projection.misfit(&query, &question.parameters) {
            Some(misfit) => {
                let said = format!("the parameters do not fit the query `{}` of `{}`: {misfit}", query.name, key.1);
                Err(Refusal::new(RefusalCode::InputDoesNotFit, said).hint("send parameters that fit its schema"))
            }
            None => Ok(()),
        }
    }

    async fn find(&self, question: &Question, until_given_up: impl Future<Output = ()>) -> Result<Found, Refusal> {
        let key = (question.namespace.clone(), question.view.clone());
        self.check(&key, question)?;
        let mut progress = self.progress.subscribe();
        tokio::pin!(until_given_up);
        loop {
            progress.mark_unchanged();
            if let Some(found) = self.look(&key, question)? {
                return Ok(found);
            }
            tokio::select! {
                changed = progress.changed() => changed.map_err(|_| stopping())?,
                () = &mut until_given_up => return Err(self.behind(&key, question)),
            }
        }
    }

    /// The rows, if they include what the question wants; else who builds them is told to hurry.
    fn look(&self, key: &ViewKey, question: &Question) -> Result<Option<Found>, Refusal> {
        let state = self.state();
        let live = active(&state, key)?;
        if live.known.definition.query(&question.query).is_none() {
            // Another version answers meanwhile.
            return Err(no_query(live, &question.query));
        }
        if question.at_least.is_some_and(|position| live.progress.through < position) {
            if live.known.stopped.is_some() || state.failed.is_some() {
                drop(state);
                return Err(self.behind(key, question));
            }
            live.hurry.notify_one();
            return Ok(None);
        }
        // The rows are those of the progress, or of a later one: both change under this lock, the rows first.
        let rows = self.file.snapshot(live.known.number).map_err(|error| {
            Refusal::new(RefusalCode::StorageFailed, format!("the rows of the view `{}` cannot be read: {error}", key.1))
        })?;
        Ok(Some(Found { known: live.known.clone(), progress: live.progress, rows }))
    }

    fn behind(&self, key: &ViewKey, question: &Question) -> Refusal {
        let state = self.state();
        let live = match active(&state, key) {
            Ok(live) => live,
            Err(refusal) => return refusal,
        };
        let wanted = question.at_least.unwrap_or_default();
        let (is, wanted) = (journal::position_text(live.progress.through), journal::position_text(wanted));
        let said = format!("the view `{}` has read up to {is}, and not up to {wanted}", key.1);
        match live.why(state.failed.as_deref()) {
            Some(why) => Refusal::new(RefusalCode::Behind, format!("{said}: {why}")),
            None => Refusal::new(RefusalCode::Behind, said).hint("ask again in a moment"),
        }
    }
}

/// The generation that answers.
fn active<'s>(state: &'s State, key: &ViewKey) -> Result<&'s Live, Refusal> {
    let view = state.view(&key.0, &key.1);
    view.and_then(|view| view.of_role(Role::Active)).ok_or_else(|| no_view(state, key))
}

fn no_query(live: &Live, name: &str) -> Refusal {
    let definition = &live.known.definition;
    let refusal =
        Refusal::new(RefusalCode::NoSuchQuery, format!("the view `{}` has no query `{}`", definition.name, name.escape_debug()));
    let names: Vec<&str> = definition.queries.iter().map(|query| query.name.as_str()).collect();
    match nearest(name, names.iter().copied()) {
        Some(name) => refusal.hint(format!("did you mean `{name}`?")),
        None => refusal.hint(format!("it has {}", names.join(", "))),
    }
}

fn refused(known: &Generation, fault: &CallFault) -> Refusal {
    let Generation { module, version, .. } = known;
    let (code, message) = (&fault.failure.code, &fault.failure.message);
    match fault.is_hosts {
        true => Refusal::new(RefusalCode::Overloaded, format!("the host could not ask `{module}`: {message}")),
        false => Refusal::new(RefusalCode::GuestFailed, format!("`{module}` v{version} cannot answer: {message} ({code})")),
    }
}

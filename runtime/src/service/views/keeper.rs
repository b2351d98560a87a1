//! Decides which generations there are: begins one for new code, switches to it when it has read everything, and does what operators ask.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::Arc,
};

use amends_core::event::Act;
use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    Offer, Shared,
    builder::{Bench, Builder},
    generation::{Generation, Role, Skipped, Stopped},
    state::{Live, View, ViewKey},
};
use crate::{
    engine::{
        guests::ModuleDigest,
        refusal::{Refusal, RefusalCode},
    },
    store::{
        StoreError,
        redb::views::{Kept, Progress},
    },
};

/// What the keeper is told.
#[derive(Debug)]
pub(super) enum Ask {
    /// A generation has read everything.
    CaughtUp(u64),
    /// A generation does not go on, with this component.
    Stopped(u64, ModuleDigest, Stopped),
    /// Somebody wants something.
    Do(ViewKey, Verb, Act, oneshot::Sender<Result<(), Refusal>>),
    /// The host stops.
    End,
}

/// What an operator can do with a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Build it again aside, and switch to that when it has read everything.
    Rebuild,
    /// Answer from the previous generation again.
    SwitchBack,
    /// End the build, or take no more events if there is none.
    Stop,
    /// Go on, and try the event again at which it stopped.
    Resume,
    /// Leave out the event at which it stopped, which is named so that no other one is left out, and go on.
    Skip {
        /// The event's id.
        event: String,
    },
}

/// Decides for all views, on one thread.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    bench: Rc<Bench>,
    recorded: watch::Receiver<u64>,
    tasks: HashMap<u64, JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, recorded: watch::Receiver<u64>) -> Self {
        Self { shared, bench: Rc::new(Bench::new()), recorded, tasks: HashMap::new() }
    }

    /// Runs until the host stops, in a `LocalSet`.
    pub(super) async fn run(mut self, mut asks: mpsc::UnboundedReceiver<Ask>, mut deployed: watch::Receiver<u64>) {
        let goes = self.load().and_then(|()| self.reconcile());
        let mut goes = self.noted(goes);
        loop {
            let done = tokio::select! {
                changed = deployed.changed(), if goes => match changed {
                    Ok(()) => self.reconcile(),
                    Err(_) => {
                        // The shard is gone: nothing is deployed any more.
                        goes = false;
                        continue;
                    }
                },
                ask = asks.recv() => match ask {
                    Some(Ask::CaughtUp(number)) => self.caught_up(number),
                    Some(Ask::Stopped(number, digest, stopped)) => self.stopped(number, &digest, stopped),
                    Some(Ask::Do(key, verb, act, answer)) => {
                        let done = self.act(&key, verb, &act);
                        let said = done.as_ref().map_or_else(|error| Err(failed(error)), Clone::clone);
                        // Who asked may be gone.
                        drop(answer.send(said));
                        done.map(drop)
                    }
                    Some(Ask::End) | None => break,
                },
            };
            goes = self.noted(done) && goes;
        }
        self.tasks.values().for_each(JoinHandle::abort);
        if let Err(error) = self.shared.file.sync() {
            tracing::warn!(%error, "the views fall back a little at the next start");
        }
    }

    fn noted(&self, done: Result<(), StoreError>) -> bool {
        if let Err(error) = &done {
            tracing::error!(%error, "the views are not kept any more; delete their file and start again, and they are built anew");
            self.shared.fail(error);
        }
        done.is_ok()
    }

    /// Takes over what an earlier host built, but for what was not made of this journal.
    fn load(&self) -> Result<(), StoreError> {
        let last = self.shared.store.last_position()?;
        let mut gone = Vec::new();
        let mut state = self.shared.state();
        for (number, known, progress) in self.shared.file.generations()? {
            state.newest = state.newest.max(number);
            match serde_json::from_slice::<Generation>(&known) {
                Ok(known) if known.journal == crate::journal::GENERATION && progress.through <= last => {
                    let key = (known.namespace.clone(), known.definition.name.clone());
                    state.views.entry(key).or_default().generations.push(Live::new(known, progress));
                }
                Ok(_) | Err(_) => gone.push((number, Kept::Gone)),
            }
        }
        drop(state);
        if gone.is_empty() { Ok(()) } else { self.shared.file.keep(&gone) }
    }

    /// Holds what there is against what is active: code that no generation serves gets one, and views without code go.
    fn reconcile(&mut self) -> Result<(), StoreError> {
        let Some(offers) = self.offers() else { return Ok(()) };
        let known: Vec<ViewKey> = self.shared.state().views.keys().cloned().collect();
        let is_missing = |offers: &BTreeMap<ViewKey, Offer>| known.iter().any(|key| !offers.contains_key(key));
        // Modules are read one after the other: a projection that moved meanwhile is seen by the next look, and its rows stay.
        let offers = if is_missing(&offers) { self.offers() } else { Some(offers) };
        let Some(offers) = offers else { return Ok(()) };
        for key in known.iter().filter(|key| !offers.contains_key(*key)) {
            let numbers = self.shared.state().views.get(key).map(|view| numbers(view, |_| true)).unwrap_or_default();
            self.change(Vec::new(), numbers)?;
            self.shared.state().views.remove(key);
        }
        let deployed = self.shared.reader.digests();
        let is_gone = |known: &Generation| known.role == Role::Previous && !deployed.contains(&known.digest);
        let gone = self.shared.state().views.values().flat_map(|view| numbers(view, is_gone)).collect();
        self.change(Vec::new(), gone)?;
        for (key, offer) in offers {
            self.offered(&key, offer, &deployed)?;
        }
        self.shared.progressed();
        Ok(())
    }

    /// What is active, by view. Where the journal cannot be read, it is looked at again at the next change; the views go on.
    fn offers(&self) -> Option<BTreeMap<ViewKey, Offer>> {
        let offers = self.shared.reader.projections();
        let offers = offers.inspect_err(|error| tracing::error!(%error, "which views there are cannot be read")).ok()?;
        let key = |offer: &Offer| (offer.namespace.clone(), offer.projection.definition.name.clone());
        Some(offers.into_iter().map(|offer| (key(&offer), offer)).collect())
    }

    fn offered(&mut self, key: &ViewKey, offer: Offer, deployed: &[ModuleDigest]) -> Result<(), StoreError> {
        let mut state = self.shared.state();
        let view = state.views.entry(key.clone()).or_default();
        view.offer = Some(offer.clone());
        let serves = |role: Role| view.of_role(role).filter(|live| live.known.serves(&offer)).map(|live| live.known.clone());
        let (active, building, previous) = (serves(Role::Active), serves(Role::Building), serves(Role::Previous));
        let has_active = view.of_role(Role::Active).is_some();
        let is_wanted = |known: &Generation| known.instead_of == Some(offer.digest) && deployed.contains(&known.digest);
        let is_switched_back = view.of_role(Role::Active).is_some_and(|live| is_wanted(&live.known));
        let others = numbers(view, |known| known.role == Role::Building && !known.serves(&offer));
        drop(state);
        match (active, building, previous) {
            // Somebody went back to it from this code.
            (None, ..) if is_switched_back => self.change(Vec::new(), others)?,
            (Some(active), building, _) => {
                let serving = [Some(active), building].into_iter().flatten();
                let adopted = serving.filter_map(|mut known| known.adopt(&offer).then_some(known)).collect();
                self.change(adopted, others)?;
            }
            (None, Some(mut building), _) => {
                let adopted = building.adopt(&offer).then_some(building).into_iter().collect();
                self.change(adopted, others)?;
            }
            // Going back to the code of before: its rows are there. It answers as soon as it has read everything, which is at once if
            // nothing stopped it.
            (None, None, Some(mut previous)) => {
                previous.adopt(&offer);
                self.change(vec![Generation { role: Role::Building, stopped: None, ..previous }], others)?;
            }
            (None, None, None) => {
                self.change(Vec::new(), others)?;
                self.begin(&offer, if has_active { Role::Building } else { Role::Active })?;
            }
        }
        self.build_all(key);
        Ok(())
    }

    /// Begins a generation.
    fn begin(&mut self, offer: &Offer, role: Role) -> Result<(), StoreError> {
        let number = self.shared.state().newest + 1;
        let known = Generation::new(number, offer, role, (self.shared.clock)());
        self.shared.file.keep(&[(number, kept(&known))])?;
        let key = (known.namespace.clone(), known.definition.name.clone());
        let mut state = self.shared.state();
        state.newest = number;
        state.views.entry(key).or_default().generations.push(Live::new(known, Progress::default()));
        Ok(())
    }

    /// Has every generation built that is to be.
    fn build_all(&mut self, key: &ViewKey) {
        let numbers = {
            let state = self.shared.state();
            state.views.get(key).map(|view| numbers(view, |known| known.stopped.is_none())).unwrap_or_default()
        };
        self.tasks.retain(|_, task| !task.is_finished());
        for number in numbers {
            let (shared, bench, recorded) = (Arc::clone(&self.shared), Rc::clone(&self.bench), self.recorded.clone());
            let build = || tokio::task::spawn_local(Builder { shared, bench, number, recorded }.run());
            self.tasks.entry(number).or_insert_with(build);
        }
    }

    /// Ends whoever builds it: what a batch under way wrote is not kept.
    fn end(&mut self, number: u64) {
        if let Some(task) = self.tasks.remove(&number) {
            task.abort();
        }
    }

    /// What is known of generations changes, and others go: on the disk, and then for everybody at once.
    fn change(&mut self, changed: Vec<Generation>, gone: Vec<u64>) -> Result<(), StoreError> {
        if changed.is_empty() && gone.is_empty() {
            return Ok(());
        }
        gone.iter().for_each(|number| self.end(*number));
        // Nobody may find it without its rows.
        for view in self.shared.state().views.values_mut() {
            view.generations.retain(|live| !gone.contains(&live.known.number));
        }
        // Who builds it read what is known of it before a batch: it begins anew.
        changed.iter().for_each(|known| self.end(known.number));
        let keep = changed.iter().map(|known| (known.number, kept(known))).chain(gone.iter().map(|number| (*number, Kept::Gone)));
        self.shared.file.keep(&keep.collect::<Vec<_>>())?;
        let mut state = self.shared.state();
        for known in changed {
            if let Some(live) = state.live_mut(known.number) {
                *live = Live { hurry: Arc::clone(&live.hurry), since: live.since, ..Live::new(known, live.progress) };
            }
        }
        drop(state);
        self.shared.progressed();
        Ok(())
    }

    /// A generation answers from now on; the one that did so becomes the previous one, and the one before that goes.
    fn switch(&mut self, key: &ViewKey, to: Generation) -> Result<(), StoreError> {
        let (mut changed, gone) = {
            let state = self.shared.state();
            let Some(view) = state.views.get(key) else { return Ok(()) };
            let of_role = |role| view.of_role(role).map(|live| live.known.clone()).filter(|known| known.number != to.number);
            let active = of_role(Role::Active).map(|active| Generation { role: Role::Previous, instead_of: None, ..active });
            (Vec::from_iter(active), Vec::from_iter(of_role(Role::Previous).map(|previous| previous.number)))
        };
        tracing::info!(view = key.1, generation = to.number, version = to.version, "a view answers from another generation");
        changed.push(Generation { role: Role::Active, ..to });
        self.change(changed, gone)?;
        self.build_all(key);
        Ok(())
    }

    fn caught_up(&mut self, number: u64) -> Result<(), StoreError> {
        let built = {
            let state = self.shared.state();
            let found = state.view_of(number).map(|(key, _)| key.clone()).zip(state.live(number).map(|live| live.known.clone()));
            found.filter(|(_, known)| known.role == Role::Building && known.stopped.is_none())
        };
        built.map_or(Ok(()), |(key, known)| self.switch(&key, known))
    }

    fn stopped(&mut self, number: u64, digest: &ModuleDigest, stopped: Stopped) -> Result<(), StoreError> {
        let known = self.shared.state().live(number).map(|live| live.known.clone());
        // Another component has taken over meanwhile, and may be able to take the event.
        let known = known.filter(|known| known.digest == *digest);
        let known = known.map(|known| Generation { stopped: Some(stopped), ..known });
        self.change(Vec::from_iter(known), Vec::new())
    }

    /// Does what an operator asks; the inner result is for who asked.
    fn act(&mut self, key: &ViewKey, verb: Verb, act: &Act) -> Result<Result<(), Refusal>, StoreError> {
        let decided = {
            let state = self.shared.state();
            match state.views.get(key) {
                Some(view) => decide(view, key, verb, act, (self.shared.clock)()),
                None => Err(super::no_view(&state, key)),
            }
        };
        let decided = match decided {
            Ok(decided) => decided,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match decided {
            Decided::Begin(offer, gone) => {
                self.change(Vec::new(), gone)?;
                self.begin(&offer, Role::Building)?;
            }
            Decided::Switch(known) => self.switch(key, *known)?,
            Decided::Change(changed, gone) => self.change(changed, gone)?,
        }
        self.build_all(key);
        Ok(Ok(()))
    }
}

/// What an operator's verb means.
enum Decided {
    Begin(Offer, Vec<u64>),
    Switch(Box<Generation>),
    Change(Vec<Generation>, Vec<u64>),
}

fn decide(view: &View, (_, name): &ViewKey, verb: Verb, act: &Act, now: amends_core::Instant) -> Result<Decided, Refusal> {
    let of_role = |role| view.of_role(role).map(|live| live.known.clone());
    let refused = |said: String| Refusal::new(RefusalCode::VerbDoesNotFit, said);
    match verb {
        Verb::Rebuild => match &view.offer {
            Some(offer) => Ok(Decided::Begin(offer.clone(), numbers(view, |known| known.role == Role::Building))),
            None => Err(refused(format!("no active module has the projection `{name}`"))),
        },
        Verb::SwitchBack => match of_role(Role::Previous) {
            Some(previous) => {
                let instead_of = view.offer.as_ref().filter(|offer| !previous.serves(offer)).map(|offer| offer.digest);
                Ok(Decided::Switch(Box::new(Generation { instead_of, ..previous })))
            }
            None => Err(refused(format!("the view `{name}` has no previous generation")).hint("build it again instead")),
        },
        Verb::Stop => match (of_role(Role::Building), of_role(Role::Active)) {
            // The code whose build was ended is not to begin another one by itself.
            (Some(building), active) => {
                let kept = |active: Generation| {
                    let instead_of = view.offer.as_ref().filter(|offer| !active.serves(offer)).map(|offer| offer.digest);
                    Generation { instead_of, ..active }
                };
                Ok(Decided::Change(Vec::from_iter(active.map(kept)), vec![building.number]))
            }
            (None, Some(active)) if active.stopped.is_none() => {
                let stopped = Some(Stopped::Asked { note: act.note.clone(), by: act.by.clone() });
                Ok(Decided::Change(vec![Generation { stopped, ..active }], Vec::new()))
            }
            (None, _) => Err(refused(format!("the view `{name}` is stopped already"))),
        },
        Verb::Resume => {
            let stopped = view.generations.iter().map(|live| &live.known).filter(|known| known.stopped.is_some());
            let changed: Vec<Generation> = stopped.map(|known| Generation { stopped: None, ..known.clone() }).collect();
            if changed.is_empty() {
                return Err(refused(format!("the view `{name}` is not stopped")));
            }
            Ok(Decided::Change(changed, Vec::new()))
        }
        Verb::Skip { event: named } => {
            let skip = |known: &Generation| match &known.stopped {
                Some(Stopped::Poison { position, event, .. }) if *event == named => {
                    let (note, by) = (act.note.clone(), act.by.clone());
                    let skipped = Skipped { position: *position, event: event.clone(), note, by, at: now };
                    let skipped = known.skipped.iter().cloned().chain([skipped]).collect();
                    Some(Generation { stopped: None, skipped, ..known.clone() })
                }
                Some(Stopped::Poison { .. } | Stopped::Asked { .. }) | None => None,
            };
            let changed: Vec<Generation> = view.generations.iter().filter_map(|live| skip(&live.known)).collect();
            if changed.is_empty() {
                return Err(refused(format!("the view `{name}` did not stop at an event `{}`", named.escape_debug()))
                    .hint("only the event at which a view stopped can be left out"));
            }
            Ok(Decided::Change(changed, Vec::new()))
        }
    }
}

fn numbers(view: &View, is_meant: impl Fn(&Generation) -> bool) -> Vec<u64> {
    view.generations.iter().map(|live| &live.known).filter(|known| is_meant(known)).map(|known| known.number).collect()
}

fn kept(known: &Generation) -> Kept {
    Kept::Is(Bytes::from(known.to_bytes()))
}

fn failed(error: &StoreError) -> Refusal {
    Refusal::new(RefusalCode::StorageFailed, format!("the file of the views failed: {error}"))
}

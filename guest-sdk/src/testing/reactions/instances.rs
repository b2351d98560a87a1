//! The instances of one policy, and the way of a cause through it: as it goes in the host, through JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;

use super::limits;
use crate::bindings::imports::amends::module::types::RecordedEvent;
use crate::bindings::policies::exports::amends::module::policy as wit;
use crate::host::inside;
use crate::policy::Untyped;
use crate::stop::Failure;
use crate::testing::pointer;
use crate::testing::pure::PureWorld;
use crate::{__exports, Module, Moment, payload};

const KEY_BYTES_MAX: usize = 1 << 10;

/// A policy, and its instances.
pub(in crate::testing) struct Instances {
    policy: Rc<dyn Untyped>,
    pub(in crate::testing) definition: wit::Definition,
    world: Rc<PureWorld>,
    by_key: BTreeMap<String, Instance>,
    /// Keys with a cause that could not be taken.
    parked: BTreeSet<String>,
    is_stopped: bool,
    causes: u64,
}

#[derive(Default)]
struct Instance {
    state: Option<wit::State>,
    timers: Vec<wit::Timer>,
    has_ended: bool,
    /// Events that came before it.
    early: Vec<RecordedEvent>,
}

/// What a cause came to.
pub(in crate::testing) enum Came {
    Reacted(wit::Reaction),
    /// The policy failed; the cause waits for an operator.
    Failed(Failure),
    /// It waits behind one that could not be taken.
    Waits,
    /// It is kept for an instance.
    Early,
    Late,
    DeadLetter(String),
}

impl Instances {
    pub(in crate::testing) fn new(policy: Rc<dyn Untyped>) -> Instances {
        let rule =
            "the policy: it depends on the cause and the state alone; what needs more is a step of a saga, which it can start";
        Instances {
            definition: policy.definition(),
            policy,
            world: Rc::new(PureWorld::new(rule)),
            by_key: BTreeMap::new(),
            parked: BTreeSet::new(),
            is_stopped: false,
            causes: 0,
        }
    }

    pub(in crate::testing) fn takes(&self, event_type: &str) -> bool {
        self.definition.subscriptions.iter().any(|known| known.event_type == event_type)
    }

    pub(in crate::testing) fn keep(&mut self, key: &str, state: wit::State) {
        self.by_key.entry(key.to_owned()).or_default().state = Some(state);
    }

    pub(in crate::testing) fn state(&self, key: &str) -> Option<&wit::State> {
        self.by_key.get(key)?.state.as_ref()
    }

    pub(in crate::testing) fn logs(&self) -> Vec<String> {
        self.world.logs()
    }

    /// The key that an event is for; none: it is not for the policy.
    #[track_caller]
    pub(in crate::testing) fn key_of(&self, event: &RecordedEvent) -> Option<String> {
        let (policy, RecordedEvent { event_type, data, .. }) = (&self.definition.name, event);
        let Some(pointer) = self.subscription(event).key.as_deref() else { return Some(event.key.clone()) };
        let Some(data) = data else { panic!("the key of {event_type} is at {pointer} in its data, which was erased") };
        let value: Value = payload::decode(data).unwrap_or_default();
        if value.pointer(pointer).is_none_or(Value::is_null) {
            return None;
        }
        let key = pointer::text(&value, pointer).filter(|key| key.len() <= KEY_BYTES_MAX);
        Some(key.unwrap_or_else(|| {
            panic!(
                "the policy {policy} takes {event_type} by {pointer}, where there is no text and no number of at most {KEY_BYTES_MAX} \
                 bytes: {value}"
            )
        }))
    }

    fn subscription(&self, event: &RecordedEvent) -> &wit::Subscription {
        let known = self.definition.subscriptions.iter().find(|known| known.event_type == event.event_type);
        known.unwrap_or_else(|| panic!("the policy {} does not take {}", self.definition.name, event.event_type))
    }

    /// What an event comes to, and after it those that came too early for the instance that it has begun.
    #[track_caller]
    pub(in crate::testing) fn event(&mut self, event: &RecordedEvent, is_replay: bool) -> Vec<Came> {
        let Some(key) = self.key_of(event) else { return Vec::new() };
        let route = self.subscription(event).route;
        if self.is_stopped || self.parked.contains(&key) {
            return vec![Came::Waits];
        }
        let instance = self.by_key.entry(key.clone()).or_default();
        let is_live = instance.state.is_some();
        match (self.definition.state.is_some(), route) {
            (true, wit::Route::Start) if is_live => {
                return vec![Came::DeadLetter(format!("{} starts {key}, and there is one already", event.event_type))];
            }
            (true, wit::Route::Continue) if !is_live && instance.has_ended => return vec![Came::Late],
            (true, wit::Route::Continue) if !is_live => {
                instance.early.push(event.clone());
                return vec![Came::Early];
            }
            _ => {}
        }
        self.world.set_clock(Moment::from_millis(event.at));
        let mut came = vec![self.handle(&key, wit::Cause::Event(event.clone()), is_replay)];
        while let Some(early) = self.next_early(&key) {
            came.push(self.handle(&key, wit::Cause::Event(early), is_replay));
        }
        came
    }

    fn next_early(&mut self, key: &str) -> Option<RecordedEvent> {
        let instance = self.by_key.get_mut(key)?;
        let may = instance.state.is_some() && !instance.early.is_empty() && !self.parked.contains(key);
        may.then(|| instance.early.remove(0))
    }

    /// The key, the name and the moment of the timer that is due next.
    pub(in crate::testing) fn next_timer(&self) -> Option<(Moment, String, String)> {
        let timers = self
            .by_key
            .iter()
            .filter(|(key, _)| !self.parked.contains(*key))
            .flat_map(|(key, instance)| instance.timers.iter().map(move |timer| (timer.at, key, &timer.name)));
        let (at, key, name) = timers.min_by_key(|(at, ..)| *at).filter(|_| !self.is_stopped)?;
        Some((Moment::from_millis(at), key.clone(), name.clone()))
    }

    /// What a timer comes to. It is gone then.
    #[track_caller]
    pub(in crate::testing) fn fire(&mut self, key: &str, name: &str, now: Moment) -> Came {
        let timers = &mut self.by_key.entry(key.to_owned()).or_default().timers;
        let at = timers.iter().position(|timer| timer.name == name);
        let timer = timers.remove(at.unwrap_or_else(|| panic!("{key} has no timer {name}")));
        self.world.set_clock(now);
        self.handle(key, wit::Cause::Timer(timer), false)
    }

    /// What the answer to a command of this key comes to.
    #[track_caller]
    pub(in crate::testing) fn answer(&mut self, key: &str, answer: wit::AnswerTo, now: Moment) -> Came {
        let is_late = self.definition.state.is_some() && self.state(key).is_none();
        match &answer.answer {
            _ if self.is_stopped || self.parked.contains(key) => Came::Waits,
            _ if self.definition.answers && is_late => Came::Late,
            _ if self.definition.answers => {
                self.world.set_clock(now);
                self.handle(key, wit::Cause::Answer(answer), false)
            }
            wit::Answer::Accepted(_) => Came::Reacted(nothing()),
            wit::Answer::Refused(failure) => {
                let wit::AnswerTo { aggregate, id, name, .. } = &answer;
                Came::DeadLetter(format!("{aggregate}/{id} refused {name} with {}", failure.code))
            }
        }
    }

    #[track_caller]
    fn handle(&mut self, key: &str, cause: wit::Cause, is_replay: bool) -> Came {
        self.causes += 1;
        let (policy, state) = (self.definition.name.clone(), self.state(key).cloned());
        let call = wit::Call { policy, key: key.to_owned(), cause, state, is_replay, attempt: 1 };
        match self.called(&call) {
            Ok(mut reaction) => {
                limits::check(&self.definition, &reaction);
                if is_replay && self.definition.replay == wit::Replay::Silent {
                    (reaction.commands, reaction.events, reaction.starts) = (Vec::new(), Vec::new(), Vec::new());
                }
                self.apply(key, &reaction);
                Came::Reacted(reaction)
            }
            Err(failure) => {
                match self.definition.on_poison {
                    wit::OnPoison::Park => drop(self.parked.insert(key.to_owned())),
                    wit::OnPoison::Stop => self.is_stopped = true,
                }
                Came::Failed(failure)
            }
        }
    }

    /// Calls the policy, and once more as the host does after a crash.
    #[track_caller]
    fn called(&self, call: &wit::Call) -> Result<wit::Reaction, Failure> {
        let once = self.called_once(call, 1);
        let logged = self.world.logs().len();
        let again = self.called_once(call, 2);
        self.world.forget_logs_after(logged);
        let shown = [&once, &again].map(|reaction| format!("{:?}", reaction.as_ref().map(parsed)));
        assert!(
            shown[0] == shown[1],
            "the policy {} wants something else when it is called again for the same cause; it depends on its arguments alone, and a \
             state serializes in one order, as BTreeMap and BTreeSet do\n{}\nnot\n{}",
            call.policy,
            shown[1],
            shown[0]
        );
        once.map_err(|failure| Failure::from(&failure))
    }

    fn called_once(&self, call: &wit::Call, attempt: u32) -> Result<wit::Reaction, __exports::WitFailure> {
        self.world.begin(&format!("{} {}", self.definition.name, self.causes));
        let module = Module::of_policy("test", self.policy.clone());
        inside(self.world.clone(), || __exports::handle(module, wit::Call { attempt, ..call.clone() }))
    }

    #[track_caller]
    fn apply(&mut self, key: &str, reaction: &wit::Reaction) {
        let wit::Reaction { state, set, clear, ends, .. } = reaction;
        let Some(form) = &self.definition.state else { return };
        let instance = self.by_key.entry(key.to_owned()).or_default();
        if let Some(data) = state {
            instance.state = Some(wit::State { version: form.version, data: data.clone() });
            instance.has_ended = false;
        }
        instance.timers.retain(|timer| !clear.contains(&timer.name) && set.iter().all(|new| new.name != timer.name));
        instance.timers.extend(set.iter().cloned());
        limits::check_timers(&self.definition, key, &instance.timers);
        if *ends {
            (instance.state, instance.has_ended) = (None, true);
            instance.timers.clear();
        }
    }
}

pub(in crate::testing) fn nothing() -> wit::Reaction {
    wit::Reaction {
        state: None,
        commands: Vec::new(),
        events: Vec::new(),
        starts: Vec::new(),
        set: Vec::new(),
        clear: Vec::new(),
        ends: false,
    }
}

/// What it says, whatever the order of the members of its objects.
fn parsed(reaction: &wit::Reaction) -> (wit::Reaction, Vec<Option<Value>>) {
    let mut rest = reaction.clone();
    let mut values = Vec::new();
    let mut take = |payload: &mut __exports::Payload| {
        values.push(payload::decode::<Value>(payload).ok());
        *payload = payload::json(String::new());
    };
    rest.commands.iter_mut().for_each(|command| take(&mut command.data));
    rest.events.iter_mut().for_each(|event| take(&mut event.data));
    rest.starts.iter_mut().for_each(|start| take(&mut start.input));
    rest.set.iter_mut().filter_map(|timer| timer.data.as_mut()).for_each(&mut take);
    rest.state.iter_mut().for_each(take);
    (rest, values)
}

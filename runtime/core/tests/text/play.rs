//! One saga under a virtual clock. After every move its events are folded onto a second saga, which must be equal.

use std::sync::Arc;

use amends_core::{
    Context, Event, Input, Instant, Plan, ReplayError, Room, Saga,
    event::{Act, Answer, Answered, Arrival, Attempt, Code, Moved, Published, Sent, Topic},
    id::Leg,
    outcome::{Message, Report},
    value::Payload,
    verbs::Rejected,
};

use crate::script::{Given, Move, Sends, T0, failure};

/// A saga, its history and what surrounds it.
pub(crate) struct Play {
    pub(crate) saga: Saga,
    pub(crate) history: Vec<(Instant, Event)>,
    pub(crate) now: Instant,
    pub(crate) reach: bool,
    pub(crate) journal: Room,
    /// What it is now.
    pub(crate) given: Given,
    /// What each digest has, the first one's first.
    plans: Vec<Arc<Plan>>,
    shadow: Saga,
    turns: u64,
}

impl Play {
    pub(crate) fn start(given: &Given) -> Self {
        let plan = given.plan();
        let context = Context { now: T0, jitter: 0, may_reach_outside: true, snapshot: 1, journal: Room::Free };
        let (saga, events) = Saga::start(Arc::clone(&plan), given.started(), context);
        let history: Vec<(Instant, Event)> = events.into_iter().map(|event| (T0, event)).collect();
        let shadow = Saga::replay(Arc::clone(&plan), history.clone()).unwrap();
        assert_eq!(shadow, saga, "a saga is the fold of its events");
        let (given, plans) = (given.clone(), vec![plan]);
        Self { saga, history, now: T0, reach: true, journal: Room::Free, given, plans, shadow, turns: 0 }
    }

    /// Does one move; the events that the core decided.
    pub(crate) fn play(&mut self, step: &Move) -> Result<Vec<Event>, Rejected> {
        self.turns += 1;
        match step {
            Move::Pass(ms) => self.now = self.now.plus(*ms),
            Move::Clock(ms) => self.now = Instant(self.now.0.saturating_add_signed(*ms)),
            Move::Reach(on) => self.reach = *on,
            Move::Journal(room) => self.journal = *room,
            _ => {}
        }
        let events = match step {
            Move::Edit(edit) => return edit.of(&self.given).map_or(Ok(Vec::new()), |next| self.move_to(&next)),
            Move::Verb(verb) => self.saga.act(verb.clone(), Act::default(), self.context())?,
            _ => match self.input(step) {
                Some(input) => self.saga.handle(input, self.context()),
                None => return Ok(Vec::new()),
            },
        };
        for event in &events {
            self.shadow.apply(event, self.now).unwrap();
            self.history.push((self.now, event.clone()));
        }
        assert_eq!(self.shadow, self.saga, "a saga is the fold of its events");
        Ok(events)
    }

    /// Moves the saga to the next version; the shadow is replayed, because it is another tree.
    pub(crate) fn move_to(&mut self, next: &Given) -> Result<Vec<Event>, Rejected> {
        let (plan, version) = (next.plan(), u8::try_from(self.plans.len() + 1).unwrap());
        let code = Code { version: version.into(), digest: [version; 32], definition_hash: [version; 32] };
        let events = self.saga.move_to(Arc::clone(&plan), Moved { code, act: Act::default() }, self.context())?;
        self.plans.push(plan);
        self.given = next.clone();
        self.history.extend(events.iter().map(|event| (self.now, event.clone())));
        self.shadow = self.replayed().unwrap();
        assert_eq!(self.shadow, self.saga, "a saga is the fold of its events");
        Ok(events)
    }

    /// The fold of its history.
    pub(crate) fn replayed(&self) -> Result<Saga, ReplayError> {
        let plan = |digest: &[u8; 32]| self.plans.get(usize::from(digest[0]) - 1).cloned();
        Saga::replay_moved(plan, self.history.iter().cloned())
    }

    /// What the move tells the saga, if it tells it anything.
    pub(crate) fn input(&self, step: &Move) -> Option<Input> {
        Some(match step {
            Move::Report { leg, number, outcome, left, sends } => {
                let number = number.unwrap_or_else(|| self.attempts(leg));
                let attempt = Attempt { leg: leg.clone(), number };
                let messages = self.messages(leg, *sends);
                Input::Report(Report { attempt, outcome: outcome.at(self.now), left: *left, messages })
            }
            Move::Answer { leg, number, accepted } => {
                let answer = match accepted {
                    true => Answer::Accepted { revision: 1, events: Vec::new(), data: None },
                    false => Answer::Refused(failure("no")),
                };
                let answered = Answered { number: *number, aggregate: "account".into(), from: "A".into(), answer };
                Input::Answered(leg.clone(), answered)
            }
            Move::Pass(_) => Input::Wake,
            Move::Event { topic, id } => {
                Input::Arrived(Arrival { source: "test".to_owned(), id: id.clone(), topic: topic.clone(), data: None })
            }
            Move::HostStops(legs) => {
                let attempt = |leg: &Leg| Attempt { leg: leg.clone(), number: self.attempts(leg) };
                Input::HostStopped { executing: legs.iter().map(attempt).collect() }
            }
            Move::Locks(None) => Input::LocksTaken,
            Move::Locks(Some(behind)) => Input::LocksQueued(behind.clone()),
            Move::GrantsChange => Input::GrantsChanged,
            Move::CodeComes(aggregate) => Input::CodeCame([aggregate.clone()].into()),
            Move::Verb(_) | Move::Edit(_) | Move::Clock(_) | Move::Reach(_) | Move::Journal(_) => return None,
            Move::Show | Move::Unwanted | Move::Call(_) => return None,
        })
    }

    /// The commands that the open attempt of a leg sends, and the events.
    fn messages(&self, leg: &Leg, sends: Sends) -> Vec<Message> {
        let open = self.saga.effects().run.into_iter().find(|intent| intent.attempt.leg == *leg);
        let before = open.and_then(|intent| self.saga.call(&intent)).map(|call| call.sent).unwrap_or_default();
        let command = |index: u32| {
            let (aggregate, to, name) = ("account".into(), "A".into(), "put".into());
            Message::Command(Sent {
                number: before.commands + index,
                aggregate,
                to,
                name,
                data: Payload::null(),
                expect_revision: None,
            })
        };
        let topic = Topic { event_type: "put".into(), key: "A".into() };
        let event =
            |index: u32| Message::Event(Published { number: before.events + index, topic: topic.clone(), data: Payload::null() });
        (0..sends.commands).map(command).chain((0..sends.events).map(event)).collect()
    }

    /// The number of the leg's last attempt, by its history.
    fn attempts(&self, leg: &Leg) -> u32 {
        self.history.iter().rev().find_map(|(_, event)| number_of(event, leg)).unwrap_or(0)
    }

    /// What the next decision may depend on.
    pub(crate) fn context(&self) -> Context {
        Context {
            now: self.now,
            jitter: self.turns.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            may_reach_outside: self.reach,
            snapshot: 1,
            journal: self.journal,
        }
    }
}

fn number_of(event: &Event, leg: &Leg) -> Option<u32> {
    match event {
        Event::Intent(intent) if intent.attempt.leg == *leg => Some(intent.attempt.number),
        _ => None,
    }
}

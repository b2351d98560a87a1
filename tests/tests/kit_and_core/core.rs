//! Runs a case on the core, with a driver that orders attempts as the kit does.
//!
//! The core leaves to its host in which order attempts end that are open at the same time. Here all that are open end in the
//! order of their steps, compensations of a rollback last and backwards; what opens meanwhile is for the next round. Backoffs
//! pass at once. The trace is made of the core's events, and of nothing that this driver would have decided.

use std::collections::BTreeSet;

use amends_core::{
    Context, Failure, Input, Instant, Payload, Room, Saga,
    command::StepCommand,
    event::{Arrival, Attempt as Named, Cancel, Event, Intent, Reason, RollbackCause, Started, Topic, Wait, Why, Woken},
    id::{Direction, Incarnation, Leg},
    outcome::{Left, Outcome, Report},
    value::Format,
    verbs::Verb,
    view::{BodyView, Status, StepStatus, StepView},
};
use serde_json::{Value, json};

use crate::case::{Answer, Asked, Attempt, Case, Move, Played, START_MS, counted};

pub(crate) fn played(case: &Case) -> Played {
    let mut host = Host::start(case);
    host.drive();
    for step in &case.moves {
        match step {
            Move::Event(path) => host.event(path),
            Move::Pass(ms) => host.pass(*ms),
            Move::Cancel => host.cancel(),
        }
    }
    host.played()
}

struct Host<'a> {
    case: &'a Case,
    saga: Saga,
    now: Instant,
    trace: Vec<String>,
    calls: Vec<String>,
    /// How many commands were sent.
    commands: u64,
    /// Events that no leg has taken, and how many have come.
    kept: Vec<Arrival>,
    events: u64,
    backing_off: BTreeSet<Leg>,
    undid_a_result: bool,
}

impl<'a> Host<'a> {
    fn start(case: &'a Case) -> Self {
        let now = Instant(START_MS);
        let started = Started {
            module: "test".into(),
            version: 1,
            digest: [1; 32],
            definition: case.definition.name.clone(),
            definition_hash: [2; 32],
            incarnation: Incarnation([3; 16]),
            input: json(&case.input),
            input_hash: [4; 32],
            deadline_at: case.definition.deadline_ms.map(|ms| now.plus(ms)),
            trace_context: None,
            lock_keys: Vec::new(),
        };
        let (saga, events) = Saga::start(case.plan(), started, context(now));
        let (trace, calls, kept, backing_off) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
        let mut host = Self { case, saga, now, trace, calls, commands: 0, kept, events: 0, backing_off, undid_a_result: false };
        host.note(&events);
        host
    }

    fn handle(&mut self, input: Input) {
        let events = self.saga.handle(input, context(self.now));
        self.note(&events);
        // The host matches a wait with the events that it has kept, in the commit of the wait.
        for event in &events {
            if let Event::Wait(_, Wait { event: Some(topic), .. }) = event
                && self.saga.effects().topics.contains(topic)
                && let Some(at) = self.kept.iter().position(|kept| kept.topic == *topic)
            {
                let kept = self.kept.remove(at);
                self.handle(Input::Arrived(kept));
            }
        }
    }

    /// Until the saga ends, waits or is stuck.
    fn drive(&mut self) {
        loop {
            let round = self.open();
            for intent in &round {
                if let Some(report) = self.end_of(intent) {
                    self.handle(Input::Report(report));
                }
            }
            if round.is_empty() && !self.skip_a_backoff() {
                return;
            }
        }
    }

    /// What is open, in the order of the turns.
    fn open(&self) -> Vec<Intent> {
        let view = self.saga.view();
        let place = |leg: &Leg| view.steps.iter().position(|step| step.path == leg.path).unwrap();
        let mut open = self.saga.effects().run;
        open.sort_by_key(|intent| place(&intent.attempt.leg));
        if view.rollback.is_some() {
            let is_undo = |intent: &Intent| matches!(intent.attempt.leg.direction, Direction::Undo(_));
            let (last, first): (Vec<_>, Vec<_>) = open.into_iter().partition(is_undo);
            open = first.into_iter().chain(last.into_iter().rev()).collect();
        }
        open
    }

    /// Calls the guest, and returns its answer.
    fn end_of(&mut self, intent: &Intent) -> Option<Report> {
        if let Some(command) = self.saga.command(intent, 1 << 20) {
            let outcome = self.outcome_of(command, intent.attempt.leg.direction);
            return Some(Report { attempt: intent.attempt.clone(), outcome, left: Left::Nothing, messages: Vec::new() });
        }
        let call = self.saga.call(intent)?;
        let leg = &intent.attempt.leg;
        let (asked, undo_alternate) = match leg.direction {
            Direction::Forward => (Asked::Forward, 0),
            Direction::Undo(alternate) => (Asked::Undo, alternate),
            Direction::Check => (Asked::Check, 0),
        };
        let (path, number) = (leg.path.as_str(), intent.attempt.number);
        let attempt = Attempt { asked, path, alternate: leg.alternate, undo_alternate, round: leg.round, number };
        let arrived = match &call.arrived {
            None => "nothing".to_owned(),
            Some(Woken::Timer) => "timer".to_owned(),
            Some(Woken::Event(arrival)) => format!("{}/{}", arrival.topic.event_type, arrival.topic.key),
            Some(Woken::Answer(answered)) => format!("answer {}", answered.number),
        };
        let needs = call.outputs.iter().filter(|_| !path.contains('/')).map(|(name, output)| format!("{name}={}", value(output)));
        let cause = call.rollback_cause.as_ref().map(|cause| match cause {
            RollbackCause::Saga(reason) => match &**reason {
                Reason::Refused(step, failure) => format!("{step} refused {}", failure.code),
                Reason::Exhausted(step, failure) => format!("{step} exhausted {}", failure.code),
                Reason::Unknown(step, failure) => format!("{step} unknown {}", failure.code),
                Reason::Cancelled => "cancelled".to_owned(),
                Reason::Deadline => "deadline".to_owned(),
            },
            RollbackCause::AlternateRefused(failure) => format!("alternate refused {}", failure.code),
        });
        let own_output = call.own_output.as_ref().filter(|_| asked == Asked::Undo).map(value);
        let since_start = |at: Instant| at.since(Instant(START_MS));
        self.calls.push(format!(
            "{attempt:?} may have run {}, after {:?}, for {cause:?}, element {:?}, arrived {arrived}, own {own_output:?}, needs {:?}, input {}, now {}, began {}, until {}",
            call.may_have_run,
            call.last_failure.as_ref().map(|failure| &failure.code),
            call.element.as_deref(),
            needs.collect::<Vec<_>>(),
            value(&call.input),
            since_start(call.now),
            since_start(call.started_at),
            since_start(call.deadline_at),
        ));
        let outcome = self.outcome(asked, path, self.case.answer(&attempt));
        Some(Report { attempt: intent.attempt.clone(), outcome, left: Left::Answered, messages: Vec::new() })
    }

    /// As the host says it: a compensation is not refused.
    fn outcome_of(&mut self, command: Result<StepCommand, Failure>, direction: Direction) -> Outcome {
        let answered = command.and_then(|command| self.answered(&command));
        match (answered, direction) {
            (Ok(answer @ (Answer::Done(_) | Answer::Transient(_))), Direction::Undo(_)) => self.outcome(Asked::Undo, "", answer),
            (Ok(answer), _) => self.outcome(Asked::Forward, "", answer),
            (Err(failure), Direction::Undo(_)) => Outcome::Transient(failure),
            (Err(failure), _) => Outcome::Refused(failure),
        }
    }

    fn answered(&mut self, command: &StepCommand) -> Result<Answer, Failure> {
        self.commands += 1;
        self.calls.push(format!("{} {} {}", command.name, command.id, value(&command.data)));
        match self.case.answer_to_command(self.commands) {
            Answer::Done(data) => Ok(Answer::Done(json!({"revision": 1, "data": data, "events": []}))),
            Answer::Refused(code) => Err(Failure::new(code, "")),
            answer => Ok(answer),
        }
    }

    /// As the SDK says it: only a step refuses, and a check that fails cannot tell.
    fn outcome(&self, asked: Asked, path: &str, answer: Answer) -> Outcome {
        let failure = |code: &str| Failure::new(code, "");
        match answer {
            Answer::Done(_) if asked == Asked::Undo => Outcome::Done(Payload::null()),
            Answer::Done(output) => Outcome::Done(json(&output)),
            Answer::NotDone => Outcome::NotDone,
            Answer::Refused(code) => Outcome::Refused(failure(code)),
            Answer::Transient(code) => Outcome::Transient(failure(code)),
            Answer::Unknown(code) => Outcome::Unknown(failure(code)),
            Answer::Wait { event, for_ms } => {
                Outcome::Wait(Wait { event: event.then(|| topic(path)), until: for_ms.map(|ms| self.now.plus(ms)), answer: None })
            }
        }
    }

    /// Lets the time pass to the end of the next backoff, or to what comes before it; false if there is no backoff.
    fn skip_a_backoff(&mut self) -> bool {
        if self.backing_off.is_empty() {
            return false;
        }
        self.now = self.now.max(self.saga.effects().wake_at.unwrap());
        self.handle(Input::Wake);
        true
    }

    /// Keeps in mind which legs back off.
    fn keep_in_mind(&mut self, event: &Event) {
        match event {
            Event::Backoff(leg, _) => {
                self.backing_off.insert(leg.clone());
            }
            Event::Intent(intent) => {
                self.backing_off.remove(&intent.attempt.leg);
            }
            Event::Undone(attempt) => {
                let view = self.saga.view();
                let is_refused = |step: &StepView| step.path == attempt.leg.path && step.status == StepStatus::Refused;
                self.undid_a_result |= view.rollback.is_none() && view.steps.iter().any(is_refused);
            }
            Event::RollbackBegun(_) => self.backing_off.retain(|leg| matches!(leg.direction, Direction::Undo(_))),
            _ => {}
        }
    }

    fn pass(&mut self, ms: u64) {
        let until = self.now.plus(ms);
        while let Some(at) = self.saga.effects().wake_at.filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.handle(Input::Wake);
            self.drive();
        }
        self.now = self.now.max(until);
    }

    fn event(&mut self, path: &str) {
        self.events += 1;
        let (id, topic) = (format!("event-{}", self.events), topic(path));
        let arrival = Arrival { source: "test".into(), id, topic, data: Some(json(&path.into())) };
        if self.saga.effects().topics.contains(&arrival.topic) {
            self.handle(Input::Arrived(arrival));
            self.drive();
        } else {
            self.kept.push(arrival);
        }
    }

    fn cancel(&mut self) {
        match self.saga.act(Verb::Cancel, amends_core::event::Act::default(), context(self.now)) {
            Ok(events) => self.note(&events),
            Err(_) => self.trace.push("not cancelled".to_owned()),
        }
        self.drive();
    }

    /// The trace of events, in the kit's words.
    fn note(&mut self, events: &[Event]) {
        for event in events {
            self.keep_in_mind(event);
            let line = match event {
                Event::Done(attempt, _) | Event::Undone(attempt) => Some(format!("{} done", name(attempt))),
                Event::Refused(attempt, failure) => Some(format!("{} refused {}", name(attempt), failure.code)),
                Event::Transient(attempt, failure, _) => Some(format!("{} transient {}", name(attempt), failure.code)),
                Event::Unknown(attempt, failure, _) => Some(format!("{} unknown {}", name(attempt), failure.code)),
                Event::NotDone(attempt) => Some(format!("{} not done", name(attempt))),
                Event::Wait(attempt, wait) => Some(format!("{} waits{}", name(attempt), self.waited_for(wait))),
                Event::CancelRequested(Cancel::Asked(_)) => Some("cancelled".to_owned()),
                Event::CancelRequested(Cancel::Deadline) => Some("past its deadline".to_owned()),
                Event::RollbackBegun(Reason::Refused(path, failure)) => self.refused_list(path.as_str(), failure),
                Event::RoundBegun(round) => Some(format!("round {} from {}", round.number, round.savepoint)),
                Event::Stuck(leg, why) => {
                    let failure = failure_of(why);
                    if leg.direction == Direction::Forward {
                        self.trace.extend(self.refused_list(leg.path.as_str(), failure));
                    }
                    let undo = matches!(leg.direction, Direction::Undo(_));
                    let at = if undo { format!("undo {}", way(leg)) } else { leg.path.to_string() };
                    Some(format!("stuck at {at}: {}", failure.code))
                }
                Event::Completed => Some("completed".to_owned()),
                Event::Compensated => Some(format!("compensated {}", self.end().unwrap_or_default())),
                Event::Started(_)
                | Event::Intent(_)
                | Event::Listed(..)
                | Event::Arrived(..)
                | Event::TimerFired(_)
                | Event::Backoff(..)
                | Event::RollbackBegun(_) => None,
                Event::Stale(..)
                | Event::Sent(..)
                | Event::Published(..)
                | Event::Answered(..)
                | Event::Unstuck(_)
                | Event::Retried(..)
                | Event::Resolved(..)
                | Event::Skipped(..)
                | Event::Moved(_)
                | Event::LockQueued(_)
                | Event::LockTaken
                | Event::LockBroken(..)
                | Event::Abandoned(_) => panic!("nothing in a case leads to {event:?}"),
            };
            self.trace.extend(line);
        }
    }

    /// A fan-out whose list cannot be used was refused: no attempt says so.
    fn refused_list(&self, path: &str, failure: &Failure) -> Option<String> {
        let view = self.saga.view();
        let unlisted = view.steps.iter().any(|step| step.path.as_str() == path && step.body == BodyView::Unlisted);
        unlisted.then(|| format!("{path} refused {}", failure.code))
    }

    fn waited_for(&self, wait: &Wait) -> String {
        let event = wait.event.as_ref().map(|topic| format!(" for event {}/{}", topic.event_type, topic.key));
        let until = wait.until.map(|until| format!(" until +{}", short(until.since(self.now))));
        format!("{}{}", event.unwrap_or_default(), until.unwrap_or_default())
    }

    /// What the rollback under way, or over, was begun for.
    fn end(&self) -> Option<String> {
        self.saga.view().rollback.map(|reason| match reason {
            Reason::Refused(_, failure) | Reason::Unknown(_, failure) => failure.code,
            Reason::Exhausted(..) => "exhausted".to_owned(),
            Reason::Cancelled => "cancelled".to_owned(),
            Reason::Deadline => "deadline".to_owned(),
        })
    }

    fn played(self) -> Played {
        let stuck = self.saga.stuck();
        let status = match self.saga.status() {
            Status::Completed => "Completed",
            Status::Compensated => "Compensated",
            Status::Stuck => "Stuck",
            Status::Waiting | Status::Compensating => "Waiting",
            status @ (Status::Running | Status::Abandoned) => panic!("a case ends {status:?}"),
        };
        let steps = self.saga.view().steps;
        // Steps of code come first, then fan-outs that are stuck for their lists.
        let place = |leg: &Leg| {
            let at = steps.iter().position(|step| step.path == leg.path).unwrap();
            (steps[at].body == BodyView::Unlisted, at)
        };
        let first_stuck = stuck.iter().min_by_key(|stuck| place(&stuck.leg)).map(|stuck| failure_of(&stuck.why).code.clone());
        let failure = first_stuck.or_else(|| self.end()).unwrap_or("no failure".to_owned());
        let output = self.saga.output().map_or(String::new(), |output| value(&output).to_string());
        let end = format!("{status}, {failure}, +{}ms, {output}", self.now.since(Instant(START_MS)));
        Played { trace: counted(&self.trace), calls: self.calls, end, undid_a_result: self.undid_a_result }
    }
}

fn context(now: Instant) -> Context {
    Context { now, jitter: 0, may_reach_outside: true, snapshot: 1, journal: Room::Free }
}

fn topic(path: &str) -> Topic {
    Topic { event_type: "go".into(), key: path.into() }
}

fn json(value: &Value) -> Payload {
    Payload::json(value.to_string())
}

fn value(payload: &Payload) -> Value {
    assert_eq!(payload.format, Format::Json);
    serde_json::from_slice(&payload.bytes).unwrap()
}

fn name(attempt: &Named) -> String {
    let way = way(&attempt.leg);
    match attempt.leg.direction {
        Direction::Forward => way,
        Direction::Check => format!("check {way}"),
        Direction::Undo(0) => format!("undo {way}"),
        Direction::Undo(alternate) => format!("undo {way} by alternate {alternate}"),
    }
}

fn way(leg: &Leg) -> String {
    match leg.alternate {
        0 => leg.path.to_string(),
        alternate => format!("{} alternate {alternate}", leg.path),
    }
}

fn failure_of(why: &Why) -> &Failure {
    match why {
        Why::Exhausted(failure) | Why::Refused(failure) | Why::Unknown(failure) | Why::PivotInDoubt(failure) => failure,
        Why::Denied(_) | Why::HostDied | Why::JournalFull => panic!("nothing in a case leads to {why:?}"),
    }
}

/// In the largest unit that leaves no rest.
fn short(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    match units.iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}

//! What an attempt has sent leaves with its outcome: aggregates decide at once, and events are there for who waits for them.

use serde_json::Value;

use super::Leg;
use crate::bindings::imports::amends::module::types::{Accepted, Answer, Answered, RecordedEvent};
use crate::bindings::saga::exports::amends::module::saga::{Direction, EventArrival, Outcome};
use crate::testing::aggregates::Sent;
use crate::testing::course::Course;
use crate::testing::world::Message;
use crate::{AnsweredEvent, payload};

impl Leg {
    /// The attempt is done or waits: what it has sent leaves.
    pub(super) fn send_messages(&mut self, name: &str, direction: Direction, course: &mut Course) {
        for message in course.world.take_messages() {
            match message {
                Message::Command(sent, key) => {
                    course.trace.push(format!("{name} sends {} to {}/{}", sent.name, sent.aggregate, sent.id));
                    let outcome = course.world.send_command(&sent, &key);
                    let answer = answer(&sent, outcome, course);
                    let tries = self.in_direction_mut(direction);
                    // What was refused did not happen.
                    tries.may_have_run |= matches!(answer, Answer::Accepted(_));
                    tries.commands += 1;
                    tries.answers.insert(key.clone(), Answered { command: key, answer });
                }
                Message::Event(event) => {
                    course.trace.push(format!("{name} publishes {}/{}", event.event_type, event.key));
                    let id = format!("{}/published-{}", self.place.path, course.kept.len());
                    course.kept.push(EventArrival { id, event_type: event.event_type, key: event.key, data: Some(event.data) });
                    self.in_direction_mut(direction).may_have_run = true;
                }
            }
        }
    }
}

fn answer(sent: &Sent, outcome: Outcome, course: &Course) -> Answer {
    let output = match outcome {
        Outcome::Done(output) => output,
        Outcome::Refused(failure) => return Answer::Refused(failure),
        Outcome::Transient(failure) | Outcome::Unknown(failure) => {
            panic!("{} of {} {} would be sent again and again: {}", sent.name, sent.aggregate, sent.id, failure.message)
        }
        Outcome::Wait(_) => panic!("a command does not wait; it is done or refused"),
    };
    let crate::Answered::<Value> { revision, data, events } =
        payload::decode(&output).unwrap_or_else(|error| panic!("the answer of {} {}: {error}", sent.aggregate, sent.id));
    let event = |event: AnsweredEvent| RecordedEvent {
        id: format!("{}/{}/{}", sent.aggregate, sent.id, event.revision),
        event_type: event.event_type,
        version: event.version,
        source: sent.aggregate.clone(),
        key: sent.id.clone(),
        revision: event.revision,
        position: String::new(),
        at: course.now().as_millis(),
        correlation: course.id.clone(),
        data: Some(payload::json(event.data.to_string())),
    };
    let data = (!data.is_null()).then(|| payload::json(data.to_string()));
    Answer::Accepted(Accepted { revision, events: events.into_iter().map(event).collect(), data })
}

//! Events that start sagas.

use crate::bindings::triggers::exports::amends::module::triggers::Trigger;
use crate::testing::plain::{EVENT_TYPE_BYTES_MAX, is_event_type};

const TRIGGERS_MAX: usize = 64;

pub(super) fn check(triggers: &[Trigger], problems: &mut Vec<String>) {
    let about = |trigger: &Trigger, problem: String| format!("saga `{}`: {problem}", trigger.saga);
    if let Some(first) = triggers.get(TRIGGERS_MAX) {
        let problem = format!("with it, events start sagas of its module in {} ways; at most {TRIGGERS_MAX}", triggers.len());
        problems.push(about(first, problem));
    }
    for (index, trigger) in triggers.iter().take(TRIGGERS_MAX).enumerate() {
        let event = trigger.event_type.escape_debug();
        if !is_event_type(&trigger.event_type) {
            let rule = format!("a type has 1 to {EVENT_TYPE_BYTES_MAX} printable bytes");
            problems.push(about(trigger, format!("nobody can publish an event `{event}`; {rule}")));
        }
        if triggers[..index].contains(trigger) {
            problems.push(about(trigger, format!("the event `{event}` starts it twice; say it once")));
        }
    }
}

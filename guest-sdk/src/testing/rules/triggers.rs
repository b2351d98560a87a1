//! Events that start sagas.

use crate::bindings::triggers::exports::amends::module::triggers::Trigger;

const TRIGGERS_MAX: usize = 64;
const EVENT_TYPE_BYTES_MAX: usize = 255;

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

/// Neither empty nor long, without control characters, and without marks that turn the reading direction.
pub(super) fn is_event_type(text: &str) -> bool {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (1..=EVENT_TYPE_BYTES_MAX).contains(&text.len()) && !text.contains(|c: char| c.is_control() || turns(c))
}

//! Which event is being taken when a fold panics. A panic ends the component at once, so its hook is the last place to say.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

use crate::host::EventAt;

/// An event at hand, in buffers that the next one reuses.
struct AtHand {
    id: String,
    event_type: String,
    version: u32,
    revision: Option<u64>,
    /// The function that takes it; none: there is no event at hand.
    by: Option<&'static str>,
}

thread_local! {
    static AT_HAND: RefCell<AtHand> = const {
        RefCell::new(AtHand { id: String::new(), event_type: String::new(), version: 0, revision: None, by: None })
    };
}

pub(super) fn at<T>(by: &'static str, event: EventAt<'_>, take: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(add_hook);
    AT_HAND.with_borrow_mut(|at_hand| {
        event.id.clone_into(&mut at_hand.id);
        event.event_type.clone_into(&mut at_hand.event_type);
        (at_hand.version, at_hand.revision, at_hand.by) = (event.version, event.revision, Some(by));
    });
    let taken = take();
    AT_HAND.with_borrow_mut(|at_hand| at_hand.by = None);
    taken
}

fn add_hook() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        usual(info);
        AT_HAND.with_borrow(|AtHand { id, event_type, version, revision, by }| {
            if let Some(by) = by {
                eprintln!("{by} panicked at {}", EventAt { id, event_type, version: *version, revision: *revision });
            }
        });
    }));
}

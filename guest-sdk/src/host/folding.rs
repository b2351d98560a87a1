//! Which event is being taken into a state when it panics. A panic ends the component at once, so its hook is the last place to say.

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
    is_folding: bool,
}

thread_local! {
    static AT_HAND: RefCell<AtHand> = const {
        RefCell::new(AtHand { id: String::new(), event_type: String::new(), version: 0, revision: None, is_folding: false })
    };
}

pub(super) fn at<T>(event: EventAt<'_>, evolve: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(add_hook);
    AT_HAND.with_borrow_mut(|at_hand| {
        event.id.clone_into(&mut at_hand.id);
        event.event_type.clone_into(&mut at_hand.event_type);
        (at_hand.version, at_hand.revision, at_hand.is_folding) = (event.version, event.revision, true);
    });
    let taken = evolve();
    AT_HAND.with_borrow_mut(|at_hand| at_hand.is_folding = false);
    taken
}

fn add_hook() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        usual(info);
        AT_HAND.with_borrow(|AtHand { id, event_type, version, revision, is_folding }| {
            if *is_folding {
                eprintln!("evolve panicked at {}", EventAt { id, event_type, version: *version, revision: *revision });
            }
        });
    }));
}

//! The surroundings off wasm: whatever world the test kit put around the step that this thread is running.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::bindings::imports::amends::module::types::{OutgoingCommand, OutgoingEvent};
use crate::host::{EventAt, Row};
use crate::log::Level;
use crate::{Moment, http};

/// A world that steps can run in.
pub(crate) trait World {
    fn now(&self) -> Moment;
    fn attempt_started_at(&self) -> Moment;
    fn new_id(&self) -> String;
    fn random_bytes(&self, len: u32) -> Vec<u8>;
    fn config(&self, key: &str) -> Option<String>;
    fn secret(&self, name: &str) -> Option<String>;
    fn log(&self, level: Level, message: &str);
    fn send(&self, request: &http::Request) -> Result<http::Response, http::Error>;

    /// Sends a command with the outcome of the attempt, and gives its id.
    fn send_command(&self, command: &OutgoingCommand) -> String {
        panic!("only a step sends commands, and this one is for {} {}", command.aggregate, command.id)
    }

    /// Publishes an event with the outcome of the attempt.
    fn publish(&self, event: &OutgoingEvent) {
        panic!("only a step publishes events, and this one is {}", event.event_type)
    }

    /// The rows of the projection that is called. Nothing else reaches for them.
    fn rows(&self) -> &dyn Rows {
        panic!("only a projection has rows")
    }
}

/// The rows of a projection, by key.
pub(crate) trait Rows {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;
    fn put(&self, key: &[u8], value: &[u8]);
    fn delete(&self, key: &[u8]);
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: u32, reverse: bool) -> Vec<Row>;
}

thread_local! {
    static WORLD: RefCell<Option<Rc<dyn World>>> = const { RefCell::new(None) };
}

/// Runs `step` inside `world`; whatever was around before is around again afterwards, also after a panic.
pub(crate) fn inside<T>(world: Rc<dyn World>, step: impl FnOnce() -> T) -> T {
    struct Restore(Option<Rc<dyn World>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            WORLD.set(self.0.take());
        }
    }
    let _restore = Restore(WORLD.replace(Some(world)));
    step()
}

/// Takes an event into a state, with nothing around that could make the state depend on anything else.
pub(crate) fn folding<T>(event: EventAt<'_>, evolve: impl FnOnce() -> T) -> T {
    let taken = inside(Rc::new(Nowhere), || catch_unwind(AssertUnwindSafe(evolve)));
    taken.unwrap_or_else(|panic| panic!("evolve panicked at {event}: {}", message(&*panic)))
}

/// Takes an event into the rows of the projection that the test kit put around.
pub(crate) fn projecting<T>(event: EventAt<'_>, project: impl FnOnce() -> T) -> T {
    let taken = catch_unwind(AssertUnwindSafe(project));
    taken.unwrap_or_else(|panic| panic!("project panicked at {event}: {}", message(&*panic)))
}

/// Lets a policy take an event.
pub(crate) fn handling<T>(event: EventAt<'_>, handle: impl FnOnce() -> T) -> T {
    let taken = catch_unwind(AssertUnwindSafe(handle));
    taken.unwrap_or_else(|panic| panic!("handle panicked at {event}: {}", message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

/// What surrounds an event that is folded: nothing.
struct Nowhere;

impl Nowhere {
    fn nothing(&self, what: &str) -> ! {
        panic!("evolve asks for {what}; a state depends on its events alone, so put it into the event")
    }
}

impl World for Nowhere {
    fn now(&self) -> Moment {
        self.nothing("the time")
    }

    fn attempt_started_at(&self) -> Moment {
        self.nothing("the time")
    }

    fn new_id(&self) -> String {
        self.nothing("an id")
    }

    fn random_bytes(&self, _: u32) -> Vec<u8> {
        self.nothing("random bytes")
    }

    fn config(&self, _: &str) -> Option<String> {
        self.nothing("a setting")
    }

    fn secret(&self, _: &str) -> Option<String> {
        self.nothing("a secret")
    }

    fn log(&self, _: Level, _: &str) {}

    fn send(&self, request: &http::Request) -> Result<http::Response, http::Error> {
        self.nothing(&format!("{} {}", request.method(), request.url()))
    }
}

fn world() -> Rc<dyn World> {
    let world = WORLD.with_borrow(Clone::clone);
    // A mistake in a test, which has nothing better to do than to stop here.
    world.unwrap_or_else(|| panic!("no world around this step; run it with amends_sdk::testing::given"))
}

pub(crate) fn now() -> Moment {
    world().now()
}

pub(crate) fn attempt_started_at() -> Moment {
    world().attempt_started_at()
}

pub(crate) fn new_id() -> String {
    world().new_id()
}

pub(crate) fn random_bytes(len: u32) -> Vec<u8> {
    world().random_bytes(len)
}

pub(crate) fn config(key: &str) -> Option<String> {
    world().config(key)
}

pub(crate) fn secret(name: &str) -> Option<String> {
    world().secret(name)
}

/// A line is never worth a failed test: without a world it goes nowhere.
pub(crate) fn log(level: Level, message: &str) {
    if let Some(world) = WORLD.with_borrow(Clone::clone) {
        world.log(level, message);
    }
}

pub(crate) fn send(request: &http::Request) -> Result<http::Response, http::Error> {
    world().send(request)
}

pub(crate) fn send_command(command: &OutgoingCommand) -> String {
    world().send_command(command)
}

pub(crate) fn publish(event: &OutgoingEvent) {
    world().publish(event);
}

pub(crate) fn row(key: &[u8]) -> Option<Vec<u8>> {
    world().rows().get(key)
}

pub(crate) fn put_row(key: &[u8], value: &[u8]) {
    world().rows().put(key, value);
}

pub(crate) fn delete_row(key: &[u8]) {
    world().rows().delete(key);
}

/// At most `limit` rows, which is at most 1,000: smallest key first, or largest first.
pub(crate) fn scan_rows(prefix: &[u8], after: Option<&[u8]>, limit: u32, reverse: bool) -> Vec<Row> {
    world().rows().scan(prefix, after, limit, reverse)
}

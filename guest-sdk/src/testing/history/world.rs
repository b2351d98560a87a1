//! What surrounds a command that is decided: the time, and ids. Everything else is outside.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::host::World;
use crate::log::Level;
use crate::testing::world::{START_MS, next, seed};
use crate::{Moment, http};

pub(in crate::testing) struct DecideWorld {
    now: Cell<Moment>,
    command: RefCell<String>,
    ids: Cell<u64>,
    random: Cell<u64>,
    logs: RefCell<Vec<String>>,
}

impl DecideWorld {
    pub(in crate::testing) fn new() -> DecideWorld {
        DecideWorld {
            now: Cell::new(Moment::from_millis(START_MS)),
            command: RefCell::default(),
            ids: Cell::new(0),
            random: Cell::new(0),
            logs: RefCell::default(),
        }
    }

    /// The same command is decided in the same way again.
    pub(in crate::testing) fn begin(&self, command: &str) {
        self.command.replace(command.to_owned());
        self.ids.set(0);
        self.random.set(seed(command));
    }

    pub(in crate::testing) fn advance(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    pub(in crate::testing) fn set_clock(&self, now: Moment) {
        self.now.set(now);
    }

    pub(in crate::testing) fn clock(&self) -> Moment {
        self.now.get()
    }

    pub(in crate::testing) fn logs(&self) -> Vec<String> {
        self.logs.borrow().clone()
    }

    pub(in crate::testing) fn forget_logs_after(&self, lines: usize) {
        self.logs.borrow_mut().truncate(lines);
    }

    fn outside(&self, what: &str) -> ! {
        panic!("decide asks for {what}; it depends on the state and the command alone, so put it into one of them")
    }
}

impl World for DecideWorld {
    fn now(&self) -> Moment {
        self.clock()
    }

    fn attempt_started_at(&self) -> Moment {
        self.outside("the start of an attempt")
    }

    fn new_id(&self) -> String {
        self.ids.set(self.ids.get() + 1);
        let mut state = seed(&format!("{} id {}", self.command.borrow(), self.ids.get()));
        format!("{:016x}{:016x}", next(&mut state), next(&mut state))
    }

    fn random_bytes(&self, len: u32) -> Vec<u8> {
        assert!(len <= 65_536, "at most 65,536 random bytes at once, not {len}");
        let mut random = self.random.get();
        let bytes = (0..len).map(|_| next(&mut random) as u8).collect();
        self.random.set(random);
        bytes
    }

    fn config(&self, key: &str) -> Option<String> {
        self.outside(&format!("the setting {key}"))
    }

    fn secret(&self, name: &str) -> Option<String> {
        self.outside(&format!("the secret {name}"))
    }

    fn log(&self, level: Level, message: &str) {
        self.logs.borrow_mut().push(format!("{level} {message}"));
    }

    fn send(&self, request: &http::Request) -> Result<http::Response, http::Error> {
        self.outside(&format!("{} {}", request.method(), request.url()))
    }
}

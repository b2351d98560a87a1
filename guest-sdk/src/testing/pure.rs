//! What surrounds a command that is decided, and a policy that reacts: the time, and ids. Everything else is outside.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::host::World;
use crate::log::Level;
use crate::testing::world::{START_MS, next, seed};
use crate::{Moment, http};

pub(in crate::testing) struct PureWorld {
    rule: &'static str,
    now: Cell<Moment>,
    /// The command, or the cause.
    about: RefCell<String>,
    ids: Cell<u64>,
    random: Cell<u64>,
    logs: RefCell<Vec<String>>,
}

impl PureWorld {
    /// For functions that do not reach outside; `rule` says why, behind what they asked for.
    pub(in crate::testing) fn new(rule: &'static str) -> PureWorld {
        PureWorld {
            rule,
            now: Cell::new(Moment::from_millis(START_MS)),
            about: RefCell::default(),
            ids: Cell::new(0),
            random: Cell::new(0),
            logs: RefCell::default(),
        }
    }

    /// The same command is decided in the same way again, and the same cause is taken in the same way.
    pub(in crate::testing) fn begin(&self, about: &str) {
        self.about.replace(about.to_owned());
        self.ids.set(0);
        self.random.set(seed(about));
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
        let (who, why) = self.rule.split_once(": ").unwrap_or((self.rule, ""));
        panic!("{who} asks for {what}; {why}")
    }
}

impl World for PureWorld {
    fn now(&self) -> Moment {
        self.clock()
    }

    fn attempt_started_at(&self) -> Moment {
        self.outside("the start of an attempt")
    }

    fn new_id(&self) -> String {
        self.ids.set(self.ids.get() + 1);
        let mut state = seed(&format!("{} id {}", self.about.borrow(), self.ids.get()));
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

//! The world around a saga under test: its clock, its participants, its log.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::imports::amends::module::types::{OutgoingCommand, OutgoingEvent};
use crate::bindings::saga::exports::amends::module::saga::{Direction, Outcome};
use crate::host::World;
use crate::log::Level;
use crate::testing::aggregates::{Aggregates, Sent};
use crate::testing::plain::{is_event_key, is_event_type, is_id};
use crate::testing::rules;
use crate::{Call, Moment, http, payload};

type Participants = Box<dyn FnMut(&http::Request) -> Result<http::Response, http::Error>>;

/// 2026-01-01T00:00:00Z.
pub(super) const START_MS: u64 = 1_767_225_600_000;

/// The most that a payload has by default, and that the messages of one attempt have together.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// The most messages of one attempt.
const MESSAGES_MAX: usize = 64;

pub(super) struct TestWorld {
    now: Cell<u64>,
    attempt: RefCell<Attempt>,
    participants: RefCell<Option<Participants>>,
    config: RefCell<BTreeMap<String, String>>,
    secrets: RefCell<BTreeMap<String, String>>,
    requests: RefCell<Vec<http::Request>>,
    logs: RefCell<Vec<String>>,
    /// Those that decide the saga's commands.
    pub(super) aggregates: RefCell<Aggregates>,
}

/// What belongs to the attempt in hand.
#[derive(Default)]
struct Attempt {
    step: String,
    key: String,
    /// The forward key, when undoing.
    undoes: Option<String>,
    ready_ms: u64,
    effect_free: bool,
    checks: bool,
    ids: u64,
    random: u64,
    sent: Vec<String>,
    /// What it sends with its outcome, and how many commands its leg had sent before; none in a check.
    messages: Vec<Message>,
    /// What these say together.
    staged_bytes: usize,
    commands: u32,
}

impl Attempt {
    /// Stops where the host would end the attempt, because it sends too much.
    fn stage(&mut self, data: &Payload) {
        self.staged_bytes += payload::bytes(data).len();
        let (step, messages, bytes) = (&self.step, self.messages.len() + 1, self.staged_bytes);
        assert!(messages <= MESSAGES_MAX, "step {step} sends more than {MESSAGES_MAX} messages in one attempt");
        assert!(bytes <= PAYLOAD_BYTES_MAX, "step {step} sends {bytes} bytes in one attempt; at most {PAYLOAD_BYTES_MAX}");
    }
}

/// What an attempt sends with its outcome.
pub(super) enum Message {
    /// A command and its id.
    Command(Sent, String),
    Event(OutgoingEvent),
}

impl TestWorld {
    pub(super) fn new() -> TestWorld {
        TestWorld {
            now: Cell::new(START_MS),
            attempt: RefCell::default(),
            participants: RefCell::new(None),
            config: RefCell::default(),
            secrets: RefCell::default(),
            requests: RefCell::default(),
            logs: RefCell::default(),
            aggregates: RefCell::default(),
        }
    }

    pub(super) fn answers(&self, participants: Participants) {
        self.participants.replace(Some(participants));
    }

    pub(super) fn grant(&self, key: String, value: String) {
        self.config.borrow_mut().insert(key, value);
    }

    pub(super) fn grant_secret(&self, name: String, value: String) {
        self.secrets.borrow_mut().insert(name, value);
    }

    pub(super) fn begin(&self, call: &Call, ready: Moment, effect_free: bool, commands: u32) {
        http::begin();
        self.attempt.replace(Attempt {
            step: call.step().to_owned(),
            key: call.key().to_owned(),
            undoes: (call.raw.direction == Direction::Undo).then(|| call.forward_key().to_owned()),
            ready_ms: ready.as_millis(),
            effect_free,
            checks: call.raw.direction == Direction::Check,
            random: seed(call.key()),
            commands,
            ..Attempt::default()
        });
    }

    /// What the attempt in hand sends with its outcome.
    pub(super) fn take_messages(&self) -> Vec<Message> {
        std::mem::take(&mut self.attempt.borrow_mut().messages)
    }

    /// A step's command, and what it comes to.
    pub(super) fn send_command(&self, sent: &Sent, key: &str) -> Outcome {
        self.aggregates.borrow_mut().send(sent, key, self.clock())
    }

    pub(super) fn clock(&self) -> Moment {
        Moment::from_millis(self.now.get())
    }

    pub(super) fn set_clock(&self, moment: Moment) {
        self.now.set(moment.as_millis());
    }

    pub(super) fn requests(&self) -> Vec<http::Request> {
        self.requests.borrow().clone()
    }

    pub(super) fn logs(&self) -> Vec<String> {
        self.logs.borrow().clone()
    }
}

impl World for TestWorld {
    fn now(&self) -> Moment {
        Moment::from_millis(self.attempt.borrow().ready_ms)
    }

    fn attempt_started_at(&self) -> Moment {
        self.clock()
    }

    fn new_id(&self) -> String {
        let mut attempt = self.attempt.borrow_mut();
        attempt.ids += 1;
        let mut state = seed(&format!("{} id {}", attempt.key, attempt.ids));
        format!("{:016x}{:016x}", next(&mut state), next(&mut state))
    }

    fn random_bytes(&self, len: u32) -> Vec<u8> {
        assert!(len <= 65_536, "at most 65,536 random bytes at once, not {len}");
        let mut attempt = self.attempt.borrow_mut();
        (0..len).map(|_| next(&mut attempt.random) as u8).collect()
    }

    fn config(&self, key: &str) -> Option<String> {
        self.config.borrow().get(key).cloned()
    }

    fn secret(&self, name: &str) -> Option<String> {
        self.secrets.borrow().get(name).cloned()
    }

    fn log(&self, level: Level, message: &str) {
        self.logs.borrow_mut().push(format!("{level} {message}"));
    }

    fn send_command(&self, command: &OutgoingCommand) -> String {
        let OutgoingCommand { aggregate, id, name, data, expect_revision } = command.clone();
        let mut attempt = self.attempt.borrow_mut();
        let step = &attempt.step;
        assert!(!attempt.checks, "the check of step {step} sends {name} to {aggregate} {id}; a check only asks");
        for (what, text) in [("an aggregate", &aggregate), ("a command", &name)] {
            rules::name(text).unwrap_or_else(|bad| panic!("step {step} sends a command to {aggregate} {id}; as {what}, {bad}"));
        }
        assert!(is_id(&id), "step {step} sends {name} to a {aggregate} of the id {id:?}, which no aggregate can have");
        let key = format!("{}.{}", attempt.key, attempt.commands);
        attempt.stage(&data);
        attempt.commands += 1;
        let data = payload::decode(&data).unwrap_or_default();
        let sent = Sent { aggregate, id, name, data, expect_revision };
        attempt.messages.push(Message::Command(sent, key.clone()));
        key
    }

    fn publish(&self, event: &OutgoingEvent) {
        let mut attempt = self.attempt.borrow_mut();
        let (step, OutgoingEvent { event_type, key, data }) = (&attempt.step, event);
        assert!(!attempt.checks, "the check of step {step} publishes {event_type}; a check only asks");
        assert!(is_event_type(event_type), "step {step} publishes an event of the type {event_type:?}, which none can have");
        assert!(is_event_key(key), "step {step} publishes {event_type} with the key {key:?}, which no event can have");
        // The host records the outcome, and drops the event.
        let owned = self.aggregates.borrow().own(event_type);
        assert!(!owned, "step {step} publishes {event_type}, which only an aggregate records; give the event another type");
        attempt.stage(data);
        attempt.messages.push(Message::Event(event.clone()));
    }

    fn send(&self, request: &http::Request) -> Result<http::Response, http::Error> {
        let request = self.with_headers(request.clone());
        self.requests.borrow_mut().push(request.clone());
        match self.participants.borrow_mut().as_mut() {
            Some(participants) => participants(&request),
            None => panic!("nobody answers {} {}; add .http(…) to the test", request.method(), request.url()),
        }
    }
}

impl TestWorld {
    /// Adds the headers that the host would add, and stops at what the host would refuse.
    fn with_headers(&self, request: http::Request) -> http::Request {
        let mut attempt = self.attempt.borrow_mut();
        let call = format!("{} {}", request.method(), request.url());
        let whose = if attempt.undoes.is_some() { "the compensation of step" } else { "step" };
        assert!(!attempt.effect_free, "{whose} {} declares itself effect-free and sends {call}", attempt.step);
        if request.method().is_safe() {
            return request;
        }
        assert!(!attempt.checks, "the check of step {} sends {call}; a check only asks", attempt.step);
        let name = request.header_value("amends-label").map_or_else(|| call.clone(), str::to_owned);
        let earlier = attempt.sent.iter().filter(|sent| **sent == name).count();
        let key = format!("{}/{name}/{earlier}", attempt.key);
        attempt.sent.push(name);
        let request = request.header("idempotency-key", key).header("amends-step-key", &attempt.key);
        match &attempt.undoes {
            Some(forward_key) => request.header("amends-undoes", forward_key),
            None => request,
        }
    }
}

/// FNV-1a: equal keys give equal randomness.
pub(super) fn seed(key: &str) -> u64 {
    key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// SplitMix64.
pub(super) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

//! What holds for every saga, whatever happened to it: checked on its journal, as the API shows it.
//!
//! U1: one end, and nothing after it. U2: forward in the definition's order, then backward in reverse, and only what is done or
//! may have run is undone. U9: the same start again is the same saga, and another input under its id is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::api::Api;

/// Checks them all on a saga that has ended or is stuck.
#[track_caller]
pub(crate) fn hold(api: &Api, id: &str) {
    let saga = api.saga(id);
    let journal = api.journal(id);
    let mut fold = Fold::new(&saga);
    for record in &journal {
        fold.take(record);
    }
    fold.end(&saga);
    repeated_start(api, &saga);
}

#[track_caller]
fn repeated_start(api: &Api, saga: &Value) {
    let (name, id) = (text(saga, "saga"), text(saga, "id"));
    let again = api.once().start(&name, &id, &saga["input"]).expect(200);
    assert_eq!(again["revision"], saga["revision"], "{id} was changed by its own start");
    assert_eq!((&again["status"], &again["output"]), (&saga["status"], &saga["output"]));
    let mut other = saga["input"].clone();
    other["another"] = json!(true);
    assert_eq!(api.once().start(&name, &id, &other).code(), "409 id_taken");
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Forward,
    Undo,
    Check,
}

/// What the journal says so far.
struct Fold {
    id: String,
    /// The stage of each step.
    stages: BTreeMap<String, u64>,
    revision: u64,
    attempts: BTreeMap<(String, Way), u64>,
    open: BTreeSet<(String, Way, u64)>,
    reaching: BTreeSet<(String, Way, u64)>,
    done: BTreeSet<String>,
    doubtful: BTreeSet<String>,
    undone: BTreeSet<String>,
    skipped: BTreeSet<String>,
    rolling_back: bool,
    ends: Vec<String>,
}

impl Fold {
    fn new(saga: &Value) -> Self {
        let steps = saga["steps"].as_array().cloned().unwrap_or_default();
        Self {
            id: text(saga, "id"),
            stages: steps.iter().map(|step| (text(step, "name"), step["stage"].as_u64().unwrap_or_default())).collect(),
            revision: 0,
            attempts: BTreeMap::new(),
            open: BTreeSet::new(),
            reaching: BTreeSet::new(),
            done: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            undone: BTreeSet::new(),
            skipped: BTreeSet::new(),
            rolling_back: false,
            ends: Vec::new(),
        }
    }

    fn take(&mut self, record: &Value) {
        let kind = text(record, "type");
        self.revision += 1;
        self.hold(record["revision"] == self.revision.to_string().as_str(), record, "revisions have neither gap nor repeat");
        self.hold(self.ends.is_empty() || kind == "stale", record, "nothing follows an end");
        self.hold((kind == "started") == (self.revision == 1), record, "the first record starts it, and no other");
        let step = text(record, "step");
        let attempt = (step.clone(), way(record), record["attempt"].as_u64().unwrap_or_default());
        match kind.as_str() {
            "intent" => self.intent(record, attempt),
            "done" => {
                self.close(record, &attempt);
                self.done.insert(step);
            }
            "unknown" => {
                self.close(record, &attempt);
                if attempt.1 == Way::Forward && self.reaching.contains(&attempt) {
                    self.doubtful.insert(step);
                }
            }
            "undone" => {
                self.close(record, &attempt);
                self.undone.insert(step);
            }
            "refused" | "transient" | "wait" | "not_done" => self.close(record, &attempt),
            "resolved" => match record["resolution"].as_str() {
                Some("done") => drop(self.done.insert(step)),
                Some("undone") => drop(self.undone.insert(step)),
                _ => drop(self.doubtful.remove(&step)),
            },
            "skipped" => drop(self.skipped.insert(step)),
            "rollback_begun" => {
                self.hold(!self.rolling_back, record, "a rollback begins once");
                self.rolling_back = true;
            }
            "completed" | "compensated" | "abandoned" => self.ends.push(kind),
            _ => {}
        }
    }

    fn intent(&mut self, record: &Value, attempt: (String, Way, u64)) {
        let (step, way, number) = attempt.clone();
        let stage = self.stages.get(&step).copied();
        let Some(stage) = stage else { return self.hold(false, record, "its step is known") };
        let leg = self.attempts.entry((step.clone(), way)).or_default();
        *leg += 1;
        let in_order = *leg == number;
        self.hold(in_order, record, "attempts count 1, 2, 3");
        let before = |other: &&String| self.stages[*other] < stage;
        match way {
            Way::Forward | Way::Check => {
                self.hold(!self.rolling_back, record, "nothing goes forward in a rollback");
                let missing: Vec<_> = self.stages.keys().filter(before).filter(|other| !self.done.contains(*other)).collect();
                self.hold(missing.is_empty(), record, "the stages before it are done");
            }
            Way::Undo => {
                self.hold(self.rolling_back, record, "nothing is undone before the rollback");
                let happened = self.done.contains(&step) || self.doubtful.contains(&step);
                self.hold(happened, record, "only what is done or may have run is undone");
                let forward = self.open.iter().any(|(other, way, _)| *way != Way::Undo && self.stages[other] >= stage);
                self.hold(!forward, record, "an undo waits for what is open");
                let later = |other: &&String| self.stages[*other] > stage;
                let left = self.attempts.keys().filter(|(_, way)| *way == Way::Undo).map(|(other, _)| other);
                let left: Vec<_> = left.filter(later).filter(|other| !self.is_undone(other)).collect();
                self.hold(left.is_empty(), record, "later stages are undone before earlier ones");
            }
        }
        if record["reaches_outside"] == true {
            self.reaching.insert(attempt.clone());
        }
        self.open.insert(attempt);
    }

    fn is_undone(&self, step: &str) -> bool {
        self.undone.contains(step) || self.skipped.contains(step)
    }

    fn close(&mut self, record: &Value, attempt: &(String, Way, u64)) {
        let was_open = self.open.remove(attempt);
        self.hold(was_open, record, "an outcome ends an open attempt, once");
    }

    fn end(&self, saga: &Value) {
        let status = text(saga, "status");
        self.hold(saga["revision"] == self.revision.to_string().as_str(), saga, "the saga shows its whole journal");
        match status.as_str() {
            "completed" | "compensated" | "abandoned" => {
                self.hold(self.ends == [status.clone()], saga, "it ended once, as it says");
                self.hold(self.open.is_empty(), saga, "nothing is open at its end");
            }
            _ => self.hold(self.ends.is_empty(), saga, "it has not ended"),
        }
        match status.as_str() {
            "completed" => {
                self.hold(!self.rolling_back && self.undone.is_empty(), saga, "it went forward only");
                self.hold(self.done.len() == self.stages.len(), saga, "every step is done");
                self.hold(saga["output"] != Value::Null || saga["saga"] == "flight", saga, "it has an output");
            }
            "compensated" => {
                self.hold(self.rolling_back, saga, "it rolled back");
                self.hold(saga["failure"]["code"].is_string(), saga, "it says why");
                let outstanding = saga["outstanding"].as_array().map_or(0, Vec::len);
                self.hold(outstanding == self.skipped.len(), saga, "what was skipped is outstanding, and nothing else");
            }
            _ => {}
        }
    }

    #[track_caller]
    fn hold(&self, holds: bool, at: &Value, law: &str) {
        assert!(holds, "saga {}: {law}, but for {at}", self.id);
    }
}

fn way(record: &Value) -> Way {
    match record["direction"].as_str() {
        Some("undo") => Way::Undo,
        Some("check") => Way::Check,
        _ => Way::Forward,
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

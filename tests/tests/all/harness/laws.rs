//! The laws of every saga, checked on its journal as the API shows it.
//!
//! U1: one end, and nothing after it. U2: forward in the definition's order, then backward in reverse, and only what is done or
//! may have run is undone; in children as in the saga, for each alternate and in each round. U9: a repeated start is the same
//! saga, and a start with its id and another input is refused. U8: the chain of causes of each event goes up to what somebody outside
//! asked for.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::{Value, json};

use super::api::Api;

/// Checks all laws on a saga that has ended or is stuck.
#[track_caller]
pub(crate) fn hold(api: &Api, id: &str) {
    let saga = api.saga(id);
    let mut fold = Fold::new(&saga);
    for record in api.journal(id) {
        if record["type"] == "round_begun" {
            fold.begin_round(&record, savepoint_stage(api, &saga, &record));
        } else {
            fold.take(&record);
        }
    }
    fold.end(&saga);
    repeated_start(api, &saga);
}

/// Checks U8 (XR-19) on all that is recorded: each event is a part of the tree of what began its chain, whose root is its correlation.
#[track_caller]
pub(crate) fn chains(api: &Api) {
    let events = api.log();
    assert!(!events.is_empty(), "nothing is recorded");
    for event in events {
        let (kind, id) = match event["revision"].is_null() {
            false => ("event", text(&event, "id")),
            true => ("published", format!("{}/{}", text(&event, "source"), text(&event, "id"))),
        };
        let escaped: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let trace = api.get(&format!("/v1/trace/{escaped}?as={kind}")).expect(200);
        let (root, correlation) = (&trace["root"], text(&event, "correlation"));
        assert!(has_what_was_asked_for(root), "{id} is not in the tree of its chain: {trace}");
        let began = ["request", "schedule"].contains(&root["kind"].as_str().unwrap_or_default());
        let is_root =
            |node: &Value| node["id"].as_str().is_some_and(|id| id == correlation || id.ends_with(&format!("/{correlation}")));
        let has_root = is_root(root) || root["children"].as_array().is_some_and(|children| children.iter().any(is_root));
        assert!(began && has_root, "{id} has the correlation {correlation}, and its chain begins otherwise: {trace}");
    }
}

fn has_what_was_asked_for(node: &Value) -> bool {
    node["asked"] == true || node["children"].as_array().is_some_and(|children| children.iter().any(has_what_was_asked_for))
}

/// The stage before the savepoint of the round.
fn savepoint_stage(api: &Api, saga: &Value, record: &Value) -> u64 {
    let definition = api.get(&format!("/v1/definitions/{}", text(saga, "saga"))).expect(200);
    let stages = definition["stages"].as_array().cloned().unwrap_or_default();
    let at = stages.iter().position(|stage| stage["savepoint_after"] == record["savepoint"]);
    at.unwrap_or_else(|| panic!("no savepoint of {record} in {definition}")) as u64
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

/// All attempts of one leg.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Leg {
    step: String,
    way: Way,
    alternate: u64,
    undo_alternate: u64,
    round: u64,
}

/// The state after the records so far, of steps with code only: other steps consist of those.
struct Fold {
    id: String,
    stages: Stages,
    leaves: BTreeSet<String>,
    undo_declared: BTreeSet<String>,
    /// Fan-outs in which a refusal is a result.
    collecting: BTreeSet<String>,
    revision: u64,
    attempts: BTreeMap<Leg, u64>,
    open: BTreeSet<(Leg, u64)>,
    reaching: BTreeSet<(Leg, u64)>,
    /// The alternate and the round that a step is in.
    in_hand: BTreeMap<String, (u64, u64)>,
    done: BTreeSet<String>,
    refused: BTreeSet<String>,
    doubtful: BTreeSet<String>,
    undone: BTreeSet<String>,
    skipped: BTreeSet<String>,
    rolling_back: bool,
    ends: Vec<String>,
}

impl Fold {
    fn new(saga: &Value) -> Self {
        let steps = saga["steps"].as_array().cloned().unwrap_or_default();
        let names =
            |wanted: fn(&Value) -> bool| steps.iter().filter(|step| wanted(step)).map(|step| text(step, "name")).collect();
        Self {
            id: text(saga, "id"),
            stages: Stages(steps.iter().map(|step| (text(step, "name"), number(step, "stage"))).collect()),
            leaves: names(|step| step["body"] == Value::Null),
            undo_declared: names(|step| step["undo_declared"] == true),
            collecting: names(|step| number(&step["body"], "refused") > 0),
            revision: 0,
            attempts: BTreeMap::new(),
            open: BTreeSet::new(),
            reaching: BTreeSet::new(),
            in_hand: BTreeMap::new(),
            done: BTreeSet::new(),
            refused: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            undone: BTreeSet::new(),
            skipped: BTreeSet::new(),
            rolling_back: false,
            ends: Vec::new(),
        }
    }

    fn take(&mut self, record: &Value) {
        let kind = text(record, "type");
        self.count(record);
        self.hold(self.ends.is_empty() || kind == "stale", record, "nothing follows an end");
        self.hold((kind == "started") == (self.revision == 1), record, "the first record starts it, and no other");
        let step = text(record, "step");
        let attempt = (leg(record), number(record, "attempt"));
        match kind.as_str() {
            "intent" => self.intent(record, attempt),
            "done" => {
                self.close(record, &attempt);
                self.done.insert(step);
            }
            "refused" => {
                self.close(record, &attempt);
                self.refused.insert(step);
            }
            "unknown" => {
                self.close(record, &attempt);
                if attempt.0.way == Way::Forward && self.reaching.contains(&attempt) {
                    self.doubtful.insert(step);
                }
            }
            "undone" => {
                self.close(record, &attempt);
                self.undone.insert(step);
            }
            "transient" | "wait" | "not_done" => self.close(record, &attempt),
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

    fn count(&mut self, record: &Value) {
        self.revision += 1;
        self.hold(record["revision"] == self.revision.to_string().as_str(), record, "revisions have neither gap nor repeat");
    }

    /// Begins a new round: the steps after the savepoint are undone.
    fn begin_round(&mut self, record: &Value, savepoint: u64) {
        self.count(record);
        self.hold(self.rolling_back, record, "a round begins at the end of a rollback");
        self.hold(self.open.is_empty(), record, "a round begins when nothing is open");
        let after = |step: &String| self.stages.top(step) > savepoint;
        let (done, doubtful) = (self.done.iter(), self.doubtful.iter());
        let standing = |step: &&String| after(step) && self.undo_declared.contains(*step) && !self.is_undone(step);
        let stands = done.chain(doubtful).any(|step| standing(&step));
        let before = self.undone.iter().any(|step| !after(step));
        let again: Vec<String> = self.leaves.iter().filter(|step| after(step)).cloned().collect();
        self.hold(!stands, record, "a round begins when all after its savepoint is undone");
        self.hold(!before, record, "what is before the savepoint stays done");
        for step in again {
            for set in [&mut self.done, &mut self.refused, &mut self.doubtful, &mut self.undone] {
                set.remove(&step);
            }
        }
        self.rolling_back = false;
    }

    fn intent(&mut self, record: &Value, attempt: (Leg, u64)) {
        let (leg, number) = attempt.clone();
        let step = leg.step.clone();
        self.hold(self.leaves.contains(&step), record, "its step is known, and code");
        let attempts = self.attempts.entry(leg.clone()).or_default();
        *attempts += 1;
        let in_order = *attempts == number;
        self.hold(in_order, record, "attempts count 1, 2, 3");
        match leg.way {
            Way::Forward | Way::Check => self.goes_forward(record, &leg),
            Way::Undo => self.goes_back(record, &step),
        }
        if record["reaches_outside"] == true {
            self.reaching.insert(attempt.clone());
        }
        self.open.insert(attempt);
    }

    fn goes_forward(&mut self, record: &Value, leg: &Leg) {
        let step = &leg.step;
        self.hold(!self.rolling_back, record, "nothing goes forward in a rollback");
        let before = |other: &&String| self.stages.order(other, step) == Some(Ordering::Less);
        let missing: Vec<_> = self.leaves.iter().filter(before).filter(|other| !self.is_settled(other)).collect();
        self.hold(missing.is_empty(), record, "the stages before it are done");
        if leg.way == Way::Check {
            return;
        }
        let hand = (leg.alternate, leg.round);
        if self.in_hand.insert(step.clone(), hand).is_some_and(|before| before != hand) {
            let undone = !self.doubtful.contains(step) || self.is_undone(step);
            self.hold(undone, record, "another way begins when one that may have run is undone");
            self.doubtful.remove(step);
            self.undone.remove(step);
        }
        self.refused.remove(step);
    }

    fn goes_back(&mut self, record: &Value, step: &str) {
        let makes_place = self.refused.contains(step);
        self.hold(self.rolling_back || makes_place, record, "nothing is undone but in a rollback, or for another way");
        let happened = self.done.contains(step) || self.doubtful.contains(step);
        self.hold(happened, record, "only what is done or may have run is undone");
        if !self.rolling_back {
            return;
        }
        let forward = self
            .open
            .iter()
            .any(|(other, _)| other.way != Way::Undo && self.stages.order(&other.step, step) != Some(Ordering::Less));
        self.hold(!forward, record, "an undo waits for what is open");
        let later = |other: &&String| self.stages.order(other, step) == Some(Ordering::Greater);
        let standing = self.undo_declared.iter().filter(later);
        let standing = standing.filter(|other| self.done.contains(*other) || self.doubtful.contains(*other));
        let left: Vec<_> = standing.filter(|other| !self.is_undone(other)).collect();
        self.hold(left.is_empty(), record, "later stages are undone before earlier ones");
    }

    /// Done, or an element whose refusal is a result.
    fn is_settled(&self, step: &str) -> bool {
        let is_result = || step.rsplit_once('[').is_some_and(|(each, _)| self.collecting.contains(each));
        self.done.contains(step) || self.refused.contains(step) && is_result()
    }

    fn is_undone(&self, step: &str) -> bool {
        self.undone.contains(step) || self.skipped.contains(step)
    }

    fn close(&mut self, record: &Value, attempt: &(Leg, u64)) {
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
                self.hold(self.leaves.iter().all(|step| self.is_settled(step)), saga, "every step is done");
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

/// The stage of each step in its saga or child, by path.
struct Stages(BTreeMap<String, u64>);

impl Stages {
    /// The stage of the saga that a step is in.
    fn top(&self, step: &str) -> u64 {
        self.places(step).first().map_or(0, |(_, stage)| *stage)
    }

    /// Which of two steps comes first; none if they are in parallel, as elements of a fan-out and steps of one stage are.
    fn order(&self, one: &str, other: &str) -> Option<Ordering> {
        let (one, other) = (self.places(one), self.places(other));
        let common = one.iter().zip(&other).take_while(|((one, _), (other, _))| one == other);
        common.map(|((_, one), (_, other))| one.cmp(other)).find(|order| order.is_ne())
    }

    /// The sagas that a step is in, from the outside in, and its stage in each: of `guest[ada]/pay` that of `guest[ada]` in the
    /// saga, and that of `pay` in the child `guest[ada]`.
    fn places(&self, step: &str) -> Vec<(String, u64)> {
        let ends = step.match_indices('/').map(|(end, _)| end).chain([step.len()]);
        let mut saga = "";
        let mut places = Vec::new();
        for end in ends {
            let path = &step[..end];
            let stage = self.0.get(path).copied().unwrap_or_else(|| panic!("no step {path}"));
            places.push((saga.to_owned(), stage));
            saga = path;
        }
        places
    }
}

fn leg(record: &Value) -> Leg {
    let way = match record["direction"].as_str() {
        Some("undo") => Way::Undo,
        Some("check") => Way::Check,
        _ => Way::Forward,
    };
    let [alternate, undo_alternate, round] = ["alternate", "undo_alternate", "round"].map(|name| number(record, name));
    Leg { step: text(record, "step"), way, alternate, undo_alternate, round }
}

/// A number of the JSON; 0 if it is missing.
fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_default()
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

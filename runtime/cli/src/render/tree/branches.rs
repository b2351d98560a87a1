//! The branches of the tree: steps with those that they consist of below them, in three aligned columns.

use std::collections::{HashMap, HashSet};

use amends_wire::{
    definition::Kind,
    saga::{Saga, Step},
};

use super::{
    super::{
        style::{DIM, paint},
        text::{clean, pad, width},
        time::Now,
    },
    parts::choose,
    words::{about, forward, is_begun, past, remedies, undo},
};

/// A line: what is left of the name and the name, how it went, the rest.
struct Row {
    lead: String,
    forward: String,
    rest: String,
    /// Lines below it, with what is left of them.
    notes: Vec<String>,
}

/// All steps of a saga.
pub(super) fn lines(saga: &Saga, now: &Now) -> Vec<String> {
    let mut tree = Tree { saga, now, below: below(&saga.steps), rows: Vec::new() };
    let steps = tree.below.remove("").unwrap_or_default();
    tree.level(&steps, "");
    aligned(&tree.rows)
}

/// Which steps each step consists of, by paths; the saga's own under the empty one.
fn below(steps: &[Step]) -> HashMap<&str, Vec<&Step>> {
    let known: HashSet<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    let mut below: HashMap<&str, Vec<&Step>> = HashMap::new();
    for step in steps {
        let above = above(&step.name).filter(|above| known.contains(above)).unwrap_or_default();
        below.entry(above).or_default().push(step);
    }
    below
}

/// The path of the step that this one is a part of: of `pay[sku-7]` it is `pay`, of `flight/pay` it is `flight`. Keys of
/// elements hold neither brackets nor slashes.
fn above(path: &str) -> Option<&str> {
    let end = if path.ends_with(']') { path.rfind('[') } else { path.rfind('/') };
    end.map(|end| &path[..end])
}

struct Tree<'a> {
    saga: &'a Saga,
    now: &'a Now,
    below: HashMap<&'a str, Vec<&'a Step>>,
    rows: Vec<Row>,
}

impl<'a> Tree<'a> {
    /// Steps that follow each other, and what they consist of. `left` is what is left of all of them.
    fn level(&mut self, steps: &[&'a Step], left: &str) {
        let elements = steps.iter().any(|step| step.element.is_some());
        let (shown, more) = if elements { choose(steps) } else { without_the_pending(steps) };
        // Elements are of one stage, and the branches of their fan-out say so.
        let parallel = !elements && shown.windows(2).any(|pair| pair[0].stage == pair[1].stage);
        for at in 0..shown.len() {
            let (branch, note) = branch(&shown, at, parallel, more.is_some());
            let step = shown[at];
            self.rows.push(self.row(step, &format!("{left}{branch}"), &format!("{left}{note}")));
            if let Some(below) = self.below.remove(step.name.as_str()).filter(|_| is_begun(step)) {
                let nested = note.strip_suffix("  ").unwrap_or(note);
                self.level(&below, &format!("{left}{nested}"));
            }
        }
        if let Some(more) = more {
            let lead = paint(DIM, format!("{left}{}{more}", if parallel { "└── " } else { "└─ " }));
            self.rows.push(Row { lead, forward: String::new(), rest: String::new(), notes: Vec::new() });
        }
    }

    fn row(&self, step: &Step, branch: &str, note: &str) -> Row {
        let stuck = self.saga.stuck.iter().filter(|stuck| stuck.step == step.name);
        let notes = past(step).into_iter().chain(stuck.flat_map(|stuck| remedies(stuck, self.now)));
        Row {
            lead: format!("{}{}", paint(DIM, branch), name(step)),
            forward: forward(step, self.now),
            rest: undo(step, self.now).or_else(|| about(step, self.now)).unwrap_or_default(),
            notes: notes.map(|printed| format!("{}{printed}", paint(DIM, note))).collect(),
        }
    }
}

/// Of the steps at the end that were not begun, one stands for all; two are shown.
fn without_the_pending<'a>(steps: &[&'a Step]) -> (Vec<&'a Step>, Option<String>) {
    let pending = steps.iter().rev().take_while(|step| !is_begun(step)).count();
    let hidden = if pending > 2 { pending - 1 } else { 0 };
    let shown = steps[..steps.len() - hidden].to_vec();
    (shown, (hidden > 0).then(|| format!("…{hidden} more not begun")))
}

/// The last part of its path, but for an element's: that is as verbs take it.
fn name(step: &Step) -> String {
    let last = step.name.rsplit('/').next().unwrap_or(&step.name);
    match step.kind {
        Kind::Pivot => format!("{} (pivot)", clean(last)),
        Kind::Compensatable | Kind::Retriable => clean(last).into_owned(),
    }
}

fn aligned(rows: &[Row]) -> Vec<String> {
    let columns = || rows.iter().filter(|row| !row.forward.is_empty());
    let lead = columns().map(|row| width(&row.lead)).max().unwrap_or(0) + 3;
    let forward = columns().filter(|row| !row.rest.is_empty()).map(|row| width(&row.forward)).max().unwrap_or(0) + 4;
    let line = |row: &Row| {
        let cells = format!("{}{}{}", pad(&row.lead, lead), pad(&row.forward, forward), row.rest);
        std::iter::once(cells.trim_end().to_owned()).chain(row.notes.iter().cloned()).collect::<Vec<_>>()
    };
    rows.iter().flat_map(line).collect()
}

/// The lines of the tree left of a step, and left of its notes.
fn branch(shown: &[&Step], at: usize, parallel: bool, more: bool) -> (&'static str, &'static str) {
    let stage = shown[at].stage;
    let begins = at == 0 || shown[at - 1].stage != stage;
    let ends = at + 1 == shown.len() || shown[at + 1].stage != stage;
    let at_the_end = at + 1 == shown.len() || parallel && shown.last().is_some_and(|last| last.stage == stage);
    match (parallel, begins, ends, at_the_end && !more) {
        (false, _, _, false) => ("├─ ", "│    "),
        (false, _, _, true) => ("└─ ", "     "),
        (true, true, true, false) => ("├── ", "│     "),
        (true, true, true, true) => ("└── ", "      "),
        (true, true, false, false) => ("├─┬ ", "│ │   "),
        (true, true, false, true) => ("└─┬ ", "  │   "),
        (true, false, false, false) => ("│ ├ ", "│ │   "),
        (true, false, false, true) => ("  ├ ", "  │   "),
        (true, false, true, false) => ("│ └ ", "│     "),
        (true, false, true, true) => ("  └ ", "      "),
    }
}

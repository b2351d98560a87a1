//! Policies.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::Module;
use crate::bindings::policies::exports::amends::module::policy::{Definition, Route, StateForm, Subscription};
use crate::policy::Untyped;
use crate::testing::plain::{is_event_type, is_printable};

const POLICIES_MAX: usize = 64;

/// The most types of events that a policy takes, of commands that it sends, of events that it publishes and of sagas that it
/// starts.
const ENTRIES_MAX: usize = 64;

/// The most forms of an event, or of a state, that it reads.
const VERSIONS_MAX: usize = 256;

const ATTEMPTS_MAX: u32 = 100;

pub(super) fn check(module: &Module, problems: &mut Vec<String>) {
    let policies = module.policies();
    if policies.len() > POLICIES_MAX {
        problems.push(format!("the module has {} policies; at most {POLICIES_MAX}", policies.len()));
    }
    for (index, policy) in policies.iter().enumerate() {
        let (name, definition) = (policy.name(), policy.definition());
        let mut found = |problem: String| problems.push(format!("policy `{name}`: {problem}"));
        if let Err(bad) = super::name(name) {
            found(bad);
        }
        if policies[..index].iter().any(|earlier| earlier.name() == name) {
            found("another policy of the module has this name; give each its own".to_owned());
        }
        if !(1..=ATTEMPTS_MAX).contains(&definition.attempts_max) {
            found(format!("it tries a cause {} times; say 1 to {ATTEMPTS_MAX} `attempts`", definition.attempts_max));
        }
        policy.problems().iter().for_each(|problem| found(problem.clone()));
        check_subscriptions(&definition, &mut found);
        check_state(definition.state.as_ref(), &mut found);
        check_wishes(&definition, &mut found);
        check_timers(policy, &mut found);
        check_known(module, &definition, &mut found);
    }
}

fn check_subscriptions(definition: &Definition, found: &mut impl FnMut(String)) {
    let subscriptions = &definition.subscriptions;
    match subscriptions.len() {
        0 => found("it takes no events; add `on` or `on_published`".to_owned()),
        types if types > ENTRIES_MAX => found(format!("it takes events of {types} types; at most {ENTRIES_MAX}")),
        _ => {}
    }
    for (index, Subscription { event_type, versions, key, .. }) in subscriptions.iter().enumerate() {
        let event = event_type.escape_debug();
        if !is_event_type(event_type) {
            found(format!("nobody can publish an event `{event}`; a type has 1 to 255 printable bytes"));
        }
        if subscriptions[..index].iter().any(|earlier| earlier.event_type == *event_type) {
            found(format!("it takes `{event}` twice; take it in one function"));
        }
        if versions.len() > VERSIONS_MAX {
            found(format!("it reads {} forms of `{event}`; at most {VERSIONS_MAX}", versions.len()));
        }
        if let Some(key) = key.as_ref().filter(|key| !key.is_empty() && !key.starts_with('/')) {
            found(format!("`{key}`, by which it takes `{event}`, is no JSON pointer; begin it with `/`"));
        }
    }
    if !subscriptions.is_empty() && subscriptions.iter().all(|subscription| subscription.route == Route::Continue) {
        found("no event begins an instance of it; add `starts_on`".to_owned());
    }
}

fn check_state(form: Option<&StateForm>, found: &mut impl FnMut(String)) {
    let Some(StateForm { version, reads }) = form else { return };
    if *version == 0 {
        found("the `state_version` counts from 1".to_owned());
    }
    for read in reads.iter().filter(|read| **read == 0 || *read >= version) {
        found(format!("it `reads` the form {read} of its state, which is not older than its `state_version` {version}"));
    }
    if reads.len() > VERSIONS_MAX {
        found(format!("it reads {} older forms of its state; at most {VERSIONS_MAX}", reads.len()));
    }
    if let Some(twice) = reads.iter().enumerate().find(|(index, read)| reads[..*index].contains(read)) {
        found(format!("it `reads` the form {} of its state twice; leave one out", twice.1));
    }
}

fn check_wishes(definition: &Definition, found: &mut impl FnMut(String)) {
    let Definition { sends, publishes, starts, .. } = definition;
    for (what, entries) in [("sends", sends), ("publishes", publishes), ("starts", starts)] {
        if entries.len() > ENTRIES_MAX {
            found(format!("it {what} {} different things; at most {ENTRIES_MAX}", entries.len()));
        }
        let mut said = BTreeSet::new();
        for entry in entries.iter().filter(|entry| !said.insert(*entry)) {
            found(format!("it says twice that it {what} `{entry}`; leave one out"));
        }
    }
    let is_name = |text: &str| super::name(text).is_ok();
    for sent in sends.iter().filter(|sent| !sent.split_once('.').is_some_and(|(a, b)| is_name(a) && is_name(b))) {
        found(format!("it sends `{sent}`; a command is the name of its aggregate, a dot, and its name"));
    }
    for event in publishes.iter().filter(|event| !is_event_type(event)) {
        found(format!("it publishes `{}`; a type has 1 to 255 printable bytes", event.escape_debug()));
    }
    for bad in starts.iter().filter_map(|saga| super::name(saga).err()) {
        found(format!("it starts a saga: {bad}"));
    }
}

fn check_timers(policy: &Rc<dyn Untyped>, found: &mut impl FnMut(String)) {
    let timers = policy.timers();
    for (index, timer) in timers.iter().enumerate() {
        if !(1..=255).contains(&timer.len()) || !is_printable(timer) {
            found(format!("a timer is named `{}`; a name has 1 to 255 printable bytes", timer.escape_debug()));
        }
        if timers[..index].contains(timer) {
            found(format!("it takes the timer `{timer}` twice; leave one out"));
        }
    }
}

/// What the module itself knows better: the commands of its own aggregates, and that their events are theirs.
fn check_known(module: &Module, definition: &Definition, found: &mut impl FnMut(String)) {
    let own = |text: &str| {
        let (name, rest) = text.split_once('.')?;
        let own = module.aggregates().iter().find(|own| own.name() == name)?;
        Some((own.definition(), rest.to_owned()))
    };
    for sent in &definition.sends {
        let Some((aggregate, command)) = own(sent) else { continue };
        if !aggregate.commands.iter().any(|known| known.name == command) {
            let known: Vec<_> = aggregate.commands.iter().map(|known| known.name.as_str()).collect();
            found(format!("the aggregate `{}` has no command `{command}`; it has `{}`", aggregate.name, known.join("`, `")));
        }
    }
    for event in definition.publishes.iter().filter(|event| own(event).is_some()) {
        found(format!("it publishes `{event}`, which only its aggregate records; give the event another type"));
    }
    for Subscription { event_type, .. } in &definition.subscriptions {
        let Some((aggregate, _)) = own(event_type) else { continue };
        if !aggregate.events.iter().any(|known| known.event_type == *event_type) {
            found(format!("the aggregate `{}` has no event `{event_type}`", aggregate.name));
        }
    }
}

//! What a module declares of an aggregate, and the rules of that.

use serde::{Deserialize, Serialize};

use crate::{
    id::Name,
    plain::{is_printable, shown},
};

/// What a module declares of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name, which no other module of the namespace has.
    pub name: String,
    /// What it may be told to do.
    pub commands: Vec<CommandDefinition>,
    /// What it records.
    pub events: Vec<EventDefinition>,
    /// A state is kept after so many events; 0: never.
    pub keep_every: u32,
    /// A kept state serves all components that have the same number here; none: only the one that made it.
    pub state_version: Option<u32>,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandDefinition {
    /// Its name.
    pub name: String,
    /// Whether there must be an aggregate before it.
    pub on: Presence,
    /// A JSON Schema of its data.
    pub schema: Option<String>,
}

/// Whether there must be an aggregate before a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It does not matter.
    Any,
    /// There must be none.
    New,
    /// There must be one.
    Existing,
}

/// An event, in the form in which it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventDefinition {
    /// `customer.opened`.
    pub event_type: String,
    /// The form, from 1.
    pub version: u32,
    /// Older forms that are read as well.
    pub reads: Vec<u32>,
}

/// A form of an aggregate's event that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The aggregate's name.
    pub aggregate: String,
    /// The event's type, which begins with that.
    pub event_type: String,
    /// The form of its data.
    pub version: u32,
}

impl Shape {
    /// The form of an event of this type.
    pub fn new(event_type: String, version: u32) -> Self {
        let aggregate = event_type.split_once('.').map_or(event_type.as_str(), |(aggregate, _)| aggregate).to_owned();
        Self { aggregate, event_type, version }
    }
}

/// The most commands of an aggregate, and the most events.
const ENTRIES_MAX: usize = 256;

/// The most aggregates of a module.
const AGGREGATES_MAX: usize = 64;

impl Definition {
    /// The command of this name.
    pub fn command(&self, name: &str) -> Option<&CommandDefinition> {
        self.commands.iter().find(|command| command.name == name)
    }

    /// Whether it can read events of this form.
    pub fn reads(&self, shape: &Shape) -> bool {
        let event = self.events.iter().find(|event| event.event_type == shape.event_type);
        event.is_some_and(|event| event.version == shape.version || event.reads.contains(&shape.version))
    }

    /// Whether it records events of this type in this form.
    pub fn records(&self, event_type: &str, version: u32) -> bool {
        self.events.iter().any(|event| event.event_type == event_type && event.version == version)
    }
}

/// Every rule that a module's aggregates break, each as a sentence that names the aggregate.
pub fn problems(aggregates: &[Definition]) -> Vec<String> {
    let mut found = Vec::new();
    if aggregates.len() > AGGREGATES_MAX {
        found.push(format!("the module has {} aggregates; at most {AGGREGATES_MAX}", aggregates.len()));
    }
    for (index, aggregate) in aggregates.iter().take(AGGREGATES_MAX).enumerate() {
        let name = shown(&aggregate.name);
        let mut problem = |said: String| found.push(format!("aggregate `{name}`: {said}"));
        if let Err(bad) = Name::new(&aggregate.name) {
            problem(bad.to_string());
        }
        if aggregates[..index].iter().any(|other| other.name == aggregate.name) {
            problem("it is defined twice".to_owned());
        }
        of_commands(&aggregate.commands, &mut problem);
        of_events(aggregate, &mut problem);
    }
    found
}

fn of_commands(commands: &[CommandDefinition], problem: &mut impl FnMut(String)) {
    if !(1..=ENTRIES_MAX).contains(&commands.len()) {
        problem(format!("it has {} commands; an aggregate has 1 to {ENTRIES_MAX}", commands.len()));
    }
    for (index, command) in commands.iter().take(ENTRIES_MAX).enumerate() {
        if let Err(bad) = Name::new(&command.name) {
            problem(format!("command `{}`: {bad}", shown(&command.name)));
        }
        if commands[..index].iter().any(|other| other.name == command.name) {
            problem(format!("command `{}` is defined twice", shown(&command.name)));
        }
    }
}

fn of_events(aggregate: &Definition, problem: &mut impl FnMut(String)) {
    let events = &aggregate.events;
    if !(1..=ENTRIES_MAX).contains(&events.len()) {
        problem(format!("it has {} events; an aggregate has 1 to {ENTRIES_MAX}", events.len()));
    }
    for (index, event) in events.iter().take(ENTRIES_MAX).enumerate() {
        let EventDefinition { event_type, version, reads } = event;
        let shown = shown(event_type);
        let name = event_type.split_once('.').filter(|(owner, _)| *owner == aggregate.name).map(|(_, name)| Name::new(name));
        if !matches!(name, Some(Ok(_))) || !is_printable(event_type) {
            let owner = &aggregate.name;
            problem(format!("event `{shown}`: its type is `{owner}.` and a name of {}", Name::RULE));
        }
        if events[..index].iter().any(|other| other.event_type == *event_type) {
            problem(format!("event `{shown}` is defined twice"));
        }
        if *version == 0 || reads.iter().any(|read| *read == 0 || read >= version) {
            problem(format!("event `{shown}`: versions count from 1, and what is read beside {version} is older"));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use super::*;

    fn customer() -> Definition {
        let command = |name: &str, on| CommandDefinition { name: name.into(), on, schema: None };
        let event = |event_type: &str, version, reads: &[u32]| EventDefinition {
            event_type: event_type.into(),
            version,
            reads: reads.to_vec(),
        };
        Definition {
            name: "customer".into(),
            commands: vec![command("open", Presence::New), command("reserve-credit", Presence::Existing)],
            events: vec![event("customer.opened", 1, &[]), event("customer.credit-reserved", 2, &[1])],
            keep_every: 100,
            state_version: None,
        }
    }

    #[test]
    fn a_definition_that_keeps_the_rules_has_no_problem() {
        assert_eq!(problems(&[customer()]), Vec::<String>::new());
    }

    #[test]
    fn every_rule_that_is_broken_is_named_with_its_aggregate() {
        let mut broken = customer();
        broken.commands[1].name = "open".into();
        broken.commands.push(CommandDefinition { name: "Close!".into(), ..broken.commands[0].clone() });
        broken.events[0].event_type = "order.opened".into();
        broken.events[1].reads = vec![2];
        broken.events.push(EventDefinition { event_type: "customer.credit-reserved".into(), version: 0, reads: Vec::new() });
        let empty = Definition { commands: Vec::new(), events: Vec::new(), ..customer() };
        let told = problems(&[broken, empty]).join("\n");
        let expected = "\
aggregate `customer`: command `open` is defined twice
aggregate `customer`: command `Close!`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
aggregate `customer`: event `order.opened`: its type is `customer.` and a name of 1 to 63 of a-z, 0-9 and -, beginning with a letter
aggregate `customer`: event `customer.credit-reserved`: versions count from 1, and what is read beside 2 is older
aggregate `customer`: event `customer.credit-reserved` is defined twice
aggregate `customer`: event `customer.credit-reserved`: versions count from 1, and what is read beside 0 is older
aggregate `customer`: it is defined twice
aggregate `customer`: it has 0 commands; an aggregate has 1 to 256
aggregate `customer`: it has 0 events; an aggregate has 1 to 256";
        assert_eq!(told, expected);
    }
}

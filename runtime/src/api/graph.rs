//! A definition as a picture: Mermaid, Graphviz, or text for a terminal. Pure; it knows the wire types only.

mod text;

use std::fmt::{self, Write};

use amends_wire::definition::{Definition, Kind, LockDefinition, Stage, StepDefinition, Undo};

use crate::plain::escape;

/// The language of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For Markdown pages.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// For a terminal.
    Text,
}

/// Draws a definition.
pub fn draw(definition: &Definition, format: Format) -> String {
    let mut picture = String::new();
    let drawn = match format {
        Format::Mermaid => mermaid(definition, &mut picture),
        Format::Dot => dot(definition, &mut picture),
        Format::Text => text::draw(definition, &mut picture),
    };
    // Writing to a string does not fail.
    debug_assert!(drawn.is_ok());
    picture
}

/// Every pair of which the second waits for the first, as ids: two steps, or a step and the savepoint between.
fn edges(definition: &Definition, step: impl Fn(&str) -> String, savepoint: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let mut edges = Vec::new();
    for pair in definition.stages.windows(2) {
        let [before, after] = [&pair[0], &pair[1]].map(|stage| stage.steps.iter().map(|each| step(&each.name)));
        match &pair[0].savepoint_after {
            Some(name) => {
                edges.extend(before.map(|before| (before, savepoint(name))));
                edges.extend(after.map(|after| (savepoint(name), after)));
            }
            None => edges.extend(before.flat_map(|before| after.clone().map(move |after| (before.clone(), after)))),
        }
    }
    edges
}

fn savepoints(definition: &Definition) -> impl Iterator<Item = &String> {
    definition.stages.iter().filter_map(|stage: &Stage| stage.savepoint_after.as_ref())
}

/// What is said of a step beside its name and kind: nothing of code that runs once, in one way.
fn manner(step: &StepDefinition) -> String {
    let child = step.child.as_ref().map(|saga| format!(": saga {saga}"));
    let each = step.each.is_some().then(|| ", for each".to_owned());
    let ways = (step.alternates > 0).then(|| format!(", {} ways", step.alternates + 1));
    let needs = (!step.needs.is_empty()).then(|| format!(", needs {}", step.needs.join(" and ")));
    [child, each, ways, needs].into_iter().flatten().collect()
}

/// What holds for the saga as a whole and has room in a picture; a text says all.
fn bounds(definition: &Definition) -> Vec<String> {
    let lock = |LockDefinition { name, pointer }: &LockDefinition| format!("locks {} at {}", escape(name), escape(pointer));
    let within = definition.deadline_ms.map(|ms| format!("within {}", text::duration(ms)));
    let rounds = (definition.rounds > 0).then(|| text::rounds(definition.rounds));
    definition.locks.iter().map(lock).chain(within).chain(rounds).collect()
}

fn steps(definition: &Definition) -> impl Iterator<Item = &StepDefinition> {
    definition.stages.iter().flat_map(|stage| &stage.steps)
}

fn first_steps(definition: &Definition) -> impl Iterator<Item = &StepDefinition> {
    definition.stages.first().into_iter().flat_map(|stage| &stage.steps)
}

fn is_undone_by_code(step: &StepDefinition) -> bool {
    matches!(step.undo, Undo::Code { .. })
}

fn mermaid(definition: &Definition, out: &mut String) -> fmt::Result {
    // Names hold only a-z, 0-9 and -, which Mermaid takes in a quoted label but not in every id.
    let id = |name: &str| format!("s_{}", name.replace('-', "_"));
    let savepoint = |name: &str| format!("p_{}", name.replace('-', "_"));
    writeln!(out, "flowchart TD")?;
    let begin: String = bounds(definition).iter().map(|bound| format!("<br/>{}", bound.replace('"', "#quot;"))).collect();
    writeln!(out, "  begin([\"{}{begin}\"])", definition.name)?;
    for (number, event) in definition.started_by.iter().enumerate() {
        writeln!(out, "  e_{number}>\"{}\"] -.-> begin", event.replace('"', "#quot;"))?;
    }
    for step in steps(definition) {
        let (open, close) = match (step.kind, &step.child) {
            (_, Some(_)) => ("[[", "]]"),
            (Kind::Compensatable, None) => ("[", "]"),
            (Kind::Pivot, None) => ("{{", "}}"),
            (Kind::Retriable, None) => ("(", ")"),
        };
        let note = if step.kind == Kind::Compensatable { String::new() } else { format!(" ({})", kind(step.kind)) };
        writeln!(out, "  {}{open}\"{}{note}{}\"{close}", id(&step.name), step.name, manner(step))?;
        if is_undone_by_code(step) {
            writeln!(out, "  {0} -. undo .-> u_{0}[/\"undo {1}\"/]", id(&step.name), step.name)?;
        }
    }
    savepoints(definition).try_for_each(|name| writeln!(out, "  {}{{\"savepoint {name}\"}}", savepoint(name)))?;
    for step in first_steps(definition) {
        writeln!(out, "  begin --> {}", id(&step.name))?;
    }
    edges(definition, id, savepoint).iter().try_for_each(|(before, after)| writeln!(out, "  {before} --> {after}"))
}

fn dot(definition: &Definition, out: &mut String) -> fmt::Result {
    writeln!(out, "digraph \"{}\" {{", definition.name)?;
    writeln!(out, "  node [shape=box, fontname=\"sans-serif\"];")?;
    let bounds = bounds(definition);
    if !bounds.is_empty() {
        writeln!(out, "  label=\"{}: {}\";", definition.name, bounds.join(", ").escape_debug())?;
    }
    for step in steps(definition) {
        let shape = match step.kind {
            Kind::Compensatable => "box",
            Kind::Pivot => "hexagon",
            Kind::Retriable => "ellipse",
        };
        let double = if step.child.is_some() { ", peripheries=2" } else { "" };
        let label = match manner(step) {
            manner if manner.is_empty() => manner,
            manner => format!(", label=\"{}{manner}\"", step.name),
        };
        writeln!(out, "  \"{}\" [shape={shape}{double}{label}];", step.name)?;
        if is_undone_by_code(step) {
            writeln!(out, "  \"undo {0}\" [shape=parallelogram, style=dashed];", step.name)?;
            writeln!(out, "  \"{0}\" -> \"undo {0}\" [style=dashed, constraint=false];", step.name)?;
        }
    }
    for event in &definition.started_by {
        let event = event.escape_debug();
        writeln!(out, "  \"event {event}\" [shape=note];")?;
        for step in first_steps(definition) {
            writeln!(out, "  \"event {event}\" -> \"{}\" [style=dotted];", step.name)?;
        }
    }
    let savepoint = |name: &str| format!("savepoint {name}");
    savepoints(definition).try_for_each(|name| writeln!(out, "  \"{}\" [shape=diamond];", savepoint(name)))?;
    let edges = edges(definition, str::to_owned, savepoint);
    edges.iter().try_for_each(|(before, after)| writeln!(out, "  \"{before}\" -> \"{after}\";"))?;
    writeln!(out, "}}")
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Compensatable => "compensatable",
        Kind::Pivot => "pivot",
        Kind::Retriable => "retriable",
    }
}

#[cfg(test)]
mod tests {
    use amends_core::definition::{self as core, Body};
    use expect_test::expect;

    use super::*;
    use crate::{api::samples, engine::port::Offered};

    fn drawn(format: Format) -> String {
        let (started_by, definition) = (vec!["trip.\"wanted\"".to_owned()], samples::trip());
        let offered = Offered { module: "trip".to_owned(), version: 2, definition, started_by };
        draw(&super::super::present::definition::offered(&offered), format)
    }

    /// A journey: a child for each traveller beside a hotel with two ways, a savepoint, a car.
    fn journey() -> Definition {
        let mut journey = samples::trip();
        journey.name = "journey".to_owned();
        let [travellers, hotel] = &mut journey.stages[0].steps[..] else { panic!("a trip begins with two steps") };
        travellers.name = "travellers".to_owned();
        travellers.body = Body::Child("traveller".to_owned());
        travellers.undo = core::Undo::None;
        let (items, key) = ("/input/travellers".to_owned(), Some("/name".to_owned()));
        travellers.each = Some(core::Each { items, key, mode: core::EachMode::FailFast, concurrency: 4 });
        hotel.alternates = 1;
        if let core::Undo::Code(policy) = &mut hotel.undo {
            policy.alternates = 1;
        }
        journey.stages[0].savepoint_after = Some("rooms-and-seats".to_owned());
        journey.rounds = 1;
        journey.deadline_ms = Some(600_000);
        journey.locks = vec![core::LockKey { name: "seat".to_owned(), pointer: "/seat".to_owned() }];
        journey.on_locked = core::OnLocked::Refuse;
        journey.schema = Some("{\n  \"type\": \"object\"\n}".to_owned());
        let charge = &mut journey.stages[1].steps[0];
        charge.needs = vec!["travellers".to_owned(), "reserve-hotel".to_owned()];
        charge.on_exhausted = core::OnExhausted::Stuck;
        charge.retry = core::Retry { attempts_max: Some(1), time_box_ms: None, ..core::Retry::forward() };
        super::super::present::definition::definition("trip", Some(2), &journey)
    }

    /// Fault C2-17: locks, rounds, needs, retries, deadlines, the schema and what happens when retries are used up were missing here,
    /// and locks were in `/v1/definitions` neither. Each picture was written for what a definition had when it was written.
    #[test]
    fn c2_17_all_of_a_definition_is_shown() {
        expect![[r#"
            flowchart TD
              begin(["journey<br/>locks seat at /seat<br/>within 10m<br/>1 more round"])
              s_travellers[["travellers: saga traveller, for each"]]
              s_reserve_hotel["reserve-hotel, 2 ways"]
              s_reserve_hotel -. undo .-> u_s_reserve_hotel[/"undo reserve-hotel"/]
              s_charge{{"charge (pivot), needs travellers and reserve-hotel"}}
              s_send_mail("send-mail (retriable)")
              p_rooms_and_seats{"savepoint rooms-and-seats"}
              begin --> s_travellers
              begin --> s_reserve_hotel
              s_travellers --> p_rooms_and_seats
              s_reserve_hotel --> p_rooms_and_seats
              p_rooms_and_seats --> s_charge
              s_charge --> s_send_mail
        "#]]
        .assert_eq(&draw(&journey(), Format::Mermaid));
        expect![[r#"
            digraph "journey" {
              node [shape=box, fontname="sans-serif"];
              label="journey: locks seat at /seat, within 10m, 1 more round";
              "travellers" [shape=box, peripheries=2, label="travellers: saga traveller, for each"];
              "reserve-hotel" [shape=box, label="reserve-hotel, 2 ways"];
              "undo reserve-hotel" [shape=parallelogram, style=dashed];
              "reserve-hotel" -> "undo reserve-hotel" [style=dashed, constraint=false];
              "charge" [shape=hexagon, label="charge, needs travellers and reserve-hotel"];
              "send-mail" [shape=ellipse];
              "savepoint rooms-and-seats" [shape=diamond];
              "travellers" -> "savepoint rooms-and-seats";
              "reserve-hotel" -> "savepoint rooms-and-seats";
              "savepoint rooms-and-seats" -> "charge";
              "charge" -> "send-mail";
            }
        "#]]
        .assert_eq(&draw(&journey(), Format::Dot));
        expect![[r#"
            saga journey (module trip v2, definition 1)
              locks seat at /seat of its input; a start is refused while another saga holds one
              rolled back if it takes longer than 10m
              tried again from a savepoint for 1 more round
              returns the output of charge
              takes input that fits {"type":"object"}
              1  travellers     compensatable  saga traveller, for each of /input/travellers by /name, 4 at once
              ‖  reserve-hotel  compensatable  2 ways, undone by code, in 2 ways
              ◆  savepoint rooms-and-seats, for 1 more round
              2  charge         pivot          needs travellers and reserve-hotel
              3  send-mail      retriable
              attempts: 30s each, no limit within 1day, 200ms apart ×2 up to 1m ±20%, then rolled back: reserve-hotel
              attempts: 30s each, only one, then stuck: charge
              attempts: 30s each, no limit within 1day, 200ms apart ×2 up to 1m ±20%, then stuck: send-mail
              undo attempts: 30s each, at most 20, 200ms apart ×2 up to 1m ±20%, then stuck: reserve-hotel
        "#]]
        .assert_eq(&draw(&journey(), Format::Text));
    }

    #[test]
    fn a_command_is_shown_with_what_it_says_and_what_undoes_it() {
        let mut saga = samples::trip();
        let command = |command: &str, data, undo| {
            let (aggregate, id, command) = ("order".to_owned(), "/input/order".to_owned(), command.to_owned());
            Body::Command(core::CommandStep { aggregate, id, command, data, undo })
        };
        let at = |pointer: &str| core::CommandData::At(pointer.to_owned());
        let member = |name: &str, at: &str| core::Member { name: name.to_owned(), at: at.to_owned() };
        let why = core::CommandData::Object(vec![member("reason", "/cause/code"), member("by", "/input/by")]);
        let reject = core::CommandUndo { command: "reject".to_owned(), data: Some(why) };
        let take_back = core::CommandUndo { command: "take-back".to_owned(), data: None };
        saga.stages[0].steps[0].body = command("create", at("/input"), Some(reject));
        saga.stages[0].steps[1].body = command("add", at("/input/line"), Some(take_back));
        saga.stages[1].steps[0].body = command("approve", core::CommandData::Object(Vec::new()), None);
        let saga = super::super::present::definition::definition("trip", None, &saga);
        let text = draw(&saga, Format::Text);
        let steps: Vec<&str> = text.lines().skip(2).take(3).map(str::trim_start).collect();
        expect![[r#"
            1  reserve-flight  compensatable  sends create to order /input/order saying /input, undone by the command reject saying {by: /input/by, reason: /cause/code}
            ‖  reserve-hotel   compensatable  sends add to order /input/order saying /input/line, undone by the command take-back
            2  charge          pivot          sends approve to order /input/order saying {}"#]]
        .assert_eq(&steps.join("\n"));
        expect![[r#"
            {
              "aggregate": "order",
              "id": "/input/order",
              "name": "create",
              "data": {
                "kind": "at",
                "pointer": "/input"
              },
              "undo": {
                "name": "reject",
                "data": {
                  "kind": "object",
                  "members": {
                    "by": "/input/by",
                    "reason": "/cause/code"
                  }
                }
              }
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&saga.stages[0].steps[0].command).unwrap());
    }

    #[test]
    fn a_definition_draws_as_mermaid() {
        expect![[r#"
            flowchart TD
              begin(["trip"])
              e_0>"trip.#quot;wanted#quot;"] -.-> begin
              s_reserve_flight["reserve-flight"]
              s_reserve_flight -. undo .-> u_s_reserve_flight[/"undo reserve-flight"/]
              s_reserve_hotel["reserve-hotel"]
              s_reserve_hotel -. undo .-> u_s_reserve_hotel[/"undo reserve-hotel"/]
              s_charge{{"charge (pivot)"}}
              s_send_mail("send-mail (retriable)")
              begin --> s_reserve_flight
              begin --> s_reserve_hotel
              s_reserve_flight --> s_charge
              s_reserve_hotel --> s_charge
              s_charge --> s_send_mail
        "#]]
        .assert_eq(&drawn(Format::Mermaid));
    }

    #[test]
    fn a_definition_draws_as_dot() {
        expect![[r#"
            digraph "trip" {
              node [shape=box, fontname="sans-serif"];
              "reserve-flight" [shape=box];
              "undo reserve-flight" [shape=parallelogram, style=dashed];
              "reserve-flight" -> "undo reserve-flight" [style=dashed, constraint=false];
              "reserve-hotel" [shape=box];
              "undo reserve-hotel" [shape=parallelogram, style=dashed];
              "reserve-hotel" -> "undo reserve-hotel" [style=dashed, constraint=false];
              "charge" [shape=hexagon];
              "send-mail" [shape=ellipse];
              "event trip.\"wanted\"" [shape=note];
              "event trip.\"wanted\"" -> "reserve-flight" [style=dotted];
              "event trip.\"wanted\"" -> "reserve-hotel" [style=dotted];
              "reserve-flight" -> "charge";
              "reserve-hotel" -> "charge";
              "charge" -> "send-mail";
            }
        "#]]
        .assert_eq(&drawn(Format::Dot));
    }

    #[test]
    fn a_definition_draws_as_text() {
        expect![[r#"
            saga trip (module trip v2, definition 1)
              started by trip."wanted"
              returns the output of charge
              1  reserve-flight  compensatable  undone by code
              ‖  reserve-hotel   compensatable  undone by code
              2  charge          pivot
              3  send-mail       retriable
              attempts: 30s each, no limit within 1day, 200ms apart ×2 up to 1m ±20%, then rolled back: reserve-flight, reserve-hotel, charge
              attempts: 30s each, no limit within 1day, 200ms apart ×2 up to 1m ±20%, then stuck: send-mail
              undo attempts: 30s each, at most 20, 200ms apart ×2 up to 1m ±20%, then stuck: reserve-flight, reserve-hotel
        "#]]
        .assert_eq(&drawn(Format::Text));
    }
}

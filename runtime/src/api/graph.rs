//! A definition as a picture: Mermaid, Graphviz, or text for a terminal. Pure; it knows the wire types only.

use std::fmt::{self, Write};

use amends_wire::definition::{Definition, Each, EachMode, Kind, OnUnknown, Stage, StepDefinition, Undo};

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
        Format::Text => text(definition, &mut picture),
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
    [child, each, ways].into_iter().flatten().collect()
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
    writeln!(out, "  begin([\"{}\"])", definition.name)?;
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

fn text(definition: &Definition, out: &mut String) -> fmt::Result {
    let width = steps(definition).map(|step| step.name.len()).max().unwrap_or(0);
    match definition.version {
        Some(version) => writeln!(out, "saga {} (module {} v{version})", definition.name, definition.module)?,
        None => writeln!(out, "saga {} (module {})", definition.name, definition.module)?,
    }
    if !definition.started_by.is_empty() {
        writeln!(out, "  started by {}", definition.started_by.join(", ").escape_debug())?;
    }
    for (number, stage) in definition.stages.iter().enumerate() {
        for (index, step) in stage.steps.iter().enumerate() {
            let place = if index == 0 { format!("{:>3}", number + 1) } else { "  ‖".to_owned() };
            let line = format!("{place}  {:width$}  {:13}  {}", step.name, kind(step.kind), remarks(step));
            writeln!(out, "{}", line.trim_end())?;
        }
        if let Some(savepoint) = &stage.savepoint_after {
            writeln!(out, "  ◆  savepoint {savepoint}, for {}", rounds(definition.rounds))?;
        }
    }
    Ok(())
}

fn rounds(rounds: u32) -> String {
    match rounds {
        0 => "no other round".to_owned(),
        1 => "1 more round".to_owned(),
        rounds => format!("{rounds} more rounds"),
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Compensatable => "compensatable",
        Kind::Pivot => "pivot",
        Kind::Retriable => "retriable",
    }
}

fn remarks(step: &StepDefinition) -> String {
    let child = step.child.as_ref().map(|saga| format!("saga {saga}"));
    let each = step.each.as_ref().map(each);
    let ways = (step.alternates > 0).then(|| format!("{} ways", step.alternates + 1));
    let undo = match &step.undo {
        Undo::Code { alternates, effect_free, .. } => {
            let reach = if *effect_free { " (effect-free)" } else { "" };
            let ways = if *alternates > 0 { format!(", in {} ways", alternates + 1) } else { String::new() };
            Some(format!("undone by code{reach}{ways}"))
        }
        Undo::Nothing => Some("nothing to undo".to_owned()),
        Undo::None => None,
    };
    let unknown = match step.on_unknown {
        OnUnknown::Retry => None,
        OnUnknown::Check => Some("checked when unknown".to_owned()),
        OnUnknown::OnceThenRollback => Some("if unknown: not retried, rolled back".to_owned()),
        OnUnknown::OnceThenStop => Some("if unknown: not retried, stopped".to_owned()),
    };
    let effect_free = step.effect_free.then(|| "effect-free".to_owned());
    [child, each, ways, undo, effect_free, unknown].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `for each of /input/stays by /id, 10 at once, collected`. Pointers are the author's text, and go to a terminal.
fn each(each: &Each) -> String {
    let key = each.key.as_ref().filter(|key| !key.is_empty()).map(|key| format!(" by {}", key.escape_debug()));
    let collected = if each.mode == EachMode::Collect { ", refusals collected" } else { "" };
    format!("for each of {}{}, {} at once{collected}", each.items.escape_debug(), key.unwrap_or_default(), each.concurrency)
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
        super::super::present::definition::definition("trip", Some(2), &journey)
    }

    #[test]
    fn children_fan_outs_alternates_and_savepoints_are_drawn() {
        expect![[r#"
            flowchart TD
              begin(["journey"])
              s_travellers[["travellers: saga traveller, for each"]]
              s_reserve_hotel["reserve-hotel, 2 ways"]
              s_reserve_hotel -. undo .-> u_s_reserve_hotel[/"undo reserve-hotel"/]
              s_charge{{"charge (pivot)"}}
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
              "travellers" [shape=box, peripheries=2, label="travellers: saga traveller, for each"];
              "reserve-hotel" [shape=box, label="reserve-hotel, 2 ways"];
              "undo reserve-hotel" [shape=parallelogram, style=dashed];
              "reserve-hotel" -> "undo reserve-hotel" [style=dashed, constraint=false];
              "charge" [shape=hexagon];
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
            saga journey (module trip v2)
              1  travellers     compensatable  saga traveller, for each of /input/travellers by /name, 4 at once
              ‖  reserve-hotel  compensatable  2 ways, undone by code, in 2 ways
              ◆  savepoint rooms-and-seats, for 1 more round
              2  charge         pivot
              3  send-mail      retriable
        "#]]
        .assert_eq(&draw(&journey(), Format::Text));
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
            saga trip (module trip v2)
              started by trip.\"wanted\"
              1  reserve-flight  compensatable  undone by code
              ‖  reserve-hotel   compensatable  undone by code
              2  charge          pivot
              3  send-mail       retriable
        "#]]
        .assert_eq(&drawn(Format::Text));
    }
}

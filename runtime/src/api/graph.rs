//! A definition as a picture: Mermaid, Graphviz, or text for a terminal. Pure; it knows the wire types only.

use std::fmt::{self, Write};

use amends_core::definition::{Kind, OnUnknown};

use super::wire::definition::{Definition, Step, Undo};

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

impl Format {
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "mermaid" => Some(Self::Mermaid),
            "dot" => Some(Self::Dot),
            "text" => Some(Self::Text),
            _ => None,
        }
    }
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

/// Every pair of steps of which the second waits for the first.
fn edges(definition: &Definition) -> impl Iterator<Item = (&Step, &Step)> {
    definition
        .stages
        .windows(2)
        .flat_map(|pair| pair[0].steps.iter().flat_map(move |before| pair[1].steps.iter().map(move |after| (before, after))))
}

fn steps(definition: &Definition) -> impl Iterator<Item = &Step> {
    definition.stages.iter().flat_map(|stage| &stage.steps)
}

fn is_undone_by_code(step: &Step) -> bool {
    matches!(step.undo, Undo::Code { .. })
}

fn mermaid(definition: &Definition, out: &mut String) -> fmt::Result {
    // Names hold only a-z, 0-9 and -, which Mermaid takes in a quoted label but not in every id.
    let id = |step: &Step| format!("s_{}", step.name.replace('-', "_"));
    writeln!(out, "flowchart TD")?;
    writeln!(out, "  begin([\"{}\"])", definition.name)?;
    for step in steps(definition) {
        let (open, close) = match step.kind {
            Kind::Compensatable => ("[", "]"),
            Kind::Pivot => ("{{", "}}"),
            Kind::Retriable => ("(", ")"),
        };
        let note = if step.kind == Kind::Compensatable { "" } else { kind(step.kind) };
        let label = if note.is_empty() { step.name.clone() } else { format!("{} ({note})", step.name) };
        writeln!(out, "  {}{open}\"{label}\"{close}", id(step))?;
        if is_undone_by_code(step) {
            writeln!(out, "  {0} -. undo .-> u_{0}[/\"undo {1}\"/]", id(step), step.name)?;
        }
    }
    for step in definition.stages.first().map(|stage| &stage.steps).into_iter().flatten() {
        writeln!(out, "  begin --> {}", id(step))?;
    }
    edges(definition).try_for_each(|(before, after)| writeln!(out, "  {} --> {}", id(before), id(after)))
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
        writeln!(out, "  \"{0}\" [shape={shape}];", step.name)?;
        if is_undone_by_code(step) {
            writeln!(out, "  \"undo {0}\" [shape=parallelogram, style=dashed];", step.name)?;
            writeln!(out, "  \"{0}\" -> \"undo {0}\" [style=dashed, constraint=false];", step.name)?;
        }
    }
    edges(definition).try_for_each(|(before, after)| writeln!(out, "  \"{}\" -> \"{}\";", before.name, after.name))?;
    writeln!(out, "}}")
}

fn text(definition: &Definition, out: &mut String) -> fmt::Result {
    let width = steps(definition).map(|step| step.name.len()).max().unwrap_or(0);
    match definition.version {
        Some(version) => writeln!(out, "saga {} (module {} v{version})", definition.name, definition.module)?,
        None => writeln!(out, "saga {} (module {})", definition.name, definition.module)?,
    }
    for (number, stage) in definition.stages.iter().enumerate() {
        for (index, step) in stage.steps.iter().enumerate() {
            let place = if index == 0 { format!("{:>3}", number + 1) } else { "  ‖".to_owned() };
            let line = format!("{place}  {:width$}  {:13}  {}", step.name, kind(step.kind), remarks(step));
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(())
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Compensatable => "compensatable",
        Kind::Pivot => "pivot",
        Kind::Retriable => "retriable",
    }
}

fn remarks(step: &Step) -> String {
    let undo = match &step.undo {
        Undo::Code { .. } => Some("undone by code"),
        Undo::Nothing => Some("nothing to undo"),
        Undo::None => None,
    };
    let unknown = match step.on_unknown {
        OnUnknown::Retry => None,
        OnUnknown::Check => Some("checked when unknown"),
        OnUnknown::OnceThenRollback => Some("if unknown: not retried, rolled back"),
        OnUnknown::OnceThenStop => Some("if unknown: not retried, stopped"),
    };
    let effect_free = step.effect_free.then_some("effect-free");
    undo.into_iter().chain(effect_free).chain(unknown).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::api::fake;

    fn drawn(format: Format) -> String {
        draw(&super::super::present::definition::definition("trip", Some(2), &fake::trip()), format)
    }

    #[test]
    fn a_definition_draws_as_mermaid() {
        expect![[r#"
            flowchart TD
              begin(["trip"])
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
              1  reserve-flight  compensatable  undone by code
              ‖  reserve-hotel   compensatable  undone by code
              2  charge          pivot
              3  send-mail       retriable
        "#]]
        .assert_eq(&drawn(Format::Text));
    }
}

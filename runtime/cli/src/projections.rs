//! `amends projections`: how views stand, and what operators do with them.

use amends_wire::view::{Generation, GenerationRole, Projection, ProjectionAct, Projections as All};
use anyhow::Result;
use clap::{Args, Subcommand};

use super::{
    clock,
    exit::Exit,
    render::{
        style::{BAD, BOLD, paint},
        text::{clean, columns, count, header},
        time::Now,
    },
    session::{Form, Session, print, print_json, say},
};

/// List views, or show one: its generations, how far each is, and what stands in its way.
///
/// A view is built by the active version of its module. A new version builds its own rows aside, and the view answers from them once they
/// are complete; the rows of before stay up to date, so that `switch` goes back at once.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Example:\n  amends projections\n  amends projections rebuild order-history\n  amends projections skip order-history order/O7/3 --note 'a total without a currency'"
)]
pub(super) struct Projections {
    /// The view; all of them when left out.
    name: Option<String>,
    #[command(flatten)]
    form: Form,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build a view again aside, with the active code, and switch to it when it is complete.
    Rebuild(Named),
    /// Answer from the generation that answered before, at once.
    Switch(Named),
    /// End the build of a view; without one, take no more events, and go on answering.
    Stop(Named),
    /// Go on with a view that stopped, and try the event again at which it stopped.
    Resume(Named),
    Skip(Skip),
}

/// The view and the reason.
#[derive(Args, Debug)]
struct Named {
    /// The view.
    name: String,
    /// The reason.
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// Leave out the event at which a view stopped, and go on. The view says for ever that it left it out.
#[derive(Args, Debug)]
struct Skip {
    /// The view.
    name: String,
    /// The event, as `amends projections NAME` shows it.
    event: String,
    /// The reason.
    #[arg(long)]
    note: String,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(projections: &Projections, session: &Session) -> Result<Exit> {
    match (&projections.verb, &projections.name) {
        (Some(verb), _) => act(verb, session),
        (None, Some(name)) => shown(&session.client.get(&["v1", "projections", name], &[])?, projections.form),
        (None, None) => list(projections.form, session),
    }
}

fn act(verb: &Verb, session: &Session) -> Result<Exit> {
    let (path, name, note, event, form) = match verb {
        Verb::Rebuild(named) => ("rebuild", &named.name, named.note.clone(), None, named.form),
        Verb::Switch(named) => ("switch", &named.name, named.note.clone(), None, named.form),
        Verb::Stop(named) => ("stop", &named.name, named.note.clone(), None, named.form),
        Verb::Resume(named) => ("resume", &named.name, named.note.clone(), None, named.form),
        Verb::Skip(skip) => ("skip", &skip.name, Some(skip.note.clone()), Some(skip.event.clone()), skip.form),
    };
    let body = ProjectionAct { note, event };
    shown(&session.client.post(&["v1", "projections", name, path], &body)?, form)
}

fn shown(view: &Projection, form: Form) -> Result<Exit> {
    match form.json {
        true => print_json(view)?,
        false => print(&one(view, &clock::now()))?,
    }
    Ok(Exit::Fine)
}

fn list(form: Form, session: &Session) -> Result<Exit> {
    let All { projections } = session.client.get(&["v1", "projections"], &[])?;
    match form.json {
        true => projections.iter().try_for_each(print_json)?,
        false => print(&table(&projections, &clock::now()))?,
    }
    if projections.is_empty() {
        say("there are no views; deploy a module with projections");
    }
    Ok(Exit::Fine)
}

fn table(views: &[Projection], now: &Now) -> String {
    if views.is_empty() {
        return String::new();
    }
    let mut rows = vec![header(["VIEW", "GENERATION", "MODULE", "EVENTS", "LAG", "OLDEST", "RATE", ""])];
    for view in views {
        rows.extend(view.generations.iter().map(|generation| row(&view.name, generation, now)));
    }
    columns(&rows) + &failed(views)
}

/// One view, with what its generations say of themselves.
fn one(view: &Projection, now: &Now) -> String {
    let mut text = table(std::slice::from_ref(view), now);
    for generation in &view.generations {
        let number = generation.number;
        if let Some(stopped) = &generation.stopped {
            let at = stopped.event.as_ref().map(|event| format!(" at the event {}", clean(event))).unwrap_or_default();
            let by = stopped.by.as_ref().filter(|by| !by.is_empty()).map(|by| format!(" by {}", clean(by))).unwrap_or_default();
            let code = if stopped.event.is_some() { format!(" ({})", clean(&stopped.code)) } else { String::new() };
            let why = Some(clean(&stopped.message)).filter(|why| !why.is_empty()).map(|why| format!(": {why}{code}"));
            let line = format!("generation {number} stopped{at}{by}{}\n", why.unwrap_or(code));
            text += &paint(BAD, line);
        }
        if let Some(why) = &generation.delayed {
            text += &format!("generation {number} is tried again: {}\n", clean(why));
        }
        for skipped in &generation.skipped {
            let (event, by, note) = (clean(&skipped.event), clean(&skipped.by), clean(&skipped.note));
            let by = if by.is_empty() { String::new() } else { format!("{by}, ") };
            text += &format!("generation {number} left out {event}: {note} ({by}{})\n", now.clock(skipped.at));
        }
    }
    text
}

fn row(name: &str, generation: &Generation, now: &Now) -> Vec<String> {
    let role = match generation.role {
        GenerationRole::Active => "active",
        GenerationRole::Building => "building",
        GenerationRole::Previous => "previous",
    };
    let oldest = generation.waiting_since.map_or_else(|| "-".to_owned(), |since| now.ago(since));
    let standing = match (&generation.stopped, &generation.delayed) {
        (Some(_), _) => paint(BAD, "stopped"),
        (None, Some(_)) => "delayed".to_owned(),
        (None, None) => String::new(),
    };
    vec![
        paint(BOLD, clean(name)),
        format!("{} {role}", generation.number),
        format!("{} v{}", clean(&generation.module), generation.version),
        generation.events.to_string(),
        lag(generation.lag),
        oldest,
        format!("{}/s", generation.rate),
        standing,
    ]
}

/// The host counts up to this.
const LAG_MAX: u64 = 10_000;

fn lag(events: u64) -> String {
    if events < LAG_MAX { events.to_string() } else { format!("{LAG_MAX}+") }
}

fn failed(views: &[Projection]) -> String {
    let why = views.iter().find_map(|view| view.failed.as_ref());
    why.map(|why| format!("{} built no more: {}\n", count(views.len() as u64, "view"), clean(why))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use amends_wire::{
        Time,
        view::{GenerationStop, SkippedEvent},
    };
    use expect_test::expect;
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_view_shows_its_generations_and_why_one_of_them_does_not_go_on() {
        let at = Time::from_ms(1_767_268_800_000);
        let now = Now { at, zone: TimeZone::UTC };
        let active = Generation {
            number: 3,
            role: GenerationRole::Active,
            module: "credit".to_owned(),
            version: 1,
            reads: vec!["order.created".to_owned()],
            queries: Vec::new(),
            begun_at: at,
            events: 12_400,
            position: "0-1-50000".to_owned(),
            lag: 0,
            waiting_since: None,
            rate: 812,
            stopped: None,
            delayed: None,
            skipped: vec![SkippedEvent {
                event: "order/O7/3".to_owned(),
                position: "0-1-77".to_owned(),
                note: "no currency".to_owned(),
                by: "ann".to_owned(),
                at,
            }],
        };
        let building = Generation {
            number: 4,
            role: GenerationRole::Building,
            version: 2,
            events: 900,
            lag: 10_000,
            waiting_since: Some(Time::from_ms(at.ms() - 125_000)),
            stopped: Some(GenerationStop {
                event: Some("order/O9/1".to_owned()),
                position: Some("0-1-901".to_owned()),
                code: "trap".to_owned(),
                message: "index out of bounds".to_owned(),
                by: None,
            }),
            skipped: Vec::new(),
            ..active.clone()
        };
        let view = Projection { name: "order-history".to_owned(), generations: vec![active, building], failed: None };
        let told = anstream::adapter::strip_str(&one(&view, &now)).to_string();
        expect![[r#"
            VIEW           GENERATION  MODULE     EVENTS  LAG     OLDEST  RATE
            order-history  3 active    credit v1  12400   0       -       812/s
            order-history  4 building  credit v2  900     10000+  2m ago  812/s  stopped
            generation 3 left out order/O7/3: no currency (ann, 12:00:00)
            generation 4 stopped at the event order/O9/1: index out of bounds (trap)
        "#]]
        .assert_eq(&told);
    }
}

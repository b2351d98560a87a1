//! `amends schedule`: sagas that the host starts at given times.

use amends_wire::{
    Json, Time,
    schedule::{self as wire, Overlap, PutSchedule, ScheduleActRequest, SchedulePage},
};
use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use http::{Method, StatusCode};
use jiff::{Timestamp, civil::DateTime};

use super::{
    clock,
    exit::{Exit, Usage},
    input,
    render::schedule,
    session::{Form, Session, confirmed, print, print_json, say},
};
use amends_client::Write;

/// Start sagas at a time, after a delay, or repeatedly.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends schedule add nightly order --cron '0 3 * * *' --zone Europe/Berlin\n  amends schedule add reminder approval --after 2h --input '{\"request_id\":\"r-7\"}'\n  amends schedule pause nightly --note 'the shop moves'"
)]
pub(super) struct Schedule {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Add(Box<Add>),
    List(List),
    Show(Show),
    /// Start nothing until the schedule is resumed.
    Pause(Named),
    /// Resume a schedule. Starts that were due during the pause are skipped.
    Resume(Named),
    /// Start a saga now, independently of due starts and of running sagas.
    Trigger(Named),
    Remove(Remove),
}

/// Create a schedule, or replace the one of this name.
///
/// It is safe to repeat: an equal schedule changes nothing.
///
/// At a change of daylight saving time, a time of day (one minute of one hour) that does not exist is due at the end of the gap,
/// and one that occurs twice is due the first time. Any other expression follows the elapsed time.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends schedule add nightly order --cron '0 3 * * mon-fri' --zone Europe/Berlin --jitter 5m\n  amends schedule add once order --at 2026-12-24T18:00:00Z --input @order.json",
    group = clap::ArgGroup::new("when").required(true).args(["at", "after", "cron"])
)]
struct Add {
    /// Its name: 1 to 63 of a-z, 0-9 and -, beginning with a letter.
    name: String,
    /// The definition of the sagas.
    saga: String,
    /// Once, at this time: 2026-12-24T18:00:00Z, or 2026-12-24T18:00 by this machine's clock.
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Time>,
    /// Once, after this delay.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    after: Option<String>,
    /// Five fields (minute, hour, day of month, month, day of week), or @hourly, @daily, @weekly, @monthly or @yearly.
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// The time zone of --cron, by its IANA name; UTC if left out.
    #[arg(long, requires = "cron", conflicts_with_all = ["at", "after"])]
    zone: Option<String>,
    /// The input of each saga: JSON, a file as @FILE, or - for stdin.
    #[arg(long, default_value = "{}", value_name = "JSON|@FILE|-")]
    input: String,
    /// The saga's id, for a schedule that starts one saga; by default it is made of the name and the moment.
    #[arg(long, conflicts_with = "cron")]
    id: Option<String>,
    /// What happens if the previous saga has not ended: skip the start, keep one start waiting, or start anyway.
    #[arg(long, value_enum, default_value = "skip")]
    overlap: OverlapArg,
    /// Delay each start by a random time up to this, so that not everything starts at once.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    jitter: Option<String>,
    /// Start late by up to this, if the host was down or too busy; later starts are skipped. 1h by default.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    catch_up: Option<String>,
    /// Create the schedule paused.
    #[arg(long)]
    paused: bool,
    /// The reason; recorded.
    #[arg(long)]
    note: Option<String>,
    /// Act only if the schedule is at this revision; 0: only if there is none.
    #[arg(long, value_name = "REVISION")]
    expect_revision: Option<u64>,
    #[command(flatten)]
    form: Form,
}

/// What happens if the previous saga has not ended.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OverlapArg {
    /// The start is skipped.
    Skip,
    /// The start waits for the end; at most one start waits.
    Queue,
    /// The saga starts anyway.
    Allow,
}

impl From<OverlapArg> for Overlap {
    fn from(overlap: OverlapArg) -> Self {
        match overlap {
            OverlapArg::Skip => Self::Skip,
            OverlapArg::Queue => Self::Queue,
            OverlapArg::Allow => Self::Allow,
        }
    }
}

/// List schedules, by name.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends schedule list --json")]
struct List {
    #[command(flatten)]
    form: Form,
}

/// Show a schedule: due starts, the waiting start, the last started and skipped ones.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends schedule show nightly")]
struct Show {
    /// The schedule.
    name: String,
    #[command(flatten)]
    form: Form,
}

/// The schedule and the reason.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends schedule pause nightly --note 'the shop moves'\n  amends schedule resume nightly\n  amends schedule trigger nightly"
)]
struct Named {
    /// The schedule.
    name: String,
    /// The reason; recorded with the user and the time.
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// Remove a schedule. Sagas that it started continue.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends schedule remove nightly --note 'the new shop has its own'")]
struct Remove {
    #[command(flatten)]
    named: Named,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn run(schedule: &Schedule, session: &Session) -> Result<Exit> {
    match &schedule.verb {
        Verb::Add(verb) => add(verb, session),
        Verb::List(verb) => list(verb, session),
        Verb::Show(verb) => shown(&session.client.get(&["v1", "schedules", &verb.name], &[])?, verb.form),
        Verb::Pause(verb) => act(verb, "pause", session),
        Verb::Resume(verb) => act(verb, "resume", session),
        Verb::Trigger(verb) => trigger(verb, session),
        Verb::Remove(verb) => remove(verb, session),
    }
}

fn add(add: &Add, session: &Session) -> Result<Exit> {
    let asked = PutSchedule {
        saga: add.saga.clone(),
        at: add.at,
        after: add.after.clone(),
        cron: add.cron.clone(),
        zone: add.zone.clone(),
        input: Some(raw(input::json("input", &add.input)?)?),
        id: add.id.clone(),
        overlap: Some(add.overlap.into()),
        jitter: add.jitter.clone(),
        catch_up: add.catch_up.clone(),
        paused: add.paused,
        note: add.note.clone(),
        expect_revision: add.expect_revision.map(|revision| revision.to_string()),
    };
    let body = serde_json::to_vec(&asked)?;
    let path = ["v1", "schedules", &add.name];
    let put = Write { method: Method::PUT, body: &body, ..Write::post(&path) };
    let (status, made): (StatusCode, wire::Schedule) = session.client.write(&put)?;
    let done = shown(&made, add.form)?;
    match status {
        StatusCode::CREATED => say(&format!("look at it again with `amends schedule show {}`", made.name)),
        _ => say(&format!("there was a schedule `{}`; this is what it is now, at revision {}", made.name, made.revision)),
    }
    Ok(done)
}

fn list(list: &List, session: &Session) -> Result<Exit> {
    let mut cursor: Option<String> = None;
    let mut all = Vec::new();
    loop {
        let query: Vec<(&str, &str)> =
            cursor.iter().map(|cursor| ("cursor", cursor.as_str())).chain([("limit", "1000")]).collect();
        let page: SchedulePage = session.client.get(&["v1", "schedules"], &query)?;
        all.extend(page.schedules);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    if list.form.json {
        all.iter().try_for_each(print_json)?;
    } else if let Some(first) = all.first() {
        print(&schedule::table(&all, &clock::as_of(first.as_of)))?;
    } else {
        say("there are no schedules yet; `amends schedule add NAME SAGA --cron EXPRESSION` makes one");
    }
    Ok(Exit::Fine)
}

fn act(named: &Named, verb: &str, session: &Session) -> Result<Exit> {
    shown(&post(named, verb, session)?, named.form)
}

fn trigger(named: &Named, session: &Session) -> Result<Exit> {
    let fired = post(named, "trigger", session)?;
    match (&fired.last_fired, named.form.json) {
        (Some(last), false) => {
            print(&format!("{}\n", last.saga))?;
            say(&format!("follow it with `amends watch {}`", last.saga));
        }
        _ => print_json(&fired)?,
    }
    Ok(Exit::Fine)
}

fn post(named: &Named, verb: &str, session: &Session) -> Result<wire::Schedule> {
    let body = ScheduleActRequest { note: named.note.clone() };
    Ok(session.client.post(&["v1", "schedules", &named.name, verb], &body)?)
}

fn remove(remove: &Remove, session: &Session) -> Result<Exit> {
    let Named { name, note, form } = &remove.named;
    if !confirmed(&format!("remove schedule {name}?"), remove.yes)? {
        say("nothing was done");
        return Ok(Exit::Failed);
    }
    let body = serde_json::to_vec(&ScheduleActRequest { note: note.clone() })?;
    let path = ["v1", "schedules", name];
    let (_, gone): (_, wire::Schedule) =
        session.client.write(&Write { method: Method::DELETE, body: &body, ..Write::post(&path) })?;
    match form.json {
        true => print_json(&gone)?,
        false => say(&format!("removed {name}; what it started goes on: `amends list --saga {}`", gone.saga)),
    }
    Ok(Exit::Fine)
}

fn shown(schedule: &wire::Schedule, form: Form) -> Result<Exit> {
    match form.json {
        true => print_json(schedule)?,
        false => print(&schedule::one(schedule, &clock::as_of(schedule.as_of)))?,
    }
    Ok(Exit::Fine)
}

fn raw(json: String) -> Result<Json> {
    // It was checked when it was parsed.
    Ok(Json::from(
        serde_json::value::RawValue::from_string(json).map_err(|error| Usage(format!("the input is bad JSON: {error}")))?,
    ))
}

/// A time with its offset, or in the time zone of this machine.
fn time(text: &str) -> Result<Time, String> {
    let moment = text.parse::<Timestamp>().or_else(|_| {
        let there = text.parse::<DateTime>().and_then(|there| there.to_zoned(clock::now().zone));
        there.map(|there| there.timestamp())
    });
    let ms = moment.ok().and_then(|moment| u64::try_from(moment.as_millisecond()).ok());
    ms.map(Time::from_ms)
        .ok_or_else(|| "write it as 2026-12-24T18:00:00Z, or 2026-12-24T18:00 by this machine's clock".to_owned())
}

/// Sent as the user wrote it.
fn duration(text: &str) -> Result<String, String> {
    input::duration(text).map(|_| text.to_owned())
}

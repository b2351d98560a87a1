//! `amends jobs`: verbs for many sagas, and their progress.

use amends_wire::job;
use anyhow::Result;
use clap::{Args, Subcommand};

use super::{
    clock,
    exit::Exit,
    many, render,
    session::{Form, Session, print, print_json, say},
};

/// List the jobs of verbs for many sagas, or show the progress of one.
///
/// Jobs run one after the other, continue after a restart of the host, and are listed until a week after their end.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Example:\n  amends retry --all --saga trip --failure gateway_down\n  amends jobs\n  amends jobs stop 01KB6X7S3V9C1D2E3F4G5H6J7K"
)]
pub(super) struct Jobs {
    /// The job; all of them when left out.
    id: Option<String>,
    /// Wait until the job has ended. Exit code 1: it was stopped, or its verb did not apply to some sagas.
    #[arg(long, requires = "id")]
    wait: bool,
    #[command(flatten)]
    form: Form,
    #[command(subcommand)]
    verb: Option<JobVerb>,
}

#[derive(Debug, Subcommand)]
enum JobVerb {
    Stop(Stop),
}

/// Stop a job; sagas that it has changed stay changed.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends jobs stop 01KB6X7S3V9C1D2E3F4G5H6J7K --note 'the gateway is down again'")]
struct Stop {
    /// The job.
    id: String,
    /// The reason; recorded with the user and the time.
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(jobs: &Jobs, session: &Session) -> Result<Exit> {
    match (&jobs.verb, &jobs.id) {
        (Some(JobVerb::Stop(stop)), _) => {
            let body = job::StopJob { note: stop.note.clone() };
            shown(&session.client.post(&["v1", "jobs", &stop.id, "stop"], &body)?, stop.form)
        }
        (None, Some(id)) if jobs.wait => many::follow(session, id, jobs.form.json),
        (None, Some(id)) => shown(&session.client.get(&["v1", "jobs", id], &[])?, jobs.form),
        (None, None) => list(jobs.form, session),
    }
}

fn shown(job: &job::Job, form: Form) -> Result<Exit> {
    match form.json {
        true => print_json(job)?,
        false => print(&render::job::job(job, &clock::now()))?,
    }
    Ok(Exit::Fine)
}

fn list(form: Form, session: &Session) -> Result<Exit> {
    let job::Jobs { jobs, is_cut } = session.client.get(&["v1", "jobs"], &[])?;
    match form.json {
        true => jobs.iter().try_for_each(print_json)?,
        false => print(&render::job::table(&jobs, &clock::now()))?,
    }
    if jobs.is_empty() {
        say("there are no jobs; a verb with --all makes one");
    }
    if is_cut {
        say(&format!("these are the last {}; an older one is shown by its id: amends jobs ID", jobs.len()));
    }
    Ok(Exit::Fine)
}

//! What is asked about jobs, their records, and how long they are kept.

use amends_core::{
    event::Act,
    id::Namespace,
    job::{Job, JobEvent, JobState},
};
use serde::{Deserialize, Serialize};

use super::{
    Jobs, fingerprint, job_at,
    request::{JobAnswer, JobRequest},
};
use crate::{
    engine::kernel::{
        answers::{self, KEPT_MS, Scope},
        commit::{Commit, Entry, Stream},
        reads::{Reads, Unready},
        release::{Release, Reply},
        request::{Answer, Origin, Said},
        row,
        timers::Timer,
    },
    engine::refusal::{Refusal, RefusalCode, Remedy},
    journal::{Actor, Fact, StreamHead, StreamId, StreamKind, TimerKind, keys, record},
    store::{Position, Table},
};

/// Jobs that are not over: they run one after the other, and nobody types so many.
const JOBS_MAX: usize = 100;

/// What is kept of the first answer to a request for a job.
#[derive(Debug, Serialize, Deserialize)]
struct First {
    stream: Position,
}

/// What came of waiting for a job's end.
pub(crate) enum Awaited {
    /// It is over, or there is none.
    Said(Said<JobAnswer>),
    /// Its end will be told.
    Runs(Position),
}

impl Jobs {
    /// Somebody asks for a verb for many sagas.
    pub(crate) fn ask(
        &mut self,
        mut reads: Reads<'_>,
        origin: &Origin,
        request: &JobRequest,
    ) -> Result<Said<JobAnswer>, Unready> {
        let fingerprint = fingerprint::of_job(request);
        let answer = origin.idempotency_key.as_ref().map(|name| answers::key(&origin.namespace, Scope::Job, name));
        if let Some(answer) = &answer {
            match answers::first::<First>(&mut reads, answer, &fingerprint)? {
                Ok(Some(First { stream })) => {
                    let job = self.job(&mut reads, &origin.namespace, stream)?;
                    return Ok(answered(job.ok_or_else(|| not_found("asked for"))));
                }
                Ok(None) => {}
                Err(refusal) => return Ok(Said::refused(refusal)),
            }
        }
        if let Err(refusal) = self.refuse_new(&reads, request) {
            reads.metrics.refused(refusal.code);
            return Ok(Said::refused(refusal));
        }
        let mut commit = reads.done()?;
        let job = self.begin(&mut commit, origin, request);
        if let Some(answer) = answer {
            let about = StreamId { namespace: origin.namespace.clone(), kind: StreamKind::Job, id: job.id.clone() };
            answers::keep(&mut commit, answer, fingerprint, &First { stream: job.stream }, Some(about), job.stream);
        }
        Ok(answered(Ok(job)))
    }

    fn refuse_new(&self, reads: &Reads<'_>, request: &JobRequest) -> Result<(), Refusal> {
        if let Some(against) = &request.against {
            return Err(against.clone());
        }
        if reads.stopping {
            return Err(Refusal::new(RefusalCode::Stopping, "the host is stopping and takes no new jobs").hint("try again soon"));
        }
        reads.refuse_if_crowded()?;
        if self.running.len() >= JOBS_MAX {
            let said = format!("{JOBS_MAX} jobs wait for their turn, which is as many as this host takes");
            return Err(Refusal::new(RefusalCode::Overloaded, said).remedy("wait for some, or stop them", Remedy::ListJobs));
        }
        Ok(())
    }

    fn begin(&mut self, commit: &mut Commit<'_>, origin: &Origin, request: &JobRequest) -> Job {
        let JobRequest { id, verb, filter, act, .. } = request.clone();
        let asked = JobEvent::Asked { verb: verb.clone(), filter: filter.clone(), act: act.clone() };
        let job = Job {
            id,
            stream: 0,
            namespace: origin.namespace.clone(),
            verb,
            filter,
            act,
            actor: origin.actor.clone(),
            asked_at: commit.now,
            through: 0,
            applied: 0,
            misfits: Vec::new(),
            state: JobState::Running,
            version: 0,
            position: 0,
        };
        self.record(commit, job, vec![asked], &origin.actor)
    }

    /// Somebody stops a job.
    pub(crate) fn stop(
        &mut self,
        mut reads: Reads<'_>,
        origin: &Origin,
        id: &str,
        act: &Act,
    ) -> Result<Said<JobAnswer>, Unready> {
        let Some((_, job)) = self.find(&mut reads, &origin.namespace, id)? else { return Ok(Said::refused(not_found(id))) };
        if job.is_over() {
            return Ok(answered(Ok(job)));
        }
        let stopped = vec![JobEvent::Stopped { act: act.clone() }];
        Ok(answered(Ok(self.record(&mut reads.done()?, job, stopped, &origin.actor))))
    }

    /// Somebody waits for a job's end.
    pub(crate) fn wait(&mut self, mut reads: Reads<'_>, origin: &Origin, id: &str) -> Result<Awaited, Unready> {
        Ok(match self.find(&mut reads, &origin.namespace, id)? {
            Some((stream, job)) if !job.is_over() => Awaited::Runs(stream),
            Some((_, job)) => Awaited::Said(answered(Ok(job))),
            None => Awaited::Said(Said::refused(not_found(id))),
        })
    }

    /// This client is told when the job that begins there is over.
    pub(crate) fn tell(&mut self, stream: Position, answer: Answer<JobAnswer>) {
        // Those who gave up waiting.
        self.waiters.retain(|(_, answer)| !answer.is_closed());
        self.waiters.push((stream, answer));
    }

    /// A job by its id, and where its stream begins.
    pub(super) fn find(
        &self,
        reads: &mut Reads<'_>,
        namespace: &Namespace,
        id: &str,
    ) -> Result<Option<(Position, Job)>, Unready> {
        if let Some((stream, job)) = self.running.iter().find(|(_, job)| job.id == id && job.namespace == *namespace) {
            return Ok(Some((*stream, job.clone())));
        }
        let name = StreamId { namespace: namespace.clone(), kind: StreamKind::Job, id: id.to_owned() };
        let Some(stream) = reads.start_of(&name)? else { return Ok(None) };
        Ok(job_at(reads, namespace, stream)?.map(|job| (stream, job)))
    }

    fn job(&self, reads: &mut Reads<'_>, namespace: &Namespace, stream: Position) -> Result<Option<Job>, Unready> {
        match self.running.get(&stream) {
            Some(job) => Ok(Some(job.clone())),
            None => job_at(reads, namespace, stream),
        }
    }

    /// Records what happened to a job that is not over, with its row. Its end is told to those who wait.
    pub(super) fn record(&mut self, commit: &mut Commit<'_>, mut job: Job, events: Vec<JobEvent>, actor: &Actor) -> Job {
        let name = StreamId { namespace: job.namespace.clone(), kind: StreamKind::Job, id: job.id.clone() };
        let mut stream = match job.version {
            0 => Stream::begins(StreamHead::new(name, job.id.clone())),
            version => Stream::goes_on(name, job.stream, version),
        };
        for event in events {
            job.apply(&event, commit.now);
            let at = commit.now;
            let entry = Entry { at, actor: actor.clone(), causation: None, fact: Fact::Job(event) };
            job.position = commit.record(&mut stream, entry).position;
            (job.stream, job.version) = (stream.start, stream.version);
        }
        commit.put(Table::Jobs, keys::job(&job.namespace, job.stream), row::encode(&job));
        if job.is_over() {
            self.running.remove(&job.stream);
            let due = commit.now.plus(KEPT_MS);
            commit.timer(TimerKind::Job, job.stream, None, Some(due));
            for (_, answer) in self.waiters.extract_if(.., |(stream, _)| *stream == job.stream) {
                let Said { at, said } = answered(Ok(job.clone()));
                commit.release_at(at, Release::Reply(Reply::new(answer, said)));
            }
        } else {
            self.running.insert(job.stream, job.clone());
        }
        job
    }

    /// The time of a job that is over is over too: its row goes, its records stay.
    pub(crate) fn expire(&self, mut reads: Reads<'_>, timer: Timer) -> Result<(), Unready> {
        let first = reads.record(timer.start)?.map(|stored| record::decode_stored(&stored)).transpose()?;
        let head = first.and_then(|first| first.head);
        let mut commit = reads.done()?;
        commit.clear_timer(timer);
        if let Some(head) = head {
            commit.delete(Table::Jobs, keys::job(&head.stream.namespace, timer.start));
        }
        Ok(())
    }
}

fn answered(job: Result<Job, Refusal>) -> Said<JobAnswer> {
    match job {
        Ok(job) => Said::new(job.position, Ok(JobAnswer { position: job.position, job: Box::new(job) })),
        Err(refusal) => Said::refused(refusal),
    }
}

/// There is no job of this id.
pub(crate) fn not_found(id: &str) -> Refusal {
    Refusal::new(RefusalCode::JobNotFound, format!("there is no job {id}, or it ended more than a week ago"))
        .remedy("look for it", Remedy::ListJobs)
}

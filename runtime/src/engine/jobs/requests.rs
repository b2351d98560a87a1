//! What is asked about jobs, their records, and how long they are kept.

use amends_core::{event::Act, id::Namespace};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Job, JobState};
use crate::{
    engine::{
        answers,
        fingerprint::{self, Fingerprint},
        port::{Answer, JobAnswer, JobRequest, Origin, Refusal, RefusalCode},
        release::Release,
        requests::key_reused,
        rows,
        shard::Shard,
        tail::{End, Entry},
    },
    journal::{Actor, Fact, StreamHead, StreamId, StreamKind, job::JobEvent, keys},
    store::{Position, Store, StoreError, Table},
};

/// Jobs that are not over: they run one after the other, and nobody types so many.
const JOBS_MAX: usize = 100;

/// Whoever asks what became of a job does so within a week: seven days after its end.
const KEPT_MS: u64 = 7 * 86_400_000;

/// The row of the first answer to a request that came with an idempotency key.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct JobRow {
    fingerprint: Fingerprint,
    stream: Position,
}

impl Shard {
    pub(crate) fn ask_job(&mut self, origin: &Origin, request: JobRequest, answer: Answer<JobAnswer>) {
        let said = self.asked_job(origin, request).inspect_err(|refusal| self.metrics.refused(refusal.code));
        let position = said.as_ref().map_or(0, |said| said.position);
        self.release_at(position, Release::Job(answer, said));
    }

    fn asked_job(&mut self, origin: &Origin, request: JobRequest) -> Result<JobAnswer, Refusal> {
        self.refuse_if_failed()?;
        let fingerprint = fingerprint::of_job(&request);
        let dedupe = origin.idempotency_key.as_ref().map(|name| answers::key_of_job(&origin.namespace, name));
        if let Some(dedupe) = &dedupe
            && let Some(row) = self.answer_row(dedupe).map_err(|error| self.storage_refusal(&error))?
        {
            let first: JobRow = rows::decode(&row, "a job's answer").map_err(|error| self.storage_refusal(&error))?;
            if first.fingerprint != fingerprint {
                return Err(key_reused());
            }
            let job = self.job_at(&origin.namespace, first.stream).map_err(|error| self.storage_refusal(&error))?;
            return job.map(answered).ok_or_else(key_reused);
        }
        if let Some(against) = request.against {
            return Err(against);
        }
        if self.stopping {
            return Err(Refusal::new(RefusalCode::Stopping, "the host is stopping and takes no new jobs").hint("try again soon"));
        }
        self.refuse_if_crowded()?;
        if self.jobs.running.len() >= JOBS_MAX {
            let said = format!("{JOBS_MAX} jobs wait for their turn, which is as many as this host takes");
            return Err(Refusal::new(RefusalCode::Overloaded, said).hint("wait for some, or stop them: amends jobs"));
        }
        let JobRequest { id, verb, filter, act, .. } = request;
        let stream = self.last_position + 1;
        let job = Job {
            id,
            stream,
            namespace: origin.namespace.clone(),
            verb,
            filter: filter.clone(),
            act: act.clone(),
            actor: origin.actor.clone(),
            asked_at: self.now,
            through: 0,
            applied: 0,
            misfits: Vec::new(),
            state: JobState::Running,
            version: 0,
            position: 0,
            answer: dedupe.clone(),
        };
        self.jobs.running.insert(stream, job);
        let before = self.actions.len();
        let job = self.record_job(stream, vec![JobEvent::Asked { verb, filter, act }], &origin.actor);
        if let Some(dedupe) = dedupe {
            let row = rows::encode(&JobRow { fingerprint, stream });
            self.commit_rows(vec![rows::put(Table::Answers, dedupe.clone(), row.clone())]);
            self.recent.remember(dedupe, self.last_position, row);
        }
        self.join_commits(before);
        job.map(answered).ok_or_else(|| not_found("asked for"))
    }

    pub(crate) fn stop_job(&mut self, origin: &Origin, id: &str, act: Act, answer: Answer<JobAnswer>) {
        let said = self.find_job(&origin.namespace, id).map(|(stream, job)| {
            let stopped = (!job.is_over()).then(|| self.record_job(stream, vec![JobEvent::Stopped { act }], &origin.actor));
            answered(stopped.flatten().unwrap_or(job))
        });
        let position = said.as_ref().map_or(0, |said| said.position);
        self.release_at(position, Release::Job(answer, said));
    }

    pub(crate) fn await_job(&mut self, origin: &Origin, id: &str, answer: Answer<JobAnswer>) {
        match self.find_job(&origin.namespace, id) {
            Ok((stream, job)) if !job.is_over() => {
                // Those who gave up waiting.
                self.jobs.waiters.retain(|(_, answer)| !answer.is_closed());
                self.jobs.waiters.push((stream, answer));
            }
            said => {
                let said = said.map(|(_, job)| answered(job));
                let position = said.as_ref().map_or(0, |said| said.position);
                self.release_at(position, Release::Job(answer, said));
            }
        }
    }

    fn find_job(&self, namespace: &Namespace, id: &str) -> Result<(Position, Job), Refusal> {
        self.refuse_if_failed()?;
        if let Some((stream, job)) = self.jobs.running.iter().find(|(_, job)| job.id == id && job.namespace == *namespace) {
            return Ok((*stream, job.clone()));
        }
        let found = find(self.store.as_ref(), namespace, id).map_err(|error| self.storage_refusal(&error))?;
        found.ok_or_else(|| not_found(id))
    }

    /// A job that is not over, or whose end is committed.
    fn job_at(&self, namespace: &Namespace, stream: Position) -> Result<Option<Job>, StoreError> {
        match self.jobs.running.get(&stream) {
            Some(job) => Ok(Some(job.clone())),
            None => job_at(self.store.as_ref(), namespace, stream),
        }
    }

    /// Records what happened to a job that is not over, with its row; what it is then. Its end is told to those who wait.
    pub(super) fn record_job(&mut self, stream: Position, events: Vec<JobEvent>, actor: &Actor) -> Option<Job> {
        let mut job = self.jobs.running.get(&stream)?.clone();
        let end = (job.version > 0).then_some(End { stream, version: job.version });
        let id = || StreamId { namespace: job.namespace.clone(), kind: StreamKind::Job, id: job.id.clone() };
        let mut tail = self.tail(end, || StreamHead::new(id(), job.id.clone()));
        for event in events {
            job.apply(&event, self.now);
            job.position = tail.position();
            tail.push(Entry { at: self.now, actor: actor.clone(), causation: None, fact: Fact::Job(event) });
            job.version = tail.version();
        }
        self.jobs.running.insert(stream, job.clone());
        let mut rows = Vec::new();
        rows.push(rows::put(Table::Jobs, keys::job(&job.namespace, stream), rows::encode(&job)));
        if job.is_over() {
            let due = self.now.plus(KEPT_MS);
            rows.push(rows::put(Table::Timers, keys::timer(due, stream), Bytes::new()));
            self.timers.moved(stream, None, Some(due), job.position);
        }
        self.commit(tail, rows);
        if job.is_over() {
            self.jobs.running.remove(&stream);
            let (waited, wait_on) = std::mem::take(&mut self.jobs.waiters).into_iter().partition(|(at, _)| *at == stream);
            self.jobs.waiters = wait_on;
            let waited: Vec<(Position, Answer<JobAnswer>)> = waited;
            for (_, answer) in waited {
                self.release_at(job.position, Release::Job(answer, Ok(answered(job.clone()))));
            }
        }
        Some(job)
    }

    /// The time of a job that is over is over too: its row goes, its records stay.
    pub(crate) fn expire_job(&mut self, head: &StreamHead, stream: Position) -> Result<(), StoreError> {
        let namespace = &head.stream.namespace;
        let Some(job) = job_at(self.store.as_ref(), namespace, stream)? else { return Ok(()) };
        let (JobState::Ended(at) | JobState::Stopped(at, _)) = job.state else { return Ok(()) };
        let timer = rows::delete(Table::Timers, keys::timer(at.plus(KEPT_MS), stream));
        let answer = job.answer.map(|answer| rows::delete(Table::Answers, answer));
        let row = rows::delete(Table::Jobs, keys::job(namespace, stream));
        self.commit_rows([timer, row].into_iter().chain(answer).collect());
        Ok(())
    }
}

/// The committed job of an id, and where its stream begins.
pub(crate) fn find(store: &dyn Store, namespace: &Namespace, id: &str) -> Result<Option<(Position, Job)>, StoreError> {
    let id = StreamId { namespace: namespace.clone(), kind: StreamKind::Job, id: id.to_owned() };
    let Some(stream) = rows::stream_of(store, &id)? else { return Ok(None) };
    Ok(job_at(store, namespace, stream)?.map(|job| (stream, job)))
}

fn job_at(store: &dyn Store, namespace: &Namespace, stream: Position) -> Result<Option<Job>, StoreError> {
    let row = store.row(Table::Jobs, &keys::job(namespace, stream))?;
    row.map(|row| rows::decode(&row, "a job's row")).transpose()
}

fn answered(job: Job) -> JobAnswer {
    let position = job.position;
    JobAnswer { job: Box::new(job), position }
}

pub(crate) fn not_found(id: &str) -> Refusal {
    Refusal::new(RefusalCode::JobNotFound, format!("there is no job {id}, or it ended more than a week ago"))
        .hint("look for it: amends jobs")
}

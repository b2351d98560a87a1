//! Requests: which kind decides about each, and what its answer waits for.

use amends_core::Input as SagaInput;

use super::{Shard, Undecided, Work};
use crate::engine::{
    aggregate::{Asked, Asker},
    broadcast::Broadcasts,
    event::{self, Heard},
    job::Awaited,
    kernel::{
        reads::Unready,
        release::{Release, Reply},
        request::{Answer, Said},
    },
    module,
    port::{Activation, Batch, Publish, Request},
    refusal::Refusal,
    saga::{self, Outcome, SagaKey},
};

impl Shard {
    pub(super) fn request(&mut self, request: Request) -> Result<(), Undecided> {
        let reads = self.kernel.reads();
        let (sagas, modules) = (&mut self.sagas, &mut self.modules);
        match request {
            Request::Start(origin, start, answer) => match sagas.start(reads, modules, &origin, &start) {
                Ok(Outcome::Said(said)) => self.reply(said, answer),
                Ok(Outcome::Waits(created)) => sagas.wait(SagaKey::new(&origin.namespace, &start.id), answer, created),
                Err(unready) => return again(unready, Request::Start(origin, start, answer)),
            },
            Request::Verb(origin, verb, answer) => match sagas.act(reads, modules, &origin, &verb) {
                Ok(said) => self.reply(said, answer),
                Err(unready) => return again(unready, Request::Verb(origin, verb, answer)),
            },
            Request::Publish(origin, publish, answer) => {
                if let Err(refusal) = refuse_event(&self.broadcasts, &publish) {
                    self.reply_counted(Said::refused(refusal), answer);
                    return Ok(());
                }
                let is_behind = publish.to.is_none() && self.broadcasts.has_topic(&origin.namespace, &publish.topic());
                match event::publish(reads, sagas, modules, &origin, &publish, is_behind) {
                    Ok(Heard::Said(said)) => {
                        if let (Some(batch), Err(refusal)) = (&publish.batch, &said.said) {
                            batch.refused(refusal.code);
                        }
                        self.reply(said, answer);
                    }
                    Ok(Heard::Begins(delivery)) => {
                        let commit = &mut self.kernel.commit();
                        let start = self.broadcasts.deliver(commit, &origin.namespace, *delivery);
                        self.broadcasts.wait(commit, start, false, answer);
                    }
                    Ok(Heard::UnderWay(start)) => self.broadcasts.wait(&mut self.kernel.commit(), start, true, answer),
                    Err(unready) => return again(unready, Request::Publish(origin, publish, answer)),
                }
            }
            Request::Command(origin, command, answer) => match self.aggregates.ask(reads, modules, &origin, &command) {
                Ok(Asked::Said(said)) => self.reply_counted(said, answer),
                Ok(Asked::Waits) => {
                    self.aggregates.put_in_line(&mut self.kernel.commit(), modules, origin, command, Asker::Client(answer));
                }
                Err(unready) => return again(unready, Request::Command(origin, command, answer)),
            },
            Request::Import(origin, import, answer) => match self.aggregates.import(reads, modules, &origin, &import) {
                Ok(said) => self.reply_counted(said, answer),
                Err(unready) => return again(unready, Request::Import(origin, import, answer)),
            },
            Request::Schedule(origin, asked, answer) => match self.schedules.ask(reads, sagas, modules, &origin, &asked) {
                Ok(said) => self.reply_counted(said, answer),
                Err(unready) => return again(unready, Request::Schedule(origin, asked, answer)),
            },
            Request::Job(origin, job, answer) => match self.jobs.ask(reads, &origin, &job) {
                Ok(said) => self.reply(said, answer),
                Err(unready) => return again(unready, Request::Job(origin, job, answer)),
            },
            Request::StopJob(origin, id, act, answer) => match self.jobs.stop(reads, &origin, &id, &act) {
                Ok(said) => self.reply(said, answer),
                Err(unready) => return again(unready, Request::StopJob(origin, id, act, answer)),
            },
            Request::AwaitJob(origin, id, answer) => match self.jobs.wait(reads, &origin, &id) {
                Ok(Awaited::Said(said)) => self.reply(said, answer),
                Ok(Awaited::Runs(stream)) => self.jobs.tell(stream, answer),
                Err(unready) => return again(unready, Request::AwaitJob(origin, id, answer)),
            },
            Request::Policies(origin, answer) => {
                let said = Said::new(reads.last_position(), Ok(self.policies.views(&reads, &origin.namespace)));
                self.reply(said, answer);
            }
            Request::Policy(origin, name, answer) => {
                let said = Said::new(reads.last_position(), self.policies.view(&reads, &origin.namespace, &name));
                self.reply_counted(said, answer);
            }
            Request::ActOnPolicy(origin, request, answer) => match self.policies.act(reads, &origin, &request) {
                Ok(said) => self.reply_counted(said, answer),
                Err(unready) => return again(unready, Request::ActOnPolicy(origin, request, answer)),
            },
            Request::Definitions(origin, answer) => {
                let said = Said::new(reads.last_position(), Ok(modules.offered(&origin.namespace)));
                self.reply(said, answer);
            }
            Request::Deploy(..) | Request::Activate(..) | Request::SetGrants(..) | Request::Remove(..) | Request::Modules(..) => {
                return self.module_request(request);
            }
        }
        Ok(())
    }

    /// Answers about modules count live sagas, and those are counted as they are handed over.
    fn module_request(&mut self, request: Request) -> Result<(), Undecided> {
        let mut reads = self.kernel.reads();
        let (sagas, modules) = (&mut self.sagas, &mut self.modules);
        let denied = match &request {
            Request::SetGrants(origin, set, _) => saga::denied(&mut reads, sagas, modules, &origin.namespace, &set.module),
            _ => Ok(Some(Vec::new())),
        };
        let waits_for_code = match &request {
            Request::Deploy(origin, ..) | Request::Activate(origin, ..) => saga::waits_for_code(&mut reads, &origin.namespace),
            _ => Ok(false),
        };
        let ready = sagas.must_settle(&mut reads).and(denied).and_then(|denied| Ok((denied, waits_for_code?, reads.done()?)));
        let (denied, waits_for_code, mut commit) = match ready {
            Ok(ready) => ready,
            Err(unready) => return again(unready, request),
        };
        sagas.flush_all(&mut commit);
        let (origin, name, decided, answer) = match request {
            Request::Deploy(origin, deploy, answer) => {
                let name = deploy.module.clone();
                let shapes = self.aggregates.shapes();
                let new = Some((name.as_str(), deploy.aggregates.as_slice()));
                let readable = match deploy.activate && deploy.is_new(modules, &origin.namespace) {
                    true => shapes.refuse_lost(modules, &origin.namespace, &[], new, &[]),
                    false => Ok(()),
                };
                let decided = readable.and_then(|()| module::deploy(modules, &origin.namespace, deploy));
                (origin, name, decided, answer)
            }
            Request::SetGrants(origin, set, answer) => {
                let name = set.module.clone();
                let decided = module::grants(modules, sagas.live(), &origin.namespace, set);
                (origin, name, decided, answer)
            }
            Request::Remove(origin, name, version, answer) => {
                let decided = module::remove(modules, sagas.live(), &origin.namespace, &name, version);
                (origin, name, decided, answer)
            }
            Request::Activate(origin, Activation { versions, act, lost }, answer) => {
                let decided = module::activate(modules, &origin.namespace, &versions, &act);
                let decided = decided.and_then(|all| {
                    let numbers: Vec<(String, u32)> =
                        all.iter().map(|(name, decided)| (name.clone(), decided.version())).collect();
                    self.aggregates.shapes().refuse_lost(modules, &origin.namespace, &numbers, None, &lost)?;
                    Ok(all)
                });
                let changes = decided.as_ref().is_ok_and(|all| all.iter().any(|(_, decided)| decided.changes()));
                if changes {
                    sagas.call_all_back(commit.now);
                    self.messages.wake_all();
                }
                let said = decided.and_then(|all| {
                    let record = |(name, decided): (String, module::Decided)| {
                        module::record(&mut commit, modules, sagas.live(), &origin, &name, Ok(decided)).said
                    };
                    all.into_iter().map(record).collect()
                });
                if changes {
                    self.policies.reconcile(&mut commit, modules, &origin.namespace);
                }
                if changes && waits_for_code {
                    self.broadcasts.code(&mut commit, &origin.namespace);
                }
                let said = Said::new(commit.last_position(), said);
                self.reply(said, answer);
                return Ok(());
            }
            Request::Modules(origin, answer) => {
                let said = Said::new(commit.last_position(), Ok(module::views(modules, sagas.live(), &origin.namespace)));
                self.reply(said, answer);
                return Ok(());
            }
            other => return again(Unready::Missing, other),
        };
        let changes = decided.as_ref().is_ok_and(module::Decided::changes);
        if changes {
            sagas.call_all_back(commit.now);
            self.messages.wake_all();
        }
        let said = module::record(&mut commit, modules, sagas.live(), &origin, &name, decided);
        if changes {
            self.policies.reconcile(&mut commit, modules, &origin.namespace);
            // Sagas that a denial stopped go on.
            match denied {
                Some(denied) => denied.iter().for_each(|key| sagas.tell(&mut commit, modules, key, SagaInput::GrantsChanged)),
                None => self.broadcasts.grant(&mut commit, &origin.namespace, &name),
            }
            if waits_for_code {
                self.broadcasts.code(&mut commit, &origin.namespace);
            }
        }
        self.reply(said, answer);
        Ok(())
    }

    fn reply<T: Send + 'static>(&mut self, said: Said<T>, answer: Answer<T>) {
        self.kernel.release_at(said.at, Release::Reply(Reply::new(answer, said.said)));
    }

    /// Counts a refusal as well.
    fn reply_counted<T: Send + 'static>(&mut self, said: Said<T>, answer: Answer<T>) {
        if let Err(refusal) = &said.said {
            self.kernel.metrics.refused(refusal.code);
        }
        self.reply(said, answer);
    }
}

/// What stands against any event now, whatever it says.
fn refuse_event(broadcasts: &Broadcasts, publish: &Publish) -> Result<(), Refusal> {
    let batch = publish.batch.as_ref();
    batch.map_or(Ok(()), Batch::refuse_behind)?;
    if publish.to.is_some() {
        return Ok(());
    }
    broadcasts.refuse_new().inspect_err(|refusal| batch.iter().for_each(|batch| batch.refused(refusal.code)))
}

/// A request that cannot be decided now.
fn again(unready: Unready, request: Request) -> Result<(), Undecided> {
    Err(Undecided::new(unready, Work::Request(request)))
}

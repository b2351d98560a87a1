//! A command comes in: it was decided before, is refused at once, or waits in the line of its aggregate.

use amends_core::{aggregate, id::Namespace};

use super::{
    AggregateKey, Aggregates,
    request::{Answered, Asker, CommandAnswer, SendCommand},
    resident::Waiting,
    rows::{self, First},
    tell,
};
use crate::{
    engine::{
        kernel::{
            answers,
            commit::Commit,
            fingerprint::{Fingerprint, Parts},
            reads::{Reads, Unready},
            request::{Origin, Said},
        },
        module::{ActiveAggregate, Modules},
        recorded::RecordedEvent,
        refusal::{Refusal, RefusalCode, Remedy, nearest},
    },
    journal::{Corrupt, record},
};

/// Commands that wait for one aggregate. Each takes some microseconds of a guest, and no client waits for long.
const LINE_MAX: usize = 4_096;

/// What is done with a command that comes in.
pub(crate) enum Asked {
    /// It has its answer.
    Said(Said<CommandAnswer>),
    /// It is to be put in line.
    Waits,
}

impl Aggregates {
    /// A command comes in.
    pub(crate) fn ask(
        &mut self,
        mut reads: Reads<'_>,
        modules: &Modules,
        origin: &Origin,
        command: &SendCommand,
    ) -> Result<Asked, Unready> {
        let key = AggregateKey::new(&origin.namespace, &command.aggregate, &command.id);
        if let Some(idempotency_key) = &origin.idempotency_key {
            let answer_key = rows::answer_key(&key, idempotency_key);
            match answers::first::<First>(&mut reads, &answer_key, &fingerprint(command))? {
                Ok(None) => {}
                Ok(Some(first)) => return repeated(&mut reads, &key, first).map(Asked::Said),
                Err(refusal) => return Ok(Asked::Said(Said::refused(refusal))),
            }
        }
        let active = match handler(modules, &key, command) {
            Ok(active) => active,
            Err(refusal) => return Ok(Asked::Said(Said::refused(refusal))),
        };
        self.ready(&mut reads, &key, &active)?;
        let commit = reads.done()?;
        let waiting = self.residents.get(&key).map_or(0, |resident| resident.line.len());
        // What has begun is never refused.
        let is_new = command.sender.is_none();
        Ok(match if is_new { refuse_busy(&commit, &key, waiting) } else { Ok(()) } {
            Ok(()) => Asked::Waits,
            Err(refusal) => {
                // It may have come into memory for this.
                self.settle(&key);
                Asked::Said(Said::refused(refusal))
            }
        })
    }

    /// Puts a command in line, behind those that came before it.
    pub(crate) fn put_in_line(
        &mut self,
        commit: &mut Commit<'_>,
        modules: &Modules,
        origin: Origin,
        command: Box<SendCommand>,
        asker: Asker,
    ) {
        let key = AggregateKey::new(&origin.namespace, &command.aggregate, &command.id);
        let Some(resident) = self.residents.get_mut(&key) else { return };
        self.rest.forget(resident);
        let fingerprint = fingerprint(&command);
        let answer_key = origin.idempotency_key.as_deref().map(|idempotency_key| rows::answer_key(&key, idempotency_key));
        let first = answer_key.as_deref().and_then(|answer_key| resident.undecided(answer_key));
        match first {
            Some(first) if first.fingerprint == fingerprint => first.askers.push(asker),
            Some(_) => tell(commit, &mut self.told, 0, asker, Err(answers::key_reused())),
            None => resident.line.push_back(Waiting { origin, command, answer_key, fingerprint, askers: vec![asker] }),
        }
        self.go_on(commit, modules, &key);
    }
}

/// The code that decides a command, if there is some, and the data is such as it takes.
fn handler<'m>(modules: &'m Modules, key: &AggregateKey, command: &SendCommand) -> Result<ActiveAggregate<'m>, Refusal> {
    let active = modules.aggregate(&key.namespace, &key.name).ok_or_else(|| no_aggregate(modules, key))?;
    let definition = active.aggregate.definition.command(&command.name);
    let definition = definition.ok_or_else(|| no_command(&active.aggregate.definition, &command.name))?;
    if let Some(misfit) = active.aggregate.misfit(definition, &command.data) {
        let said = format!("the data does not fit the command `{}` of `{}`: {misfit}", command.name, key.name);
        return Err(Refusal::new(RefusalCode::InputDoesNotFit, said).hint("send data that fits its schema"));
    }
    Ok(active)
}

pub(super) fn no_aggregate(modules: &Modules, key: &AggregateKey) -> Refusal {
    no_such(modules, &key.namespace, &key.name)
}

/// No active module has aggregates of this name.
pub(crate) fn no_such(modules: &Modules, namespace: &Namespace, name: &str) -> Refusal {
    let said = format!("no active module of namespace `{namespace}` has an aggregate `{name}`");
    let refusal = Refusal::new(RefusalCode::NoHandler, said);
    let mut names: Vec<&str> = modules.aggregates(namespace).collect();
    names.sort_unstable();
    match nearest(name, names.iter().copied()) {
        Some(name) => refusal.hint(format!("did you mean `{name}`?")),
        None => refusal.remedy("deploy a module that has it", Remedy::Deploy),
    }
}

pub(super) fn no_command(definition: &aggregate::Definition, name: &str) -> Refusal {
    let owner = &definition.name;
    let refusal = Refusal::new(RefusalCode::NoHandler, format!("the aggregate `{owner}` has no command `{name}`"));
    let names = || definition.commands.iter().map(|command| command.name.as_str());
    match nearest(name, names()) {
        Some(name) => refusal.hint(format!("did you mean `{name}`?")),
        None => refusal.hint(format!("it has {}", names().collect::<Vec<_>>().join(", "))),
    }
}

fn refuse_busy(commit: &Commit<'_>, key: &AggregateKey, waiting: usize) -> Result<(), Refusal> {
    if commit.stopping {
        return Err(Refusal::new(RefusalCode::Stopping, "the host is stopping").hint("ask again once it is back"));
    }
    commit.refuse_if_crowded()?;
    if waiting >= LINE_MAX {
        let said = format!("{LINE_MAX} commands wait for {key}, which is as many as this host takes");
        return Err(Refusal::new(RefusalCode::Overloaded, said).hint("try again soon, with the same key"));
    }
    Ok(())
}

/// What a command that is sent again must be equal in. The key says for which aggregate it is.
fn fingerprint(command: &SendCommand) -> Fingerprint {
    Parts::default().part(&command.name).part(command.data_hash).done()
}

/// The first answer, once more.
fn repeated(reads: &mut Reads<'_>, key: &AggregateKey, first: First) -> Result<Said<CommandAnswer>, Unready> {
    let First { revision, version, position, events, data, refused } = first;
    let decision = match refused {
        Some(failure) => Answered::Refused(failure),
        None => {
            let mut recorded = Vec::new();
            // All of them are asked for before one that is missing ends this.
            let stored: Vec<_> = (0..u64::from(events)).rev().map(|back| reads.record(position.saturating_sub(back))).collect();
            for stored in stored {
                let event = stored?.map(|stored| record::decode_stored(&stored)).transpose()?;
                let event = event.as_ref().and_then(|record| RecordedEvent::of_record((&key.name, &key.id), record));
                let event = event.ok_or_else(|| Corrupt(format!("an event of {key} up to position {position} is missing")))?;
                recorded.push(event);
            }
            Answered::Accepted { events: recorded, data }
        }
    };
    Ok(Said::new(position, Ok(CommandAnswer { duplicate: true, revision, version, position, decision })))
}

//! Which commands of an aggregate go to a guest together, on which state.

use std::{collections::VecDeque, sync::Arc};

use amends_core::{
    aggregate::{Admission, Misfit},
    id::StepKey,
};

use super::{
    AggregateKey, Aggregates,
    ask::{no_aggregate, no_command},
    refuse,
    request::Told,
    resident::{Call, Made, Resident, Waiting},
};
use crate::{
    engine::{
        guests::{DecideCall, FoldCall, GuestCall, PastEvent, ToldCommand, Work},
        kernel::{action::Action, commit::Commit, fingerprint::Parts},
        module::{ActiveAggregate, Modules},
        refusal::{Refusal, RefusalCode},
    },
    journal::Actor,
};

/// Commands of one call: enough to share a guest and a commit.
const COMMANDS_MAX: usize = 64;

/// The data of the commands of one call, and of the events that are folded in one: what may cross to a guest is a few times that.
const DATA_BYTES_MAX: usize = 1 << 20;

/// Events that are folded in one call.
const EVENTS_MAX: usize = 1_000;

/// How long a call may take. Its processor time is limited as that of a step.
const DEADLINE_MS: u64 = 30_000;

impl Aggregates {
    /// Begins what an aggregate has to do next: its next commands, or the fold of the events that they come after.
    pub(super) fn go_on(&mut self, commit: &mut Commit<'_>, modules: &Modules, key: &AggregateKey) {
        let Some(resident) = self.residents.get_mut(key) else { return };
        if resident.call.is_some() || resident.is_stale {
            return;
        }
        let told = &mut self.told;
        match modules.aggregate(&key.namespace, &key.name) {
            None => refuse_all(commit, told, resident, &no_aggregate(modules, key)),
            Some(active) if resident.standing.quarantined == Some(active.digest) => {
                refuse_all(commit, told, resident, &quarantined(key, &active));
            }
            Some(active) => {
                refuse_misfits(commit, told, resident, key, &active);
                if resident.line.is_empty() {
                } else if !resident.fits(&active.digest, active.aggregate.definition.state_version) {
                    resident.is_stale = true;
                    self.stale.push_back(key.clone());
                } else {
                    begin(commit, resident, key, &active);
                    self.calls += 1;
                }
            }
        }
        self.settle(key);
    }
}

fn refuse_all(commit: &mut Commit<'_>, told: &mut VecDeque<Told>, resident: &mut Resident, refusal: &Refusal) {
    let at = resident.last;
    resident.line.drain(..).for_each(|waiting| refuse(commit, told, at, waiting, refusal));
}

fn quarantined(key: &AggregateKey, active: &ActiveAggregate<'_>) -> Refusal {
    let ActiveAggregate { module, number, .. } = active;
    Refusal::new(RefusalCode::Quarantined, format!("{key} is quarantined: `{module}` v{number} cannot fold its events"))
        .hint("activate a version that can; nothing of the aggregate is lost")
}

/// Refuses those at the front of the line that need no guest for it.
fn refuse_misfits(
    commit: &mut Commit<'_>,
    told: &mut VecDeque<Told>,
    resident: &mut Resident,
    key: &AggregateKey,
    active: &ActiveAggregate<'_>,
) {
    while let Some(first) = resident.line.front() {
        let name = &first.command.name;
        let refusal = match active.aggregate.definition.command(name) {
            None => no_command(&active.aggregate.definition, name),
            Some(definition) => match resident.standing.admit(definition.on, first.command.expect_revision, 0) {
                Admission::Now | Admission::Later => return,
                Admission::Refused(misfit) => misfits(key, name, misfit),
            },
        };
        if let Some(first) = resident.line.pop_front() {
            refuse(commit, told, resident.last, first, &refusal);
        }
    }
}

fn misfits(key: &AggregateKey, command: &str, misfit: Misfit) -> Refusal {
    match misfit {
        Misfit::Exists => Refusal::new(RefusalCode::Exists, format!("{key} is there already, and `{command}` makes a new one"))
            .hint("choose another id"),
        Misfit::Missing => Refusal::new(RefusalCode::NoSuchAggregate, format!("there is no {key} for `{command}`")),
        Misfit::Revision { expected, actual } => {
            let refusal = Refusal::new(RefusalCode::RevisionChanged, format!("{key} is at revision {actual}, not {expected}"));
            Refusal { revision: Some(actual), ..refusal.hint("look at it again, and send the command with what you read") }
        }
    }
}

/// Hands the next call to the guests.
fn begin(commit: &mut Commit<'_>, resident: &mut Resident, key: &AggregateKey, active: &ActiveAggregate<'_>) {
    let folds = page(&resident.tail);
    let only_folds = folds < resident.tail.len() || (resident.folds_first && folds > 0);
    let commands = if only_folds { VecDeque::new() } else { next_commands(resident, active) };
    let fold = FoldCall {
        aggregate: key.name.clone(),
        id: key.id.clone(),
        base: resident.base.as_ref().map(|base| base.state.clone()),
        base_revision: resident.base.as_ref().map_or(0, |base| base.revision),
        events: resident.tail.iter().take(folds).cloned().collect(),
    };
    let trace_context = commands.front().and_then(|first| first.command.trace_context.clone());
    let work = match commands.front() {
        None => Work::Fold(Box::new(fold)),
        Some(first) => {
            let key = ids_of(key, fold.revision(), &first.command.command);
            Work::Decide(Box::new(DecideCall { fold, commands: commands.iter().map(told).collect(), key }))
        }
    };
    let (module, version, digest) = (active.module.to_owned(), active.number, active.digest);
    let call = GuestCall {
        of: key.stream(),
        module: module.clone(),
        version,
        digest,
        now: commit.now,
        started_at: commit.now,
        deadline_at: commit.now.plus(DEADLINE_MS),
        reaches_outside: false,
        effect_free: true,
        grants: Arc::default(),
        trace_context,
        work,
    };
    let definition = Arc::clone(&active.aggregate.definition);
    let made = Made { module, version, digest, definition, at: commit.now, folds };
    resident.call = Some(Call { commands, made });
    commit.act(Action::Run(Box::new(call), None));
}

/// How many events of a tail are folded in one call.
pub(super) fn page<'a>(tail: impl IntoIterator<Item = &'a PastEvent>) -> usize {
    let mut bytes = 0;
    let fits = |(index, event): &(usize, &PastEvent)| {
        bytes += event.data.as_ref().map_or(0, |data| data.bytes.len());
        // One that is too large by itself goes by itself.
        *index == 0 || bytes <= DATA_BYTES_MAX
    };
    tail.into_iter().take(EVENTS_MAX).enumerate().take_while(fits).count()
}

/// Takes those off the line that are decided together: each may be, whatever is decided about the ones before it.
fn next_commands(resident: &mut Resident, active: &ActiveAggregate<'_>) -> VecDeque<Waiting> {
    let most = if resident.alone > 0 { 1 } else { COMMANDS_MAX };
    resident.alone = resident.alone.saturating_sub(1);
    let (mut commands, mut bytes) = (VecDeque::new(), 0);
    while commands.len() < most
        && let Some(next) = resident.line.front()
    {
        let definition = active.aggregate.definition.command(&next.command.name);
        let admission = definition.map(|known| resident.standing.admit(known.on, next.command.expect_revision, commands.len()));
        bytes += next.command.data.bytes.len();
        let is_too_much = bytes > DATA_BYTES_MAX && !commands.is_empty();
        if admission != Some(Admission::Now) || is_too_much {
            break;
        }
        commands.extend(resident.line.pop_front());
    }
    commands
}

fn told(waiting: &Waiting) -> ToldCommand {
    let command = &waiting.command;
    let actor = match &waiting.origin.actor {
        Actor::Host => "host".to_owned(),
        Actor::Local => "local".to_owned(),
        Actor::Token(id) => format!("token:{id}"),
    };
    ToldCommand { id: command.command.clone(), name: command.name.clone(), data: command.data.clone(), actor }
}

/// What ids and random bytes of a call derive from: no other decision of any aggregate has the same.
fn ids_of(key: &AggregateKey, revision: u64, command: &str) -> StepKey {
    let parts = Parts::default().part(key.namespace.as_str()).part(&key.name).part(&key.id);
    let hash = parts.part(revision.to_be_bytes()).part(command).done();
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    StepKey(half)
}

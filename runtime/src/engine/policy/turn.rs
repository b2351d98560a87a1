//! A policy's turn: its next causes are read, and the first one of each line goes to a guest.

use std::{collections::HashMap, sync::Arc};

use amends_core::{
    policy::{DEATHS_MAX, DEPTH_MAX, Definition, PolicyState, Replay, Route},
    value::Failure,
};

use super::{
    Policies, PolicyKey,
    cause::{Cause, Flaw, Place},
    handling::{Called, Code, Handling, Standing},
    rows::{self, ParkedRow, Waits},
};
use crate::{
    engine::{
        guests::{GuestCall, HandleCall, ToldCause, Work},
        kernel::{
            action::Action,
            commit::Commit,
            reads::{Reads, Unready},
        },
    },
    journal::{keys, record},
    store::Position,
};

/// Causes that are read in one turn.
const PAGE: usize = 64;

/// And what they say together, in bytes.
const PAGE_BYTES: usize = 1 << 20;

/// Causes of a key that wait and are read together.
const DRAINED_AT_ONCE: usize = 8;

/// And what they say together, in bytes.
const DRAINED_BYTES: usize = 256 << 10;

/// How long a call may take. Its processor time is limited as that of a step.
const DEADLINE_MS: u64 = 30_000;

/// Causes that were read, each with its key.
#[derive(Debug, Default)]
struct Page {
    causes: Vec<(String, Cause)>,
    /// How many are not for the policy.
    passed_over: usize,
    /// Every cause up to here is among these, or was taken before.
    through: Position,
    has_more: bool,
}

impl Policies {
    /// Reads on for a policy, and begins its next calls.
    pub(crate) fn turn(&mut self, mut reads: Reads<'_>, key: &PolicyKey) -> Result<(), Unready> {
        let Some(handling) = self.handlings.get_mut(key).filter(|handling| handling.runs()) else { return Ok(()) };
        if handling.is_stale {
            if handling.calls > 0 {
                return Ok(());
            }
            handling.forget_what_was_read();
        }
        let Some(code) = handling.code.clone() else { return Ok(()) };
        // Both are asked for before what is missing ends this.
        let waiting = waiting(&mut reads, key, handling, &code);
        let page = page(&mut reads, key, handling, &code);
        let (waiting, page) = (waiting?, page?);
        let begin = next_lines(handling, &waiting, page.as_ref());
        // All of them are asked for before one that is missing ends this.
        let found: Vec<_> = begin.iter().map(|of| standing(&mut reads, key, handling, of)).collect();
        let standings = found.into_iter().collect::<Result<Vec<_>, _>>()?;
        let commit = &mut reads.done()?;
        self.left = self.left.saturating_sub(1 + begin.len());
        for Drained { of, causes, outdated, through } in waiting {
            outdated.iter().for_each(|position| rows::delete_parked(commit, key, &of, *position));
            match through {
                None => handling.drained(commit, key, &of),
                Some(through) => drop(handling.drains.insert(of.clone(), through)),
            }
            if !causes.is_empty() {
                handling.lines.entry(of).or_default().causes.extend(causes);
            }
        }
        if let Some(page) = page {
            take_in(commit, key, handling, page);
        }
        for (of, standing) in begin.into_iter().zip(standings) {
            self.begin(commit, key, &of, standing, &code);
        }
        self.let_go_on(key);
        Ok(())
    }

    /// The first cause of a line goes to a guest, unless it cannot be taken by anybody.
    fn begin(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, standing: Standing, code: &Code) {
        // It may have stopped at another line of this turn.
        let Some(handling) = self.handlings.get_mut(key).filter(|handling| handling.runs()) else { return };
        let (replay_to, incarnation) = (handling.stands.replay_to, handling.stands.incarnation);
        let stands = &handling.stands;
        let Some(line) = handling.lines.get_mut(of).filter(|line| line.can_go()) else { return };
        let standing = line.instance.get_or_insert(standing);
        let Some(cause) = line.causes.front() else { return };
        if let Some(flaw) = flaw(&code.definition, stands, standing, cause) {
            self.is_flawed(commit, key, of, flaw);
            return;
        }
        match way(&code.definition, standing, cause) {
            Way::Call => {}
            Way::Late => {
                self.late(commit, key, of);
                return;
            }
            Way::Keep => return handling.keep(commit, key, of),
            Way::Aside(failure) => return handling.set_aside(commit, key, of, failure),
        }
        let is_replay = cause.is_imported || matches!(cause.told, ToldCause::Event(_)) && cause.position <= replay_to;
        let handle = HandleCall {
            policy: key.name.clone(),
            key: of.to_owned(),
            position: cause.position,
            cause: cause.told.clone(),
            state: standing.instance.state.clone(),
            is_replay,
            attempt: line.attempts + 1,
            ids: cause.ids(key, of, incarnation),
        };
        let call = GuestCall {
            of: key.instance(of),
            module: code.module.clone(),
            version: code.version,
            digest: code.digest,
            now: cause.at,
            started_at: commit.now,
            deadline_at: commit.now.plus(DEADLINE_MS),
            reaches_outside: false,
            effect_free: true,
            grants: Arc::default(),
            trace_context: None,
            work: Work::Handle(Box::new(handle)),
        };
        let is_silent = is_replay && code.definition.replay == Replay::Silent;
        line.called = Some(Called { code: code.clone(), incarnation, is_silent });
        handling.calls += 1;
        self.calls += 1;
        commit.act(Action::Run(Box::new(call), None));
    }
}

/// What is done with a cause.
enum Way {
    /// It goes to a guest.
    Call,
    /// It comes too late.
    Late,
    /// It waits for its instance.
    Keep,
    /// It is a dead letter.
    Aside(Failure),
}

/// A policy without a state takes everything; for others it depends on the instance.
fn way(definition: &Definition, standing: &Standing, cause: &Cause) -> Way {
    let instance = &standing.instance;
    // Also where another version of the code wanted the answer.
    if matches!(cause.told, ToldCause::Answer { .. }) && !definition.answers {
        return Way::Late;
    }
    if definition.state.is_none() {
        return Way::Call;
    }
    match &cause.told {
        ToldCause::Event(event) => match definition.subscription(&event.event_type).map(|subscription| subscription.route) {
            Some(Route::Start) if instance.is_live() => {
                Way::Aside(Failure::new("instance_exists", "it begins an instance of its key, and there is one already"))
            }
            Some(Route::Continue) if instance.ended_at.is_some() => Way::Late,
            Some(Route::Continue) if !instance.is_live() => Way::Keep,
            Some(Route::Start | Route::StartOrContinue | Route::Continue) | None => Way::Call,
        },
        ToldCause::Timer(timer) if !instance.fired.contains(&timer.name) => Way::Late,
        ToldCause::Answer { .. } if !instance.is_live() => Way::Late,
        ToldCause::Timer(_) | ToldCause::Answer { .. } => Way::Call,
    }
}

/// Why nobody can take a cause.
fn flaw(definition: &Definition, stands: &PolicyState, standing: &Standing, cause: &Cause) -> Option<Flaw> {
    let of_key = |code: &str, message: String| Some(Flaw { failure: Failure::new(code, message), has_key: true });
    if cause.flaw.is_some() {
        return cause.flaw.clone();
    }
    if cause.depth >= DEPTH_MAX {
        let said =
            format!("its chain of causes leads through {DEPTH_MAX} streams, so it is probably a loop; its trace shows the chain");
        return of_key("too_deep", said);
    }
    if stands.died.get(&cause.position).is_some_and(|deaths| *deaths >= DEATHS_MAX) {
        return of_key("host_died", format!("it was with a guest at {DEATHS_MAX} deaths of the host"));
    }
    let unread = standing.instance.state.as_ref().filter(|state| !definition.reads_state(state.version));
    unread.and_then(|state| {
        of_key("unreadable_state", format!("its instance has a state in form {}, which the policy does not read", state.version))
    })
}

/// The lines whose first cause can go to a guest, those among them that begin now: the one whose cause is oldest is first.
fn next_lines(handling: &Handling, waiting: &[Drained], page: Option<&Page>) -> Vec<String> {
    let first = |causes: &mut dyn Iterator<Item = &Cause>| causes.next().map(|cause| cause.position);
    let known = handling.lines.iter().filter(|(_, line)| line.can_go());
    let known = known.filter_map(|(of, line)| Some((of, first(&mut line.causes.iter())?)));
    let drained = waiting.iter().filter_map(|drained| Some((&drained.of, first(&mut drained.causes.iter())?)));
    let read = page.into_iter().flat_map(|page| &page.causes).map(|(of, cause)| (of, cause.position));
    let is_idle = |of: &String| handling.lines.get(of).is_none_or(|line| line.called.is_none() && line.rests_until.is_none());
    let new = drained.chain(read.filter(|(of, _)| !handling.holds(of))).filter(|(of, _)| is_idle(of));
    let mut lines: HashMap<&String, Position> = HashMap::new();
    for (of, position) in known.chain(new) {
        lines.entry(of).or_insert(position);
    }
    let mut lines: Vec<(Position, &String)> = lines.into_iter().map(|(of, position)| (position, of)).collect();
    lines.sort_unstable();
    lines.into_iter().take(handling.calls_left()).map(|(_, of)| of.clone()).collect()
}

/// How an instance stands, from memory or from its row.
fn standing(reads: &mut Reads<'_>, key: &PolicyKey, handling: &Handling, of: &str) -> Result<Standing, Unready> {
    match handling.lines.get(of).and_then(|line| line.instance.clone()) {
        Some(known) => Ok(known),
        None => rows::instance(reads, key, of, handling.stands.incarnation),
    }
}

/// What waits with a key, from the oldest on.
#[derive(Debug, Default)]
struct Drained {
    of: String,
    causes: Vec<Cause>,
    /// Causes of an earlier life of the policy, which nobody takes.
    outdated: Vec<Position>,
    /// Up to here what waits was read; none: nothing does any more.
    through: Option<Position>,
}

/// The next causes that wait and are to be taken.
fn waiting(reads: &mut Reads<'_>, key: &PolicyKey, handling: &Handling, code: &Code) -> Result<Vec<Drained>, Unready> {
    let drains: Vec<(&String, Position)> = handling.next_drains().collect();
    let rows_of = |(of, after): &(&String, Position)| keys::parked_with(&key.namespace, &key.name, of, *after, DRAINED_AT_ONCE);
    // All of them are asked for before one that is missing ends this.
    let found: Vec<_> = drains.iter().map(|drain| reads.rows(&rows_of(drain))).collect();
    let mut all = Vec::new();
    for ((of, _), found) in drains.into_iter().zip(found) {
        let (mut places, mut drained) = (Vec::new(), Drained { of: of.clone(), ..Drained::default() });
        for row in found?.rows {
            let (.., position) = keys::parse_parked(&row.key)?;
            let parked = ParkedRow::decode(&row.value)?;
            // A dead letter waits for an operator also where its instance has begun.
            let is_left = matches!(parked.waits, Waits::Alone(_)) && !handling.stands.redriven.contains(of);
            match parked.incarnation == handling.stands.incarnation {
                true if is_left => {}
                true => places.push((position, parked.place(of))),
                false => drained.outdated.push(position),
            }
            drained.through = Some(position);
        }
        let causes = causes(reads, code, &places);
        all.push((drained, causes));
    }
    let read = |(drained, causes): (Drained, Found)| {
        // It waits with the key that it had then.
        let causes: Vec<Cause> = causes?.into_iter().map(|(_, cause)| Cause { was_parked: true, ..cause }).collect();
        let all = causes.len();
        let causes = no_more_than(DRAINED_BYTES, causes, Cause::bytes);
        let through = if causes.len() < all { causes.last().map(|last| last.position) } else { drained.through };
        Ok(Drained { causes, through, ..drained })
    };
    all.into_iter().map(read).collect()
}

/// The first ones that say no more than this together, and at least one.
fn no_more_than<T>(bytes_max: usize, mut causes: Vec<T>, bytes: impl Fn(&T) -> usize) -> Vec<T> {
    let mut sum = 0;
    let fits = causes.iter().take_while(|cause| {
        sum += bytes(cause);
        sum <= bytes_max
    });
    let count = fits.count().max(1);
    causes.truncate(count);
    causes
}

/// Causes, each with its key, if it is for the policy.
type Found = Result<Vec<(Option<String>, Cause)>, Unready>;

/// What is recorded at these places.
fn causes(reads: &mut Reads<'_>, code: &Code, places: &[(Position, Place)]) -> Found {
    let stored: Vec<_> = places.iter().map(|(position, _)| reads.record(*position)).collect();
    let mut causes = Vec::new();
    for ((position, place), stored) in places.iter().zip(stored) {
        let missing = || Unready::Corrupt(format!("the journal has no record at {position}, though a row says so"));
        let record = record::decode_stored(&stored?.ok_or_else(missing)?)?;
        causes.push(Cause::read(&code.definition, place, record)?);
    }
    Ok(causes)
}

/// The next causes behind what was read, if there is room for more.
fn page(reads: &mut Reads<'_>, key: &PolicyKey, handling: &Handling, code: &Code) -> Result<Option<Page>, Unready> {
    let room = handling.room().min(PAGE);
    if room == 0 {
        return Ok(None);
    }
    let (after, last) = (handling.read, reads.last_position());
    let mut places: Vec<(Position, Place)> = Vec::new();
    let mut through = last;
    // All of them are asked for before one that is missing ends this.
    let types = code.definition.subscriptions.iter().map(|subscription| subscription.event_type.as_str());
    let events: Vec<_> = types.map(|event_type| events(reads, key, event_type, after)).collect();
    let arrivals = arrivals(reads, key, after, handling.stands.incarnation);
    for found in events.into_iter().chain([arrivals]) {
        let (found, complete_to) = found?;
        places.extend(found);
        through = complete_to.map_or(through, |end| end.min(through));
    }
    places.retain(|(position, _)| *position <= through);
    places.sort_unstable_by_key(|(position, _)| *position);
    if let Some((last, _)) = places.get(room - 1).filter(|_| places.len() > room) {
        through = *last;
        places.truncate(room);
    }
    places.retain(|(position, _)| !handling.ahead.contains(position));
    let causes = causes(reads, code, &places)?;
    let all = causes.len();
    let causes = no_more_than(PAGE_BYTES, causes, |(_, cause)| cause.bytes());
    if let Some((_, cause)) = causes.last().filter(|_| causes.len() < all) {
        through = cause.position;
    }
    let read = causes.len();
    let causes: Vec<(String, Cause)> = causes.into_iter().filter_map(|(of, cause)| Some((of?, cause))).collect();
    Ok(Some(Page { passed_over: read - causes.len(), causes, through, has_more: through < last }))
}

/// Places, and up to where they are all there are; none: there are no others.
type Places = (Vec<(Position, Place)>, Option<Position>);

/// Events of a type behind a position.
fn events(reads: &mut Reads<'_>, key: &PolicyKey, event_type: &str, after: Position) -> Result<Places, Unready> {
    let page = reads.rows(&keys::events_named(&key.namespace, event_type, after, PAGE))?;
    let mut places = Vec::new();
    for row in &page.rows {
        let (.., position) = keys::parse_event_name(&row.key)?;
        let aggregate = String::from_utf8(row.value.to_vec());
        let aggregate = aggregate.map_err(|_| Unready::Corrupt(format!("who has the event at {position} is no text")))?;
        places.push((position, Place::Event { event_type: event_type.to_owned(), aggregate }));
    }
    let end = page.end.map(|end| keys::parse_event_name(&end)).transpose()?;
    Ok((places, end.map(|(.., position)| position)))
}

/// Answers and timers behind a position.
fn arrivals(reads: &mut Reads<'_>, key: &PolicyKey, after: Position, incarnation: u32) -> Result<Places, Unready> {
    let page = reads.rows(&keys::arrivals_of(&key.namespace, &key.name, after, PAGE))?;
    let mut places = Vec::new();
    for row in &page.rows {
        let (.., position) = keys::parse_arrival(&row.key)?;
        let (of_life, place) = rows::arrival(&row.value)?;
        // Of an earlier life nobody waits for it.
        places.extend((of_life == incarnation).then_some((position, place)));
    }
    let end = page.end.map(|end| keys::parse_arrival(&end)).transpose()?;
    Ok((places, end.map(|(.., position)| position)))
}

/// Puts causes into their lines. Those of a key with which something waits for an operator wait behind that.
fn take_in(commit: &mut Commit<'_>, key: &PolicyKey, handling: &mut Handling, page: Page) {
    page.causes.iter().for_each(|(_, cause)| handling.open.insert(cause.position, cause.bytes()));
    (handling.read, handling.has_more) = (page.through, page.has_more);
    for (of, cause) in page.causes {
        match handling.holds(&of) {
            true => handling.put(commit, key, &of, &cause, Waits::Behind),
            false => handling.lines.entry(of).or_default().causes.push_back(cause),
        }
    }
    if page.passed_over > 0 {
        (0..page.passed_over).for_each(|_| commit.metrics.handled(&key.name, "not_for_it"));
        commit.lazily(|commit| handling.pass_over(commit, key));
    }
    handling.stop_if_full(commit, key);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use amends_core::{
        Instant,
        id::Namespace,
        policy::{PolicyEvent, Timer},
    };

    use super::{super::handling::Line, *};
    use crate::{
        engine::{kernel::Kernel, limits::Limits, metrics::Metrics},
        journal::RecordId,
    };

    fn cause(position: Position) -> Cause {
        let timer = Timer { name: "t".into(), at: Instant(0), data: None, root: String::new(), depth: 0 };
        Cause {
            position,
            record: RecordId { stream: 1, version: position },
            told: ToldCause::Timer(timer),
            at: Instant(0),
            root: String::new(),
            depth: 0,
            flaw: None,
            is_imported: false,
            was_parked: false,
        }
    }

    fn is_parked(handling: &mut Handling, key: &str) {
        let parked = PolicyEvent::Parked { key: key.into(), position: 1, failure: Failure::new("bad", ""), attempts: 1 };
        handling.stands.apply(&parked, Instant(0));
    }

    fn with<T>(act: impl FnOnce(&mut Commit<'_>, &PolicyKey) -> T) -> T {
        let mut kernel = Kernel::new(Limits::default(), Arc::new(Metrics::default()), 1, 1, 20);
        act(&mut kernel.commit(), &PolicyKey::new(&Namespace::new("default").unwrap(), "p"))
    }

    /// A policy that stopped in the middle of a page forgot what it had read, and then took in the rest of the page: those causes were
    /// read again when it was resumed, and stood twice in their lines.
    #[test]
    fn a_policy_that_stops_at_a_page_keeps_nothing_of_it_in_memory() {
        let mut handling = Handling { cursor: 9, ..Handling::default() };
        is_parked(&mut handling, "A");
        (0..100_000).for_each(|_| handling.waiting.add("A"));
        let causes = vec![("A".to_owned(), cause(10)), ("B".to_owned(), cause(11))];
        let page = Page { causes, passed_over: 0, through: 12, has_more: false };
        with(|commit, key| take_in(commit, key, &mut handling, page));
        assert!(handling.stands.stopped.is_some());
        assert!(handling.lines.is_empty() && handling.open.first().is_none());
        // What waits with A has its row: it is taken for the cursor.
        assert_eq!((handling.read, handling.cursor), (10, 10));
    }

    /// What was read of letters was forgotten with the lines, and counted as read: it was never taken, and its key was cleared.
    #[test]
    fn letters_that_were_read_and_not_taken_are_read_again_when_other_code_comes() {
        let mut handling = Handling::default();
        handling.drains.insert("A".into(), 12);
        handling.lines.entry("A".into()).or_default().causes.push_back(cause(12));
        handling.forget_what_was_read();
        assert_eq!(handling.next_drains().collect::<Vec<_>>(), [(&"A".to_owned(), 0)]);
    }

    /// A policy with more redriven keys than calls wanted its turn again and again while no call was left, and the shard did nothing
    /// else.
    #[test]
    fn a_policy_whose_calls_are_all_with_guests_waits_for_one_before_it_reads_letters() {
        let mut handling = Handling { code: Some(code()), calls: 32, ..Handling::default() };
        let installed = PolicyEvent::Installed {
            module: "m".into(),
            module_version: 1,
            digest: [0; 32],
            incarnation: 1,
            from: 0,
            replay_to: 0,
        };
        handling.stands.apply(&installed, Instant(0));
        handling.drains.insert("A".into(), 0);
        assert!(!handling.wants_turn());
        handling.calls = 31;
        assert!(handling.wants_turn());
    }

    /// A redrive took the cause away that a guest had: what the guest said of it was taken for what it said of the first letter.
    #[test]
    fn a_redrive_leaves_what_is_with_a_guest_and_waits_for_it() {
        let mut handling = Handling::default();
        let called = Some(Called { code: code(), incarnation: 1, is_silent: false });
        let causes = [cause(12), cause(13)].into_iter().collect();
        handling.lines.insert("A".into(), Line { causes, called, ..Line::default() });
        with(|commit, key| handling.drain(commit, key, "A"));
        let left: Vec<Position> = handling.lines["A"].causes.iter().map(|cause| cause.position).collect();
        assert_eq!((left, handling.waiting.of("A")), (vec![12], 1));
        assert_eq!(handling.next_drains().count(), 0);
        // Also where it leaves no cause behind.
        handling.lines.get_mut("A").unwrap().causes.clear();
        assert_eq!(handling.next_drains().count(), 0);
    }

    /// A call that was with a guest at a reset kept its line, and the line the instance of the life before.
    #[test]
    fn a_reset_keeps_of_a_life_only_that_calls_are_with_guests() {
        let mut handling = Handling::default();
        let called = Some(Called { code: code(), incarnation: 1, is_silent: false });
        let causes = [cause(12)].into_iter().collect();
        let line = Line { causes, called, attempts: 3, instance: Some(Standing::default()), ..Line::default() };
        handling.lines.insert("A".into(), line);
        handling.lines.entry("B".into()).or_default().causes.push_back(cause(13));
        handling.begin_anew(5);
        let line = &handling.lines["A"];
        assert!(handling.lines.len() == 1 && line.called.is_some());
        assert!(line.instance.is_none() && line.causes.is_empty() && line.attempts == 0);
    }

    fn code() -> Code {
        let definition = Definition {
            name: "p".into(),
            subscriptions: Vec::new(),
            state: None,
            on_poison: amends_core::policy::OnPoison::Park,
            attempts_max: 1,
            start: amends_core::policy::StartAt::Now,
            replay: Replay::Silent,
            answers: false,
            sends: Vec::new(),
            publishes: Vec::new(),
            starts: Vec::new(),
        };
        Code { module: "m".into(), version: 1, digest: [0; 32], definition: Arc::new(definition) }
    }
}

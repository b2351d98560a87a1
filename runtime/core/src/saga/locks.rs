//! Lock keys: which business objects a saga wants for itself, and who has them.
//!
//! [`Locks`] is a pure value: the fold of who came, who ended and what was broken, in the order of the journal. All keys of a
//! saga are taken at one moment, when nobody who came before it wants any of them: so nobody holds one key while waiting for
//! another, and nobody waits for ever.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use super::{definition::Definition, elements::KEY_BYTES_MAX};
use crate::{
    id::SagaId,
    json,
    plain::is_printable,
    value::{Format, Payload},
};

/// A lock pointer that finds no key in the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoKey {
    /// What was to be locked.
    pub name: String,
    /// Where the key was looked for.
    pub pointer: String,
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, pointer } = self;
        write!(
            f,
            "the lock `{name}` finds no key at `{pointer}` of the input: a printable string of 1 to {KEY_BYTES_MAX} bytes, or a number"
        )
    }
}

impl std::error::Error for NoKey {}

/// The keys that a saga of this definition wants, as `seat/12A`: sorted, each once.
pub fn keys_of(definition: &Definition, input: &Payload) -> Result<Vec<String>, NoKey> {
    let text = if input.format == Format::Json { &input.bytes[..] } else { b"null" };
    let mut keys = BTreeSet::new();
    for lock in &definition.locks {
        let found = json::find(text, &lock.pointer).and_then(json::key);
        let Some(key) = found.filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()) && is_printable(key)) else {
            return Err(NoKey { name: lock.name.clone(), pointer: lock.pointer.clone() });
        };
        keys.insert(format!("{}/{key}", lock.name));
    }
    Ok(keys.into_iter().collect())
}

/// Who has which key, and who waits for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    tickets: u64,
    /// By key, those that want it by their tickets: the first is its holder, or the next one to have it.
    keys: HashMap<String, BTreeMap<u64, SagaId>>,
    sagas: HashMap<SagaId, Want>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Want {
    ticket: u64,
    keys: Vec<String>,
    taken: bool,
}

/// What came of wanting keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of them are the saga's.
    Taken,
    /// It waits: these of its keys are held, or wanted by somebody who came before.
    Queued(Vec<String>),
}

impl Locks {
    /// A saga comes and wants keys. One that is there already has the answer that fits it now.
    pub fn want(&mut self, saga: &SagaId, keys: &[String]) -> Wanted {
        if !self.sagas.contains_key(saga) {
            self.tickets += 1;
            for key in keys {
                self.keys.entry(key.clone()).or_default().insert(self.tickets, saga.clone());
            }
            self.sagas.insert(saga.clone(), Want { ticket: self.tickets, keys: keys.to_vec(), taken: false });
        }
        if self.take(saga) {
            return Wanted::Taken;
        }
        Wanted::Queued(self.behind(saga))
    }

    /// Those of the keys that somebody holds or waits for: a definition that refuses is refused for them.
    pub fn taken<'a>(&self, keys: &'a [String]) -> Vec<&'a String> {
        keys.iter().filter(|key| self.keys.contains_key(*key)).collect()
    }

    /// A saga ended, whether it held its keys or waited for them: who has theirs by that, in the order in which they came.
    pub fn release(&mut self, saga: &SagaId) -> Vec<SagaId> {
        let Some(want) = self.sagas.remove(saga) else { return Vec::new() };
        want.keys.iter().for_each(|key| self.leave(key, want.ticket));
        self.next_of(&want.keys)
    }

    /// An operator broke one key of a saga: who has theirs by that.
    pub fn break_key(&mut self, saga: &SagaId, key: &str) -> Vec<SagaId> {
        let Some(want) = self.sagas.get_mut(saga) else { return Vec::new() };
        let Some(at) = want.keys.iter().position(|wanted| wanted == key) else { return Vec::new() };
        let (key, ticket) = (want.keys.swap_remove(at), want.ticket);
        self.leave(&key, ticket);
        self.next_of(&[key])
    }

    /// Who holds a key.
    pub fn holder(&self, key: &str) -> Option<&SagaId> {
        self.queue(key).next().filter(|saga| self.sagas.get(*saga).is_some_and(|want| want.taken))
    }

    /// Everybody who wants a key, its holder included, in the order in which they came.
    pub fn queue(&self, key: &str) -> impl Iterator<Item = &SagaId> {
        self.keys.get(key).into_iter().flat_map(BTreeMap::values)
    }

    /// The sagas that stand directly behind this one in the queues of its keys: when it leaves, only they may get all of theirs.
    pub fn next_in_line(&self, saga: &SagaId) -> Vec<SagaId> {
        let Some(want) = self.sagas.get(saga) else { return Vec::new() };
        let next = |key: &String| self.keys.get(key)?.range(want.ticket + 1..).next().map(|(_, saga)| saga.clone());
        let mut sagas: Vec<SagaId> = want.keys.iter().filter_map(next).collect();
        sagas.sort_unstable();
        sagas.dedup();
        sagas
    }

    fn behind(&self, saga: &SagaId) -> Vec<String> {
        let Some(want) = self.sagas.get(saga) else { return Vec::new() };
        let first = |key: &&String| self.queue(key).next() == Some(saga);
        want.keys.iter().filter(|key| !first(key)).cloned().collect()
    }

    /// Takes all keys if nobody who came before wants any of them.
    fn take(&mut self, saga: &SagaId) -> bool {
        let free = self.behind(saga).is_empty();
        match self.sagas.get_mut(saga) {
            Some(want) if free => {
                want.taken = true;
                true
            }
            _ => false,
        }
    }

    fn leave(&mut self, key: &str, ticket: u64) {
        if let Some(queue) = self.keys.get_mut(key) {
            queue.remove(&ticket);
            if queue.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    fn next_of(&mut self, keys: &[String]) -> Vec<SagaId> {
        let first = |key: &String| self.keys.get(key)?.first_key_value().map(|(ticket, saga)| (*ticket, saga.clone()));
        let next: BTreeMap<u64, SagaId> = keys.iter().filter_map(first).collect();
        let waits = |locks: &Self, saga: &SagaId| locks.sagas.get(saga).is_some_and(|want| !want.taken);
        next.into_values().filter(|saga| waits(self, saga) && self.take(saga)).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use super::*;

    /// The rule as it is written: a saga has its keys when nobody who came before it and is still there wants any of them.
    #[derive(Default)]
    struct Model(Vec<(SagaId, BTreeSet<String>)>);

    impl Model {
        fn has(&self, saga: &SagaId) -> bool {
            let at = self.0.iter().position(|(other, _)| other == saga).unwrap();
            self.0[..at].iter().all(|(_, keys)| keys.is_disjoint(&self.0[at].1))
        }

        fn holders(&self) -> BTreeSet<SagaId> {
            self.0.iter().map(|(saga, _)| saga.clone()).filter(|saga| self.has(saga)).collect()
        }
    }

    fn random(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed >> 33
    }

    fn id(n: u64) -> SagaId {
        SagaId::new(&format!("s{n}")).unwrap()
    }

    #[test]
    fn whoever_comes_ends_or_is_broken_the_holders_are_those_of_the_rule() {
        for seed in 0..2_000u64 {
            let (mut locks, mut model, mut holders) = (Locks::default(), Model::default(), BTreeSet::new());
            let mut random = {
                let mut seed = seed;
                move || random(&mut seed)
            };
            for n in 0..40 {
                let there = model.0.len() as u64;
                match random() % 5 {
                    0..=2 => {
                        let keys: BTreeSet<String> = (0..random() % 4).map(|_| format!("k{}", random() % 5)).collect();
                        model.0.push((id(n), keys.clone()));
                        let keys: Vec<String> = keys.into_iter().collect();
                        let wanted = locks.want(&id(n), &keys);
                        assert_eq!(wanted == Wanted::Taken, model.has(&id(n)), "seed {seed}: {n} wants {keys:?}");
                        assert_eq!(locks.want(&id(n), &keys), wanted, "seed {seed}: {n} asks again");
                        holders.extend((wanted == Wanted::Taken).then_some(id(n)));
                    }
                    3 if there > 0 => {
                        let (saga, _) = model.0.remove((random() % there) as usize);
                        holders.remove(&saga);
                        holders.extend(locks.release(&saga));
                        assert_eq!(locks.release(&saga), [], "seed {seed}: it is released once");
                    }
                    4 if there > 0 => {
                        let (saga, keys) = &mut model.0[(random() % there) as usize];
                        let Some(key) = keys.pop_first() else { continue };
                        // A saga that waits is not broken: its place in the queue is no lock.
                        if !holders.contains(saga) {
                            keys.insert(key);
                            continue;
                        }
                        holders.extend(locks.break_key(saga, &key));
                    }
                    _ => {}
                }
                assert_eq!(holders, model.holders(), "seed {seed}: after {n}");
                for (saga, keys) in &model.0 {
                    let holds = keys.iter().all(|key| locks.holder(key) == Some(saga));
                    assert_eq!(holds, holders.contains(saga), "seed {seed}: {saga} and its keys");
                }
            }
            for (saga, _) in model.0 {
                locks.release(&saga);
            }
            assert!(locks.keys.is_empty() && locks.sagas.is_empty(), "seed {seed}: nothing is left behind");
        }
    }

    #[test]
    fn xr_34_two_hundred_sagas_that_want_two_keys_in_opposite_order_all_have_their_turn_in_order() {
        let mut locks = Locks::default();
        let keys =
            |n: u64| if n.is_multiple_of(2) { ["r1".to_owned(), "r2".to_owned()] } else { ["r2".to_owned(), "r1".to_owned()] };
        let mut turns: Vec<SagaId> = (0..200).filter(|n| locks.want(&id(*n), &keys(*n)) == Wanted::Taken).map(id).collect();
        let mut at = 0;
        while let Some(saga) = turns.get(at).cloned() {
            turns.extend(locks.release(&saga));
            at += 1;
        }
        assert_eq!(turns, (0..200).map(id).collect::<Vec<_>>());
    }

    #[test]
    fn somebody_who_shares_no_key_overtakes_and_somebody_who_shares_one_does_not() {
        let mut locks = Locks::default();
        let keys = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(locks.want(&id(1), &keys(&["a"])), Wanted::Taken);
        assert_eq!(locks.want(&id(2), &keys(&["a", "b"])), Wanted::Queued(keys(&["a"])));
        assert_eq!(locks.want(&id(3), &keys(&["b"])), Wanted::Queued(keys(&["b"])));
        assert_eq!(locks.want(&id(4), &keys(&["c"])), Wanted::Taken);
        assert_eq!((locks.holder("a"), locks.holder("b")), (Some(&id(1)), None));
        assert_eq!(locks.taken(&keys(&["b", "d"])), [&"b".to_owned()]);
        assert_eq!(locks.release(&id(2)), [id(3)]);
        assert_eq!(locks.break_key(&id(1), "a"), []);
        assert_eq!(locks.holder("a"), None);
    }

    #[test]
    fn keys_are_found_in_the_input_and_what_is_not_there_is_named() {
        let lock = |name: &str, pointer: &str| crate::definition::LockKey { name: name.into(), pointer: pointer.into() };
        let mut definition = crate::definition::Definition {
            name: "a".into(),
            version: 1,
            stages: Vec::new(),
            output: None,
            deadline_ms: None,
            locks: vec![lock("seat", "/s/0"), lock("order", "/id"), lock("order", "/same")],
            on_locked: crate::definition::OnLocked::Queue,
            rounds: 0,
            schema: None,
        };
        let input = Payload::json(r#"{"id":7,"same":"7","s":["12A"],"none":null}"#);
        assert_eq!(keys_of(&definition, &input), Ok(vec!["order/7".into(), "seat/12A".into()]));
        definition.locks = vec![lock("seat", "/none")];
        let rule = "the lock `seat` finds no key at `/none` of the input: a printable string of 1 to 256 bytes, or a number";
        assert_eq!(keys_of(&definition, &input).unwrap_err().to_string(), rule);
    }

    /// The kind: see `json::key`. Two starts whose inputs counted as equal held two locks on one object.
    #[test]
    fn c2_05_one_object_has_one_lock_key_however_the_input_spells_it() {
        let lock = |name: &str, pointer: &str| crate::definition::LockKey { name: name.into(), pointer: pointer.into() };
        let definition = crate::definition::Definition {
            name: "a".into(),
            version: 1,
            stages: Vec::new(),
            output: None,
            deadline_ms: None,
            locks: vec![lock("n", "/n"), lock("s", "/s")],
            on_locked: crate::definition::OnLocked::Queue,
            rounds: 0,
            schema: None,
        };
        let keys = |input: &str| keys_of(&definition, &Payload::json(input.to_owned())).unwrap().join(" ");
        for spelled in ["1", "1.0", "1e0", "10e-1", "1.00E+0"] {
            assert_eq!(keys(&format!(r#"{{"n":{spelled},"s":"\u006b"}}"#)), "n/1 s/k", "{spelled}");
        }
        assert_eq!(keys(r#"{"n":-0,"s":"k"}"#), keys(r#"{"n":0.0,"s":"\u006B"}"#));
    }
}

//! A saga's lock keys in the tree: which it has, which it waits for, and behind whom.

use amends_wire::{
    lock::LockKey,
    saga::{Saga, Status},
};

use super::{
    style::{BACK, DIM, LIVE, paint},
    text::{clean, count},
};

/// One line a key; none for a saga without lock keys.
pub(super) fn lines(saga: &Saga) -> Vec<String> {
    let Some(locks) = &saga.locks else { return Vec::new() };
    let keys = locks.keys.iter().map(|key| format!("lock {}  {}", clean(&key.key), standing(saga, key)));
    keys.chain(locks.broken.iter().map(|key| format!("lock {}  {}", clean(key), paint(BACK, "broken by hand")))).collect()
}

fn standing(saga: &Saga, LockKey { holder, queue, .. }: &LockKey) -> String {
    let place = queue.iter().position(|waits| *waits == saga.id);
    let others = queue.len() - usize::from(place.is_some());
    match (holder, place) {
        (Some(holder), None) if *holder == saga.id => {
            let waiting =
                if others == 0 { String::new() } else { paint(DIM, format!(", {} waiting", count(others as u64, "other"))) };
            format!("its own{waiting}")
        }
        (Some(holder), Some(0)) => paint(LIVE, format!("held by {holder}; this one is next")),
        (Some(holder), place) => paint(LIVE, format!("held by {holder}; {} before this one", ahead(place, queue))),
        (None, Some(0)) => paint(DIM, "free; this saga gets it together with its other keys"),
        // Nobody looked who has it and who waits.
        (None, None) if queue.is_empty() && saga.status == Status::Waiting => paint(LIVE, "this one may wait for it"),
        (None, place) if saga.status == Status::Waiting => paint(LIVE, format!("{} before this one", ahead(place, queue))),
        (None, _) => "its own".to_owned(),
    }
}

/// How many wait before the saga. The end of a long queue is not read.
fn ahead(place: Option<usize>, queue: &[String]) -> String {
    place.map_or_else(|| format!("more than {}", queue.len()), |place| place.to_string())
}

#[cfg(test)]
mod tests {
    use amends_wire::lock::Locks;
    use expect_test::expect;

    use super::*;
    use crate::render::samples;

    /// A key of which nobody had looked who has it was shown as `more than 0 before this one`.
    #[test]
    fn c2_18_a_key_says_whose_it_is_and_who_is_before() {
        let key = |key: &str, holder: Option<&str>, queue: &[&str]| LockKey {
            key: key.to_owned(),
            holder: holder.map(str::to_owned),
            queue: queue.iter().map(|id| (*id).to_owned()).collect(),
        };
        let mut saga = samples::waiting();
        saga.locks = Some(Locks {
            keys: vec![
                key("order/7", Some("T2"), &["T3"]),
                key("order/8", Some("T2"), &[]),
                key("seat/1", Some("T1"), &["T2", "T3"]),
                key("seat/2", Some("T1"), &["T0", "T2"]),
                key("seat/3", Some("T1"), &["T0"]),
                key("seat/4", None, &["T2", "T3"]),
                key("seat/5", None, &["T0", "T2"]),
                key("seat/7", None, &[]),
            ],
            broken: vec!["seat/6".to_owned()],
        });
        expect![[r#"
            lock order/7  its own, 1 other waiting
            lock order/8  its own
            lock seat/1  held by T1; this one is next
            lock seat/2  held by T1; 1 before this one
            lock seat/3  held by T1; more than 1 before this one
            lock seat/4  free; this saga gets it together with its other keys
            lock seat/5  1 before this one
            lock seat/7  this one may wait for it
            lock seat/6  broken by hand"#]]
        .assert_eq(&anstream::adapter::strip_str(&lines(&saga).join("\n")).to_string());
    }
}

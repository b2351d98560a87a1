//! Lock keys as the wire says them, and in words.

use amends_core::{id::SagaId, view::LocksView};
use amends_wire::lock;

use crate::service::reader::LockKey;

/// The lock keys of a saga that has not ended, with who else wants them as far as `looked` says.
pub fn locks(view: &LocksView, looked: &[LockKey]) -> lock::Locks {
    let of = |name: &String| match looked.iter().find(|looked| looked.key == *name) {
        Some(LockKey { key, holder, queue }) => lock::LockKey {
            key: key.clone(),
            holder: holder.as_ref().map(|id| id.as_str().to_owned()),
            queue: queue.iter().map(|id| id.as_str().to_owned()).collect(),
        },
        None => lock::LockKey { key: name.clone(), ..lock::LockKey::default() },
    };
    lock::Locks { keys: view.keys.iter().map(of).collect(), broken: view.broken.clone() }
}

/// What a saga without its keys waits for: as they are now where they were looked at, else as they were when it came.
pub fn reason(id: &SagaId, view: &LocksView, looked: &[LockKey]) -> Option<String> {
    let (_, behind) = view.waits.as_ref()?;
    let now: Vec<String> = looked.iter().filter_map(|key| before(id, key)).collect();
    Some(match now.as_slice() {
        [] => format!("waits for the lock key {}", behind.join(" and ")),
        now => format!("waits for {}", now.join(" and for ")),
    })
}

/// Who is before the saga at one key; none if it is the first.
fn before(id: &SagaId, LockKey { key, holder, queue }: &LockKey) -> Option<String> {
    let place = queue.iter().position(|waits| waits == id);
    let ahead = match place {
        Some(0) => String::new(),
        Some(1) => format!(", after {}", queue[0]),
        Some(place) => format!(", after {place} that came before it"),
        // The end of the queue was not read.
        None => format!(", after more than {}", queue.len()),
    };
    match holder {
        Some(holder) => Some(format!("the lock key {key}, which {holder} holds{ahead}")),
        None if place == Some(0) => None,
        None => Some(format!("the lock key {key}{ahead}")),
    }
}

#[cfg(test)]
mod tests {
    use amends_core::value::Instant;
    use expect_test::expect;

    use super::*;

    fn id(text: &str) -> SagaId {
        SagaId::new(text).unwrap()
    }

    #[test]
    fn a_saga_says_who_has_its_keys_and_who_is_before_it() {
        let keys = vec!["order/7".to_owned(), "seat/12A".to_owned()];
        let view = LocksView { keys: keys.clone(), broken: Vec::new(), waits: Some((Instant(0), vec!["seat/12A".into()])) };
        let key = |key: &str, holder: Option<&str>, queue: &[&str]| LockKey {
            key: key.into(),
            holder: holder.map(id),
            queue: queue.iter().copied().map(id).collect(),
        };
        let said = |looked: &[LockKey]| reason(&id("T9"), &view, looked).unwrap() + "\n";
        let all = [
            said(&[]),
            said(&[key("order/7", None, &["T9"]), key("seat/12A", Some("T1"), &["T9", "T10"])]),
            said(&[key("order/7", Some("T2"), &["T3", "T9"]), key("seat/12A", Some("T1"), &["T3", "T4", "T9"])]),
            said(&[key("order/7", None, &["T3", "T9"]), key("seat/12A", Some("T1"), &["T3", "T4"])]),
        ];
        expect![[r#"
            waits for the lock key seat/12A
            waits for the lock key seat/12A, which T1 holds
            waits for the lock key order/7, which T2 holds, after T3 and for the lock key seat/12A, which T1 holds, after 2 that came before it
            waits for the lock key order/7, after T3 and for the lock key seat/12A, which T1 holds, after more than 2
        "#]]
        .assert_eq(&all.concat());
        assert_eq!(reason(&id("T9"), &LocksView { keys, broken: Vec::new(), waits: None }, &[]), None);
    }
}

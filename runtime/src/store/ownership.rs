//! The ownership of a shard: its owner is the one host that decides for it and writes its journal.
//!
//! A host claims a shard before it reads it, and every claim has a greater epoch than the one before it. What makes an older
//! owner harmless is the store's affair, because only the store can refuse a write:
//!
//! - A data folder has one owner at a time, by the lock that its process holds ([`ByLock`]): an older owner has ended.
//! - A store that several hosts reach makes a claim with one conditional update of the shard's row, which raises the fence, and
//!   compares the fence in every later commit's own transaction, deletions included: the older owner's commits are `Fenced`. The
//!   fence lives in that store from its claim on, because settling a commit of unknown outcome raises it too; callers only show
//!   it.

use std::sync::Arc;

use super::{Batch, RowChange, Store, StoreError, Table};

/// The result of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The shard. A data folder has shard 0.
    pub shard: u16,
    /// The number of claims, including this one. It is in the header of every record.
    pub epoch: u32,
    /// How often the shard changed hands: it grows with every claim and every release.
    pub fence: u64,
    /// The owner before this one released the shard, or there was none. Otherwise attempts may have been cut off in the middle.
    pub clean: bool,
}

/// Claims and releases of a shard.
pub trait Ownership: Send + Sync {
    /// Takes the shard. The claim is durable when this returns; no commit of an earlier owner comes after it.
    fn claim(&self) -> Result<Owned, StoreError>;

    /// Gives the shard up in order, after the last commit: the next claim is clean. `Fenced` if somebody else has claimed it, and
    /// then nothing is changed. An owner that cannot end in order says nothing instead.
    fn release(&self, owned: &Owned) -> Result<(), StoreError>;
}

/// Ownership by a lock that is held outside of the store, for as long as this lives: a claim asks nobody, it only counts.
pub struct ByLock<L> {
    store: Arc<dyn Store>,
    _lock: L,
}

impl<L> ByLock<L> {
    /// `lock` keeps everybody else from the store: the data folder in a host; in a simulation, which has one owner, nothing.
    pub fn new(store: Arc<dyn Store>, lock: L) -> Self {
        Self { store, _lock: lock }
    }

    fn last(&self) -> Result<Option<Claim>, StoreError> {
        let row = self.store.row(Table::Meta, KEY)?;
        row.map(|row| Claim::read(&row).ok_or_else(|| StoreError::Corrupt("the owner's row is unreadable".to_owned())))
            .transpose()
    }

    fn write(&self, claim: Claim) -> Result<(), StoreError> {
        self.store.commit(&[Batch { appends: Vec::new(), rows: vec![RowChange::put(Table::Meta, KEY, claim.bytes())] }])
    }
}

impl<L: Send + Sync> Ownership for ByLock<L> {
    fn claim(&self) -> Result<Owned, StoreError> {
        let before = match self.last()? {
            Some(claim) => claim,
            None if self.store.last_position()? == 0 => Claim { epoch: 0, fence: 0, clean: true },
            None => return Err(StoreError::Corrupt("the journal has records, but the row of its owner is lost".to_owned())),
        };
        let used_up = || StoreError::Failed("the shard's epochs are used up".to_owned());
        let epoch = before.epoch.checked_add(1).ok_or_else(used_up)?;
        let fence = before.fence.checked_add(1).ok_or_else(used_up)?;
        self.write(Claim { epoch, fence, clean: false })?;
        Ok(Owned { shard: 0, epoch, fence, clean: before.clean })
    }

    fn release(&self, owned: &Owned) -> Result<(), StoreError> {
        let Owned { shard: _, epoch, fence, clean: _ } = *owned;
        let now = self.last()?;
        if now != Some(Claim { epoch, fence, clean: false }) {
            return Err(StoreError::Fenced(format!("epoch {epoch} is released, and the shard's row says {now:?}")));
        }
        self.write(Claim { epoch, fence: fence.saturating_add(1), clean: true })
    }
}

/// The row of [`Table::Meta`] that holds the last claim: a version byte, epoch, fence, and whether it was released.
const KEY: &[u8] = b"owner";

const VERSION: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    epoch: u32,
    fence: u64,
    clean: bool,
}

impl Claim {
    fn bytes(self) -> Vec<u8> {
        let Self { epoch, fence, clean } = self;
        [&[VERSION][..], &epoch.to_be_bytes(), &fence.to_be_bytes(), &[u8::from(clean)]].concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let ([VERSION], bytes) = bytes.split_first_chunk()? else { return None };
        let (epoch, bytes) = bytes.split_first_chunk()?;
        let (fence, bytes) = bytes.split_first_chunk()?;
        let clean = match bytes {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        Some(Self { epoch: u32::from_be_bytes(*epoch), fence: u64::from_be_bytes(*fence), clean })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        Append,
        folder::Folder,
        memory::MemoryStore,
        redb::{Options, RedbStore},
    };

    fn by_lock(store: Arc<dyn Store>) -> ByLock<()> {
        ByLock::new(store, ())
    }

    fn shown(owned: Owned) -> String {
        let Owned { shard, epoch, fence, clean } = owned;
        format!("shard {shard} epoch {epoch} fence {fence} {}", if clean { "clean" } else { "unclean" })
    }

    #[test]
    fn each_claim_has_the_next_epoch_and_says_whether_the_one_before_ended_in_order() {
        let ownership = by_lock(Arc::new(MemoryStore::default()));
        let mut lines = Vec::new();
        // The host of the second claim is killed.
        for released in [true, false, true, true] {
            let owned = ownership.claim().unwrap();
            lines.push(shown(owned));
            if released {
                ownership.release(&owned).unwrap();
            }
        }
        expect_test::expect![[r#"
            shard 0 epoch 1 fence 1 clean
            shard 0 epoch 2 fence 3 clean
            shard 0 epoch 3 fence 4 unclean
            shard 0 epoch 4 fence 6 clean"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn an_owner_whose_shard_was_taken_cannot_release_it() {
        let ownership = by_lock(Arc::new(MemoryStore::default()));
        let first = ownership.claim().unwrap();
        let second = ownership.claim().unwrap();
        assert!(matches!(ownership.release(&first), Err(StoreError::Fenced(_))));
        ownership.release(&second).unwrap();
        // Nor can it release it twice.
        assert!(matches!(ownership.release(&second), Err(StoreError::Fenced(_))));
        assert!(ownership.claim().unwrap().clean);
    }

    #[test]
    fn a_claim_outlives_the_host_that_made_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        for epoch in 1..=3 {
            let folder = Folder::open(&path).unwrap();
            let store: Arc<RedbStore> = Arc::new(folder.open_store(&Options::default()).unwrap().store);
            let owned = ByLock::new(store, folder).claim().unwrap();
            assert_eq!((owned.epoch, owned.clean), (epoch, epoch == 1));
        }
    }

    /// An epoch that began again at 1 would name two hosts: the records of the one would pass for the other's.
    #[test]
    fn a_lost_or_damaged_claim_is_not_taken_for_the_first() {
        let store = Arc::new(MemoryStore::default());
        let append = Append { stream: 1, first_version: 1, first_position: 1, records: vec!["record".into()] };
        store.commit(&[Batch { appends: vec![append], rows: Vec::new() }]).unwrap();
        let ownership = by_lock(Arc::clone(&store) as Arc<dyn Store>);
        assert!(matches!(ownership.claim(), Err(StoreError::Corrupt(_))));
        for bytes in [&b""[..], &[1], &[2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0], &[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2]] {
            let row = RowChange::put(Table::Meta, KEY, bytes.to_vec());
            store.commit(&[Batch { appends: Vec::new(), rows: vec![row] }]).unwrap();
            assert!(matches!(ownership.claim(), Err(StoreError::Corrupt(_))), "{bytes:?}");
        }
    }
}

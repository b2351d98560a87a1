//! UmaDB: storage alone. The server remembers states, and appends on the condition that nothing about the account came since.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::StreamExt;
use sqlx::postgres::PgPool;
use umadb_client::AsyncUmaDbClient;
use umadb_dcb::{DcbAppendCondition, DcbError, DcbEvent, DcbEventStoreAsync, DcbQuery, DcbQueryItem};

use super::Tried;
use super::views::{self, Batch, report};
use crate::bank::{self, ACCOUNTS, Account, Deposit, Deposited};

pub struct Uma {
    client: AsyncUmaDbClient,
    /// The state, which counts its events, and the position of the last one.
    remembered: Mutex<HashMap<String, (Account, Option<u64>)>>,
}

fn event(id: &str, event: &Deposited) -> Result<DcbEvent> {
    Ok(DcbEvent::new().event_type("deposited").tags([format!("account:{id}")]).data(serde_json::to_vec(event)?))
}

fn about(id: &str) -> DcbQuery {
    DcbQuery::new().item(DcbQueryItem::new().tags([format!("account:{id}")]))
}

impl Uma {
    pub async fn connect(at: &str) -> Result<Self> {
        let client = AsyncUmaDbClient::connect(at.to_owned(), None, None, None).await?;
        Ok(Self { client, remembered: Mutex::default() })
    }

    /// One account after the other, as Amends and the other peer have it.
    pub async fn fill(&self, events: u64) -> Result<()> {
        let all: Vec<(u64, u64)> = (0..ACCOUNTS).flat_map(|account| (0..events).map(move |number| (account, number))).collect();
        for batch in all.chunks(1_000) {
            let batch = batch.iter().map(|(account, number)| {
                let (cents, day) = bank::loaded(*account, *number);
                let reference = format!("load-{account:08}-{number:08}-{}", bank::WORDS);
                event(&bank::id(*account), &Deposited { cents, reference, day })
            });
            self.client.append(batch.collect::<Result<_>>()?, None, None).await?;
        }
        Ok(())
    }

    pub async fn deposit(&self, id: &str, command: Deposit) -> Result<Tried> {
        let known = self.remembered.lock().unwrap_or_else(|broken| broken.into_inner()).get(id).cloned();
        let (mut account, after) = match known {
            Some(known) => known,
            None => self.read(id, Account::default(), None).await?,
        };
        let Ok(decided) = bank::decide(&account, command) else { return Ok(Tried::Refused) };
        let condition = DcbAppendCondition::new(about(id)).after(after);
        match self.client.append(vec![event(id, &decided)?], Some(condition), None).await {
            Ok(position) => {
                account.take(&decided);
                let revision = account.movements;
                self.remember(id, account, Some(position));
                Ok(Tried::Done(revision, position))
            }
            Err(DcbError::IntegrityError(_)) => {
                let (account, after) = self.read(id, account, after).await?;
                self.remember(id, account, after);
                Ok(Tried::Conflict)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn remember(&self, id: &str, account: Account, position: Option<u64>) {
        let mut remembered = self.remembered.lock().unwrap_or_else(|broken| broken.into_inner());
        let is_newer = remembered.get(id).is_none_or(|(known, _)| known.movements < account.movements);
        if is_newer {
            remembered.insert(id.to_owned(), (account, position));
        }
    }

    /// Takes what came behind a position.
    async fn read(&self, id: &str, mut account: Account, mut after: Option<u64>) -> Result<(Account, Option<u64>)> {
        let mut found = self.client.read(Some(about(id)), after.map(|after| after + 1), false, None).await?;
        while let Some(event) = found.next().await {
            let event = event?;
            account.take(&serde_json::from_slice(&event.event.data)?);
            after = Some(event.position);
        }
        Ok((account, after))
    }

    pub async fn show(&self, id: &str) -> Result<(u64, Account)> {
        let (account, _) = self.read(id, Account::default(), None).await?;
        Ok((account.movements, account))
    }

    /// Reads all, and writes to tables of PostgreSQL.
    pub async fn views(&self, pool: PgPool, time: Duration) -> Result<()> {
        views::tables(&pool).await?;
        let (began, mut taken, mut batch) = (Instant::now(), 0, Batch::default());
        let mut events = self.client.read(None, None, false, None).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            let account = event.event.tags.first().and_then(|tag| tag.strip_prefix("account:")).unwrap_or_default();
            batch.take(account, &serde_json::from_slice(&event.event.data)?);
            taken += 1;
            if taken % 1_000 == 0 {
                std::mem::take(&mut batch).write(&pool, event.position).await?;
            }
            if began.elapsed() > time {
                break;
            }
        }
        report("umadb", taken, began.elapsed());
        if taken == ACCOUNTS * 100 { views::check(&pool, 100).await } else { Ok(()) }
    }
}

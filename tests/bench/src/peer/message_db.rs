//! message-db: its functions in PostgreSQL. The server remembers states and reads what came since.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::Row;
use sqlx::postgres::PgPool;

use super::views::{self, Batch, report};
use super::{Tried, settled};
use crate::bank::{self, ACCOUNTS, Account, Deposit, Deposited};

/// Events of one read of a category, as in the sketch.
const BATCH: i64 = 1_000;

pub struct MessageDb {
    pool: PgPool,
    categories: u64,
    /// The state, and the version of the stream, -1 without an event. All 10,000 fit.
    remembered: Mutex<HashMap<String, (Account, i64)>>,
}

impl MessageDb {
    pub fn new(pool: PgPool, categories: u64) -> Self {
        Self { pool, categories, remembered: Mutex::default() }
    }

    /// `account-A00001`, or `account17-A00001` with 64 categories.
    fn stream(&self, id: &str) -> String {
        let number: u64 = id.trim_start_matches('A').parse().unwrap_or_default();
        match self.categories {
            1 => format!("account-{id}"),
            many => format!("account{}-{id}", number % many),
        }
    }

    pub async fn fill(&self, events: u64) -> Result<()> {
        let category = match self.categories {
            1 => "'account-'".to_owned(),
            many => format!("'account' || a % {many} || '-'"),
        };
        let insert = format!(
            "INSERT INTO message_store.messages (stream_name, position, type, data)
             SELECT {category} || 'A' || lpad(a::text, 5, '0'), n, 'deposited', jsonb_build_object('cents', 1 + (a * 31 + n * 7) % 1000,
                'ref', 'load-' || lpad(a::text, 8, '0') || '-' || lpad(n::text, 8, '0') || '-' || $1, 'day', (a + n) % 365)
             FROM generate_series(0, $2) n, generate_series(0, $3) a ORDER BY a, n"
        );
        let accounts = ACCOUNTS as i64 - 1;
        sqlx::query(&insert).bind(bank::WORDS).bind(events as i64 - 1).bind(accounts).execute(&self.pool).await?;
        settled(&self.pool).await
    }

    pub async fn deposit(&self, id: &str, command: Deposit) -> Result<Tried> {
        let stream = self.stream(id);
        let known = self.remembered.lock().unwrap_or_else(|broken| broken.into_inner()).get(&stream).cloned();
        let (mut account, mut version) = known.unwrap_or((Account::default(), -1));
        version = self.read(&stream, &mut account, version).await?;
        let Ok(event) = bank::decide(&account, command) else { return Ok(Tried::Refused) };
        let write = "SELECT message_store.write_message(gen_random_uuid()::varchar, $1, 'deposited', $2, NULL, $3)";
        let written = sqlx::query_scalar::<_, i64>(write).bind(&stream).bind(serde_json::to_value(&event)?).bind(version);
        match written.fetch_one(&self.pool).await {
            Ok(position) => {
                account.take(&event);
                let mut remembered = self.remembered.lock().unwrap_or_else(|broken| broken.into_inner());
                let is_newer = remembered.get(&stream).is_none_or(|(_, known)| *known < position);
                if is_newer {
                    remembered.insert(stream, (account, position));
                }
                Ok(Tried::Done(position as u64 + 1, 0))
            }
            Err(error) if error.to_string().contains("Wrong expected version") => Ok(Tried::Conflict),
            Err(error) => Err(error.into()),
        }
    }

    /// The events behind `version`, and the version of the last one.
    async fn read(&self, stream: &str, account: &mut Account, mut version: i64) -> Result<i64> {
        let query = "SELECT position, data FROM message_store.get_stream_messages($1, $2, -1)";
        for row in sqlx::query(query).bind(stream).bind(version + 1).fetch_all(&self.pool).await? {
            account.take(&serde_json::from_str(row.get("data"))?);
            version = row.get("position");
        }
        Ok(version)
    }

    pub async fn show(&self, id: &str) -> Result<(u64, Account)> {
        let mut account = Account::default();
        let version = self.read(&self.stream(id), &mut account, -1).await?;
        Ok((version as u64 + 1, account))
    }

    /// A consumer of the category.
    pub async fn views(&self, time: Duration) -> Result<()> {
        views::tables(&self.pool).await?;
        let (began, mut taken, mut position) = (Instant::now(), 0, 0_i64);
        let query = "SELECT stream_name, global_position, data FROM message_store.get_category_messages('account', $1, $2)";
        while began.elapsed() < time {
            let rows = sqlx::query(query).bind(position + 1).bind(BATCH).fetch_all(&self.pool).await?;
            let Some(last) = rows.last() else { break };
            position = last.get("global_position");
            taken += rows.len() as u64;
            let mut batch = Batch::default();
            for row in &rows {
                let stream: &str = row.get("stream_name");
                let event: Deposited = serde_json::from_str(row.get("data"))?;
                batch.take(stream.split_once('-').map_or(stream, |(_, id)| id), &event);
            }
            batch.write(&self.pool, position as u64).await?;
        }
        report("message-db", taken, began.elapsed());
        if taken == ACCOUNTS * 100 { views::check(&self.pool, 100).await } else { Ok(()) }
    }
}

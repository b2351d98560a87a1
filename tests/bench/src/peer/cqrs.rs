//! cqrs-es with postgres-es: its framework, with a snapshot every 100 events.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use async_trait::async_trait;
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{GenericQuery, QueryReplay};
use cqrs_es::{Aggregate, AggregateError, DomainEvent, EventEnvelope, Query, View};
use postgres_es::{PostgresCqrs, PostgresEventRepository, PostgresViewRepository, postgres_snapshot_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgPool;

use super::views::{Day, report};
use super::{Tried, settled};
use crate::bank::{self, Account, Deposit, Deposited};

const SNAPSHOT_EVERY: usize = 100;

tokio::task_local! {
    /// `execute` does not say which sequence its event got; its query hears of it.
    static REVISION: Cell<u64>;
}

impl DomainEvent for Deposited {
    fn event_type(&self) -> String {
        "deposited".into()
    }

    fn event_version(&self) -> String {
        "1".into()
    }
}

#[derive(Debug)]
pub struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a deposit is more than 0 cents")
    }
}

impl std::error::Error for Refused {}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = Deposit;
    type Event = Deposited;
    type Error = Refused;
    type Services = ();

    async fn handle(&mut self, command: Deposit, (): &(), sink: &EventSink<Self>) -> Result<(), Refused> {
        let event = bank::decide(self, command).map_err(|_| Refused)?;
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: Deposited) {
        self.take(&event);
    }
}

struct Heard;

#[async_trait]
impl Query<Account> for Heard {
    async fn dispatch(&self, _: &str, events: &[EventEnvelope<Account>]) {
        let last = events.last().map_or(0, |event| event.sequence as u64);
        let _outside_of_a_command = REVISION.try_with(|revision| revision.set(last));
    }
}

pub struct Cqrs {
    framework: PostgresCqrs<Account>,
    pool: PgPool,
}

impl Cqrs {
    pub fn new(pool: PgPool) -> Self {
        Self { framework: postgres_snapshot_cqrs(pool.clone(), vec![Box::new(Heard)], SNAPSHOT_EVERY, ()), pool }
    }

    /// The tables as in the documentation of postgres-es, and the events.
    pub async fn fill(&self, events: u64) -> Result<()> {
        let tables = "CREATE TABLE events (aggregate_type text NOT NULL, aggregate_id text NOT NULL,
                sequence bigint CHECK (sequence >= 0) NOT NULL, event_type text NOT NULL, event_version text NOT NULL,
                payload json NOT NULL, metadata json NOT NULL, PRIMARY KEY (aggregate_type, aggregate_id, sequence));
            CREATE TABLE snapshots (aggregate_type text NOT NULL, aggregate_id text NOT NULL,
                last_sequence bigint CHECK (last_sequence >= 0) NOT NULL,
                current_snapshot bigint CHECK (current_snapshot >= 0) NOT NULL, payload json NOT NULL,
                PRIMARY KEY (aggregate_type, aggregate_id, last_sequence));
            CREATE TABLE accounts (view_id text NOT NULL, version bigint CHECK (version >= 0) NOT NULL, payload json NOT NULL,
                PRIMARY KEY (view_id));
            CREATE TABLE days (view_id text NOT NULL, version bigint CHECK (version >= 0) NOT NULL, payload json NOT NULL,
                PRIMARY KEY (view_id));";
        sqlx::raw_sql(tables).execute(&self.pool).await?;
        let insert = "INSERT INTO events SELECT 'account', 'A' || lpad(a::text, 5, '0'), n + 1, 'deposited', '1',
                json_build_object('cents', 1 + (a * 31 + n * 7) % 1000, 'ref', 'load-' || lpad(a::text, 8, '0') || '-'
                || lpad(n::text, 8, '0') || '-' || $1, 'day', (a + n) % 365), '{}'
            FROM generate_series(0, $2) n, generate_series(0, $3) a";
        let accounts = bank::ACCOUNTS as i64 - 1;
        sqlx::query(insert).bind(bank::WORDS).bind(events as i64 - 1).bind(accounts).execute(&self.pool).await?;
        settled(&self.pool).await
    }

    pub async fn deposit(&self, id: &str, command: Deposit) -> Result<Tried> {
        let executed = REVISION.scope(Cell::new(0), async {
            let executed = self.framework.execute(id, command).await;
            executed.map(|()| REVISION.with(Cell::get))
        });
        match executed.await {
            Ok(revision) => Ok(Tried::Done(revision, 0)),
            Err(AggregateError::AggregateConflict) => Ok(Tried::Conflict),
            Err(AggregateError::UserError(Refused)) => Ok(Tried::Refused),
            Err(error) => bail!("{error}"),
        }
    }

    pub async fn show(&self, id: &str) -> Result<(u64, Account)> {
        let query =
            "SELECT sequence, payload FROM events WHERE aggregate_type = 'account' AND aggregate_id = $1 ORDER BY sequence";
        let (mut account, mut last) = (Account::default(), 0);
        for row in sqlx::query(query).bind(id).fetch_all(&self.pool).await? {
            account.take(&serde_json::from_value(row.get("payload"))?);
            last = row.get::<i64, _>("sequence") as u64;
        }
        Ok((last, account))
    }

    /// `QueryReplay` into the view tables: a generic query for each view, as in the library's guide.
    pub async fn views(&self, time: Duration) -> Result<()> {
        let taken = Arc::new(AtomicU64::new(0));
        let both = Both {
            accounts: GenericQuery::new(Arc::new(PostgresViewRepository::new("accounts", self.pool.clone()))),
            days: GenericQuery::new(Arc::new(PostgresViewRepository::new("days", self.pool.clone()))),
            taken: taken.clone(),
        };
        let replay = QueryReplay::new(PostgresEventRepository::new(self.pool.clone()), both);
        let began = Instant::now();
        if let Ok(ended) = tokio::time::timeout(time, replay.replay_all()).await {
            ended?;
        }
        report("cqrs-es", taken.load(Ordering::Relaxed), began.elapsed());
        Ok(())
    }
}

/// A row of the view of the accounts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Row1 {
    balance_cents: i64,
    movements: u64,
}

impl View<Account> for Row1 {
    fn update(&mut self, event: &EventEnvelope<Account>) {
        self.balance_cents += event.payload.cents;
        self.movements += 1;
    }
}

impl View<Account> for Day {
    fn update(&mut self, event: &EventEnvelope<Account>) {
        self.cents += event.payload.cents;
        self.movements += 1;
    }
}

type Of<V> = GenericQuery<PostgresViewRepository<V, Account>, V, Account>;

struct Both {
    accounts: Of<Row1>,
    days: Of<Day>,
    taken: Arc<AtomicU64>,
}

#[async_trait]
impl Query<Account> for Both {
    async fn dispatch(&self, account: &str, events: &[EventEnvelope<Account>]) {
        self.accounts.dispatch(account, events).await;
        for event in events {
            self.days.dispatch(&format!("{:03}", event.payload.day), std::slice::from_ref(event)).await;
        }
        self.taken.fetch_add(events.len() as u64, Ordering::Relaxed);
    }
}

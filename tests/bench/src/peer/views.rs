//! The two views of a peer in tables of PostgreSQL.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPool;

use crate::bank::{self, ACCOUNTS, DAYS, Deposited};

/// A row of the view of the days.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Day {
    pub cents: i64,
    pub movements: u64,
}

pub fn report(name: &str, events: u64, took: Duration) {
    let total = ACCOUNTS * 100;
    let part = if events < total { format!(" (stopped after {events} events)") } else { String::new() };
    println!("| {name} | both views | {:.1} | {:.0} |{part}", took.as_secs_f64(), events as f64 / took.as_secs_f64());
}

/// What a batch adds to the rows of both views.
#[derive(Default)]
pub struct Batch {
    accounts: BTreeMap<String, (i64, i64)>,
    days: BTreeMap<String, (i64, i64)>,
}

impl Batch {
    pub fn take(&mut self, account: &str, event: &Deposited) {
        for (rows, key) in [(&mut self.accounts, account.to_owned()), (&mut self.days, format!("{:03}", event.day))] {
            let (cents, movements) = rows.entry(key).or_default();
            *cents += event.cents;
            *movements += 1;
        }
    }

    /// Writes the rows and how far the views have read, in one transaction.
    pub async fn write(self, pool: &PgPool, position: u64) -> Result<()> {
        let mut transaction = pool.begin().await?;
        for (table, rows) in [("view_accounts", self.accounts), ("view_days", self.days)] {
            let upsert = format!(
                "INSERT INTO {table} AS old SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
                 ON CONFLICT (key) DO UPDATE SET cents = old.cents + excluded.cents, movements = old.movements + excluded.movements"
            );
            let keys: Vec<&String> = rows.keys().collect();
            let (cents, movements): (Vec<i64>, Vec<i64>) = rows.values().copied().unzip();
            sqlx::query(&upsert).bind(keys).bind(cents).bind(movements).execute(&mut *transaction).await?;
        }
        sqlx::query("UPDATE view_position SET position = $1").bind(position as i64).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }
}

pub async fn tables(pool: &PgPool) -> Result<()> {
    let tables = "CREATE TABLE view_accounts (key text PRIMARY KEY, cents bigint NOT NULL, movements bigint NOT NULL);
        CREATE TABLE view_days (key text PRIMARY KEY, cents bigint NOT NULL, movements bigint NOT NULL);
        CREATE TABLE view_position (position bigint NOT NULL);
        INSERT INTO view_position VALUES (0);";
    sqlx::raw_sql(tables).execute(pool).await?;
    Ok(())
}

/// The rows are those of a plain loop.
pub async fn check(pool: &PgPool, events: u64) -> Result<()> {
    let mut days = vec![(0_i64, 0_i64); DAYS as usize];
    for account in 0..ACCOUNTS {
        for number in 0..events {
            let (cents, day) = bank::loaded(account, number);
            days[day as usize].0 += cents;
            days[day as usize].1 += 1;
        }
    }
    let rows: Vec<(String, i64, i64)> =
        sqlx::query_as("SELECT key, cents, movements FROM view_days ORDER BY key").fetch_all(pool).await?;
    let wanted = days.into_iter().enumerate().map(|(day, (cents, movements))| (format!("{day:03}"), cents, movements));
    ensure!(rows.into_iter().eq(wanted), "the days are not those of a plain loop");
    let rows: Vec<(String, i64, i64)> =
        sqlx::query_as("SELECT key, cents, movements FROM view_accounts ORDER BY key").fetch_all(pool).await?;
    let wanted = (0..ACCOUNTS).map(|account| (bank::id(account), bank::filled(account, events), events as i64));
    ensure!(rows.into_iter().eq(wanted), "the accounts are not those of a plain loop");
    Ok(())
}

//! The schema: numbered migrations, each applied once, in order, whole or not at all.
//!
//! A database that is newer than this program, or that was changed by other migrations than ours, is
//! refused.

use super::{Database, DatabaseError};
use sha2::{Digest as _, Sha256};

/// One step of the schema.
#[derive(Debug)]
pub struct Migration {
    /// Its number, from 1 without gaps.
    pub version: i32,
    /// What it brings.
    pub name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "runs",
        sql: include_str!("migrations/0001_runs.sql"),
    },
    Migration {
        version: 2,
        name: "gpu_results",
        sql: include_str!("migrations/0002_gpu_results.sql"),
    },
    Migration {
        version: 3,
        name: "steps",
        sql: include_str!("migrations/0003_steps.sql"),
    },
];

/// Grants; applied after every migration, because roles may be made later.
const ROLES: &str = include_str!("migrations/roles.sql");

/// Two programs that migrate at once do it one after the other.
const LOCK: i64 = 0x6265_6e63_6831;

impl Migration {
    /// All of them, in order.
    pub fn all() -> &'static [Self] {
        MIGRATIONS
    }

    /// SHA-256 of its text.
    pub fn checksum(&self) -> String {
        let digest = Sha256::digest(self.sql.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What there is and what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaState {
    /// The version of the database; 0 for none.
    pub version: i32,
    /// The version that this program needs.
    pub wanted: i32,
}

impl SchemaState {
    /// Whether nothing is missing.
    pub fn is_current(self) -> bool {
        self.version == self.wanted
    }
}

impl Database {
    /// The state of the schema.
    ///
    /// # Errors
    /// When the database is newer than this program, or was changed by other migrations.
    pub async fn schema_state(&self) -> Result<SchemaState, DatabaseError> {
        let wanted = MIGRATIONS.last().map_or(0, |last| last.version);
        let of = |error: tokio_postgres::Error| self.error(&error);
        let exists: bool = self
            .client
            .query_one(
                "select to_regclass('bench.schema_migration') is not null",
                &[],
            )
            .await
            .map_err(of)?
            .get(0);
        if !exists {
            return Ok(SchemaState { version: 0, wanted });
        }
        let rows = self
            .client
            .query(
                "select version, name, sha256 from bench.schema_migration order by version",
                &[],
            )
            .await
            .map_err(of)?;
        let refuse = |reason: String| DatabaseError::new(&self.address, reason);
        for (row, expected) in rows.iter().zip(1..) {
            let (version, name, sha256): (i32, String, String) =
                (row.get(0), row.get(1), row.get(2));
            if version > wanted {
                return Err(refuse(format!(
                    "its schema has version {version}, and this bench knows up to {wanted}: use a \
                     newer bench"
                )));
            }
            let own = MIGRATIONS.iter().find(|own| own.version == version);
            if version != expected || own.is_none_or(|own| own.checksum() != sha256) {
                return Err(refuse(format!(
                    "its migration {version} `{name}` is not that of this bench: it was made by \
                     another version, or changed by hand"
                )));
            }
        }
        let version = i32::try_from(rows.len()).unwrap_or(i32::MAX);
        Ok(SchemaState { version, wanted })
    }

    /// Brings the schema to the version that this program needs. Returns what was applied.
    ///
    /// # Errors
    /// When the database is refused, or a step fails; the steps before it stay.
    pub async fn migrate(&mut self) -> Result<Vec<&'static Migration>, DatabaseError> {
        self.migrate_to(i32::MAX).await
    }

    /// Like [`Self::migrate`], but no further than a version.
    ///
    /// # Errors
    /// The same.
    pub async fn migrate_to(
        &mut self,
        last: i32,
    ) -> Result<Vec<&'static Migration>, DatabaseError> {
        self.run(&format!("select pg_advisory_lock({LOCK})"))
            .await?;
        let migrated = self.migrate_locked(last).await;
        // If this fails the connection is gone, and the lock with it.
        let _ = self
            .run(&format!("select pg_advisory_unlock({LOCK})"))
            .await;
        migrated
    }

    async fn migrate_locked(
        &mut self,
        last: i32,
    ) -> Result<Vec<&'static Migration>, DatabaseError> {
        let state = self.schema_state().await?;
        if state.version == 0 {
            self.run(
                "create schema if not exists bench; \
                 create table if not exists bench.schema_migration ( \
                     version integer primary key, \
                     name text not null, \
                     sha256 text not null, \
                     applied_at timestamptz not null default clock_timestamp())",
            )
            .await?;
        }
        let mut applied = Vec::new();
        for step in MIGRATIONS {
            if step.version <= state.version || step.version > last {
                continue;
            }
            // Names and checksums are ours: nothing in them needs quoting.
            self.run(&format!(
                "begin; {} insert into bench.schema_migration (version, name, sha256) \
                 values ({}, '{}', '{}'); commit",
                step.sql,
                step.version,
                step.name,
                step.checksum()
            ))
            .await?;
            applied.push(step);
        }
        if self.schema_state().await?.is_current() {
            self.run(ROLES).await?;
        }
        Ok(applied)
    }

    async fn run(&self, sql: &str) -> Result<(), DatabaseError> {
        let result = self.client.batch_execute(sql).await;
        if result.is_err() {
            // A step that failed has left its transaction open.
            let _ = self.client.batch_execute("rollback").await;
        }
        result.map_err(|error| self.error(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_no_gaps_and_texts_end_whole() {
        for (step, expected) in MIGRATIONS.iter().zip(1..) {
            assert_eq!(step.version, expected);
            assert!(step.sql.trim_end().ends_with(';'), "{}", step.name);
        }
    }
}

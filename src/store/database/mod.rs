//! PostgreSQL: the history that a team shares.
//!
//! The run folders are the spool: what does not reach the database stays where it is and is pushed
//! again. Nothing here can change a verdict.

mod address;
mod migrate;
mod push;
mod read;
mod shipment;
mod spool;
mod tls;

pub use address::Address;
pub use migrate::{Migration, SchemaState};
pub use push::Pushed;
pub use read::Wanted;
pub use shipment::{Shipment, decode_series};
pub use spool::Spool;

use address::Encryption;
use std::error::Error as _;
use std::future::Future;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

/// Why a database did not do what it was asked, in words; no password is in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address}: {reason}")]
pub struct DatabaseError {
    /// Which database.
    pub address: String,
    /// What happened.
    pub reason: String,
    /// Whether another run may fare better: it is this run that was refused, not all of them.
    pub concerns_run: bool,
}

impl DatabaseError {
    fn new(address: &Address, reason: impl Into<String>) -> Self {
        Self {
            address: address.to_string(),
            reason: reason.into(),
            concerns_run: false,
        }
    }

    fn of(address: &Address, error: &tokio_postgres::Error) -> Self {
        Self::new(address, words(error))
    }
}

/// What an error means for somebody who wants to push a run.
fn words(error: &tokio_postgres::Error) -> String {
    let Some(refused) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            text.push_str(&format!(": {inner}"));
            cause = inner.source();
        }
        return text;
    };
    let message = refused.message();
    match refused.code() {
        &SqlState::READ_ONLY_SQL_TRANSACTION => format!("it is read-only ({message})"),
        &SqlState::DISK_FULL => format!("its disk is full ({message})"),
        &SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME => {
            "it has no tables of bench: `bench db migrate` makes them".to_owned()
        }
        &SqlState::UNDEFINED_COLUMN => {
            format!("its tables are older than this bench ({message}): run `bench db migrate`")
        }
        &SqlState::QUERY_CANCELED | &SqlState::LOCK_NOT_AVAILABLE => {
            format!("it is too slow ({message})")
        }
        code => format!("{message} ({})", code.code()),
    }
}

/// A connection to a database.
pub struct Database {
    client: Client,
    address: Address,
}

impl Database {
    /// Connects.
    ///
    /// # Errors
    /// When nobody answers in time, or the server refuses.
    pub async fn connect(address: &Address) -> Result<Self, DatabaseError> {
        let of = |error: tokio_postgres::Error| DatabaseError::of(address, &error);
        let client = match &address.encryption {
            Encryption::Off => {
                let (client, connection) = address.config.connect(NoTls).await.map_err(of)?;
                tokio::spawn(connection);
                client
            }
            Encryption::Verified(roots) => {
                let tls = tls::MakeVerified::new(roots.as_deref())
                    .map_err(|reason| DatabaseError::new(address, reason))?;
                let (client, connection) = address.config.connect(tls).await.map_err(of)?;
                tokio::spawn(connection);
                client
            }
        };
        // A schema named like the user would shadow others through the usual search path.
        client
            .batch_execute(
                "set search_path = pg_catalog; set statement_timeout = '60s'; \
                 set lock_timeout = '20s'; set idle_in_transaction_session_timeout = '60s'",
            )
            .await
            .map_err(of)?;
        Ok(Self {
            client,
            address: address.clone(),
        })
    }

    /// Connects, and makes sure that the schema is the one that this program knows.
    ///
    /// # Errors
    /// When nobody answers in time, the server refuses, or the schema is older or newer.
    pub async fn open(address: &Address) -> Result<Self, DatabaseError> {
        let database = Self::connect(address).await?;
        let state = database.schema_state().await?;
        if state.version == 0 {
            return Err(DatabaseError::new(
                address,
                "it has no tables of bench: `bench db migrate` makes them",
            ));
        }
        if !state.is_current() {
            return Err(DatabaseError::new(
                address,
                format!(
                    "its schema has version {}, and this bench needs {}: run `bench db migrate`",
                    state.version, state.wanted
                ),
            ));
        }
        Ok(database)
    }

    fn error(&self, error: &tokio_postgres::Error) -> DatabaseError {
        DatabaseError::of(&self.address, error)
    }
}

/// Gives up on work with a database after a while.
///
/// # Errors
/// Those of the work, and that it took too long.
pub async fn within<T>(
    limit: Duration,
    address: &Address,
    work: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(DatabaseError::new(
            address,
            format!("no answer within {}", crate::units::duration(limit)),
        ))
    })
}

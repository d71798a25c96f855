//! The arguments about the database that a team shares.

use crate::commands::{CommandError, PushWhat};
use crate::store::Address;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Which database.
#[derive(Debug, Args)]
pub(super) struct DatabaseArgs {
    /// PostgreSQL database for runs: `postgresql://user@host/database`.
    #[arg(
        long,
        value_name = "URL",
        env = "BENCH_DATABASE_URL",
        hide_env_values = true
    )]
    database_url: Option<String>,
}

impl DatabaseArgs {
    /// The database, if one is named. It is not read by clap, which would show a password in its error.
    pub(super) fn address(&self) -> Result<Option<Address>, CommandError> {
        self.database_url
            .as_deref()
            .filter(|url| !url.is_empty())
            .map(Address::parse)
            .transpose()
            .map_err(|error| {
                CommandError::setup(error, "it is --database-url, or BENCH_DATABASE_URL")
            })
    }

    /// The database, without which there is nothing to do.
    pub(super) fn required(&self) -> Result<Address, CommandError> {
        self.address()?.ok_or_else(|| {
            CommandError::setup(
                "no database is named",
                "name it with --database-url or BENCH_DATABASE_URL",
            )
        })
    }
}

/// Arguments of `bench push`.
#[derive(Debug, Args)]
pub(super) struct PushArgs {
    /// The runs: folders, ids or the beginnings of them, `last` or `last-pass`.
    #[arg(value_name = "RUN", required_unless_present = "all")]
    runs: Vec<String>,
    /// All runs that have not been sent to this database.
    #[arg(long, conflicts_with = "runs")]
    all: bool,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// Folder with the folders of runs.
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    pub(super) results: PathBuf,
}

impl PushArgs {
    pub(super) fn what(&self) -> PushWhat {
        if self.all {
            PushWhat::All
        } else {
            PushWhat::Runs(self.runs.clone())
        }
    }
}

/// Arguments of `bench db`.
#[derive(Debug, Args)]
pub(super) struct DbArgs {
    #[command(subcommand)]
    pub(super) command: DbCommand,
}

/// What is done to a database.
#[derive(Debug, Subcommand)]
pub(super) enum DbCommand {
    /// Make its tables, or bring them up to date.
    Migrate(DatabaseArgs),
    /// Say which version its tables have.
    Status(DatabaseArgs),
}

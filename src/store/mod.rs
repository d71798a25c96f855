//! The only writer of run folders and journals.
//!
//! A journal is appended to while the run goes on, one entry a line, so that a run that is killed
//! loses at most the line it was writing. Views are written whole, under another name first.

mod baselines;
mod calibration;
mod database;
mod folder;
mod journal;
mod prune;
mod runs;
mod suites;

pub use baselines::{Baseline, Baselines};
pub use calibration::{load_calibration, save_calibration};
pub use database::{
    Address, Database, DatabaseError, Migration, Pushed, SchemaState, Shipment, Spool, Wanted,
    decode_series, within,
};
pub use folder::{Making, RunFolder, StoreError, append_file, new_run_id, write_file};
pub use journal::{JournalReader, JournalWriter, is_being_written, read_journal};
pub use prune::{Decision, Rules, decide};
pub use runs::{StoredRun, StoredRuns, comparable_passes, merged, read_record, summary_of};
pub use suites::{read_suite, read_suite_file, suites_newest_first};

//! Reads `[history]`: where runs go when they are over.

use super::decode::{Context, Table};
use super::expand::Text;
use std::ops::Range;

/// The URL of the database that gets the runs of this scenario. One that is written out may hold a
/// password, and is blanked in every record.
pub(super) fn read_history(
    cx: &mut Context<'_>,
    mut table: Table<'_>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> Option<Text> {
    let database = table.text(cx, "database");
    table.finish(cx);
    if let Some(text) = &database
        && !text.from_outside
    {
        literal_secrets.push(text.span.clone());
    }
    database.filter(|text| !text.value.is_empty())
}

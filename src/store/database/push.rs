//! Sends a run: one transaction, whole or not at all, and any number of times the same.

use super::shipment::{PhaseRow, Shipment, bigint};
use super::{Database, DatabaseError};
use crate::verdict::Verdict;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Transaction};

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It was sent.
    Sent,
    /// It was there already, the same to the last bit.
    AlreadyThere,
}

impl Database {
    /// Sends a run, unless it is there.
    ///
    /// # Errors
    /// When the database cannot take it, or has another run with this id. Nothing of it is there then.
    pub async fn push(&mut self, shipment: &Shipment) -> Result<Pushed, DatabaseError> {
        let address = self.address.clone();
        let of = |error: Error| DatabaseError::of(&address, &error);
        let transaction = self.client.transaction().await.map_err(of)?;
        if insert_run(&transaction, shipment).await.map_err(of)? == 0 {
            let there = transaction
                .query_one(
                    "select digest from bench.run where run_id = $1",
                    &[&shipment.id()],
                )
                .await
                .map_err(of)?;
            let digest: Vec<u8> = there.get(0);
            if digest == shipment.digest {
                return Ok(Pushed::AlreadyThere);
            }
            let mut error = DatabaseError::new(
                &address,
                format!(
                    "it has another run with the id `{}`: its journal differs from this one",
                    shipment.id()
                ),
            );
            error.concerns_run = true;
            return Err(error);
        }
        insert_rest(&transaction, shipment).await.map_err(of)?;
        transaction
            .execute(
                "update bench.run set sealed = true where run_id = $1",
                &[&shipment.id()],
            )
            .await
            .map_err(of)?;
        transaction.commit().await.map_err(of)?;
        Ok(Pushed::Sent)
    }
}

async fn insert_run(transaction: &Transaction<'_>, shipment: &Shipment) -> Result<u64, Error> {
    let run = &shipment.summary;
    let facts: Vec<String> = shipment
        .comparable
        .facts
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let verdict = run.verdict.map(Verdict::as_str);
    transaction
        .execute(
            "insert into bench.run (run_id, digest, scenario, started_at, duration_s, verdict, \
             headline, partial, simulated, target, git_branch, git_commit, bench_version, host, \
             environment_key, environment_facts, header, doubts) \
             values ($1, $2, $3, $4::text::timestamptz, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
             $15, to_jsonb($16::text[]), $17::text::jsonb, $18::text::jsonb) \
             on conflict (run_id) do nothing",
            &[
                &run.id,
                &shipment.digest.as_slice(),
                &run.scenario,
                &run.began().to_string(),
                &run.duration_s,
                &verdict,
                &run.headline,
                &run.partial,
                &run.simulated,
                &run.target,
                &run.git_branch,
                &run.git_commit,
                &run.bench_version,
                &run.host,
                &run.environment_key,
                &facts,
                &without_zero(&shipment.header),
                &without_zero(&shipment.doubts),
            ],
        )
        .await
}

/// PostgreSQL's text and JSON know no character zero, which servers may send.
fn without_zero(json: &str) -> String {
    json.replace("\\u0000", "\\ufffd")
}

async fn insert_rest(transaction: &Transaction<'_>, shipment: &Shipment) -> Result<(), Error> {
    let id = shipment.id();
    let phases = &shipment.phases;
    let counts = |index: usize| -> Vec<Option<i64>> {
        let of = |phase: &PhaseRow| phase.counts.map(|counts| counts[index]);
        phases.iter().map(of).collect()
    };
    insert(
        transaction,
        "insert into bench.phase select $1, ordinal - 1, name, load::jsonb, c0, c1, c2, c3, c4, c5, c6, \
         c7 from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], \
         $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]) \
         with ordinality as rows (name, load, c0, c1, c2, c3, c4, c5, c6, c7, ordinal)",
        &[
            &id,
            &column(phases, |phase| phase.name.as_str()),
            &column(phases, |phase| phase.load.as_str()),
            &counts(0),
            &counts(1),
            &counts(2),
            &counts(3),
            &counts(4),
            &counts(5),
            &counts(6),
            &counts(7),
        ],
    )
    .await?;
    let metrics = &shipment.summary.metrics;
    insert(
        transaction,
        "insert into bench.metric select $1, * from unnest($2::text[], $3::text[], $4::float8[], \
         $5::float8[], $6::float8[], $7::bigint[])",
        &[
            &id,
            &column(metrics, |metric| metric.phase.as_str()),
            &column(metrics, |metric| metric.metric.as_str()),
            &column(metrics, |metric| metric.value),
            &column(metrics, |metric| metric.lower),
            &column(metrics, |metric| metric.upper),
            &column(metrics, |metric| bigint(metric.samples)),
        ],
    )
    .await?;
    let histograms = &shipment.histograms;
    insert(
        transaction,
        "insert into bench.histogram select $1, * from unnest($2::text[], $3::text[], $4::text[], \
         $5::bigint[], $6::bigint[], $7::bytea[], $8::boolean[])",
        &[
            &id,
            &column(histograms, |row| row.phase.as_str()),
            &column(histograms, |row| row.request.as_str()),
            &column(histograms, |row| row.kind),
            &column(histograms, |row| row.count),
            &column(histograms, |row| row.overflow),
            &column(histograms, |row| row.v2.as_slice()),
            &column(histograms, |row| row.is_step),
        ],
    )
    .await?;
    insert_gates(transaction, shipment).await?;
    insert_gpu_results(transaction, shipment).await?;
    // A statement for about ten megabytes of blocks: a long run is not held in one message.
    for rows in shipment.series.chunks(100) {
        insert(
            transaction,
            "insert into bench.series_block select $1, source, metric, instance, block, points, \
             'varint-delta-ns+f64le', data from unnest($2::text[], $3::text[], $4::text[], \
             $5::integer[], $6::integer[], $7::bytea[]) \
             as rows (source, metric, instance, block, points, data)",
            &[
                &id,
                &column(rows, |row| row.source.as_str()),
                &column(rows, |row| row.metric.as_str()),
                &column(rows, |row| row.instance.as_str()),
                &column(rows, |row| row.block),
                &column(rows, |row| row.points),
                &column(rows, |row| row.data.as_slice()),
            ],
        )
        .await?;
    }
    Ok(())
}

async fn insert_gates(transaction: &Transaction<'_>, shipment: &Shipment) -> Result<(), Error> {
    let gates = &shipment.gates;
    insert(
        transaction,
        "insert into bench.gate select $1, ordinal - 1, scope, gate, metric, verdict, observed, lower, \
         upper, threshold, samples, reason from unnest($2::text[], $3::text[], $4::text[], \
         $5::text[], $6::float8[], $7::float8[], $8::float8[], $9::float8[], $10::bigint[], \
         $11::text[]) with ordinality as rows (scope, gate, metric, verdict, observed, lower, upper, \
         threshold, samples, reason, ordinal)",
        &[
            &shipment.id(),
            &column(gates, |result| result.gate.scope.to_string()),
            &column(gates, |result| result.gate.text.as_str()),
            &column(gates, |result| result.gate.gate.metric.to_string()),
            &column(gates, |result| result.verdict.as_str()),
            &column(gates, |result| result.observed),
            &column(gates, |result| result.lower),
            &column(gates, |result| result.upper),
            &column(gates, |result| result.gate.gate.limit.value),
            &column(gates, |result| bigint(result.samples)),
            &column(gates, |result| result.reason.as_str()),
        ],
    )
    .await
}

async fn insert_gpu_results(
    transaction: &Transaction<'_>,
    shipment: &Shipment,
) -> Result<(), Error> {
    let results = &shipment.gpu_results;
    insert(
        transaction,
        "insert into bench.gpu_result (run_id, gpu_uuid, gpu_name, test, metric, value, lower, upper, peak) \
         select $1, * from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], \
         $7::float8[], $8::float8[], $9::float8[])",
        &[
            &shipment.id(),
            &column(results, |row| row.uuid.as_str()),
            &column(results, |row| row.name.as_str()),
            &column(results, |row| row.test.as_str()),
            &column(results, |row| row.unit.as_str()),
            &column(results, |row| row.median),
            &column(results, |row| row.q1),
            &column(results, |row| row.q3),
            &column(results, |row| row.peak),
        ],
    )
    .await
}

async fn insert(
    transaction: &Transaction<'_>,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<(), Error> {
    transaction.execute(sql, parameters).await.map(|_| ())
}

fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

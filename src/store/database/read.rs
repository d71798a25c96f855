//! Reads runs: the same summaries as from folders.

use super::{Database, DatabaseError};
use crate::history::{Filter, MergedPhase, Merger, MetricValue, RunSummary, SUMMARY_SCHEMA};
use crate::record::PackedLatencies;
use crate::verdict::Verdict;
use std::collections::BTreeMap;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// Which metrics are wanted beside the facts of each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// None: a list of runs.
    Facts,
    /// One, of one phase or of all, for its trend. Runs that do not have it are left out.
    Metric(&'a str, Option<&'a str>),
    /// All.
    Everything,
}

const COLUMNS: &str = "run_id, scenario, (extract(epoch from started_at) * 1000000)::bigint as began, duration_s, verdict, headline, partial, simulated, \
     target, git_branch, git_commit, bench_version, host, environment_key";

impl Database {
    /// The runs that a filter takes, the newest first.
    ///
    /// # Errors
    /// When the database does not answer as it should.
    pub async fn runs(
        &self,
        filter: &Filter,
        wanted: Wanted<'_>,
    ) -> Result<Vec<RunSummary>, DatabaseError> {
        let verdict = filter.verdict.map(Verdict::as_str);
        let moment = |moment: Option<jiff::Timestamp>| moment.map(|moment| moment.to_string());
        let (since, before) = (moment(filter.since), moment(filter.before));
        let last = i64::try_from(filter.last.unwrap_or(usize::MAX)).unwrap_or(i64::MAX);
        // A trend is sorted as a whole; only a part of the runs must be chosen in their order.
        let is_sorted_later = filter.last.is_none() && matches!(wanted, Wanted::Metric(..));
        let order = if is_sorted_later {
            ""
        } else {
            "order by started_at desc, run_id desc"
        };
        let chosen = format!(
            "select {COLUMNS}, started_at from bench.run where sealed \
             and ($1::text is null or scenario = $1) \
             and ($2::text is null or verdict = $2) \
             and ($3::text is null or position($3 in target) > 0) \
             and ($4::text is null or coalesce(git_branch, '') = $4) \
             and ($5::text is null or starts_with(environment_key, $5)) \
             and ($6::text is null or started_at >= $6::timestamptz) \
             and ($7::text is null or started_at < $7::timestamptz) \
             {order} limit $8"
        );
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![
            &filter.scenario,
            &verdict,
            &filter.target,
            &filter.branch,
            &filter.environment,
            &since,
            &before,
            &last,
        ];
        let of = |error: tokio_postgres::Error| self.error(&error);
        if let Wanted::Metric(name, phase) = &wanted {
            parameters.extend([name as &(dyn ToSql + Sync), phase]);
            return self.trend(&chosen, &parameters).await.map_err(of);
        }
        let rows = self.client.query(&chosen, &parameters).await.map_err(of)?;
        let mut runs: Vec<RunSummary> = rows.iter().map(facts).collect();
        if wanted == Wanted::Facts {
            return Ok(runs);
        }
        let metrics = format!(
            "with chosen as materialized ({chosen}) select run_id, {METRIC} \
             from bench.metric join chosen using (run_id) order by phase, metric"
        );
        let rows = self.client.query(&metrics, &parameters).await.map_err(of)?;
        let mut by_run: BTreeMap<String, Vec<MetricValue>> = BTreeMap::new();
        for row in &rows {
            by_run.entry(row.get(0)).or_default().push(value(row));
        }
        for run in &mut runs {
            run.metrics = by_run.remove(&run.id).unwrap_or_default();
        }
        Ok(runs)
    }

    /// The runs with a metric, in one question: facts of a run come with its values.
    async fn trend(
        &self,
        chosen: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<RunSummary>, tokio_postgres::Error> {
        let sql = format!(
            "with chosen as materialized ({chosen}) select chosen.*, {METRIC} \
             from chosen join bench.metric using (run_id) \
             where metric = $9 and ($10::text is null or phase = $10) \
             order by started_at desc, run_id desc, phase"
        );
        let rows = self.client.query(&sql, parameters).await?;
        let mut runs: Vec<RunSummary> = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: &str = row.get("run_id");
            if runs.last().is_none_or(|run| run.id != id) {
                runs.push(facts(row));
            }
            if let Some(run) = runs.last_mut() {
                run.metrics.push(value(row));
            }
        }
        Ok(runs)
    }

    /// One run by its id, a part with which only one begins, or as `last` or `last-pass`.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub async fn run_named(&self, name: &str) -> Result<RunSummary, DatabaseError> {
        // As in folders, the last run is one of a scenario: only those of the GPU suite have such results.
        const LAST: &str = "$1 = $1 and not exists \
            (select from bench.gpu_result where gpu_result.run_id = run.run_id)";
        let condition = match name {
            "last" => LAST.to_owned(),
            "last-pass" => format!("verdict = 'PASS' and not partial and not simulated and {LAST}"),
            _ => "starts_with(run_id, $1)".to_owned(),
        };
        let sql = format!(
            "select {COLUMNS} from bench.run where sealed and {condition} \
             order by run_id = $1 desc, started_at desc, run_id desc limit 2"
        );
        let rows = self
            .client
            .query(&sql, &[&name])
            .await
            .map_err(|error| self.error(&error))?;
        let found: Vec<RunSummary> = rows.iter().map(facts).collect();
        let refuse = |reason: String| Err(DatabaseError::new(&self.address, reason));
        let run = match &found[..] {
            [] => return refuse(format!("it has no run `{name}`")),
            [one] => one,
            [first, _] if first.id == name || name.starts_with("last") => first,
            [first, second] => {
                return refuse(format!(
                    "`{name}` is the beginning of several runs, among them `{}` and `{}`",
                    first.id, second.id
                ));
            }
            _ => return refuse("it gave more than it was asked for".to_owned()),
        };
        let began = run.began();
        let own = Filter {
            scenario: Some(run.scenario.clone()),
            environment: Some(run.environment_key.clone()),
            since: Some(began),
            before: began.checked_add(jiff::SignedDuration::from_millis(1)).ok(),
            ..Filter::default()
        };
        let same = self.runs(&own, Wanted::Everything).await?;
        Ok(same
            .into_iter()
            .find(|same| same.id == run.id)
            .unwrap_or_else(|| run.clone()))
    }

    /// All requests of these runs.
    ///
    /// # Errors
    /// When the database does not answer, or holds what is no histogram.
    pub async fn merged(&self, runs: &[RunSummary]) -> Result<Vec<MergedPhase>, DatabaseError> {
        let taken: BTreeMap<&str, &RunSummary> = runs
            .iter()
            .filter(|run| Merger::takes(run))
            .map(|run| (run.id.as_str(), run))
            .collect();
        let ids: Vec<&str> = taken.keys().copied().collect();
        let sql = "select run_id, phase, kind, v2, overflow from bench.histogram \
                   where run_id = any($1) and not is_step";
        let rows = self
            .client
            .query(sql, &[&ids])
            .await
            .map_err(|error| self.error(&error))?;
        let mut merger = Merger::default();
        for row in rows {
            let Some(run) = taken.get(row.get::<_, &str>(0)) else {
                continue;
            };
            let overflow = u64::try_from(row.get::<_, i64>(4)).unwrap_or_default();
            let packed = PackedLatencies::from_bytes(row.get(3), overflow)
                .map_err(|reason| DatabaseError::new(&self.address, reason))?;
            merger.add(run, row.get(1), row.get(2), &packed);
        }
        Ok(merger.finish())
    }
}

/// The columns of a metric's value.
const METRIC: &str = "phase, metric, value, lower, upper, samples";

fn value(row: &Row) -> MetricValue {
    MetricValue {
        phase: row.get("phase"),
        metric: row.get("metric"),
        value: row.get("value"),
        lower: row.get("lower"),
        upper: row.get("upper"),
        samples: u64::try_from(row.get::<_, i64>("samples")).unwrap_or_default(),
    }
}

fn facts(row: &Row) -> RunSummary {
    let verdict: &str = row.get("verdict");
    let began = jiff::Timestamp::from_microsecond(row.get("began"));
    let began = began.unwrap_or(jiff::Timestamp::MIN);
    RunSummary {
        schema: SUMMARY_SCHEMA.to_owned(),
        id: row.get("run_id"),
        scenario: row.get("scenario"),
        started_at: began.to_string(),
        duration_s: row.get("duration_s"),
        verdict: [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive]
            .into_iter()
            .find(|known| known.as_str() == verdict),
        headline: row.get("headline"),
        partial: row.get("partial"),
        simulated: row.get("simulated"),
        target: row.get("target"),
        git_branch: row.get("git_branch"),
        git_commit: row.get("git_commit"),
        bench_version: row.get("bench_version"),
        host: row.get("host"),
        environment_key: row.get("environment_key"),
        metrics: Vec::new(),
    }
}

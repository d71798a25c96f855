//! Finds the values of named metrics in what servers answer, and remembers counters between samples.
//!
//! Pure but for its memory: time comes in.

use super::exposition::{Page, Sample, histogram_quantile};
use super::fetch::Answer;
use super::promql;
use crate::scenario::{Combine, Select, SourceMetric, Take};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A value in its base unit, or why there is none.
pub(super) type Found = Result<f64, Lack>;

/// Why a metric has no value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lack {
    /// The reason, where it is not only that a counter has to be seen twice.
    pub(super) for_good: Option<String>,
}

impl Lack {
    fn because(reason: impl Into<String>) -> Self {
        Self {
            for_good: Some(reason.into()),
        }
    }

    /// Nothing is wrong: there is no value for this one moment.
    fn for_now() -> Self {
        Self::default()
    }
}

/// What one metric needs to be found again and again.
#[derive(Debug)]
struct Wanted {
    select: Select,
    factor: f64,
    /// When the counters were last seen, and each of them.
    last: Option<(Instant, Counters)>,
}

/// The values of counters by name and labels.
type Counters = BTreeMap<String, f64>;

/// The metrics of one source.
#[derive(Debug)]
pub(super) struct Finder {
    wanted: Vec<Wanted>,
}

impl Finder {
    pub(super) fn new(metrics: &[SourceMetric]) -> Self {
        let wanted = metrics.iter().map(|metric| Wanted {
            select: metric.select.clone(),
            factor: metric.factor,
            last: None,
        });
        Self {
            wanted: wanted.collect(),
        }
    }

    /// What is to be asked for: one path for a page or a document, one for each query.
    pub(super) fn paths(&self, path: &str, interval: Duration) -> Vec<String> {
        let queries: Vec<String> = self
            .wanted
            .iter()
            .filter_map(|wanted| match &wanted.select {
                Select::Query { query, .. } => Some(promql::path(path, query, interval)),
                _ => None,
            })
            .collect();
        if queries.is_empty() {
            vec![path.to_owned()]
        } else {
            queries
        }
    }

    /// The value of each metric.
    ///
    /// # Errors
    /// When a server did not answer as it should: nothing of this moment is known then.
    pub(super) fn read(
        &mut self,
        now: Instant,
        answers: Vec<Result<Answer, String>>,
    ) -> Result<Vec<Found>, String> {
        let texts: Vec<String> = answers
            .into_iter()
            .map(|answer| answer.map(|answer| answer.text))
            .collect::<Result<_, _>>()
            .inspect_err(|_| self.forget())?;
        let first = texts.first().map_or("", String::as_str);
        let document = match self.wanted.first().map(|wanted| &wanted.select) {
            Some(Select::Series { .. }) => Document::Page(Page::parse(first)?),
            Some(Select::Json { .. }) => Document::Json(
                serde_json::from_str(first).map_err(|_| "the answer is no JSON".to_owned())?,
            ),
            Some(Select::Query { .. }) | None => Document::Answers(texts),
        };
        self.wanted
            .iter_mut()
            .enumerate()
            .map(|(position, wanted)| {
                Ok(wanted
                    .find(position, now, &document)?
                    .map(|value| value * wanted.factor))
            })
            .collect()
    }

    /// After a gap nobody knows what the counters did meanwhile.
    fn forget(&mut self) {
        self.wanted.iter_mut().for_each(|wanted| wanted.last = None);
    }
}

/// What the servers answered.
enum Document {
    Page(Page),
    Json(Value),
    Answers(Vec<String>),
}

impl Wanted {
    /// The outer error is one of the whole source.
    fn find(
        &mut self,
        position: usize,
        now: Instant,
        document: &Document,
    ) -> Result<Found, String> {
        Ok(match (document, &self.select) {
            (
                Document::Page(page),
                Select::Series {
                    metric,
                    labels,
                    take,
                    combine,
                },
            ) => match take {
                Take::Gauge => gauge(page, metric, labels, *combine),
                Take::Rate => rate(page, metric, labels, *combine, now, &mut self.last),
                Take::Quantile(quantile) => {
                    let buckets = format!("{metric}_bucket");
                    let grown = counters(page, &buckets, labels);
                    quantile_of(*quantile, metric, grown, now, &mut self.last)
                }
            },
            (Document::Json(json), Select::Json { pointer }) => match json.pointer(pointer) {
                None => Err(Lack::because(format!(
                    "the document has nothing at `{pointer}`"
                ))),
                Some(value) => value
                    .as_f64()
                    .or_else(|| value.as_array().map(|items| items.len() as f64))
                    .ok_or_else(|| {
                        Lack::because(format!("`{pointer}` is neither a number nor a list"))
                    }),
            },
            (Document::Answers(texts), Select::Query { combine, .. }) => {
                let text = texts.get(position).map_or("", String::as_str);
                let values = promql::read(text)?;
                one_of(&values, *combine, "the query")
            }
            _ => Err(Lack::because("the metrics of a source are all of one kind")),
        })
    }
}

fn gauge(
    page: &Page,
    metric: &str,
    labels: &BTreeMap<String, String>,
    combine: Option<Combine>,
) -> Found {
    let values: Vec<f64> = page
        .select(metric, labels)
        .map(|sample| sample.value)
        .collect();
    one_of(&values, combine, &format!("`{metric}`"))
}

/// One value of several. `NaN` is what exporters write where they have no value.
fn one_of(values: &[f64], combine: Option<Combine>, what: &str) -> Found {
    if values.is_empty() {
        return Err(Lack::because(format!(
            "{what} is not there, or not with these labels"
        )));
    }
    let several = values.len();
    if several > 1 && combine.is_none() {
        return Err(Lack::because(format!(
            "{what} stands for {several} series: add `labels` that only one of them has, or say how \
             they are to be combined with combine = \"sum\", \"max\", \"min\" or \"mean\""
        )));
    }
    // One of several that is not known makes the whole unknown.
    if !values.iter().all(|value| value.is_finite()) {
        return Err(Lack::because(format!("{what} is not a finite number")));
    }
    let sum: f64 = values.iter().sum();
    Ok(match combine {
        None | Some(Combine::Sum) => sum,
        Some(Combine::Mean) => sum / several as f64,
        Some(Combine::Maximum) => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Some(Combine::Minimum) => values.iter().copied().fold(f64::INFINITY, f64::min),
    })
}

fn rate(
    page: &Page,
    metric: &str,
    labels: &BTreeMap<String, String>,
    combine: Option<Combine>,
    now: Instant,
    last: &mut Option<(Instant, Counters)>,
) -> Found {
    let seen = counters(page, metric, labels);
    if seen.is_empty() {
        *last = None;
        return Err(Lack::because(format!(
            "`{metric}` is not there, or not with these labels"
        )));
    }
    let (seconds, growth) = growth(seen, now, last)?;
    let rates: Vec<f64> = growth
        .into_values()
        .map(|growth| growth / seconds)
        .collect();
    one_of(&rates, combine, &format!("`{metric}`"))
}

fn quantile_of(
    quantile: f64,
    metric: &str,
    seen: Counters,
    now: Instant,
    last: &mut Option<(Instant, Counters)>,
) -> Found {
    if seen.is_empty() {
        *last = None;
        return Err(Lack::because(format!(
            "`{metric}` is no histogram on this page"
        )));
    }
    let (_, growth) = growth(seen, now, last)?;
    // Histograms are added bucket by bucket.
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for (key, growth) in growth {
        let Some(bound) = bound_of(&key) else {
            return Err(Lack::because(format!(
                "`{metric}` has a bucket without a bound"
            )));
        };
        match buckets.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, sum)) => *sum += growth,
            None => buckets.push((bound, growth)),
        }
    }
    histogram_quantile(quantile, &buckets).ok_or_else(Lack::for_now)
}

/// How much each counter has grown, and in how many seconds. There is no answer the first time, after
/// a reset, and where counters have come or gone: what happened in between is not known then.
fn growth(
    seen: Counters,
    now: Instant,
    last: &mut Option<(Instant, Counters)>,
) -> Result<(f64, Counters), Lack> {
    let before = last.replace((now, seen.clone()));
    let (at, before) = before.ok_or_else(Lack::for_now)?;
    let seconds = now.saturating_duration_since(at).as_secs_f64();
    let same = before.keys().eq(seen.keys());
    if !same || seconds <= 0.0 {
        return Err(Lack::for_now());
    }
    let growth: Counters = seen
        .into_iter()
        .zip(before.values())
        .map(|((key, now), before)| (key, now - before))
        .collect();
    if growth.values().all(|growth| *growth >= 0.0) {
        Ok((seconds, growth))
    } else {
        Err(Lack::for_now())
    }
}

const BOUND: &str = "\u{0}le=";

/// Counters by name and labels, with the bound of a bucket in a place where it is found again.
fn counters(page: &Page, metric: &str, labels: &BTreeMap<String, String>) -> Counters {
    page.select(metric, labels)
        .map(|sample| (key(sample), sample.value))
        .collect()
}

fn key(sample: &Sample) -> String {
    let mut labels = sample.labels.clone();
    labels.sort();
    let mut key = sample.name.clone();
    for (name, value) in labels.iter().filter(|(name, _)| name != "le") {
        key.push_str(&format!("\u{0}{name}={value}"));
    }
    if let Some(bound) = sample.label("le") {
        key.push_str(&format!("{BOUND}{bound}"));
    }
    key
}

fn bound_of(key: &str) -> Option<f64> {
    let (_, bound) = key.rsplit_once(BOUND)?;
    if bound == "+Inf" {
        return Some(f64::INFINITY);
    }
    bound.parse().ok()
}

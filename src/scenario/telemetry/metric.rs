//! Reads the metrics of a source: where each is found, and what its values are.

use super::read::read_labels;
use super::{Combine, Select, SourceMetric, Take};
use crate::diag::Code;
use crate::scenario::decode::{Context, Located, Table};
use crate::scenario::parse::{is_name, name_error};
use crate::units::{self, Dimension};
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::DeValue;

/// The keys of a metric: a table with none of them is the inside of a dotted name.
const KEYS: [&str; 7] = [
    "metric", "query", "pointer", "labels", "as", "combine", "unit",
];

/// How the metrics of a source are found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Page,
    Query,
    Json,
}

/// Reads the metrics of a source. `queue.depth = …` without quotes is a table in a table in TOML.
pub(super) fn read_metrics(
    cx: &mut Context<'_>,
    table: &Table<'_>,
    prefix: &str,
    kind: Kind,
    metrics: &mut Vec<SourceMetric>,
) {
    for (key, value) in table.named_entries() {
        let name = format!("{prefix}.{}", key.value);
        if !is_name(&key.value) {
            name_error(cx, key.span.clone(), "a metric's name");
            continue;
        }
        if let DeValue::Table(entries) = value.get_ref() {
            let inner = Table::new(entries, value.span(), format!("`{name}`"));
            if !KEYS.iter().any(|key| inner.has(key)) {
                read_metrics(cx, &inner, &name, kind, metrics);
                continue;
            }
        }
        let Some(metric) = read_metric(cx, name, &key, value, kind) else {
            continue;
        };
        if metrics.iter().any(|other| other.name == metric.name) {
            let message = format!("there are two metrics named `{}`", metric.name);
            cx.error(Code::Conflict, key.span, message, "");
            continue;
        }
        metrics.push(metric);
    }
}

fn read_metric(
    cx: &mut Context<'_>,
    name: String,
    key: &Located<String>,
    value: &Spanned<DeValue<'_>>,
    kind: Kind,
) -> Option<SourceMetric> {
    let DeValue::Table(entries) = value.get_ref() else {
        let text = cx.text(value, &key.value)?;
        let place = Located {
            value: text.value,
            span: text.span,
        };
        let (select, unit) = match kind {
            Kind::Page => {
                let take = default_take(&place.value);
                let unit = usual_unit(&place.value, take);
                let select = Select::Series {
                    metric: place.value,
                    labels: BTreeMap::new(),
                    take,
                    combine: None,
                };
                (select, unit)
            }
            Kind::Query => (
                Select::Query {
                    query: place.value,
                    combine: None,
                },
                Dimension::Count,
            ),
            Kind::Json => (json_select(cx, place)?, Dimension::Count),
        };
        return Some(SourceMetric {
            name,
            select,
            dimension: unit,
            factor: 1.0,
        });
    };
    let mut table = Table::new(entries, value.span(), format!("`{name}`"));
    let unit = table.parsed(
        cx,
        "unit",
        "a unit such as \"ms\" or \"MiB\"; \"1\" for a plain number",
        units::parse_unit,
    );
    let (select, usual) = match kind {
        Kind::Page => read_series(cx, &mut table),
        Kind::Query => {
            let query = table.required_text(cx, "query", "the query, in PromQL");
            let combine = read_combine(cx, &mut table);
            let select = query.map(|query| Select::Query {
                query: query.value,
                combine,
            });
            (select, Dimension::Count)
        }
        Kind::Json => {
            let pointer =
                table.required_text(cx, "pointer", "a JSON pointer such as \"/workers/ready\"");
            let select = pointer.and_then(|text| {
                json_select(
                    cx,
                    Located {
                        value: text.value,
                        span: text.span,
                    },
                )
            });
            (select, Dimension::Count)
        }
    };
    table.finish(cx);
    let (dimension, factor) = unit.map_or((usual, 1.0), |unit| unit.value);
    Some(SourceMetric {
        name,
        select: select?,
        dimension,
        factor,
    })
}

fn json_select(cx: &mut Context<'_>, pointer: Located<String>) -> Option<Select> {
    if pointer.value.starts_with('/') {
        return Some(Select::Json {
            pointer: pointer.value,
        });
    }
    cx.error(
        Code::InvalidValue,
        pointer.span,
        "a JSON pointer begins with `/`",
        "for example \"/workers/ready\"",
    );
    None
}

fn read_series(cx: &mut Context<'_>, table: &mut Table<'_>) -> (Option<Select>, Dimension) {
    let metric = table.required_text(cx, "metric", "the name of the series on the page");
    let labels = read_labels(cx, table);
    let take = table.parsed(
        cx,
        "as",
        "\"gauge\", \"rate\" or a percentile of a histogram such as \"p99\"",
        parse_take,
    );
    let combine = read_combine(cx, table);
    let Some(metric) = metric else {
        return (None, Dimension::Count);
    };
    let take = take.map_or_else(|| default_take(&metric.value), |take| take.value);
    let usual = usual_unit(&metric.value, take);
    let select = Select::Series {
        metric: metric.value,
        labels,
        take,
        combine,
    };
    (Some(select), usual)
}

fn read_combine(cx: &mut Context<'_>, table: &mut Table<'_>) -> Option<Combine> {
    let parse = |text: &str| match text {
        "sum" => Ok(Combine::Sum),
        "max" => Ok(Combine::Maximum),
        "min" => Ok(Combine::Minimum),
        "mean" => Ok(Combine::Mean),
        other => Err(format!("`{other}` is none of them")),
    };
    let combine = table.parsed(
        cx,
        "combine",
        "\"sum\", \"max\", \"min\" or \"mean\"",
        parse,
    );
    combine.map(|combine| combine.value)
}

fn parse_take(text: &str) -> Result<Take, String> {
    match text {
        "gauge" => return Ok(Take::Gauge),
        "rate" => return Ok(Take::Rate),
        _ => {}
    }
    text.strip_prefix('p')
        .and_then(|percent| percent.parse::<f64>().ok())
        .filter(|percent| *percent > 0.0 && *percent < 100.0)
        // 99.9 / 100 is 0.99900…1; the rounding takes the noise of the division away.
        .map(|percent| Take::Quantile((percent * 1e9).round() / 1e11))
        .ok_or_else(|| format!("`{text}` is none of them"))
}

/// A counter says by its name that it is one, and only its rate means something beside a load.
fn default_take(metric: &str) -> Take {
    if metric.ends_with("_total") {
        Take::Rate
    } else {
        Take::Gauge
    }
}

/// What the values are by Prometheus' own rules for names: base units, at the end of the name.
fn usual_unit(metric: &str, take: Take) -> Dimension {
    let base = metric.strip_suffix("_total").unwrap_or(metric);
    let of_value = if base.ends_with("_bytes") {
        Dimension::Bytes
    } else if base.ends_with("_seconds") {
        Dimension::Time
    } else if base.ends_with("_ratio") {
        Dimension::Ratio
    } else {
        Dimension::Count
    };
    match (take, of_value) {
        // Seconds per second: the share of time, or of a core.
        (Take::Rate, Dimension::Time) => Dimension::Ratio,
        (Take::Rate, _) => Dimension::PerSecond,
        (Take::Gauge | Take::Quantile(_), of_value) => of_value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_what_they_say() {
        assert_eq!(parse_take("p99.9"), Ok(Take::Quantile(0.999)));
        assert_eq!(parse_take("p50"), Ok(Take::Quantile(0.5)));
        assert!(parse_take("p100").is_err() && parse_take("p0").is_err());
    }
}

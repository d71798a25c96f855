//! What a sweep of batch sizes and precisions found, and what follows from it.

use crate::record::{SuiteGpu, SuiteRecord, TunePoint, TuneSeries};
use crate::units;

/// Name of a series.
pub(super) fn name(series: &TuneSeries) -> String {
    format!("{} ({})", series.precision, series.kernels)
}

fn time(microseconds: f64) -> String {
    units::seconds(microseconds / 1e6)
}

fn told(point: TunePoint) -> String {
    format!(
        "batch {}: {} rows/s at {}",
        point.batch,
        units::number(point.rows_per_second),
        time(point.latency_us)
    )
}

/// What to make of it, a sentence for each series and one for the fastest.
pub(super) fn advice(gpu: &SuiteGpu) -> Vec<String> {
    let mut lines = Vec::new();
    let mut best: Option<(&TuneSeries, TunePoint)> = None;
    for series in &gpu.tune {
        let name = name(series);
        if let Some(reason) = series.failed.as_ref().or(series.skipped.as_ref()) {
            lines.push(format!("{name}: {reason}"));
        }
        let (Some(knee), Some(enough)) = (series.knee(), series.enough()) else {
            continue;
        };
        lines.push(format!(
            "{name}: knee at {}; 90 % of the most throughput from {}",
            told(knee),
            told(enough)
        ));
        if best.is_none_or(|(_, other)| knee.rows_per_second > other.rows_per_second) {
            best = Some((series, knee));
        }
    }
    let slowest = gpu
        .tune
        .iter()
        .filter_map(|series| Some((series, series.knee()?)));
    let slowest = slowest.min_by(|a, b| a.1.rows_per_second.total_cmp(&b.1.rows_per_second));
    if let (Some((best, fast)), Some((other, slow))) = (best, slowest)
        && best != other
    {
        lines.push(format!(
            "at their knees {} has {} times the throughput of {}; whether its results are good enough for the \
             model is not measured here",
            name(best),
            units::number(fast.rows_per_second / slow.rows_per_second),
            name(other)
        ));
    }
    lines
}

/// For a terminal.
pub(super) fn tuned(record: &SuiteRecord, width: usize) -> String {
    let mut text = String::new();
    for gpu in record.gpus.iter().filter(|gpu| !gpu.tune.is_empty()) {
        let head = [
            "kernels",
            "batch",
            "time",
            "bounds",
            "rows/s",
            "TFLOP/s or TOP/s",
            "samples",
        ];
        let mut table = crate::report::console::table(&head, 1, width);
        for series in &gpu.tune {
            for row in rows(series) {
                table.add_row(row);
            }
        }
        text.push_str(&format!("{table}\n\n"));
        for line in advice(gpu) {
            text.push_str(&format!("GPU {}: {line}\n", gpu.ordinal));
        }
    }
    text
}

/// The points of a series in words.
pub(super) fn rows(series: &TuneSeries) -> impl Iterator<Item = [String; 7]> {
    series.points.iter().map(|point| {
        let bounds = match (point.lower_us, point.upper_us) {
            (Some(lower), Some(upper)) => format!("{} – {}", time(lower), time(upper)),
            _ => String::new(),
        };
        [
            name(series),
            point.batch.to_string(),
            time(point.latency_us),
            bounds,
            units::number(point.rows_per_second),
            units::number(point.tera_operations),
            point.samples.to_string(),
        ]
    })
}

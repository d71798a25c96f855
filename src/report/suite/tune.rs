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

/// A precision at its knee.
type Choice<'a> = (&'a TuneSeries, TunePoint);

/// What to make of it: which batch and which precision to take, what larger batches would buy, and what was not
/// measured.
pub(super) fn advice(gpu: &SuiteGpu) -> Vec<String> {
    if gpu.tune.is_empty() {
        return Vec::new();
    }
    let mut lines = Vec::new();
    let full = at_their_knees(gpu, &["tf32"]).next();
    let best = fastest(gpu, &["tf32", "f16", "bf16"]);
    if let Some((series, knee)) = best {
        let other = full.filter(|(other, _)| other.precision != series.precision);
        let beside = match other {
            Some(other) => beside((series, knee), other),
            // TF32 itself is the fastest.
            None if full.is_some() && at_their_knees(gpu, &["f16", "bf16"]).next().is_some() => {
                "; f16 and bf16 reach no more here".to_owned()
            }
            None => String::new(),
        };
        lines.push(format!(
            "take {} in batches of {}: {} rows/s, {} for a batch{beside}",
            series.precision,
            knee.batch,
            units::number(knee.rows_per_second),
            time(knee.latency_us),
        ));
        lines.push(larger(series, knee));
    }
    if let (Some(best), Some(small)) = (best, fastest(gpu, &["fp8", "int8"])) {
        lines.push(format!(
            "a model that is quantised to {} would take batches of {}: {} rows/s, {} for a batch{}",
            small.0.precision,
            small.1.batch,
            units::number(small.1.rows_per_second),
            time(small.1.latency_us),
            beside(small, best)
        ));
    }
    if best.is_some() {
        lines.push(
            "set that batch as the largest of your service, and let a run judge the latency with it: waiting for a \
             batch to fill, the queue and the host come on top of these times. Whether a precision's results are \
             good enough for your model is not measured here"
                .to_owned(),
        );
    }
    for series in &gpu.tune {
        if let Some(reason) = series.failed.as_ref().or(series.skipped.as_ref()) {
            lines.push(format!("{}: {reason}", name(series)));
        }
    }
    lines
}

/// Those of some precisions: by cuBLASLt where it computed anything, else by kernels of this program.
fn at_their_knees<'a>(
    gpu: &'a SuiteGpu,
    precisions: &'a [&str],
) -> impl Iterator<Item = Choice<'a>> {
    let of = |series: &&TuneSeries| !series.points.is_empty();
    let by_library = gpu.tune.iter().filter(of).any(is_library);
    gpu.tune
        .iter()
        .filter(move |series| is_library(series) == by_library)
        .filter(|series| precisions.contains(&series.precision.as_str()))
        .filter_map(|series| Some((series, series.knee()?)))
}

fn is_library(series: &TuneSeries) -> bool {
    series.kernels != "bench"
}

fn fastest<'a>(gpu: &'a SuiteGpu, precisions: &'a [&str]) -> Option<Choice<'a>> {
    at_their_knees(gpu, precisions)
        .max_by(|a, b| a.1.rows_per_second.total_cmp(&b.1.rows_per_second))
}

/// The throughput of one beside that of another; what the intervals of both allow is no difference.
fn beside((_, point): Choice<'_>, (other, than): Choice<'_>) -> String {
    let of = format!(
        "that of {} at its own knee (batch {})",
        other.precision, than.batch
    );
    let is_sure = point
        .bounds()
        .zip(than.bounds())
        .is_some_and(|(one, two)| one.0 > two.1 || one.1 < two.0);
    if is_sure {
        let ratio = units::number(point.rows_per_second / than.rows_per_second);
        format!("; {ratio} times {of}")
    } else {
        format!("; the intervals of both do not tell it from {of}")
    }
}

/// What larger batches than that of the knee buy.
fn larger(series: &TuneSeries, knee: TunePoint) -> String {
    let largest = series.points.last().map_or(knee.batch, |point| point.batch);
    match series.enough() {
        Some(enough) if enough.batch > knee.batch => format!(
            "where throughput counts more than time, batches of {}: {} rows/s, {} for a batch{}",
            enough.batch,
            units::number(enough.rows_per_second),
            time(enough.latency_us),
            if enough.batch == largest {
                "; it may go on growing beyond, no larger batch was tried"
            } else {
                "; larger ones add less than a tenth"
            }
        ),
        _ if knee.batch == largest => {
            "it may go on growing beyond: no larger batch was tried".to_owned()
        }
        _ => "larger batches buy little throughput, and each request waits longer".to_owned(),
    }
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
            "",
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

/// The points of a series in words; the last says which is its knee, and which the first with nearly all of the
/// throughput.
pub(super) fn rows(series: &TuneSeries) -> impl Iterator<Item = [String; 8]> {
    let place = |point: Option<TunePoint>| point.map(|point| point.batch);
    let (knee, enough) = (place(series.knee()), place(series.enough()));
    series.points.iter().map(move |point| {
        let mark = match (knee == Some(point.batch), enough == Some(point.batch)) {
            (true, true) => "knee, 90 %",
            (true, false) => "knee",
            (false, true) => "90 %",
            (false, false) => "",
        };
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
            mark.to_owned(),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times grow with the batch beyond `full` rows; figures are made up.
    fn series(precision: &str, full: usize, fastest_us: f64, spread: f64) -> TuneSeries {
        let point = |batch: usize| {
            let latency_us = fastest_us * (batch.max(full) as f64 / full as f64);
            TunePoint {
                batch,
                latency_us,
                lower_us: Some(latency_us * (1.0 - spread)),
                upper_us: Some(latency_us * (1.0 + spread)),
                samples: 10,
                rows_per_second: batch as f64 / latency_us * 1e6,
                tera_operations: 1.0,
            }
        };
        TuneSeries {
            precision: precision.to_owned(),
            kernels: "cuBLASLt".to_owned(),
            skipped: None,
            failed: None,
            points: (0..9).map(|power| point(1 << power)).collect(),
        }
    }

    fn told(tune: Vec<TuneSeries>) -> String {
        let gpu = SuiteGpu {
            tune,
            ..SuiteGpu::default()
        };
        advice(&gpu).join("\n")
    }

    #[test]
    fn it_says_what_to_set_and_what_it_buys() {
        let mut int8 = series("int8", 256, 20.0, 0.01);
        int8.points.truncate(8);
        let all = told(vec![
            series("tf32", 32, 40.0, 0.01),
            series("bf16", 64, 40.0, 0.01),
            int8,
        ]);
        let lines: Vec<&str> = all.lines().collect();
        assert!(
            lines[0].starts_with("take bf16 in batches of 64: "),
            "{all}"
        );
        let beside = "; 2.00 times that of tf32 at its own knee (batch 32)";
        assert!(lines[0].ends_with(beside), "{all}");
        assert!(lines[1].starts_with("larger batches buy little"), "{all}");
        let quantised = "a model that is quantised to int8 would take batches of 128: ";
        assert!(lines[2].starts_with(quantised), "{all}");
        let beside = "; 4.00 times that of bf16 at its own knee (batch 64)";
        assert!(lines[2].ends_with(beside), "{all}");
        assert!(lines[3].contains("let a run judge"), "{all}");
        assert_eq!(lines.len(), 4, "{all}");
    }

    #[test]
    fn what_could_be_noise_is_no_gain_and_what_may_go_on_growing_is_told() {
        let noisy = told(vec![
            series("tf32", 64, 41.0, 0.2),
            series("bf16", 64, 40.0, 0.2),
        ]);
        assert!(
            noisy.contains("do not tell it from that of tf32"),
            "{noisy}"
        );
        let growing = told(vec![series("bf16", 1024, 40.0, 0.01)]);
        assert!(growing.contains("no larger batch was tried"), "{growing}");
        let full = told(vec![
            series("tf32", 64, 20.0, 0.01),
            series("bf16", 64, 40.0, 0.01),
        ]);
        assert!(full.contains("; f16 and bf16 reach no more here"), "{full}");
        // Without the library its own kernels count.
        let mut own = series("f16", 64, 40.0, 0.01);
        "bench".clone_into(&mut own.kernels);
        let mut none = series("bf16", 64, 40.0, 0.01);
        none.points.clear();
        none.skipped = Some("cuBLASLt was not found".to_owned());
        let told = told(vec![none, own]);
        assert!(told.starts_with("take f16 in batches of 64"), "{told}");
        let skipped = "bf16 (cuBLASLt): cuBLASLt was not found";
        assert!(told.ends_with(skipped), "{told}");
    }
}

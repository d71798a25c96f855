//! The charts of a GPU suite, on the chart model of the run's report: nothing of data sheets is drawn, only
//! what was measured.

use super::tune;
use crate::record::{Measured, Moment, SuiteGpu, TestOutcome, TuneSeries};
use crate::report::chart::axis::{Scale, Unit, XAxis, YAxis};
use crate::report::chart::palette::Colour;
use crate::report::chart::{Chart, Content, Series, Size, Stroke};
use crate::units::{self, Dimension};

/// How fast the GPU computes in floating point: for each type of the operands, the tests that measure it. The
/// roof is what the best of them reached.
const CEILINGS: [(&str, &[&str]); 5] = [
    ("FP32", &["fp32.fma"]),
    ("TF32", &["gemm.tf32", "wgmma.tf32", "mma.tf32"]),
    ("FP16", &["gemm.f16", "wgmma.f16", "mma.f16", "layer.f16"]),
    ("BF16", &["gemm.bf16", "wgmma.bf16", "mma.bf16"]),
    ("FP8", &["gemm.fp8", "wgmma.fp8"]),
];

/// Operations for each byte, from and to.
const INTENSITY: (f64, f64) = (0.1, 10_000.0);

fn chart(name: String, title: &str, subtitle: &str, size: Size, x: XAxis, y: YAxis) -> Chart {
    Chart {
        name,
        title: title.to_owned(),
        subtitle: subtitle.to_owned(),
        size,
        x,
        y,
        content: Content::Absent(String::new()),
        bands: Vec::new(),
        marks: Vec::new(),
        limits: Vec::new(),
    }
}

/// What a kernel can reach at best, by how much it computes for each byte of device memory (Williams,
/// Waterman, Patterson 2009). `None` when memory or all arithmetic is missing.
pub(super) fn roofline(gpu: &SuiteGpu, prefix: &str) -> Option<Chart> {
    let memory_gb = gpu.measured("memory.read")?.median;
    // 10⁹ bytes and 10¹² operations.
    let memory = memory_gb / 1e3;
    let best = |tests: &[&'static str]| {
        let measured = tests
            .iter()
            .filter_map(|test| Some((*test, gpu.measured(test)?.median)));
        measured.max_by(|a, b| a.1.total_cmp(&b.1))
    };
    let mut ceilings: Vec<(String, f64)> = CEILINGS
        .iter()
        .filter_map(|(operands, tests)| {
            let (test, value) = best(tests).filter(|(_, value)| *value > 0.0)?;
            Some((
                format!("{operands} {} ({test})", units::number(value)),
                value,
            ))
        })
        .collect();
    ceilings.sort_by(|a, b| b.1.total_cmp(&a.1));
    let highest = ceilings.first()?.1;
    if memory <= 0.0 {
        return None;
    }
    let (from, to) = INTENSITY;
    let mut places = vec![from, to];
    places.extend(
        ceilings
            .iter()
            .map(|(_, ceiling)| (ceiling / memory).clamp(from, to)),
    );
    places.sort_by(f64::total_cmp);
    let series = ceilings
        .iter()
        .enumerate()
        .map(|(place, (label, ceiling))| {
            let values = places.iter().map(|at| Some((memory * at).min(*ceiling)));
            let values = values.collect();
            Series::new(label.clone(), Colour::Nth(place), Stroke::Line, values)
        });
    let y = YAxis {
        unit: Unit::Count,
        scale: Scale::Log,
        low: memory * from,
        high: highest * 1.6,
    };
    let subtitle = format!(
        "10¹² operations per second by operations for each byte of device memory; all measured: the slope is \
         memory.read with {} GB/s, each level the best test of one type of operands",
        units::number(memory_gb)
    );
    let name = format!("{prefix}-roofline");
    let x = XAxis::Log { from, to };
    let mut chart = chart(name, "Roofline", &subtitle, Size::Tall, x, y);
    chart.content = Content::Lines {
        spans: places.iter().map(|at| (*at, *at)).collect(),
        series: series.collect(),
    };
    Some(chart)
}

/// What a moment shows, if it was seen.
type Pick = fn(&Moment) -> Option<f64>;

/// Speed, clock, power and temperature while a GPU was kept busy.
pub(super) fn sustained(gpu: &SuiteGpu, prefix: &str) -> Vec<Chart> {
    let found = gpu.results.iter().find_map(|result| match &result.outcome {
        TestOutcome::Measured(measured) if !measured.timeline.is_empty() => Some(measured),
        _ => None,
    });
    let Some(measured) = found else {
        return Vec::new();
    };
    let lanes: [(&str, &str, Unit, Pick); 4] = [
        ("speed", "Speed, TFLOP/s", Unit::Count, |moment| {
            Some(moment.value)
        }),
        ("clock", "SM clock", Unit::Megahertz, |moment| {
            moment.sm_clock_mhz
        }),
        ("power", "Power", Unit::Of(Dimension::Power), |moment| {
            moment.power_watts
        }),
        (
            "temperature",
            "Temperature",
            Unit::Of(Dimension::Temperature),
            |moment| moment.temperature_celsius,
        ),
    ];
    lanes
        .into_iter()
        .map(|(name, title, unit, pick)| {
            lane(measured, &format!("{prefix}-{name}"), title, unit, pick)
        })
        .collect()
}

fn lane(measured: &Measured, name: &str, title: &str, unit: Unit, pick: Pick) -> Chart {
    let timeline = &measured.timeline;
    let values: Vec<Option<f64>> = timeline.iter().map(pick).collect();
    let mut began = 0.0;
    let spans = timeline.iter().map(|moment| {
        let span = (began, moment.second);
        began = moment.second;
        span
    });
    let spans: Vec<(f64, f64)> = spans.collect();
    let to_s = spans.last().map_or(1.0, |span| span.1);
    let seen: Vec<f64> = values.iter().copied().flatten().collect();
    let y = YAxis::from_zero(unit, seen.iter().copied());
    let x = XAxis::Time { to_s };
    let mut chart = chart(name.to_owned(), title, "", Size::Lane, x, y);
    chart.content = if seen.is_empty() {
        Content::Absent("NVML does not tell it".to_owned())
    } else {
        let series = Series::new("", Colour::Nth(0), Stroke::Bold, values);
        Content::Lines {
            spans,
            series: vec![series],
        }
    };
    chart
}

/// Throughput and time of a batch by its size.
pub(super) fn tuned(gpu: &SuiteGpu, prefix: &str) -> Vec<Chart> {
    let batches: Vec<usize> = {
        let points = gpu.tune.iter().flat_map(|series| &series.points);
        let mut all: Vec<usize> = points.map(|point| point.batch).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let (Some(&first), Some(&last)) = (batches.first(), batches.last()) else {
        return Vec::new();
    };
    let x = XAxis::Log {
        from: first as f64,
        to: (last as f64).max(first as f64 * 10.0),
    };
    let values = |series: &TuneSeries, of: fn(&crate::record::TunePoint) -> f64| {
        let value = |batch: &usize| {
            let mut points = series.points.iter();
            points.find(|point| point.batch == *batch).map(of)
        };
        batches.iter().map(value).collect::<Vec<_>>()
    };
    let picture =
        |name: &str, title: &str, unit: Unit, of: fn(&crate::record::TunePoint) -> f64| {
            let series: Vec<Series> = gpu
                .tune
                .iter()
                .filter(|series| !series.points.is_empty())
                .enumerate()
                .map(|(place, series)| {
                    let colour = Colour::Nth(place);
                    Series::new(tune::name(series), colour, Stroke::Line, values(series, of))
                })
                .collect();
            let all: Vec<f64> = series
                .iter()
                .flat_map(|series| series.values.iter().copied().flatten())
                .collect();
            let y = YAxis::wide(unit, all.iter().copied());
            let name = format!("{prefix}-{name}");
            let mut chart = chart(
                name,
                title,
                "along the bottom: rows of a batch",
                Size::Tall,
                x,
                y,
            );
            chart.content = Content::Lines {
                spans: batches.iter().map(|&at| (at as f64, at as f64)).collect(),
                series,
            };
            chart
        };
    vec![
        picture(
            "throughput",
            "Throughput by batch size",
            Unit::Of(Dimension::PerSecond),
            |point| point.rows_per_second,
        ),
        picture(
            "latency",
            "Time of a batch by its size",
            Unit::Of(Dimension::Time),
            |point| point.latency_us / 1e6,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::suite::TESTS;

    #[test]
    fn every_rate_in_floating_point_has_a_place_under_the_roof() {
        let rates = TESTS.iter().map(|test| test.name).filter(|name| {
            let family = name.split('.').next().unwrap_or_default();
            ["fp32", "mma", "wgmma", "gemm", "layer"].contains(&family)
                && !name.contains("int8")
                && !name.contains("decode")
        });
        let mut rates: Vec<&str> = rates.collect();
        let mut drawn: Vec<&str> = CEILINGS
            .iter()
            .flat_map(|(_, tests)| *tests)
            .copied()
            .collect();
        rates.sort_unstable();
        drawn.sort_unstable();
        assert_eq!(rates, drawn);
        assert!(CEILINGS.len() <= crate::report::chart::palette::NTH);
    }
}

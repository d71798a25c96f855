//! The lanes of telemetry: GPUs, target, host and the generator itself, on the time axis of the load.
//!
//! A lane without data says why; it is never just blank.

use super::axis::{Unit, YAxis};
use super::generator::{busiest_worker, loop_delay, send_lag};
use super::load::{TimeFrame, limits, values};
use super::sampled::Sampled;
use super::timeline::Timeline;
use super::{Chart, Content, Limit, Size, trend};
use crate::gate::{Metric, TelemetryMetric};
use crate::record::{RunRecord, SeriesInfo, Source, SourceState};
use crate::units::Dimension;
use crate::verdict::Judgement;

/// Lanes that belong together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Family {
    /// A short name: the file name of the PNG.
    pub(crate) name: String,
    /// The heading.
    pub(crate) title: String,
    /// Its lanes, at least one.
    pub(crate) lanes: Vec<Chart>,
    /// Whether there is no data at all, and the only lane says why.
    pub(crate) is_missing: bool,
}

/// (first part of the metrics, other names of the source, heading)
const FAMILIES: [(&str, &[&str], &str); 4] = [
    ("gpu", &["nvml", "dcgm"], "GPU"),
    ("target", &[], "Target"),
    ("host", &[], "Host of the generator"),
    ("generator", &[], "Generator"),
];

/// (metric, heading of its lane), in the order of the report. Those not named come last, by name.
const LANES: [(&str, &str); 31] = [
    ("gpu.utilization", "GPU utilisation"),
    ("gpu.engine_active", "GPU compute engine active"),
    ("gpu.sm_active", "GPU multiprocessors active"),
    ("gpu.tensor_active", "GPU tensor cores active"),
    ("gpu.dram_active", "GPU memory bandwidth in use"),
    ("gpu.memory", "GPU memory"),
    ("gpu.memory.used", "GPU memory in use"),
    ("gpu.process.memory", "GPU memory by process"),
    ("gpu.power", "GPU power"),
    ("gpu.energy", "GPU energy, as counted"),
    ("gpu.clock", "GPU clock"),
    ("gpu.clock.sm", "GPU SM clock"),
    ("gpu.clock.memory", "GPU memory clock"),
    ("gpu.temperature", "GPU temperature"),
    ("gpu.throttled", "GPU throttled"),
    ("gpu.pcie.sent", "Sent over PCIe"),
    ("gpu.pcie.received", "Received over PCIe"),
    ("gpu.pcie.replays", "PCIe replays, as counted"),
    (
        "reference.tflops",
        "Reference API: 10¹² operations a second",
    ),
    (
        "reference.busy",
        "Reference API: GPU busy, by its own clock",
    ),
    ("target.cpu", "Target CPU"),
    ("target.memory", "Target memory"),
    ("host.cpu", "Host CPU"),
    ("host.memory", "Host memory"),
    ("host.disk.free", "Free disk"),
    ("generator.cpu", "Generator CPU"),
    ("generator.worker.cpu", "CPU of each worker"),
    ("generator.worker.wait", "Workers without a CPU"),
    ("generator.memory", "Generator memory"),
    ("generator.descriptors.used", "Descriptors in use"),
    ("generator.ports.used", "Local ports in use"),
];

/// All lanes of a run.
pub(crate) fn families(
    record: &RunRecord,
    judgement: &Judgement,
    frame: &TimeFrame,
    timeline: &Timeline,
) -> Vec<Family> {
    // Servers that the scenario names have a family each, after those that every run has.
    let named = record.sources.iter().filter(|source| {
        let known = |(name, aliases, _): &(&str, &[&str], &str)| belongs(source, name, aliases);
        !FAMILIES.iter().any(known)
    });
    let named = named.map(|source| {
        let name = source.info.name.as_str();
        (name, &[][..], name)
    });
    FAMILIES
        .into_iter()
        .chain(named)
        .map(|(name, aliases, title)| {
            let mut lanes = Vec::new();
            if name == "generator" && !timeline.stretches.is_empty() {
                lanes.push(busiest_worker(frame, timeline));
                lanes.push(send_lag(frame, timeline));
                lanes.extend(loop_delay(frame, timeline));
            }
            let sources: Vec<&Source> = record
                .sources
                .iter()
                .filter(|source| belongs(source, name, aliases))
                .collect();
            for source in &sources {
                lanes.extend(
                    metrics(source, judgement)
                        .into_iter()
                        .map(|metric| lane(record, judgement, frame, source, metric)),
                );
            }
            let is_missing = lanes.is_empty();
            if is_missing {
                lanes.push(missing(frame, name, title, sources.first().copied()));
            }
            Family {
                name: name.to_owned(),
                title: title.to_owned(),
                lanes,
                is_missing,
            }
        })
        .collect()
}

fn belongs(source: &Source, family: &str, aliases: &[&str]) -> bool {
    source.info.name == family
        || aliases.contains(&source.info.name.as_str())
        || source
            .info
            .series
            .iter()
            .any(|series| series.metric.split('.').next() == Some(family))
}

/// The metrics of a source that get a lane, in the order of the report.
fn metrics<'s>(source: &'s Source, judgement: &Judgement) -> Vec<&'s str> {
    if source.info.state != SourceState::Present {
        return Vec::new();
    }
    let mut metrics: Vec<&str> = Vec::new();
    for series in &source.info.series {
        if !metrics.contains(&series.metric.as_str()) {
            metrics.push(&series.metric);
        }
    }
    // What no gate can ask for and this source cannot tell is no finding.
    let is_lacking = |metric: &str| source.of(metric).all(|series| series.info.lack.is_some());
    metrics.retain(|metric| TelemetryMetric::find(metric).is_some() || !is_lacking(metric));
    // The same thing in bytes beside its share would be a second picture of one fact, unless a gate asks.
    let is_gated = (judgement.gates.iter()).any(|result| match result.gate.gate.metric {
        Metric::Growth(gated) => gated.of == "gpu.memory.used",
        Metric::Telemetry(known) => known.name == "gpu.memory.used",
        _ => false,
    });
    if metrics.contains(&"gpu.memory") && !is_gated {
        metrics.retain(|metric| *metric != "gpu.memory.used");
    }
    let place = |metric: &str| {
        LANES
            .iter()
            .position(|(known, _)| metric == *known)
            .unwrap_or(LANES.len())
    };
    metrics.sort_by_key(|metric| (place(metric), *metric));
    metrics
}

fn title(metric: &str) -> String {
    LANES
        .iter()
        .find(|(known, _)| metric == *known)
        .map_or_else(|| spelled_out(metric), |(_, title)| (*title).to_owned())
}

/// A heading for a metric that has none of its own: `host.cpu.steal` becomes `Host CPU steal`.
fn spelled_out(metric: &str) -> String {
    let words: Vec<String> = metric
        .split(['.', '_'])
        .enumerate()
        .map(|(index, word)| match word {
            "cpu" | "gpu" | "sm" | "pcie" | "io" => word.to_uppercase(),
            "nvlink" => "NVLink".to_owned(),
            _ if index == 0 => {
                let mut letters = word.chars();
                letters
                    .next()
                    .map(|first| first.to_uppercase().chain(letters).collect())
                    .unwrap_or_default()
            }
            _ => word.to_owned(),
        })
        .collect();
    words.join(" ")
}

/// What the values of a series are.
pub(crate) fn unit(series: &SeriesInfo) -> Unit {
    if let Some(dimension) = series.dimension {
        return Unit::Of(dimension);
    }
    let metric = series.metric.as_str();
    match (TelemetryMetric::find(metric), metric) {
        (Some(known), _) => Unit::Of(known.dimension),
        (None, "generator.cpu") => Unit::Of(Dimension::Ratio),
        (None, "generator.memory") => Unit::Of(Dimension::Bytes),
        (None, "gpu.pcie.sent" | "gpu.pcie.received") => Unit::BytesPerSecond,
        (None, metric) if metric.contains("clock") => Unit::Megahertz,
        (None, _) => Unit::Count,
    }
}

fn missing(frame: &TimeFrame, name: &str, title: &str, source: Option<&Source>) -> Chart {
    let reason = match source.map(|source| &source.info.state) {
        None => "nothing sampled it".to_owned(),
        Some(SourceState::Off) => "switched off in the scenario".to_owned(),
        Some(SourceState::Unavailable(reason)) => reason.clone(),
        Some(SourceState::Present) => "the source has no series".to_owned(),
    };
    let y = YAxis::fixed(Unit::Of(Dimension::Ratio), 0.0, 1.0);
    let first = title.split(' ').next().unwrap_or(title);
    let title = format!("{first} telemetry");
    let mut chart = frame.chart(name, title, y, Content::Absent(reason));
    chart.size = Size::Lane;
    chart
}

fn lane(
    record: &RunRecord,
    judgement: &Judgement,
    frame: &TimeFrame,
    source: &Source,
    metric: &str,
) -> Chart {
    let limits = limits(
        record,
        judgement,
        |gated| matches!(gated, Metric::Telemetry(known) if known.name == metric),
    );
    let sampled = Sampled::of(source, metric);
    let unit = source
        .of(metric)
        .next()
        .map_or(Unit::Count, |series| unit(series.info));
    let y = y_axis(unit, &sampled, &limits);
    let is_empty = sampled
        .lines
        .iter()
        .all(|line| line.means.iter().all(Option::is_none));
    let joined = sampled.joined();
    let content = if is_empty {
        let mut lacks = source
            .of(metric)
            .filter_map(|series| series.info.lack.clone());
        let unknown = || "the source delivered no value".to_owned();
        Content::Absent(lacks.next().unwrap_or_else(unknown))
    } else {
        let mut content = sampled.content();
        if let Content::Lines { spans, series } = &mut content {
            for result in &judgement.gates {
                series.extend(trend::of(record, result, metric, spans));
            }
        }
        content
    };
    let mut chart = frame.chart(metric.replace('.', "-"), title(metric), y, content);
    chart.size = Size::Lane;
    chart.limits = limits;
    if let Some(known) = TelemetryMetric::find(metric) {
        known.describe.clone_into(&mut chart.subtitle);
    }
    let note = source
        .of(metric)
        .find_map(|series| series.info.note.clone());
    let joined = joined.filter(|_| !is_empty);
    for words in note.into_iter().chain(joined) {
        let before = if chart.subtitle.is_empty() { "" } else { "; " };
        chart.subtitle.push_str(&format!("{before}{words}"));
    }
    if source.info.simulated {
        chart.title.push_str(" (SIMULATED)");
    }
    chart
}

fn y_axis(unit: Unit, sampled: &Sampled, limits: &[Limit]) -> YAxis {
    let seen = sampled
        .lines
        .iter()
        .flat_map(|line| line.highs.iter().chain(&line.lows).copied().flatten());
    let most = seen.clone().fold(0.0, f64::max);
    // A limit far above would press the curve flat, and hide the very leak that it is for.
    let near = values(limits).filter(|limit| *limit <= 1.5 * most);
    let shown = seen.clone().chain(near);
    match unit {
        Unit::Of(Dimension::Ratio) if most <= 1.0 => YAxis::fixed(unit, 0.0, 1.0),
        Unit::Of(Dimension::Bytes | Dimension::Temperature) | Unit::Megahertz => {
            YAxis::close(unit, shown)
        }
        _ => YAxis::from_zero(unit, shown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::{Colour, Stroke};
    use crate::report::sample::{self, Run};

    fn lanes((record, judgement): &Run) -> Vec<Family> {
        let frame = TimeFrame::of(record);
        families(record, judgement, &frame, &Timeline::of(record))
    }

    fn names(family: &Family) -> Vec<&str> {
        family.lanes.iter().map(|lane| lane.name.as_str()).collect()
    }

    #[test]
    fn a_lane_says_what_is_lacking_and_how_else_it_is_had() {
        let mut run = sample::prod().clone();
        let source = run
            .0
            .sources
            .iter_mut()
            .find(|source| source.info.name == "gpu");
        let source = source.expect("the sample has GPUs");
        let length = source.at_ns.len();
        for series in [
            SeriesInfo::new("gpu.sm_active", "0").lacking("not before Hopper"),
            SeriesInfo::new("gpu.throttled.board", "0").lacking("not counted"),
            SeriesInfo::new("gpu.throttled", "0").noting("looked at in each sample"),
        ] {
            let value = series.lack.is_none().then_some(0.25);
            source.values.push(vec![value; length]);
            source.info.series.push(series);
        }
        let families = lanes(&run);
        let lane = |name: &str| families[0].lanes.iter().find(|lane| lane.name == name);
        let sm = lane("gpu-sm_active").expect("a gate can ask for it");
        assert_eq!(sm.content, Content::Absent("not before Hopper".to_owned()));
        assert!(lane("gpu-throttled-board").is_none());
        let throttled = lane("gpu-throttled").expect("it has values");
        assert!(
            throttled.subtitle.ends_with("; looked at in each sample"),
            "{}",
            throttled.subtitle
        );
    }

    #[test]
    fn each_family_has_its_lanes_in_order() {
        let families = lanes(sample::prod());
        assert_eq!(
            names(&families[0]),
            [
                "gpu-utilization",
                "gpu-memory",
                "gpu-power",
                "gpu-clock",
                "gpu-temperature"
            ]
        );
        assert_eq!(names(&families[1]), ["target-cpu", "target-memory"]);
        assert_eq!(
            names(&families[2]),
            ["host-cpu", "host-memory", "host-disk-free"]
        );
        assert_eq!(
            names(&families[3]),
            [
                "generator-busy",
                "send-lag",
                "generator-cpu",
                "generator-memory"
            ]
        );
        let utilization = &families[0].lanes[0];
        assert!(utilization.title.ends_with("(SIMULATED)"));
        assert_eq!(utilization.limit_labels(), ["> 70 %"]);
        let labels: Vec<&str> = utilization
            .legend()
            .map(|series| series.label.as_str())
            .collect();
        assert_eq!(labels, ["GPU 0", "GPU 1"]);
    }

    #[test]
    fn a_family_without_data_says_why() {
        let check = |run: &Run, family: usize, reason: &str| {
            let families = lanes(run);
            assert!(families[family].is_missing);
            assert_eq!(
                families[family].lanes[0].content,
                Content::Absent(reason.to_owned())
            );
        };
        let no_driver = "no NVIDIA driver: libnvidia-ml.so.1 was not found";
        check(sample::without_gpu(), 0, no_driver);
        check(sample::preflight_failed(), 1, "nothing sampled it");
        let mut run = sample::without_gpu().clone();
        run.0.sources[0].info.state = SourceState::Off;
        check(&run, 0, "switched off in the scenario");
    }

    #[test]
    fn a_pause_of_the_source_breaks_the_line() {
        let (mut record, judgement) = sample::prod().clone();
        let source = &mut record.sources[1];
        // Ten seconds without a sample, of a source that samples twice a second.
        let gap = 40..60;
        source.at_ns.drain(gap.clone());
        for values in &mut source.values {
            values.drain(gap.clone());
        }
        let families = lanes(&(record, judgement));
        let Content::Lines { series, spans } = &families[1].lanes[0].content else {
            panic!("the target has samples");
        };
        assert_eq!(series[0].runs().len(), 2);
        assert!(
            series
                .iter()
                .all(|series| series.values.len() == spans.len())
        );
    }

    #[test]
    fn a_gate_on_growth_shows_its_line_and_how_sure_it_is() {
        let (mut record, _) = sample::soak(1800);
        record.header.phases[0]
            .gates
            .push("target.memory.leak < 1GiB/h".to_owned());
        let judgement = crate::verdict::judge(&record, &crate::verdict::gates_of(&record).unwrap());
        let result = judgement
            .gates
            .iter()
            .find(|result| result.growth.is_some());
        let result = result.expect("the target has memory");
        let growth = result.growth.as_ref().unwrap();
        let families = lanes(&(record.clone(), judgement.clone()));
        let memory = families[1]
            .lanes
            .iter()
            .find(|lane| lane.name == "target-memory");
        let Content::Lines { spans, series } = &memory.unwrap().content else {
            panic!("the target has samples");
        };
        let line = series
            .iter()
            .find(|series| series.label.starts_with("trend"))
            .unwrap();
        let known: Vec<(f64, f64)> = spans
            .iter()
            .zip(&line.values)
            .filter_map(|((from, to), value)| Some((f64::midpoint(*from, *to), (*value)?)))
            .collect();
        let (first, last) = (known[0], known[known.len() - 1]);
        assert!(first.0 >= growth.from_s && last.0 <= growth.from_s + growth.window_s);
        let rate = (last.1 - first.1) / (last.0 - first.0);
        assert!(
            (rate / result.observed.unwrap() - 1.0).abs() < 1e-6,
            "{rate}"
        );
        let range = series.iter().find(|series| {
            // The range of the samples themselves has the colour of its instance.
            series.stroke == Stroke::Range
                && series.colour == Colour::Maximum
                && series.values.len() == line.values.len()
        });
        assert!(range.is_some());
    }

    /// The bytes beside their share are no second lane, except where a gate rests on them.
    #[test]
    fn memory_in_bytes_has_a_lane_where_a_gate_asks_for_it() {
        let has_lane = |gate: Option<&str>| {
            let (mut record, _) = sample::prod().clone();
            for source in &mut record.sources {
                for series in &mut source.info.series {
                    if series.metric == "gpu.power" {
                        "gpu.memory.used".clone_into(&mut series.metric);
                    }
                }
            }
            let gates = &mut record.header.phases[0].gates;
            gates.extend(gate.map(str::to_owned));
            let gates = crate::verdict::gates_of(&record).unwrap();
            let judgement = crate::verdict::judge(&record, &gates);
            let families = lanes(&(record, judgement));
            let mut all = families.iter().flat_map(names);
            all.any(|name| name == "gpu-memory-used")
        };
        assert!(!has_lane(None));
        assert!(has_lane(Some("gpu.memory.used < 1TiB")));
        assert!(has_lane(Some("gpu.memory.leak < 10MiB/h")));
    }

    #[test]
    fn a_peak_of_one_sample_in_thousands_is_not_lost() {
        let (mut record, judgement) = sample::prod().clone();
        let source = &mut record.sources[0];
        source.at_ns = (0..20_000).map(|sample| sample * 100_000_000).collect();
        for values in &mut source.values {
            *values = vec![Some(0.25); 20_000];
        }
        source.values[0][12_345] = Some(0.875);
        for instances in [2, 3] {
            let mut record = record.clone();
            let source = &mut record.sources[0];
            let (info, values) = (source.info.series[0].clone(), source.values[1].clone());
            if instances == 3 {
                source.info.series.push(SeriesInfo::new(info.metric, "2"));
                source.values.push(values);
            }
            let families = lanes(&(record, judgement.clone()));
            let lane = &families[0].lanes[0];
            let Content::Lines { series, .. } = &lane.content else {
                panic!("there are samples");
            };
            let ranges = series
                .iter()
                .filter(|series| series.stroke == Stroke::Range);
            let highest =
                ranges.flat_map(|range| (0..range.values.len()).filter_map(|at| range.edges(at)));
            let highest = highest.map(|(_, high)| high).fold(0.0, f64::max);
            assert!((highest - 0.875).abs() < 1e-9, "{instances}: {highest}");
            assert!(
                lane.subtitle
                    .contains("a point is the mean of up to 17 samples"),
                "{}",
                lane.subtitle
            );
        }
    }

    #[test]
    fn a_far_limit_does_not_flatten_a_leak() {
        let (record, judgement) = sample::soak(700);
        let families = lanes(&(record, judgement));
        let memory = &families[1].lanes[1];
        assert_eq!(memory.name, "target-memory");
        assert!(memory.y.high < 1.5 * 1_073_741_824.0, "{:?}", memory.y);
        assert_eq!(memory.limit_labels(), ["< 8 GiB (beyond the picture)"]);
        assert_eq!(memory.visible_limits().count(), 0);
    }
}

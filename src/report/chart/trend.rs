//! The line that a gate on growth has fitted, and between which slopes the true one lies.

use super::palette::Colour;
use super::{Series, Stroke};
use crate::gate::Metric;
use crate::record::RunRecord;
use crate::verdict::GateResult;

/// The line of a gate on the growth of this metric over the stretches of its lane, and the range of its
/// slope; nothing for any other gate.
pub(super) fn of(
    record: &RunRecord,
    result: &GateResult,
    metric: &str,
    spans: &[(f64, f64)],
) -> Vec<Series> {
    let Metric::Growth(gated) = result.gate.gate.metric else {
        return Vec::new();
    };
    let (Some(growth), Some(rate)) = (&result.growth, result.observed) else {
        return Vec::new();
    };
    let count = growth.blocks.len() as f64;
    if gated.of != metric || growth.blocks.is_empty() {
        return Vec::new();
    }
    // Shares of the host's memory are judged in bytes and drawn as shares.
    let scale = match metric {
        "host.memory" => record.header.environment.memory_bytes as f64,
        _ => 1.0,
    };
    let mean = |value: fn(&(f64, f64)) -> f64| growth.blocks.iter().map(value).sum::<f64>() / count;
    let (middle_s, level) = (mean(|block| block.0), mean(|block| block.1));
    let to_s = growth.from_s + growth.window_s;
    let along = |slope: f64| -> Vec<Option<f64>> {
        let value = |&(from, to): &(f64, f64)| {
            let at = f64::midpoint(from, to);
            let is_inside = (growth.from_s..=to_s).contains(&at);
            is_inside.then(|| (level + slope * (at - middle_s)) / scale)
        };
        spans.iter().map(value).collect()
    };
    let shown = |rate: f64| result.gate.gate.limit.alike(rate);
    let of_which = if growth.instance.is_empty() {
        String::new()
    } else {
        format!(" of {}", growth.instance)
    };
    let mut label = format!("trend{of_which}: {}", shown(rate));
    let mut all = Vec::new();
    if let (Some(lower), Some(upper)) = (result.lower, result.upper)
        && lower.is_finite()
        && upper.is_finite()
    {
        label.push_str(&format!(
            ", between {} and {} at 95 % each",
            shown(lower),
            shown(upper)
        ));
        let (gentle, steep) = (along(lower), along(upper));
        let pairs = || gentle.iter().zip(&steep);
        let range = pairs().map(|(a, b)| Some(((*a)? - (*b)?).abs())).collect();
        let base = pairs()
            .map(|(a, b)| a.unwrap_or_default().min(b.unwrap_or_default()))
            .collect();
        all.push(Series::new("", Colour::Maximum, Stroke::Range, range).on(base));
    }
    all.push(Series::new(label, Colour::P99, Stroke::Dashed, along(rate)));
    all
}

//! The roofline of a GPU: what a kernel can reach at best, by how much it computes for each byte it moves
//! (Williams, Waterman, Patterson 2009), drawn from what was measured and not from data sheets.

use crate::record::SuiteGpu;

/// Tests that measure how fast the GPU computes.
const CEILINGS: [&str; 7] = [
    "fp32.fma",
    "mma.tf32",
    "mma.bf16",
    "layer.f16",
    "wgmma.tf32",
    "wgmma.bf16",
    "wgmma.fp8",
];

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
/// The x axis: operations for each byte, as powers of ten.
const FROM: f64 = -1.0;
const TO: f64 = 4.0;

/// The picture, or `None` when memory or all arithmetic is missing.
pub(super) fn svg(gpu: &SuiteGpu) -> Option<String> {
    // 10⁹ bytes for each second; ceilings are in 10¹² operations.
    let memory = gpu.measured("memory.read")?.median / 1e3;
    let ceilings: Vec<(&str, f64)> = CEILINGS
        .iter()
        .filter_map(|test| Some((*test, gpu.measured(test)?.median)))
        .filter(|(_, value)| *value > 0.0)
        .collect();
    let highest = ceilings.iter().map(|(_, value)| *value).reduce(f64::max)?;
    let top = highest.log10().ceil();
    let bottom = (memory * 10f64.powf(FROM)).log10().floor();
    let x = |operations: f64| (operations.log10() - FROM) / (TO - FROM) * WIDTH;
    let y = |rate: f64| HEIGHT - (rate.log10() - bottom) / (top - bottom) * HEIGHT;
    let mut svg = format!(
        "<svg viewBox=\"-70 -10 {} {}\" role=\"img\" aria-label=\"Roofline\">",
        WIDTH + 90.0,
        HEIGHT + 50.0
    );
    for power in [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0] {
        svg.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(10f64.powf(power)),
            HEIGHT + 18.0,
            10f64.powf(power)
        ));
    }
    svg.push_str(&format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">operations for each byte of device memory</text>",
        WIDTH / 2.0,
        HEIGHT + 36.0
    ));
    for (test, ceiling) in &ceilings {
        let knee = (ceiling / memory).log10().clamp(FROM, TO);
        let knee = 10f64.powf(knee);
        let start = 10f64.powf(FROM);
        svg.push_str(&format!(
            "<polyline points=\"0,{:.1} {:.1},{:.1} {WIDTH},{:.1}\"/>",
            y((memory * start).min(*ceiling)),
            x(knee),
            y(*ceiling),
            y(*ceiling)
        ));
        svg.push_str(&format!(
            "<text x=\"{WIDTH}\" y=\"{:.1}\" text-anchor=\"end\">{test}: {ceiling:.1}</text>",
            y(*ceiling) - 3.0
        ));
    }
    svg.push_str("</svg>");
    Some(svg)
}

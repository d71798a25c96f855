//! What wrk and wrk2 print.

/// A percentile of the latency in milliseconds, from a line such as `99%   10.60ms` (wrk) or
/// ` 99.000%   10.60ms` (wrk2): the first one that is named.
pub(crate) fn percentile_ms(output: &str, percent: f64) -> Option<f64> {
    let mut named = output.lines().filter_map(|line| {
        let (share, text) = line.trim().split_once('%')?;
        Some((share.parse::<f64>().ok()?, text.trim()))
    });
    let (_, text) = named.find(|(share, _)| *share == percent)?;
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let value: f64 = text[..at].parse().ok()?;
    Some(match &text[at..] {
        "us" => value / 1e3,
        "ms" => value,
        "s" => value * 1e3,
        "m" => value * 60e3,
        _ => return None,
    })
}

//! Reads a page of metrics in the Prometheus text format, and what `OpenMetrics` adds to it.
//!
//! Pure. A line that cannot be read is counted and skipped: exporters in the field write such lines,
//! and one of them must not cost the others. A page without one readable sample is no page of metrics.

use std::collections::BTreeMap;

/// The samples of a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Page {
    samples: Vec<Sample>,
    /// Lines that are neither samples nor comments.
    pub(crate) malformed: usize,
}

/// One sample: a value of one series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// The name, with `_bucket`, `_sum` and the like where the page has them.
    pub(crate) name: String,
    /// The labels in the order of the page.
    pub(crate) labels: Vec<(String, String)>,
    /// The value; `NaN` and the infinities are what the page says.
    pub(crate) value: f64,
}

impl Sample {
    /// The value of a label. Names of labels are compared without regard to case: exporters have
    /// changed it between versions.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether every wanted label has its value. As in PromQL, a label that is missing is empty.
    fn has(&self, wanted: &BTreeMap<String, String>) -> bool {
        wanted.iter().all(|(name, value)| {
            let found = self.labels.iter().find(|(known, _)| known == name);
            found.map_or("", |(_, value)| value.as_str()) == value
        })
    }
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// When it holds lines but not one sample: HTML of a login page, for example.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut page = Self::default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match sample(line) {
                Some(sample) => page.samples.push(sample),
                None => page.malformed += 1,
            }
        }
        if page.samples.is_empty() && page.malformed > 0 {
            return Err(
                "the answer is no page of metrics in the Prometheus text format".to_owned(),
            );
        }
        Ok(page)
    }

    /// All samples, in the order of the page.
    pub(crate) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The samples of one name that have these labels. A counter may be asked for with or without its
    /// suffix `_total`, which `OpenMetrics` keeps out of a family's name.
    pub(crate) fn select<'a>(
        &'a self,
        name: &'a str,
        labels: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a Sample> {
        let exact = self.samples.iter().any(|sample| sample.name == name);
        self.samples.iter().filter(move |sample| {
            let named =
                sample.name == name || (!exact && sample.name.strip_suffix("_total") == Some(name));
            named && sample.has(labels)
        })
    }
}

/// `name{label="value",…} value [timestamp] [# exemplar]`.
fn sample(line: &str) -> Option<Sample> {
    let end = line
        .find(|c: char| c == '{' || c.is_ascii_whitespace())
        .unwrap_or(line.len());
    let mut name = line[..end].to_owned();
    let mut rest = line[end..].trim_start();
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        let (found, quoted_name, after) = read_labels(inside)?;
        labels = found;
        rest = after.trim_start();
        if name.is_empty() {
            name = quoted_name?;
        }
    }
    let value = rest.split_ascii_whitespace().next()?;
    if !is_name(&name) {
        return None;
    }
    Some(Sample {
        name,
        labels,
        value: number(value)?,
    })
}

/// Prometheus since version 3 lets names hold any character, in quotes inside of the braces; outside
/// of them a name begins with a letter, `_` or `:`.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit() || c == '<')
}

/// Numbers as Go reads them.
fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

type Labels = Vec<(String, String)>;

/// Labels up to the closing brace, a quoted name among them if there is one, and what follows.
fn read_labels(mut rest: &str) -> Option<(Labels, Option<String>, &str)> {
    let mut labels = Vec::new();
    let mut name = None;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, name, after));
        }
        let key;
        if rest.starts_with('"') {
            (key, rest) = quoted(rest)?;
            rest = rest.trim_start();
            if !rest.starts_with('=') {
                name = Some(key);
                continue;
            }
        } else {
            let end = rest.find('=')?;
            key = rest[..end].trim().to_owned();
            rest = &rest[end..];
        }
        let value;
        (value, rest) = quoted(rest[1..].trim_start())?;
        labels.push((key, value));
    }
}

/// A string in quotes with its escapes resolved, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut characters = text.strip_prefix('"')?.char_indices();
    let mut value = String::new();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 2..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// The quantile of a histogram's buckets, given as upper bounds with cumulative counts, by the same
/// interpolation as PromQL's `histogram_quantile`. `None` without any observation, or where the
/// quantile lies above the last finite bound: then it is only known to be larger.
pub(crate) fn histogram_quantile(quantile: f64, buckets: &[(f64, f64)]) -> Option<f64> {
    let mut buckets = buckets.to_vec();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let &(last, total) = buckets.last()?;
    if last != f64::INFINITY || total <= 0.0 {
        return None;
    }
    let rank = quantile * total;
    let place = buckets.iter().position(|&(_, count)| count >= rank)?;
    let (upper, count) = buckets[place];
    if upper == f64::INFINITY {
        return None;
    }
    let (lower, below) = match place.checked_sub(1) {
        Some(previous) => buckets[previous],
        // The first bucket begins at zero, unless its bound is negative.
        None if upper <= 0.0 => return Some(upper),
        None => (0.0, 0.0),
    };
    let inside = count - below;
    Some(if inside > 0.0 {
        lower + (upper - lower) * (rank - below) / inside
    } else {
        upper
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn values(page: &Page, name: &str, wanted: &[(&str, &str)]) -> Vec<f64> {
        let wanted = labels(wanted);
        page.select(name, &wanted)
            .map(|sample| sample.value)
            .collect()
    }

    const PAGE: &str = r#"
# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find \"file\":\nx}y"} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
tokens{ model = "a" , } NaN
latency_bucket{le="0.5"} 129389 # {trace_id="x"} 0.3 1.0
{"a.name.of.utf8", unit="s"} 7
neg -Inf
# EOF
"#;

    #[test]
    fn reads_what_the_formats_allow() {
        let page = Page::parse(PAGE).unwrap();
        assert_eq!((page.samples.len(), page.malformed), (9, 0));
        assert_eq!(
            values(&page, "http_requests_total", &[("code", "400")]),
            [3.0]
        );
        assert_eq!(values(&page, "http_requests_total", &[]), [1027.0, 3.0]);
        // The name of the family instead of the name of the sample.
        assert_eq!(values(&page, "http_requests", &[("code", "200")]), [1027.0]);
        // A label that is not there is an empty one.
        assert_eq!(values(&page, "http_requests", &[("pod", "")]).len(), 2);
        let path = &page.samples[2];
        assert_eq!(path.label("PATH"), Some("C:\\DIR\\FILE.TXT"));
        assert_eq!(path.label("error"), Some("Cannot find \"file\":\nx}y"));
        assert_eq!(values(&page, "something_weird", &[]), [f64::INFINITY]);
        assert!(values(&page, "tokens", &[("model", "a")])[0].is_nan());
        assert_eq!(
            values(&page, "latency_bucket", &[("le", "0.5")]),
            [129_389.0]
        );
        assert_eq!(values(&page, "a.name.of.utf8", &[("unit", "s")]), [7.0]);
    }

    #[test]
    fn a_broken_line_costs_itself_only_and_html_is_no_page() {
        let page = Page::parse("good 1\nbad{x=\"1} 2\nworse\nno_number x\n9lives 1\n").unwrap();
        assert_eq!((page.samples.len(), page.malformed), (1, 4));
        let error = Page::parse("<html>\n<body>Log in 1</body>\n").unwrap_err();
        assert!(error.contains("no page of metrics"), "{error}");
        // An exporter that has nothing to say yet.
        assert_eq!(Page::parse("# nothing yet\n").unwrap().samples.len(), 0);
    }

    #[test]
    fn quantiles_as_promql_computes_them() {
        // 10 up to 0.1, 80 up to 0.5, 10 above.
        let buckets = [(0.5, 90.0), (0.1, 10.0), (f64::INFINITY, 100.0)];
        assert_eq!(histogram_quantile(0.05, &buckets), Some(0.05));
        let median = histogram_quantile(0.5, &buckets).unwrap();
        assert!((median - 0.3).abs() < 1e-12, "{median}");
        // Above the last bound it is only known to be larger.
        assert_eq!(histogram_quantile(0.99, &buckets), None);
        assert_eq!(
            histogram_quantile(0.5, &[(0.1, 0.0), (f64::INFINITY, 0.0)]),
            None
        );
        assert_eq!(histogram_quantile(0.5, &[(0.1, 5.0)]), None);
        assert_eq!(histogram_quantile(0.5, &[]), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,60}", labels in "[a-z{}\"\\\\=, 0-9\\n]{0,60}") {
            let _ = Page::parse(&text);
            let _ = Page::parse(&labels);
        }
    }
}

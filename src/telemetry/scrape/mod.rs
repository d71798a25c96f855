//! Metrics of other servers: pages in the Prometheus text format, answers of a Prometheus server to
//! PromQL, and numbers in JSON documents.
//!
//! Each named metric is one series. What cannot be told for sure is a gap, and never 0: a server that
//! does not answer, a series that is missing or there several times, a counter that was reset.

mod exposition;
mod fetch;
mod find;
mod promql;

use crate::engine::ports::Probe;
use crate::record::{SeriesInfo, SourceInfo, SourceState};
use crate::scenario::MetricSource;
use crate::units::nanoseconds;
pub(super) use exposition::Page;
pub(super) use fetch::{Question, ask_all};
use find::Finder;
use std::time::Duration;
use tokio::time::Instant;

/// Samples the metrics of one server.
#[derive(Debug)]
pub struct MetricProbe {
    name: String,
    interval: Duration,
    series: Vec<SeriesInfo>,
    timeout: Duration,
    questions: Vec<Question>,
    finder: Finder,
}

/// The metrics of a server, as the scenario wants them; `target` is the target's host and port.
///
/// The server is asked once, so that what is missing is known before any load. A server that does not
/// answer yet is a source all the same: it may come back, and until then there is a gap.
pub fn metric_source(source: &MetricSource, target: (&str, u16)) -> MetricProbe {
    let url = source.endpoint.at(target.0, target.1);
    let finder = Finder::new(&source.metrics);
    let questions = finder
        .paths(&url.path, source.interval)
        .into_iter()
        .map(|path| Question {
            url: url.clone(),
            path,
            headers: source.headers.clone(),
        })
        .collect();
    let series = source
        .metrics
        .iter()
        .map(|metric| SeriesInfo::new(&metric.name, "").of_dimension(metric.dimension))
        .collect();
    let mut probe = MetricProbe {
        name: source.name.clone(),
        interval: source.interval,
        series,
        timeout: source.timeout,
        questions,
        finder,
    };
    probe.look();
    probe
}

impl MetricProbe {
    /// Asks once, and notes why a series has no value.
    fn look(&mut self) {
        // A thread of its own: the caller may be driving asynchronous tasks.
        let asked = std::thread::scope(|scope| scope.spawn(|| self.ask()).join());
        let Ok(Ok(found)) = asked else { return };
        for (series, found) in self.series.iter_mut().zip(found) {
            if let Err(lack) = found {
                series.lack = lack.for_good;
            }
        }
    }

    fn ask(&mut self) -> Result<Vec<find::Found>, String> {
        let answers = ask_all(&self.questions, self.timeout);
        self.finder.read(Instant::now(), answers)
    }
}

impl Probe for MetricProbe {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            name: self.name.clone(),
            state: SourceState::Present,
            period_ns: nanoseconds(self.interval),
            series: self.series.clone(),
            simulated: false,
        }
    }

    fn sample(&mut self, values: &mut Vec<Option<f64>>) -> Result<(), String> {
        values.extend(self.ask()?.into_iter().map(Result::ok));
        Ok(())
    }
}

#[cfg(test)]
mod tests;

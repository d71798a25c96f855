//! GPU series of other hosts, from dcgm-exporter or `bench agent`.
//!
//! The exporter refreshes its page at an interval of its own, every 30 s unless it was told otherwise,
//! and says nothing about when. It is asked more often than that; a page that has not changed is no new
//! reading, and what readings there are decide whether a gate can be judged.

mod fields;

use super::scrape::{Page, Question, ask_all};
use super::unavailable;
use crate::engine::ports::Probe;
use crate::gpu::SIMULATED;
use crate::record::{Gpu, SeriesInfo, SourceInfo, SourceState};
use crate::scenario::{DcgmSource, HttpUrl};
use crate::units::nanoseconds;
use fields::{Lines, METRICS, Place, Scale};
use std::collections::BTreeMap;
use std::time::Duration;

const GPU: &str = "gpu";

/// Samples the GPUs that exporters report.
#[derive(Debug)]
pub struct DcgmProbe {
    source: DcgmSource,
    questions: Vec<Question>,
    /// For each exporter, what its page said last.
    last: Vec<BTreeMap<Place, Lines>>,
    /// For each exporter, its GPUs at the first question: the series of the run.
    places: Vec<Vec<Place>>,
    scales: BTreeMap<Place, Scale>,
    series: Vec<SeriesInfo>,
}

/// The GPUs of the exporters that the scenario names. Each of them is asked once.
///
/// # Errors
/// The absent source, when one does not answer or reports no GPU: a service behind several hosts is not
/// measured by those that are left.
pub fn dcgm_source(source: &DcgmSource) -> Result<DcgmProbe, SourceInfo> {
    let questions = source
        .exporters
        .iter()
        .map(|url| Question {
            url: url.clone(),
            path: path(url),
            headers: source.headers.clone(),
        })
        .collect();
    let mut probe = DcgmProbe {
        source: source.clone(),
        questions,
        last: Vec::new(),
        places: Vec::new(),
        scales: BTreeMap::new(),
        series: Vec::new(),
    };
    // A thread of its own: the caller may be driving asynchronous tasks.
    let pages = std::thread::scope(|scope| scope.spawn(|| probe.ask()).join())
        .unwrap_or_else(|_| Err("the question was not asked".to_owned()))
        .map_err(|reason| unavailable(GPU, reason))?;
    for (page, url) in pages.iter().zip(&source.exporters) {
        if page.is_empty() {
            let reason = format!(
                "{} reports no GPU{}",
                url.shown,
                if source.labels.is_empty() {
                    ": is it the page of dcgm-exporter or of `bench agent`?"
                } else {
                    " with these labels"
                }
            );
            return Err(unavailable(GPU, reason));
        }
    }
    probe.describe(&pages);
    probe.last = pages;
    Ok(probe)
}

/// The usual path, where the address has none.
fn path(url: &HttpUrl) -> String {
    match url.path.as_str() {
        "/" => "/metrics".to_owned(),
        path => path.to_owned(),
    }
}

impl DcgmProbe {
    /// The GPUs of each exporter's page.
    fn ask(&self) -> Result<Vec<BTreeMap<Place, Lines>>, String> {
        let answers = ask_all(&self.questions, self.source.timeout());
        answers
            .into_iter()
            .zip(&self.source.exporters)
            .map(|(answer, url)| {
                let page = Page::parse(&answer?.text)
                    .map_err(|reason| format!("{}: {reason}", url.shown))?;
                Ok(fields::gpus(&page, &url.host, &self.source.labels))
            })
            .collect()
    }

    /// The series of the run, with the reason where one will have no value.
    fn describe(&mut self, pages: &[BTreeMap<Place, Lines>]) {
        for (page, url) in pages.iter().zip(&self.source.exporters) {
            let split = fields::split(page);
            for (place, lines) in page {
                for metric in METRICS {
                    let series = SeriesInfo::new(metric, place.instance()).refreshing();
                    self.series
                        .push(if fields::means_nothing(metric, place, &split) {
                            series.lacking(
                            "this GPU is split by MIG, and DCGM knows no utilization for it: gate \
                             `gpu.engine_active` or `gpu.sm_active`",
                        )
                        } else if lines.value(metric, &mut Scale::Percent).is_none() {
                            let what = if lines.are_of_agent() {
                                "its driver does not tell"
                            } else {
                                "add its field to the exporter's list"
                            };
                            series.lacking(format!("{} does not report it: {what}", url.shown))
                        } else {
                            series
                        });
                }
            }
            self.places.push(page.keys().cloned().collect());
        }
    }

    /// The GPUs, as far as labels tell, and the version of the driver.
    pub fn gpus(&self) -> (Option<String>, Vec<Gpu>) {
        let all = || self.last.iter().flatten();
        let driver = all().find_map(|(_, lines)| lines.identity.driver.clone());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rounded number of bytes"
        )]
        let gpus = all()
            .filter(|(place, _)| place.mig.is_none())
            .map(|(place, lines)| Gpu {
                index: place.gpu,
                uuid: lines.identity.uuid.clone(),
                name: format!("{} on {}", lines.identity.model, place.host),
                memory_bytes: lines.memory_bytes().unwrap_or_default() as u64,
                pci_bus_id: lines.identity.pci_bus_id.clone(),
            })
            .collect();
        (driver, gpus)
    }
}

impl Probe for DcgmProbe {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            name: GPU.to_owned(),
            state: SourceState::Present,
            period_ns: nanoseconds(self.source.interval),
            series: self.series.clone(),
            simulated: self
                .last
                .iter()
                .flatten()
                .any(|(_, lines)| lines.identity.model.contains(SIMULATED)),
        }
    }

    fn sample(&mut self, values: &mut Vec<Option<f64>>) -> Result<(), String> {
        let pages = self.ask()?;
        for (number, page) in pages.iter().enumerate() {
            let is_new = self.last[number] != *page;
            let split = fields::split(page);
            for place in &self.places[number] {
                let Some(lines) = page.get(place) else {
                    return Err(format!(
                        "{} no longer reports GPU {}",
                        self.source.exporters[number].shown,
                        place.instance()
                    ));
                };
                let scale = self.scales.entry(place.clone()).or_default();
                values.extend(METRICS.iter().map(|metric| {
                    let meaningful = is_new && !fields::means_nothing(metric, place, &split);
                    let value = lines.value(metric, scale);
                    value.filter(|_| meaningful)
                }));
            }
        }
        self.last = pages;
        Ok(())
    }
}

impl DcgmSource {
    /// How long an answer may take: the exporter may be busy collecting.
    fn timeout(&self) -> Duration {
        self.interval.max(Duration::from_secs(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::scripted::{Reply, Scripted};
    use hyper::HeaderMap;

    fn source(servers: &[&Scripted]) -> DcgmSource {
        let exporters = servers.iter().map(|server| HttpUrl {
            host: "127.0.0.1".to_owned(),
            port: server.address.port(),
            path: "/".to_owned(),
            shown: server.url(""),
        });
        DcgmSource {
            exporters: exporters.collect(),
            headers: HeaderMap::new(),
            labels: BTreeMap::new(),
            interval: Duration::from_secs(1),
            secrets: Vec::new(),
        }
    }

    fn page(utilization: u32, energy: u32) -> String {
        let labels = "gpu=\"0\",UUID=\"GPU-1\",pci_bus_id=\"00000000:1B:00.0\",device=\"nvidia0\",\
                      modelName=\"SIMULATED H200\",Hostname=\"n1\",DCGM_FI_DRIVER_VERSION=\"580.1\"";
        format!(
            "DCGM_FI_DEV_GPU_UTIL{{{labels}}} {utilization}\n\
             DCGM_FI_DEV_FB_USED{{{labels}}} 1024\nDCGM_FI_DEV_FB_FREE{{{labels}}} 3072\n\
             DCGM_FI_DEV_MEMORY_TEMP{{{labels}}} 9223372036854775794\n\
             DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{labels}}} {energy}\n"
        )
    }

    fn at(probe: &DcgmProbe, values: &[Option<f64>], metric: &str) -> Option<f64> {
        let place = probe
            .series
            .iter()
            .position(|series| series.metric == metric);
        values[place.expect(metric)]
    }

    #[test]
    fn a_page_that_has_not_changed_is_no_new_reading() {
        // Two questions for each reading; utilization stays the same in two readings.
        let server = Scripted::new(|asked| {
            assert!(asked.head.starts_with("GET /metrics "), "{}", asked.head);
            let reading = u32::try_from(asked.number / 2).expect("a few");
            Reply::Page(page(if reading < 3 { 60 } else { 80 }, 1000 * reading))
        });
        let mut probe = dcgm_source(&source(&[&server])).expect("it answers");
        let mut seen = Vec::new();
        for _ in 0..7 {
            let mut values = Vec::new();
            probe.sample(&mut values).expect("it answers");
            seen.push(at(&probe, &values, "gpu.utilization"));
        }
        assert_eq!(
            seen,
            [None, Some(0.6), None, Some(0.6), None, Some(0.8), None]
        );
        let info = probe.info();
        assert!(info.simulated, "its name says so");
        assert!(
            info.series
                .iter()
                .all(|series| series.refreshes && series.instance == "n1/0")
        );
        let lack = |metric: &str| {
            let series = info.series.iter().find(|series| series.metric == metric);
            series.expect(metric).lack.clone()
        };
        assert_eq!(lack("gpu.memory"), None);
        assert!(
            lack("gpu.sm_active")
                .expect("not there")
                .contains("does not report it")
        );
        let (driver, gpus) = probe.gpus();
        assert_eq!(driver.as_deref(), Some("580.1"));
        assert_eq!(gpus[0].name, "SIMULATED H200 on n1");
        assert_eq!(gpus[0].memory_bytes, 4 << 30);
    }

    #[test]
    fn all_exporters_must_answer() {
        let good = Scripted::page(&page(50, 1));
        let bad = Scripted::new(|asked| match asked.number {
            0 => Reply::Page(page(50, 1).replace("n1", "n2")),
            1 => Reply::Page("up 1\n".to_owned()),
            _ => Reply::Raw(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_vec()),
        });
        let mut probe = dcgm_source(&source(&[&good, &bad])).expect("both answer");
        let error = probe.sample(&mut Vec::new()).expect_err("a GPU is gone");
        assert!(error.contains("no longer reports GPU n2/0"), "{error}");
        let error = probe.sample(&mut Vec::new()).expect_err("status 500");
        assert!(error.contains("status 500"), "{error}");
        let other = Scripted::page("up 1\n");
        let absent = dcgm_source(&source(&[&other])).expect_err("no GPUs");
        let SourceState::Unavailable(reason) = absent.state else {
            panic!("unavailable");
        };
        assert!(reason.contains("reports no GPU: is it"), "{reason}");
    }
}

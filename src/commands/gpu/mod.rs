//! `bench gpu`: what the GPUs of this host can do.

pub(super) mod criteria;

use super::input::CommandError;
use super::push::push_after_suite;
use super::{Ending, Format, Output};
use crate::gpu::cuda::{CublasLt, Cuda};
use crate::gpu::suite::{Effort, Suite, TESTS, Test};
use crate::gpu::{Nvml, kernels};
use crate::history::{RunSummary, SUMMARY_FILE};
use crate::record::{Floor, SUITE_SCHEMA, SuiteRecord};
use crate::report;
use crate::store::{Address, Making, RunFolder, StoreError, new_run_id};
use crate::telemetry;
use crate::units;
use crate::verdict::{SuiteJudgement, Verdict, judge_suite};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How the suite is run.
#[derive(Clone, Debug)]
pub struct GpuOptions {
    /// Print the tests, and run none.
    pub list: bool,
    /// The tests to run: names, or the words before the dot; empty for all.
    pub only: Vec<String>,
    /// A short run.
    pub quick: bool,
    /// Sweep batch sizes and precisions instead of running tests.
    pub tune: bool,
    /// How long the sustained load lasts; `None` for the usual.
    pub sustain: Option<Duration>,
    /// Seed of all data.
    pub seed: u32,
    /// An earlier record that no GPU may be slower than: a file, a folder, or the name of one.
    pub baseline: Option<String>,
    /// By which share a GPU may be slower than its siblings or its baseline.
    pub tolerance: f64,
    /// What tests must reach.
    pub floors: Vec<Floor>,
    /// A file with more of them.
    pub floors_file: Option<PathBuf>,
    /// The folder that gets the folder of the run.
    pub results: PathBuf,
    /// What is printed in the end.
    pub format: Format,
    /// Driver libraries to be used instead of the system's.
    pub cuda_library: Option<PathBuf>,
    /// The same for cuBLASLt.
    pub cublaslt: Option<PathBuf>,
    /// The same for NVML.
    pub nvml_library: Option<PathBuf>,
    /// The database that gets the results.
    pub database: Option<Address>,
}

impl GpuOptions {
    /// Whether copies between GPUs are measured: they are no test of one GPU, and are chosen as `peer`.
    fn pairs(&self) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| word == PEER)
    }
}

/// What chooses the copies between GPUs.
const PEER: &str = "peer";

/// A device that carries this word in its name makes its values up.
const SIMULATED: &str = "SIMULATED";

/// Measures the GPUs. A host without GPUs is INCONCLUSIVE, with the reason.
///
/// # Errors
/// When a test is named that does not exist, or the record cannot be written.
pub fn gpu(options: &GpuOptions, output: Output) -> Result<Ending, CommandError> {
    let tests = chosen(&options.only)?;
    if options.list {
        let line = |name: &str, what: &str| format!("{name:26} {what}\n");
        let mut lines: String = tests
            .iter()
            .map(|test| line(test.name, test.what))
            .collect();
        if options.pairs() {
            lines.push_str(&line(
                PEER,
                "copies between every two GPUs that reach each other, one way and both, and their latency",
            ));
        }
        output.result(&lines);
        return Ok(Ending::Done);
    }
    let criteria = criteria::read(options)?;
    let started_at = jiff::Timestamp::now();
    let mut record = SuiteRecord {
        schema: SUITE_SCHEMA,
        id: new_run_id(started_at, "gpu"),
        started_at: started_at.to_string(),
        host: telemetry::environment(&options.results, None, Vec::new()).host,
        bench_version: env!("CARGO_PKG_VERSION").to_owned(),
        quick: options.quick,
        seed: options.seed,
        kernels: kernels::fingerprint(),
        criteria,
        ..SuiteRecord::default()
    };
    let mut effort = if options.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    effort.sustain = options.sustain.unwrap_or(effort.sustain);
    match Cuda::open(options.cuda_library.as_deref()) {
        Ok(cuda) => {
            // Opened late: it is a large library, and without a GPU it is of no use.
            let opened = CublasLt::open(options.cublaslt.as_deref());
            let cublaslt = opened.map_err(|reason| reason.to_string());
            record.cublaslt = match &cublaslt {
                Ok(library) => library.path().to_owned(),
                Err(reason) => reason.clone(),
            };
            let suite = Suite {
                tests,
                effort,
                tune: options.tune,
                seed: options.seed,
                cublaslt,
            };
            measure(&cuda, &suite, options, &mut record, output);
        }
        Err(reason) => record.unavailable = Some(reason.to_string()),
    }
    let took = jiff::Timestamp::now().duration_since(started_at);
    record.took_s = took.as_secs_f64().max(0.0);
    let judged = judge_suite(&record);
    let folder = keep(&options.results, &record, &judged).map_err(|error| {
        CommandError::setup(
            error.to_string(),
            "choose a folder that can be written with --results",
        )
    })?;
    output.say(&format!(
        "report: {}\n",
        folder.path().join("report.html").display()
    ));
    output.result(&match options.format {
        Format::Text => report::suite_console(&record, &judged, output.width().max(120)),
        Format::Json => report::suite_json(&record, &judged),
    });
    if let Some(address) = &options.database {
        push_after_suite(&folder, address, output);
    }
    Ok(match judged.verdict {
        Verdict::Pass => Ending::Pass,
        Verdict::Fail => Ending::Fail,
        Verdict::Inconclusive => Ending::Inconclusive,
    })
}

/// Writes the record and its views into a folder of their own.
fn keep(
    results: &Path,
    record: &SuiteRecord,
    judged: &SuiteJudgement,
) -> Result<RunFolder, StoreError> {
    let folder = RunFolder::for_suite(results, &record.id);
    let mut files = report::suite_files(record, judged);
    let summary = RunSummary::of_suite(record, judged);
    files.push((SUMMARY_FILE.to_owned(), summary.to_json()));
    let files = files
        .into_iter()
        .map(|(name, bytes)| -> (String, Making<'_>) { (name, Box::new(|| bytes)) });
    folder.write(files.collect())?;
    Ok(folder)
}

fn measure(
    cuda: &Cuda,
    suite: &Suite,
    options: &GpuOptions,
    record: &mut SuiteRecord,
    output: Output,
) {
    record.cuda = Some(cuda.version());
    let nvml = match Nvml::open(options.nvml_library.as_deref()) {
        Ok(nvml) => {
            record.driver = Some(nvml.driver().to_owned());
            Some(nvml)
        }
        Err(reason) => {
            record.no_telemetry = Some(reason.to_string());
            None
        }
    };
    watched(nvml.as_ref(), record, |record| {
        for ordinal in 0..cuda.device_count() {
            let mut say = |test: &str| output.say(&format!("GPU {ordinal}: {test}"));
            let measured = suite.run(cuda, ordinal, nvml.as_ref(), &mut say);
            record.gpus.push(measured);
        }
        if cuda.device_count() > 1 && !options.tune {
            output.say(&format!(
                "all {} GPUs at once",
                units::count(u64::from(cuda.device_count()))
            ));
            record.together = suite.run_together(cuda, nvml.as_ref());
            if options.pairs() {
                output.say("every pair of GPUs");
                record.pairs = suite.run_pairs(cuda);
            }
        }
    });
    record.simulated = nvml.as_ref().is_some_and(Nvml::simulated)
        || record.gpus.iter().any(|gpu| gpu.name.contains(SIMULATED));
}

/// Does the work while another thread collects the driver's messages about faults.
fn watched(nvml: Option<&Nvml>, record: &mut SuiteRecord, work: impl FnOnce(&mut SuiteRecord)) {
    let Some(nvml) = nvml else {
        return work(record);
    };
    let stop = AtomicBool::new(false);
    let ready = Barrier::new(2);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            nvml.watch(&stop, || {
                ready.wait();
            })
        });
        ready.wait();
        work(record);
        stop.store(true, Ordering::Release);
        // A watch that cannot be kept, as in a container without the right, leaves no messages.
        record.xids = watch.join().ok().and_then(Result::ok);
    });
}

/// The tests that were asked for, in the order of the suite.
fn chosen(only: &[String]) -> Result<Vec<Test>, CommandError> {
    let fits = |test: &Test, word: &str| {
        let rest = test.name.strip_prefix(word);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let unknown = only
        .iter()
        .find(|word| *word != PEER && !TESTS.iter().any(|test| fits(test, word)));
    if let Some(word) = unknown {
        return Err(CommandError::setup(
            format!("there is no test `{word}`"),
            "`bench gpu --list` prints them all",
        ));
    }
    let wanted = |test: &&Test| only.is_empty() || only.iter().any(|word| fits(test, word));
    Ok(TESTS.iter().filter(wanted).copied().collect())
}

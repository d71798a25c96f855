//! Utilization as the driver itself samples it: a buffer of readings, each with its time.
//!
//! The plain query only repeats the newest of them, so that whoever asks sees some twice and some never.

use super::counters::why_not as in_words;
use super::reading::SPLIT_BY_MIG;
use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::Sampling;
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;

/// No sample is older than this, the year 2001: what claims to be has another clock than the run can map.
const EARLIEST_UNIX_US: u64 = 1_000_000_000_000_000;

/// What the driver samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// The share of time in which at least one kernel ran.
    Utilization,
    /// The share of time in which device memory was read or written.
    MemoryActivity,
}

/// One reading of the driver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriverSample {
    /// When the driver took it, in microseconds since the Unix epoch: the end of the time that it is about.
    pub at_unix_us: u64,
    /// The share, 0 to 1.
    pub value: f64,
}

/// The samples since this moment, oldest first; none where there is no new one.
pub(super) fn read(
    device: &Device<'_>,
    what: Sampled,
    since_unix_us: u64,
) -> Result<Vec<DriverSample>, NvmlError> {
    let sampling = match what {
        Sampled::Utilization => Sampling::GpuUtilization,
        Sampled::MemoryActivity => Sampling::MemoryUtilization,
    };
    let answers = match device.samples(sampling, since_unix_us) {
        Err(NvmlError::NotFound) => Vec::new(),
        answers => answers?,
    };
    let mut samples: Vec<DriverSample> = answers
        .into_iter()
        // Places of the buffer that nothing was written to yet have no time.
        .filter(|sample| sample.timestamp > since_unix_us)
        .filter_map(|sample| {
            Some(DriverSample {
                at_unix_us: sample.timestamp,
                value: share(&sample.value)?,
            })
        })
        .collect();
    samples.sort_by_key(|sample| sample.at_unix_us);
    samples.dedup_by_key(|sample| sample.at_unix_us);
    Ok(samples)
}

/// Why the buffer cannot be read, where it cannot.
pub(super) fn why_not(device: &Device<'_>, mig: bool) -> Option<String> {
    if mig {
        return Some(SPLIT_BY_MIG.to_owned());
    }
    match read(device, Sampled::Utilization, 0) {
        Err(error) => Some(in_words(&error)),
        // A buffer that is still empty fills while it is asked.
        Ok(samples) => samples
            .last()
            .filter(|newest| newest.at_unix_us < EARLIEST_UNIX_US)
            .map(|_| "they do not carry the time of day".to_owned()),
    }
}

fn share(percent: &SampleValue) -> Option<f64> {
    let percent = match *percent {
        SampleValue::U32(value) => f64::from(value),
        SampleValue::U64(value) => value as f64,
        SampleValue::I64(value) => value as f64,
        SampleValue::F64(value) => value,
    };
    (0.0..=100.0).contains(&percent).then(|| percent / 100.0)
}

//! What the parts of a GPU do, by its own counters (NVML's GPM, on Hopper and newer): how busy its
//! multiprocessors, tensor cores and memory are, and what crosses the PCI bus.
//!
//! Unlike the counters that profilers read, these can be read by several programs at once.
#![expect(
    unsafe_code,
    reason = "samples that are kept from one reading to the next"
)]

use super::counters::why_not as in_words;
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::{GpmSample, gpm_metrics_get};
use nvml_wrapper::{Device, Nvml as Library};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What a GPU, or a MIG instance, did over a short time. `None`: it does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity {
    /// The share of cycles in which a multiprocessor had work, over all of them, 0 to 1.
    pub multiprocessors: Option<f64>,
    /// The share of cycles in which tensor cores were busy, 0 to 1.
    pub tensor: Option<f64>,
    /// The share of its bandwidth that memory was used with, 0 to 1.
    pub memory: Option<f64>,
    /// The share of time in which the compute engine was busy, 0 to 1.
    pub engine: Option<f64>,
    /// Bytes per second that the GPU sent over the PCI bus.
    pub pcie_sent: Option<f64>,
    /// Bytes per second that it received.
    pub pcie_received: Option<f64>,
}

/// Two samples must lie more than 100 ms apart.
const LEAST_DISTANCE: Duration = Duration::from_millis(110);

const METRICS: [GpmMetricId; 6] = [
    GpmMetricId::SmUtil,
    GpmMetricId::AnyTensorUtil,
    GpmMetricId::DramBwUtil,
    GpmMetricId::GraphicsUtil,
    GpmMetricId::PcieTxPerSec,
    GpmMetricId::PcieRxPerSec,
];

/// The last sample of each GPU and of each MIG instance.
#[derive(Debug, Default)]
pub(super) struct Gpm {
    earlier: Mutex<BTreeMap<(usize, Option<u32>), Earlier>>,
}

#[derive(Debug)]
struct Earlier {
    sample: *mut c_void,
    at: Instant,
}

// SAFETY: NVML may be called from any thread; only one at a time has the sample, under the lock.
unsafe impl Send for Earlier {}

impl Earlier {
    fn of(sample: GpmSample<'_>, at: Instant) -> Self {
        Self {
            sample: sample.into_handle().cast(),
            at,
        }
    }

    fn sample(self, library: &Library) -> GpmSample<'_> {
        // SAFETY: the library made it for `of`, which took it over; nobody has freed it since.
        unsafe { GpmSample::from_handle(library, self.sample.cast()) }
    }
}

impl Gpm {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(usize, Option<u32>), Earlier>> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why these counters cannot be read, where they cannot.
    pub(super) fn why_not(library: &Library, device: &Device<'_>) -> Option<String> {
        let functions = library.lib();
        // The wrapper panics where it cannot give a sample back.
        for (name, is_there) in [
            (
                "nvmlGpmQueryDeviceSupport",
                functions.nvmlGpmQueryDeviceSupport.is_ok(),
            ),
            ("nvmlGpmSampleAlloc", functions.nvmlGpmSampleAlloc.is_ok()),
            ("nvmlGpmSampleFree", functions.nvmlGpmSampleFree.is_ok()),
            ("nvmlGpmSampleGet", functions.nvmlGpmSampleGet.is_ok()),
            ("nvmlGpmMetricsGet", functions.nvmlGpmMetricsGet.is_ok()),
        ] {
            if !is_there {
                return Some(format!(
                    "this driver's NVML has no `{name}`: it takes driver 520 or newer"
                ));
            }
        }
        match device.gpm_support() {
            Ok(true) => None,
            Ok(false) | Err(NvmlError::NotSupported) => Some(
                "its counters of activity (GPM) are there from Hopper on; on older GPUs take it from \
                 dcgm-exporter: gpu = { dcgm = [\"http://…:9400/metrics\"] }"
                    .to_owned(),
            ),
            Err(error) => Some(in_words(&error)),
        }
    }

    /// The activity between the last call and this one.
    pub(super) fn since_last(
        &self,
        library: &Library,
        device: &Device<'_>,
        place: usize,
        instance: Option<u32>,
    ) -> Result<Option<Activity>, NvmlError> {
        let key = (place, instance);
        let mut all = self.lock();
        let is_too_early = |earlier: &Earlier| earlier.at.elapsed() < LEAST_DISTANCE;
        if all.get(&key).is_some_and(is_too_early) {
            return Ok(None);
        }
        let sample = match instance {
            None => device.gpm_sample()?,
            Some(instance) => device.gpm_mig_sample(instance)?,
        };
        let at = Instant::now();
        let activity = match all.remove(&key) {
            None => Ok(None),
            Some(earlier) => between(library, &earlier.sample(library), &sample).map(Some),
        };
        all.insert(key, Earlier::of(sample, at));
        activity
    }

    /// Gives all samples back: the library must still be open.
    pub(super) fn give_back(&self, library: &Library) {
        for (_, earlier) in std::mem::take(&mut *self.lock()) {
            drop(earlier.sample(library));
        }
    }
}

fn between<'a>(
    library: &'a Library,
    earlier: &GpmSample<'a>,
    later: &GpmSample<'a>,
) -> Result<Activity, NvmlError> {
    const MIB: f64 = 1_048_576.0;
    let answers = gpm_metrics_get(library, earlier, later, &METRICS)?;
    let mut values = [None; METRICS.len()];
    for (value, answer) in values.iter_mut().zip(answers) {
        *value = answer.ok().map(|answer| answer.value);
    }
    let [multiprocessors, tensor, memory, engine, sent, received] = values;
    // Counters of different units of the chip are not read at exactly the same moment.
    let share = |percent: Option<f64>| {
        let percent = percent.filter(|percent| (0.0..=101.0).contains(percent))?;
        Some((percent / 100.0).min(1.0))
    };
    let rate = |mebibytes: Option<f64>| {
        let mebibytes = mebibytes.filter(|value| value.is_finite() && *value >= 0.0)?;
        Some(mebibytes * MIB)
    };
    Ok(Activity {
        multiprocessors: share(multiprocessors),
        tensor: share(tensor),
        memory: share(memory),
        engine: share(engine),
        pcie_sent: rate(sent),
        pcie_received: rate(received),
    })
}

//! What a GPU could reach at best, each value with its source. What is not known is left out: a guess
//! would make every percentage of it a guess.

use super::cuda::Properties;
use crate::record::Peak;

/// What a test exercises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Device memory, in GB/s.
    Memory,
    /// FP32 units, in TFLOP/s.
    Fp32,
    /// Tensor cores with operands of 16 bits, in TFLOP/s, dense.
    Tensor16,
    /// Tensor cores with TF32, in TFLOP/s, dense.
    TensorTf32,
    /// Tensor cores with operands of 8 bits, in TFLOP/s or TOP/s, dense.
    Tensor8,
}

/// Data-sheet values of one model: dense rates, never those with sparsity.
struct Sheet {
    /// What its name begins with.
    name: &'static str,
    memory: f64,
    fp32: f64,
    tensor16: f64,
    tensor_tf32: f64,
    tensor8: f64,
}

const SHEETS: &[Sheet] = &[
    Sheet {
        name: "NVIDIA H200",
        memory: 4800.0,
        fp32: 66.9,
        tensor16: 989.4,
        tensor_tf32: 494.7,
        tensor8: 1978.9,
    },
    Sheet {
        name: "NVIDIA H100 80GB HBM3",
        memory: 3350.0,
        fp32: 66.9,
        tensor16: 989.4,
        tensor_tf32: 494.7,
        tensor8: 1978.9,
    },
    Sheet {
        name: "NVIDIA A100-SXM4-80GB",
        memory: 2039.0,
        fp32: 19.5,
        tensor16: 312.0,
        tensor_tf32: 156.0,
        tensor8: 624.0,
    },
];

/// Dense operations in a cycle of one multiprocessor: FP32, tensor 16 bits, TF32, 8 bits.
fn per_cycle(capability: (u32, u32)) -> Option<[f64; 4]> {
    match capability {
        (8, 0) => Some([128.0, 2048.0, 1024.0, 4096.0]),
        (9, 0) => Some([256.0, 4096.0, 2048.0, 8192.0]),
        _ => None,
    }
}

/// The peaks of a resource: by the data sheet, by the device's attributes at its highest clock, and at
/// the clock that it really had.
pub fn peaks(gpu: &Properties, resource: Resource, sm_clock_mhz: Option<f64>) -> Vec<Peak> {
    let mut peaks = Vec::new();
    let mut add = |name: &str, value: f64, source: String| {
        peaks.push(Peak {
            name: name.to_owned(),
            value,
            source,
        });
    };
    // A variant such as `NVIDIA H200 NVL` has a data sheet of its own.
    if let Some(sheet) = SHEETS.iter().find(|sheet| sheet.name == gpu.name) {
        let value = match resource {
            Resource::Memory => sheet.memory,
            Resource::Fp32 => sheet.fp32,
            Resource::Tensor16 => sheet.tensor16,
            Resource::TensorTf32 => sheet.tensor_tf32,
            Resource::Tensor8 => sheet.tensor8,
        };
        add("datasheet", value, "NVIDIA's data sheet, dense".to_owned());
    }
    let operations = per_cycle(gpu.capability).map(|[fp32, tensor16, tf32, tensor8]| {
        f64::from(gpu.multiprocessors)
            * match resource {
                Resource::Memory => 0.0,
                Resource::Fp32 => fp32,
                Resource::Tensor16 => tensor16,
                Resource::TensorTf32 => tf32,
                Resource::Tensor8 => tensor8,
            }
    });
    match (resource, operations) {
        (Resource::Memory, _) if gpu.memory_clock_khz > 0 && gpu.memory_bus_bits > 0 => {
            // Two transfers in a cycle, as nvbench reckons.
            let value =
                2.0 * f64::from(gpu.memory_clock_khz) * f64::from(gpu.memory_bus_bits) / 8.0 / 1e6;
            let source = format!(
                "2 × {} kHz × {} bits / 8",
                gpu.memory_clock_khz, gpu.memory_bus_bits
            );
            add("attributes", value, source);
        }
        (Resource::Memory, _) | (_, None) => {}
        (_, Some(operations)) => {
            let at = |khz: f64| operations * khz * 1e3 / 1e12;
            if gpu.clock_khz > 0 {
                let khz = f64::from(gpu.clock_khz);
                let source = format!("{operations} operations in a cycle × {khz} kHz");
                add("attributes", at(khz), source);
            }
            if let Some(mhz) = sm_clock_mhz {
                let source = format!("{operations} operations in a cycle × {mhz:.0} MHz, measured");
                add("measured clock", at(mhz * 1e3), source);
            }
        }
    }
    peaks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h200() -> Properties {
        Properties {
            name: "NVIDIA H200".to_owned(),
            capability: (9, 0),
            multiprocessors: 132,
            clock_khz: 1_980_000,
            memory_clock_khz: 3_201_000,
            memory_bus_bits: 6144,
            ..Properties::default()
        }
    }

    fn told(gpu: &Properties, resource: Resource, clock: Option<f64>) -> Vec<String> {
        peaks(gpu, resource, clock)
            .iter()
            .map(|peak| format!("{} {:.1}", peak.name, peak.value))
            .collect()
    }

    #[test]
    fn three_peaks_that_differ_have_three_names() {
        assert_eq!(
            told(&h200(), Resource::Memory, Some(1500.0)),
            ["datasheet 4800.0", "attributes 4916.7"]
        );
        // The data sheet's tensor rate is that of 1830 MHz, not of the highest clock.
        assert_eq!(
            told(&h200(), Resource::Tensor16, Some(1830.0)),
            [
                "datasheet 989.4",
                "attributes 1070.5",
                "measured clock 989.4"
            ]
        );
    }

    #[test]
    fn of_an_unknown_gpu_only_what_its_attributes_say() {
        let unknown = Properties {
            name: "NVIDIA H200 NVL".to_owned(),
            capability: (12, 3),
            ..h200()
        };
        assert_eq!(
            told(&unknown, Resource::Memory, None),
            ["attributes 4916.7"]
        );
        assert!(told(&unknown, Resource::Tensor8, Some(1000.0)).is_empty());
    }
}

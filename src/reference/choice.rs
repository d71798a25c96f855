//! Which GPUs compute: what was asked for, found among those that CUDA shows.
//!
//! Nothing is opened here: a context takes memory on a GPU that may be another's.

use super::no_model::{NoModel, called, failure};
use crate::gpu::cuda::{Cuda, Properties};
use crate::scenario::GpuChoice;

/// The GPUs that were chosen, by their ordinals, each once.
pub(super) fn chosen(cuda: &Cuda, choice: &GpuChoice) -> Result<Vec<u32>, NoModel> {
    let words = match choice {
        GpuChoice::First => return Ok(vec![0]),
        GpuChoice::All => return Ok((0..cuda.device_count()).collect()),
        GpuChoice::These(words) => words,
    };
    let all = (0..cuda.device_count())
        .map(|ordinal| {
            Properties::of(cuda, ordinal).map_err(|error| failure(&called(ordinal, true))(error))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut found: Vec<u32> = Vec::new();
    for word in words {
        let mut fitting = all.iter().filter(|gpu| is_called(gpu, word));
        let ordinal = match (fitting.next(), fitting.next()) {
            (Some(gpu), None) => gpu.ordinal,
            (None, _) => {
                let there: Vec<String> = all
                    .iter()
                    .map(|gpu| format!("{} ({}, {})", gpu.ordinal, gpu.uuid, gpu.pci_bus_id))
                    .collect();
                let there = there.join(", ");
                return Err(NoModel::NotThere(format!(
                    "CUDA shows no GPU `{word}`; there are {there}"
                )));
            }
            (Some(_), Some(_)) => {
                return Err(NoModel::NotThere(format!(
                    "the UUIDs of several GPUs begin with `{word}`"
                )));
            }
        };
        if found.contains(&ordinal) {
            return Err(NoModel::NotThere(format!(
                "`{word}` names a GPU that was named before"
            )));
        }
        found.push(ordinal);
    }
    Ok(found)
}

/// Whether a word means this GPU: its number, the beginning of its UUID, or its address on the PCI bus, whose
/// domain has eight digits, four, or is left out.
fn is_called(gpu: &Properties, word: &str) -> bool {
    if let Ok(ordinal) = word.parse::<u32>() {
        return gpu.ordinal == ordinal;
    }
    let begins = |text: &str| {
        let head = text.get(..word.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(word))
    };
    let address = gpu.pci_bus_id.as_str();
    let bus = address.split_once(':').map_or(address, |(_, bus)| bus);
    let forms = [Some(address), address.get(4..), Some(bus)];
    begins(&gpu.uuid)
        || forms
            .iter()
            .flatten()
            .any(|form| form.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_called_by_number_uuid_or_address() {
        let gpu = Properties {
            ordinal: 1,
            uuid: "GPU-6f2c01aa-0000-0000-0000-000000000000".to_owned(),
            pci_bus_id: "00000000:3B:00.0".to_owned(),
            ..Properties::default()
        };
        for word in [
            "1",
            "GPU-6f2c",
            "gpu-6F2C01AA",
            "00000000:3b:00.0",
            "0000:3b:00.0",
            "3b:00.0",
        ] {
            assert!(is_called(&gpu, word), "{word}");
        }
        for word in ["0", "11", "GPU-6f2d", "b:00.0", "0001:3b:00.0"] {
            assert!(!is_called(&gpu, word), "{word}");
        }
    }
}

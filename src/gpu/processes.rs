//! Which process has how much of a GPU's memory.

use nvml_wrapper::Device;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;

/// Memory of one process on one GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Its number on the host.
    pub pid: u32,
    /// Its memory in bytes; `None` where the driver knows the process and not its memory.
    pub bytes: Option<u64>,
}

/// The processes with a CUDA context, by their numbers. A process with several has one line.
pub(super) fn read(device: &Device<'_>) -> Result<Vec<ProcessMemory>, NvmlError> {
    let mut processes: Vec<ProcessMemory> = Vec::new();
    for process in device.running_compute_processes()? {
        let bytes = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        // Under MIG a process has a line for each instance that it uses.
        match processes.iter_mut().find(|known| known.pid == process.pid) {
            Some(known) => {
                known.bytes = known.bytes.zip(bytes).map(|(known, more)| known + more);
            }
            None => processes.push(ProcessMemory {
                pid: process.pid,
                bytes,
            }),
        }
    }
    processes.sort_by_key(|process| process.pid);
    Ok(processes)
}

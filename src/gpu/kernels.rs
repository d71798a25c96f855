//! The kernels that this program brings, as PTX: which there are, what they take, what they run on.
//!
//! `kernels/BUILD.md` says how the PTX is made and checked.

/// A source of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Streams over memory.
    Memory,
    /// Arithmetic, shared memory, clocks.
    Compute,
    /// Tensor cores by `mma.sync`.
    Tensor,
    /// Tensor cores by `wgmma`.
    Wgmma,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Compute, Self::Tensor, Self::Wgmma];

    /// The PTX.
    pub fn ptx(self) -> &'static str {
        match self {
            Self::Memory => include_str!("../../kernels/ptx/memory_sm70.ptx"),
            Self::Compute => include_str!("../../kernels/ptx/compute_sm70.ptx"),
            Self::Tensor => include_str!("../../kernels/ptx/tensor_sm80.ptx"),
            Self::Wgmma => include_str!("../../kernels/ptx/wgmma_sm90a.ptx"),
        }
    }

    /// Whether a device of this compute capability can run it.
    pub fn runs_on(self, capability: (u32, u32)) -> bool {
        match self {
            Self::Memory | Self::Compute => capability >= (7, 0),
            Self::Tensor => capability >= (8, 0),
            Self::Wgmma => capability == (9, 0),
        }
    }

    /// Its kernels.
    pub fn entries(self) -> impl Iterator<Item = &'static Entry> {
        ENTRIES.iter().filter(move |entry| entry.source == self)
    }
}

/// What a parameter of a kernel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64 bits, addresses too.
    U64,
    /// 32 bits.
    U32,
    /// A floating-point number of 32 bits.
    F32,
}

/// A kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the PTX.
    pub name: &'static str,
    /// Where it is.
    pub source: Source,
    /// Its parameters.
    pub takes: &'static [Kind],
}

use Kind::{F32, U32, U64};
use Source::{Compute, Memory, Tensor, Wgmma};

const RATE: &[Kind] = &[U64, U64, U64, U32];
const LAYER: &[Kind] = &[U64, U64, U64, U64, U32, U32, U32];

const fn entry(name: &'static str, source: Source, takes: &'static [Kind]) -> Entry {
    Entry {
        name,
        source,
        takes,
    }
}

/// Every kernel that the code launches.
pub const ENTRIES: &[Entry] = &[
    entry("memory_fill", Memory, &[U64, U64, U32]),
    entry("memory_verify", Memory, &[U64, U64, U32, U64]),
    entry("memory_write", Memory, &[U64, U64, U32]),
    entry("memory_read", Memory, &[U64, U64, U32, U64]),
    entry("memory_copy", Memory, &[U64, U64, U64]),
    entry("memory_triad", Memory, &[U64, U64, U64, U64, F32]),
    entry("memory_numbers", Memory, &[U64, U64, U32]),
    entry(
        "memory_triad_verify",
        Memory,
        &[U64, U64, U32, U32, F32, U64],
    ),
    entry("compute_fma", Compute, &[U64, U32, F32, F32]),
    entry("compute_shared", Compute, &[U64, U32]),
    entry("compute_empty", Compute, &[]),
    entry("compute_spin", Compute, &[U64, U64]),
    entry("compute_clocks", Compute, &[U64]),
    entry("tensor_f16", Tensor, RATE),
    entry("tensor_bf16", Tensor, RATE),
    entry("tensor_tf32", Tensor, RATE),
    entry("tensor_s8", Tensor, RATE),
    entry("tensor_layer", Tensor, LAYER),
    entry("tensor_layer_bf16", Tensor, LAYER),
    entry("wgmma_rate_f16", Wgmma, RATE),
    entry("wgmma_rate_bf16", Wgmma, RATE),
    entry("wgmma_rate_tf32", Wgmma, RATE),
    entry("wgmma_rate_e4m3", Wgmma, RATE),
    entry("wgmma_rate_s8", Wgmma, RATE),
];

/// A number over all PTX, in hexadecimal digits (FNV-1a): measurements with different kernels cannot be
/// compared.
pub fn fingerprint() -> String {
    let bytes = Source::ALL
        .iter()
        .flat_map(|source| source.ptx().as_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The kernel of this name.
///
/// # Panics
/// When the program brings none of this name.
pub fn named(name: &str) -> Entry {
    let found = ENTRIES.iter().find(|entry| entry.name == name);
    *found.unwrap_or_else(|| panic!("there is no kernel `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_newest_for_a_device_runs_on_it_alone() {
        let on = |capability| Source::ALL.map(|source| source.runs_on(capability));
        assert_eq!(on((6, 1)), [false, false, false, false]);
        assert_eq!(on((7, 5)), [true, true, false, false]);
        assert_eq!(on((8, 9)), [true, true, true, false]);
        assert_eq!(on((9, 0)), [true, true, true, true]);
        assert_eq!(on((10, 0)), [true, true, true, false]);
    }
}

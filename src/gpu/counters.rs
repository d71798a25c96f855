//! What the driver counts since it was loaded: energy, time with clocks held back, bytes and replays on
//! the PCI bus. Differences of counters miss nothing between two readings.

use super::Unavailable;
use super::reading::Values;
use nvml_wrapper::Device;
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::{
    NVML_FI_DEV_PCIE_COUNT_RX_BYTES, NVML_FI_DEV_PCIE_COUNT_TX_BYTES,
    NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT, NVML_FI_DEV_PERF_POLICY_POWER,
    NVML_FI_DEV_PERF_POLICY_RELIABILITY, NVML_FI_DEV_PERF_POLICY_THERMAL,
};

/// Counters of one GPU at one moment. `None`: it does not keep this one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Energy that the board has taken, in joules.
    pub energy_joules: Option<f64>,
    /// For how long the clocks were held back.
    pub held_back: HeldBack,
    /// Bytes that the GPU has sent over the PCI bus.
    pub pcie_sent_bytes: Option<u64>,
    /// Bytes that it has received.
    pub pcie_received_bytes: Option<u64>,
    /// Packets that had to be sent again over the PCI bus.
    pub pcie_replays: Option<u64>,
}

/// How long the clocks were held back, by reason, in nanoseconds. Reasons overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldBack {
    /// By the power limit.
    pub power: Option<u64>,
    /// By heat.
    pub thermal: Option<u64>,
    /// By a limit of the board, such as its voltage regulators.
    pub board: Option<u64>,
    /// To keep the hardware reliable.
    pub reliability: Option<u64>,
}

impl HeldBack {
    /// The share of `elapsed_ns` for which clocks were held back since `earlier`, 0 to 1: the sum of all
    /// reasons that are counted, so that one which overlaps with another counts twice and none is missed.
    /// `None` where none is counted, or a counter went back.
    pub fn share_since(&self, earlier: &Self, elapsed_ns: u64) -> Option<f64> {
        let shares = self.shares_since(earlier, elapsed_ns);
        let mut sum = None;
        for (share, kept) in shares.into_iter().zip(self.all()) {
            match (share, kept) {
                (Some(share), _) => sum = Some(sum.unwrap_or(0.0) + share),
                (None, Some(_)) => return None,
                (None, None) => {}
            }
        }
        sum.map(|sum: f64| sum.min(1.0))
    }

    /// The same for each reason by itself, in the order of the fields.
    pub fn shares_since(&self, earlier: &Self, elapsed_ns: u64) -> [Option<f64>; 4] {
        let pairs = self.all().into_iter().zip(earlier.all());
        let mut shares = [None; 4];
        for (share, (now, before)) in shares.iter_mut().zip(pairs) {
            *share = (now.zip(before))
                .and_then(|(now, before)| now.checked_sub(before))
                .filter(|_| elapsed_ns > 0)
                // The driver's clock and this program's differ by a little.
                .map(|held_ns| (held_ns as f64 / elapsed_ns as f64).min(1.0));
        }
        shares
    }

    fn all(&self) -> [Option<u64>; 4] {
        [self.power, self.thermal, self.board, self.reliability]
    }
}

/// Reads the counters of one GPU.
pub(super) fn read(device: &Device<'_>, gpu: u32) -> Result<Counters, Unavailable> {
    const FIELDS: [u32; 6] = [
        NVML_FI_DEV_PERF_POLICY_POWER,
        NVML_FI_DEV_PERF_POLICY_THERMAL,
        NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT,
        NVML_FI_DEV_PERF_POLICY_RELIABILITY,
        NVML_FI_DEV_PCIE_COUNT_TX_BYTES,
        NVML_FI_DEV_PCIE_COUNT_RX_BYTES,
    ];
    let mut values = Values::new(gpu);
    let energy = values.take("energy", device.total_energy_consumption())?;
    let replays = values.take("PCIe replays", device.pcie_replay_counter())?;
    let answers = values.take("counters", device.field_values_for(&FIELDS.map(FieldId)))?;
    let mut fields = [None; 6];
    for (field, answer) in fields.iter_mut().zip(answers.into_iter().flatten()) {
        let value = answer.and_then(|answer| answer.value);
        *field = values.take("counter", value)?.as_ref().and_then(whole);
    }
    let [power, thermal, board, reliability, sent, received] = fields;
    Ok(Counters {
        energy_joules: energy.map(|millijoules| millijoules as f64 / 1e3),
        held_back: HeldBack {
            power,
            thermal,
            board,
            reliability,
        },
        pcie_sent_bytes: sent,
        pcie_received_bytes: received,
        pcie_replays: replays.map(u64::from),
    })
}

/// A counter as a whole number; a fraction or a negative number is none.
pub(super) fn whole(value: &SampleValue) -> Option<u64> {
    match *value {
        SampleValue::U32(value) => Some(u64::from(value)),
        SampleValue::U64(value) => Some(value),
        SampleValue::I64(value) => u64::try_from(value).ok(),
        SampleValue::F64(_) => None,
    }
}

/// Why a driver keeps none of these, in the words of a lack.
pub(super) fn why_not(error: &NvmlError) -> String {
    match error {
        NvmlError::NotSupported => "this GPU or driver does not support it".to_owned(),
        other => Unavailable::of(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn held(power: u64, thermal: Option<u64>) -> HeldBack {
        HeldBack {
            power: Some(power),
            thermal,
            ..HeldBack::default()
        }
    }

    #[test]
    fn shares_of_all_reasons_are_added_up() {
        let before = held(5 * MS, Some(MS));
        let now = held(30 * MS, Some(11 * MS));
        assert_eq!(now.share_since(&before, 100 * MS), Some(0.35));
        assert_eq!(
            now.shares_since(&before, 100 * MS),
            [Some(0.25), Some(0.1), None, None]
        );
        // Both overlapped.
        assert_eq!(now.share_since(&before, 30 * MS), Some(1.0));
    }

    #[test]
    fn what_is_not_counted_is_no_zero() {
        let nothing = HeldBack::default();
        assert_eq!(nothing.share_since(&nothing, MS), None);
        // One reason alone is what is known.
        assert_eq!(
            held(MS, None).share_since(&held(0, None), 2 * MS),
            Some(0.5)
        );
        // A counter that went back belongs to a driver that was loaded anew.
        assert_eq!(held(0, Some(5)).share_since(&held(MS, Some(0)), MS), None);
        // One that has begun to be kept has no difference yet.
        assert_eq!(held(MS, Some(5)).share_since(&held(0, None), MS), None);
        assert_eq!(held(MS, None).share_since(&held(0, None), 0), None);
    }
}

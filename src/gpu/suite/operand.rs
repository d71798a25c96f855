//! Operands of matrix products: small multiples of 1/8, drawn with a seed, which every format can write and
//! whose products and sums are exact.

use crate::gpu::peaks::Resource;
use crate::gpu::to_half;
use rand::Rng;
use rand_pcg::Pcg32;

/// How operands are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    F16,
    Bf16,
    Tf32,
    E4m3,
    S8,
}

impl Format {
    /// The bytes of `eighths` / 8, or of `eighths` itself where only whole numbers can be written.
    /// `eighths` lies between -7 and 7.
    pub(super) fn encode(self, eighths: i8) -> Vec<u8> {
        let value = f32::from(eighths) / 8.0;
        let bits = value.to_bits();
        match self {
            Self::F16 => to_half(value).to_le_bytes().to_vec(),
            Self::Bf16 => bits.to_le_bytes()[2..].to_vec(),
            Self::Tf32 => bits.to_le_bytes().to_vec(),
            Self::E4m3 => vec![e4m3(eighths)],
            Self::S8 => eighths.to_le_bytes().to_vec(),
        }
    }

    pub(super) fn bytes(self) -> usize {
        self.encode(0).len()
    }

    pub(super) fn resource(self) -> Resource {
        match self {
            Self::F16 | Self::Bf16 => Resource::Tensor16,
            Self::Tf32 => Resource::TensorTf32,
            Self::E4m3 | Self::S8 => Resource::Tensor8,
        }
    }
}

/// `eighths` / 8 as E4M3: a sign, four bits of exponent with bias 7, three of fraction.
fn e4m3(eighths: i8) -> u8 {
    let size = eighths.unsigned_abs();
    if size == 0 {
        return 0;
    }
    // The highest bit is the hidden one: 2^(top - 3) × 1.fraction.
    let top = size.ilog2();
    let exponent = u8::try_from(top + 4).unwrap_or(0);
    let fraction = (size << (3 - top)) & 7;
    (if eighths < 0 { 0x80 } else { 0 }) | exponent << 3 | fraction
}

/// A matrix of rows that the multiplication runs along.
pub(super) struct Operand {
    pub(super) eighths: Vec<Vec<i8>>,
}

impl Operand {
    pub(super) fn draw(generator: &mut Pcg32, rows: usize, depth: usize) -> Self {
        let mut number = || i8::try_from(generator.next_u32() % 15).unwrap_or(0) - 7;
        let eighths = (0..rows).map(|_| (0..depth).map(|_| number()).collect());
        Self {
            eighths: eighths.collect(),
        }
    }

    pub(super) fn bytes(&self, format: Format) -> Vec<u8> {
        let numbers = self.eighths.iter().flatten();
        numbers.flat_map(|&number| format.encode(number)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eighths_are_exact_in_every_format() {
        for eighths in -7..=7i8 {
            let value = f32::from(eighths) / 8.0;
            let bf16 = Format::Bf16.encode(eighths);
            assert_eq!(f32::from_le_bytes([0, 0, bf16[0], bf16[1]]), value);
            let byte = e4m3(eighths);
            let exponent = i32::from(byte >> 3 & 15);
            let size = (1.0 + f32::from(byte & 7) / 8.0) * 2f32.powi(exponent - 7);
            let decoded = match (byte & 0x7f, byte & 0x80) {
                (0, _) => 0.0,
                (_, 0) => size,
                _ => -size,
            };
            assert_eq!(decoded, value, "{eighths}");
        }
    }
}

//! Numbers of 16 bits as the tensor cores take them: halves (IEEE 754 binary16) and BF16, the upper half of
//! a float.

/// The nearest half, ties to even; beyond the largest, infinity.
pub fn to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let size = bits & 0x7fff_ffff;
    if size > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    // 65520 and above round to infinity.
    if size >= 0x477f_f000 {
        return sign | 0x7c00;
    }
    let exponent = size >> 23;
    // Below the smallest normal half, steps of 2⁻²⁴; the hidden bit is made visible.
    let (fraction, shift, base) = if exponent >= 113 {
        (size & 0x007f_ffff, 13, (exponent - 112) << 10)
    } else if exponent >= 102 {
        (size & 0x007f_ffff | 0x0080_0000, 126 - exponent, 0)
    } else {
        return sign;
    };
    let (kept, rest, tie) = (
        fraction >> shift,
        fraction & ((1 << shift) - 1),
        1 << (shift - 1),
    );
    let up = u32::from(rest > tie || (rest == tie && kept & 1 == 1));
    // A carry out of the fraction goes into the exponent, as it should.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 0x7c00: what is larger has become infinity above"
    )]
    let size = (base + kept + up) as u16;
    sign | size
}

/// The number that a half is.
pub fn from_half(half: u16) -> f32 {
    let exponent = i32::from(half >> 10 & 31);
    let fraction = f32::from(half & 1023);
    let size = match exponent {
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        0 => fraction * 2f32.powi(-24),
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    };
    if half & 0x8000 == 0 { size } else { -size }
}

/// The nearest number in BF16, ties to even.
pub fn to_bfloat(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// The number that one in BF16 is.
pub fn from_bfloat(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bfloat_comes_back_and_the_nearest_is_taken() {
        for bits in 0..=u16::MAX {
            let value = from_bfloat(bits);
            if value.is_nan() {
                assert!(from_bfloat(to_bfloat(value)).is_nan());
            } else {
                assert_eq!(to_bfloat(value), bits, "{value}");
            }
        }
        for (value, bits) in [
            (1.0 + 1.0 / 256.0, 0x3f80),
            (1.0 + 3.0 / 256.0, 0x3f82),
            (1.0 + 1.1 / 256.0, 0x3f81),
            (f32::MAX, 0x7f80),
            (-2.0, 0xc000),
        ] {
            assert_eq!(to_bfloat(value), bits, "{value}");
        }
    }

    #[test]
    fn every_half_comes_back() {
        for half in 0..=u16::MAX {
            let value = from_half(half);
            if value.is_nan() {
                assert!(from_half(to_half(value)).is_nan());
            } else {
                assert_eq!(to_half(value), half, "{value}");
            }
        }
    }

    #[test]
    fn the_nearest_is_taken_and_ties_go_to_even() {
        for (value, half) in [
            (1.0, 0x3c00),
            (1.0 + 1.0 / 2048.0, 0x3c00),
            (1.0 + 3.0 / 2048.0, 0x3c02),
            (1.0 + 1.1 / 2048.0, 0x3c01),
            (65519.0, 0x7bff),
            (65520.0, 0x7c00),
            (2f32.powi(-25), 0),
            (2f32.powi(-25) * 1.01, 1),
            (-2.0, 0xc000),
        ] {
            assert_eq!(to_half(value), half, "{value}");
        }
    }
}

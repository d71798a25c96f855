//! The model made wide and deep for a GPU, without changing what it says.
//!
//! Each hidden unit is copied and the weights of its outputs are shared out among the copies (`Net2Net`:
//! Chen, Goodfellow and Shlens 2016, "Accelerating Learning via Knowledge Transfer", §2.2); layers that pass
//! everything on make it deep (§2.3). To both, noise is added that the copies of a unit cancel, so that no
//! weight is zero and operands look like those of a trained model. Pure; weights have 16 bits, as the tensor
//! cores take them.

use super::model::{self, Answer, CLASSES, HIDDEN, INPUTS};
use crate::gpu::{from_bfloat, from_half, to_bfloat, to_half};
use crate::scenario::Precision;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;

/// What the width is a multiple of: copies come in pairs.
pub(super) const WIDTH_STEP: usize = 2 * HIDDEN;
/// Outputs of the last layer: each class twice, since a layer ends in a rectifier: once as it is and
/// once negated; and then as many as make a multiple of 8.
pub(super) const OUTPUTS: usize = 24;
/// Beyond this, inputs might leave the range of halves on their way; BF16 keeps to the same.
const LARGEST_INPUT: f32 = 16.0;
/// The largest difference of a probability from the CPU's answer that is rounding: the weights and what
/// passes between layers have 11 significant bits, or 8 in BF16.
pub(super) const TOLERANCE: f32 = 0.01;

impl Precision {
    fn write(self, value: f32) -> [u8; 2] {
        match self {
            Self::F16 => to_half(value).to_le_bytes(),
            Self::Bf16 => to_bfloat(value).to_le_bytes(),
        }
    }

    fn read(self, bytes: [u8; 2]) -> f32 {
        let bits = u16::from_le_bytes(bytes);
        match self {
            Self::F16 => from_half(bits),
            Self::Bf16 => from_bfloat(bits),
        }
    }
}

/// A layer as the kernel takes it: `max(0, inputs × weightsᵀ + bias)`.
pub(super) struct WideLayer {
    /// For each output its weights, two bytes for each input.
    pub(super) weights: Vec<u8>,
    /// One for each output.
    pub(super) bias: Vec<f32>,
}

/// From the inputs to the first hidden layer.
pub(super) fn first(width: usize, precision: Precision) -> WideLayer {
    let layer = &model::network().first;
    WideLayer {
        weights: written(precision, (width, INPUTS), |unit, input| {
            layer.weights[input][unit % HIDDEN]
        }),
        bias: (0..width).map(|unit| layer.bias[unit % HIDDEN]).collect(),
    }
}

/// From the first hidden layer to the second.
pub(super) fn second(width: usize, precision: Precision) -> WideLayer {
    let layer = &model::network().second;
    let copies = (width / HIDDEN) as f32;
    WideLayer {
        weights: noisy(precision, width, 0, |unit, input| {
            layer.weights[input][unit % HIDDEN] / copies
        }),
        bias: (0..width).map(|unit| layer.bias[unit % HIDDEN]).collect(),
    }
}

/// Passes the second hidden layer on: one of several that differ in their noise.
pub(super) fn pass_on(width: usize, precision: Precision, number: u64) -> WideLayer {
    let copies = (width / HIDDEN) as f32;
    WideLayer {
        weights: noisy(precision, width, 1 + number, |unit, input| {
            if unit % HIDDEN == input {
                1.0 / copies
            } else {
                0.0
            }
        }),
        bias: vec![0.0; width],
    }
}

/// From the hidden layers to the classes.
pub(super) fn last(width: usize, precision: Precision) -> WideLayer {
    let layer = &model::network().last;
    let copies = (width / HIDDEN) as f32;
    let of = |output: usize| match output {
        0..CLASSES => Some((output, 1.0)),
        _ if output < 2 * CLASSES => Some((output - CLASSES, -1.0)),
        _ => None,
    };
    WideLayer {
        weights: written(precision, (OUTPUTS, width), |output, input| {
            of(output).map_or(0.0, |(class, sign)| {
                sign * layer.weights[input % HIDDEN][class] / copies
            })
        }),
        bias: (0..OUTPUTS)
            .map(|output| of(output).map_or(0.0, |(class, sign)| sign * layer.bias[class]))
            .collect(),
    }
}

/// Multiplications and additions for one set of inputs.
pub(super) fn operations(width: usize, layers: usize) -> u64 {
    let (width, layers) = (width as u64, layers as u64);
    2 * width * (INPUTS as u64 + (1 + layers) * width + OUTPUTS as u64)
}

/// How many weights and biases are kept, with so many different layers that pass on.
pub(super) fn parameters(width: usize, different: usize) -> u64 {
    let (width, different) = (width as u64, different as u64);
    let square = (1 + different) * width * (width + 1);
    square + width * (INPUTS as u64 + 1) + OUTPUTS as u64 * (width + 1)
}

/// The inputs as the tensor cores take them; `None` where they are too large.
pub(super) fn encode(inputs: &[f32; INPUTS], precision: Precision) -> Option<[u8; INPUTS * 2]> {
    let mut bytes = [0; INPUTS * 2];
    for (two, input) in bytes.chunks_exact_mut(2).zip(inputs) {
        if input.abs() > LARGEST_INPUT {
            return None;
        }
        two.copy_from_slice(&precision.write(*input));
    }
    Some(bytes)
}

/// The answer that the last layer's outputs mean; `None` where they have left the range of their type.
pub(super) fn decode(outputs: &[u8], precision: Precision) -> Option<Answer> {
    let value = |at: usize| precision.read([outputs[at * 2], outputs[at * 2 + 1]]);
    let mut scores = [0.0; CLASSES];
    for (class, score) in scores.iter_mut().enumerate() {
        *score = value(class) - value(CLASSES + class);
        if !score.is_finite() {
            return None;
        }
    }
    Some(model::answer_of(scores))
}

/// Whether an answer is the CPU's but for rounding.
pub(super) fn agrees(answer: &Answer, should: &Answer) -> bool {
    let pairs = answer.scores.iter().zip(&should.scores);
    let close = pairs
        .clone()
        .all(|(is, should)| (is - should).abs() <= TOLERANCE);
    // Where two classes are as likely as each other, either may win.
    let same = answer.class == should.class || model::lead(should) <= 2.0 * TOLERANCE;
    close && same
}

fn written(
    precision: Precision,
    (rows, columns): (usize, usize),
    weight: impl Fn(usize, usize) -> f32,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows * columns * 2);
    for row in 0..rows {
        for column in 0..columns {
            bytes.extend_from_slice(&precision.write(weight(row, column)));
        }
    }
    bytes
}

/// A square of weights: for each input of the model that has copies, its weight, with noise that cancels
/// between each two copies.
fn noisy(
    precision: Precision,
    width: usize,
    seed: u64,
    weight: impl Fn(usize, usize) -> f32 + Sync,
) -> Vec<u8> {
    // A wide square has hundreds of millions of weights: each thread draws its rows.
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let part = width.div_ceil(threads);
    let mut bytes = vec![0; width * width * 2];
    std::thread::scope(|scope| {
        for (number, rows) in bytes.chunks_mut(width * 2 * part).enumerate() {
            let weight = &weight;
            scope.spawn(move || {
                for (row, bytes) in rows.chunks_exact_mut(width * 2).enumerate() {
                    let unit = number * part + row;
                    let weights = std::array::from_fn(|input| weight(unit, input));
                    noisy_row(bytes, precision, seed << 32 | unit as u64, &weights);
                }
            });
        }
    });
    bytes
}

/// One row of such a square; what it draws depends on the seed alone.
fn noisy_row(row: &mut [u8], precision: Precision, seed: u64, weights: &[f32; HIDDEN]) {
    let mut generator = Pcg32::seed_from_u64(seed);
    // What rounding leaves of differences between copies stays below the rounding itself.
    let amplitude = 0.25 / ((row.len() / 2) as f32).sqrt();
    for pair in row.chunks_exact_mut(HIDDEN * 4) {
        let (one, other) = pair.split_at_mut(HIDDEN * 2);
        let both = one.chunks_exact_mut(2).zip(other.chunks_exact_mut(2));
        for (weight, (one, other)) in weights.iter().zip(both) {
            let signed = (generator.next_u32() >> 8) as f32 / 8_388_608.0 - 1.0;
            let noise = signed * amplitude;
            one.copy_from_slice(&precision.write(weight + noise));
            other.copy_from_slice(&precision.write(weight - noise));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A layer as tensor cores compute it: 16 bits in and out, sums in 32 bits.
    fn apply(precision: Precision, layer: &WideLayer, inputs: &[f32]) -> Vec<f32> {
        let rows = layer.weights.chunks_exact(inputs.len() * 2);
        rows.zip(&layer.bias)
            .map(|(row, bias)| {
                let weights = row
                    .chunks_exact(2)
                    .map(|two| precision.read([two[0], two[1]]));
                let sum: f32 = weights.zip(inputs).map(|(a, b)| a * b).sum();
                precision.read(precision.write((sum + bias).max(0.0)))
            })
            .collect()
    }

    fn answers(
        precision: Precision,
        width: usize,
        layers: u64,
        all: &[[f32; INPUTS]],
    ) -> Vec<Answer> {
        let first = first(width, precision);
        let second = second(width, precision);
        let last = last(width, precision);
        let between = [0, 1].map(|number| pass_on(width, precision, number));
        let apply = |layer: &WideLayer, inputs: &[f32]| apply(precision, layer, inputs);
        all.iter()
            .map(|inputs| {
                let inputs: Vec<f32> = inputs
                    .iter()
                    .map(|x| precision.read(precision.write(*x)))
                    .collect();
                let mut hidden = apply(&second, &apply(&first, &inputs));
                for layer in 0..layers {
                    hidden = apply(&between[usize::from(layer % 2 == 1)], &hidden);
                }
                let outputs = apply(&last, &hidden);
                let bytes: Vec<u8> = outputs
                    .iter()
                    .flat_map(|value| precision.write(*value))
                    .collect();
                decode(&bytes, precision).expect("in range")
            })
            .collect()
    }

    #[test]
    fn wide_and_deep_it_says_what_the_model_says() {
        let rows = model::examples(6);
        for (precision, width, layers) in [
            (Precision::F16, 256, 0),
            (Precision::F16, 256, 60),
            (Precision::F16, 512, 8),
            (Precision::Bf16, 256, 0),
            (Precision::Bf16, 256, 60),
            (Precision::Bf16, 512, 8),
        ] {
            let worst = answers(precision, width, layers, &rows)
                .iter()
                .zip(&rows)
                .map(|(answer, inputs)| {
                    let should = model::answer(inputs);
                    assert!(
                        agrees(answer, &should),
                        "{precision} {width} {layers}: {answer:?} {should:?}"
                    );
                    let pairs = answer.scores.iter().zip(&should.scores);
                    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
                })
                .fold(0.0, f32::max);
            // A quarter of the tolerance, also after sixty layers; three quarters with eight times the rounding.
            let rounding = match precision {
                Precision::F16 => TOLERANCE / 4.0,
                Precision::Bf16 => TOLERANCE * 0.75,
            };
            assert!(worst < rounding, "{precision} {width} {layers}: {worst}");
        }
    }

    #[test]
    fn a_wrong_answer_does_not_agree() {
        let should = model::answer(&model::examples(1)[0]);
        let mut other = should;
        other.scores[3] += 2.0 * TOLERANCE;
        assert!(agrees(&should, &should) && !agrees(&other, &should));
        let mut other = should;
        other.class = (should.class + 1) % CLASSES;
        assert!(!agrees(&other, &should));
    }

    #[test]
    fn what_does_not_fit_halves_is_told_apart() {
        let precision = Precision::F16;
        assert!(encode(&[16.0; INPUTS], precision).is_some());
        assert!(encode(&[17.0; INPUTS], precision).is_none());
        let mut outputs = [0; OUTPUTS * 2];
        assert!(decode(&outputs, precision).is_some());
        outputs[..2].copy_from_slice(&to_half(f32::INFINITY).to_le_bytes());
        assert!(decode(&outputs, precision).is_none());
    }

    #[test]
    fn no_weight_of_a_square_is_zero_and_copies_cancel() {
        let layer = pass_on(512, Precision::F16, 0);
        let value = |unit: usize, input: usize| {
            let at = (unit * 512 + input) * 2;
            from_half(u16::from_le_bytes([
                layer.weights[at],
                layer.weights[at + 1],
            ]))
        };
        let zeros = (0..512).filter(|input| value(3, *input) == 0.0).count();
        assert!(zeros < 4, "{zeros}");
        for input in 0..HIDDEN {
            let sum: f32 = (0..4).map(|copy| value(7, input + copy * HIDDEN)).sum();
            let should = if input == 7 { 1.0 } else { 0.0 };
            assert!((sum - should).abs() < 1e-3, "{input}: {sum}");
        }
        assert_eq!(operations(256, 0), 2 * 256 * (32 + 256 + 24));
        assert_eq!(parameters(256, 1), 2 * 256 * 257 + 256 * 33 + 24 * 257);
    }
}

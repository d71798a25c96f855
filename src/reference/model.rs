//! The model that the reference API serves: a small multi-layer perceptron with fixed weights.
//!
//! It uses additions and multiplications in a fixed order only, so that an answer is the same, bit
//! for bit, on every machine and in every batch. Nothing here may depend on the server's seed.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// The model's name in requests.
pub const MODEL: &str = "reference-mlp";
/// How many numbers the model takes.
pub const INPUTS: usize = 32;
/// How many classes it tells apart.
pub const CLASSES: usize = 10;
/// How many weights and biases it has.
pub const PARAMETERS: usize =
    (INPUTS + 1) * HIDDEN + (HIDDEN + 1) * HIDDEN + (HIDDEN + 1) * CLASSES;

/// Multiplications and additions for one set of inputs.
pub(super) const OPERATIONS: u64 =
    2 * (INPUTS * HIDDEN + HIDDEN * HIDDEN + HIDDEN * CLASSES) as u64;

pub(super) const HIDDEN: usize = 128;
const WEIGHTS_SEED: u64 = 20_260_801;

/// What the model says about one set of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The class with the highest score, the first of them if there are several.
    pub class: usize,
    /// The probability of each class; they add up to one.
    pub scores: [f32; CLASSES],
}

/// The model's answer to one set of inputs, as the server gives it.
///
/// # Panics
/// When there are not exactly [`INPUTS`] of them.
pub fn answer(inputs: &[f32]) -> Answer {
    let inputs = inputs.try_into().expect("the model takes 32 inputs");
    NETWORK.answer(inputs)
}

/// A data file for scenarios, as JSON Lines: inputs that the model is sure about, and its answers.
pub fn data_file() -> String {
    const ROWS: usize = 64;
    let mut text = String::new();
    for inputs in examples(ROWS) {
        let class = answer(&inputs).class;
        let inputs = serde_json::to_string(&inputs).expect("finite numbers are JSON");
        writeln!(text, "{{\"inputs\":{inputs},\"class\":{class}}}")
            .expect("a string takes all text");
    }
    text
}

/// So many inputs that the model is sure about.
pub(super) fn examples(count: usize) -> Vec<[f32; INPUTS]> {
    /// Other hardware rounds differently; a narrow win could come out the other way there.
    const CLEAR_WIN: f32 = 0.02;
    /// The model favours some classes; the rows should not.
    const ROWS_PER_CLASS: usize = 12;
    let mut rows = [0; CLASSES];
    let mut generator = Pcg32::seed_from_u64(7);
    let mut examples = Vec::with_capacity(count);
    while examples.len() < count {
        let inputs: [f32; INPUTS] = std::array::from_fn(|_| hundredths(&mut generator));
        let answer = answer(&inputs);
        if lead(&answer) > CLEAR_WIN && rows[answer.class] < ROWS_PER_CLASS {
            rows[answer.class] += 1;
            examples.push(inputs);
        }
    }
    examples
}

/// Whether inputs are as large as those of the data file, for which rounding is known to be small.
pub(super) fn is_usual(inputs: &[f32; INPUTS]) -> bool {
    inputs.iter().all(|input| input.abs() <= 2.0)
}

/// The weights.
pub(super) fn network() -> &'static Network {
    &NETWORK
}

/// The answer that the last layer's sums mean.
pub(super) fn answer_of(sums: [f32; CLASSES]) -> Answer {
    let scores = softmax(sums);
    Answer {
        class: winner(&scores),
        scores,
    }
}

/// A number from -2 to 2 with two decimals.
fn hundredths(generator: &mut Pcg32) -> f32 {
    ((unit(generator) * 401.0).floor() - 200.0) / 100.0
}

/// By how much the winner's score exceeds the second best.
pub(super) fn lead(answer: &Answer) -> f32 {
    let others = answer.scores.iter().enumerate();
    let second = others
        .filter(|&(class, _)| class != answer.class)
        .map(|(_, &score)| score)
        .fold(0.0, f32::max);
    answer.scores[answer.class] - second
}

/// One fully connected layer. The weights of one input lie side by side: the inner loop runs over
/// independent sums, which the compiler may vectorise without changing the order of any of them.
pub(super) struct Layer<const IN: usize, const OUT: usize> {
    pub(super) weights: Vec<[f32; OUT]>,
    pub(super) bias: [f32; OUT],
}

impl<const IN: usize, const OUT: usize> Layer<IN, OUT> {
    /// Uniform weights whose spread keeps the size of the sums (He et al. 2015).
    fn draw(generator: &mut Pcg32) -> Self {
        let spread = (6.0 / IN as f32).sqrt();
        let mut signed = |scale: f32| (unit(generator) * 2.0 - 1.0) * scale;
        Self {
            weights: (0..IN)
                .map(|_| std::array::from_fn(|_| signed(spread)))
                .collect(),
            bias: std::array::from_fn(|_| signed(0.1)),
        }
    }

    fn apply(&self, inputs: &[f32; IN]) -> [f32; OUT] {
        let mut sums = self.bias;
        for (&input, weights) in inputs.iter().zip(&self.weights) {
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                *sum += input * weight;
            }
        }
        sums
    }
}

pub(super) struct Network {
    pub(super) first: Layer<INPUTS, HIDDEN>,
    pub(super) second: Layer<HIDDEN, HIDDEN>,
    pub(super) last: Layer<HIDDEN, CLASSES>,
}

static NETWORK: LazyLock<Network> = LazyLock::new(|| {
    let mut generator = Pcg32::seed_from_u64(WEIGHTS_SEED);
    Network {
        first: Layer::draw(&mut generator),
        second: Layer::draw(&mut generator),
        last: Layer::draw(&mut generator),
    }
});

impl Network {
    fn answer(&self, inputs: &[f32; INPUTS]) -> Answer {
        let hidden = self.first.apply(inputs).map(rectified);
        let hidden = self.second.apply(&hidden).map(rectified);
        answer_of(self.last.apply(&hidden))
    }
}

/// The first of the classes with the highest score.
fn winner(scores: &[f32; CLASSES]) -> usize {
    let mut class = 0;
    for (candidate, &score) in scores.iter().enumerate() {
        if score > scores[class] {
            class = candidate;
        }
    }
    class
}

fn rectified(value: f32) -> f32 {
    if value > 0.0 { value } else { 0.0 }
}

fn softmax(values: [f32; CLASSES]) -> [f32; CLASSES] {
    let largest = values.iter().copied().fold(f32::MIN, f32::max);
    let powers = values.map(|value| exponential(value - largest));
    let sum: f32 = powers.iter().sum();
    powers.map(|power| power / sum)
}

/// e to the power of a number that is not positive. The standard library's function is the
/// platform's, whose last bit differs between platforms.
fn exponential(value: f32) -> f32 {
    const SMALLEST: f32 = -80.0;
    const HALVINGS: u32 = 6;
    const TERMS: u32 = 14;
    if value < SMALLEST {
        return 0.0;
    }
    let part = f64::from(value) / f64::from(1 << HALVINGS);
    let mut power = (1..=TERMS)
        .rev()
        .fold(1.0, |sum, term| 1.0 + part / f64::from(term) * sum);
    for _ in 0..HALVINGS {
        power *= power;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to f32 is the point"
    )]
    let rounded = power as f32;
    rounded
}

/// A number from [0, 1) with 24 random bits, which an f32 holds exactly.
fn unit(generator: &mut Pcg32) -> f32 {
    (generator.next_u32() >> 8) as f32 / 16_777_216.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn ramp(step: f32) -> [f32; INPUTS] {
        std::array::from_fn(|index| (index as f32 - 16.0) * step)
    }

    #[test]
    fn answers_are_the_same_everywhere_to_the_last_bit() {
        let told = |inputs: &[f32]| {
            let answer = answer(inputs);
            let bits = answer
                .scores
                .map(|score| format!("{:08x}", score.to_bits()));
            format!("{}: {}", answer.class, bits.join(" "))
        };
        let answers = [[0.0; INPUTS], ramp(0.125), ramp(-0.0625)].map(|inputs| told(&inputs));
        insta::assert_snapshot!(answers.join("\n"), @r"
        1: 3dd2fe7b 3ddf2d09 3dc7f3f5 3dd3e46f 3db41ec4 3db17c70 3dd47eb5 3dc80398 3dd7cdb4 3dd810e0
        6: 3df5e08f 3e15d1d7 3c6cd4db 3d6bea1c 3cad1ab7 3cdba50a 3e9d9a7a 3ca8b110 3df2a16f 3e2ac244
        7: 3cd11a5e 3dc8fd27 3d9c2e75 3d312501 3d349bde 3db6868c 3e16069b 3e801451 3da8ecae 3e13edd8
        ");
    }

    #[test]
    fn scores_are_probabilities_for_any_inputs() {
        for inputs in [ramp(0.0), ramp(1.0), ramp(1e6), ramp(-1e30), [3.0; INPUTS]] {
            let answer = answer(&inputs);
            let sum: f32 = answer.scores.iter().sum();
            assert!((sum - 1.0).abs() < 1e-5, "{inputs:?}: {answer:?}");
            assert!(answer.scores[answer.class] >= 0.1, "{answer:?}");
        }
    }

    #[test]
    fn the_first_of_equals_wins() {
        let mut scores = [0.1; CLASSES];
        assert_eq!(winner(&scores), 0);
        (scores[4], scores[7]) = (0.2, 0.2);
        assert_eq!(winner(&scores), 4);
    }

    #[test]
    fn the_exponential_is_one() {
        for step in 0..8000u16 {
            let value = -f32::from(step) / 100.0;
            let (ours, theirs) = (exponential(value), value.exp());
            assert!(
                (ours - theirs).abs() <= theirs * 1e-6,
                "{value}: {ours} {theirs}"
            );
        }
        assert_eq!(exponential(0.0), 1.0);
        assert_eq!(exponential(-1e30), 0.0);
    }

    #[test]
    fn the_data_file_is_what_the_model_says() {
        let file = include_str!("../../scenarios/data/inputs.jsonl");
        assert!(
            file == data_file(),
            "scenarios/data/inputs.jsonl and the model disagree; write the file anew with \
             `cargo run --example reference-data > scenarios/data/inputs.jsonl`"
        );
    }

    #[test]
    fn the_data_file_reads_back_into_the_answers_it_holds() {
        #[derive(Deserialize)]
        struct Row {
            inputs: Vec<f32>,
            class: usize,
        }
        let mut classes: BTreeMap<usize, usize> = BTreeMap::new();
        for line in include_str!("../../scenarios/data/inputs.jsonl").lines() {
            let row: Row = serde_json::from_str(line).unwrap();
            assert_eq!(answer(&row.inputs).class, row.class, "{line}");
            *classes.entry(row.class).or_default() += 1;
        }
        assert_eq!(classes.values().sum::<usize>(), 64);
        assert!(
            classes.len() >= 6,
            "too few classes to tell answers apart: {classes:?}"
        );
    }

    #[test]
    fn parameters_are_counted_as_they_are() {
        fn of<const IN: usize, const OUT: usize>(layer: &Layer<IN, OUT>) -> usize {
            layer.weights.len() * OUT + layer.bias.len()
        }
        let counted = of(&NETWORK.first) + of(&NETWORK.second) + of(&NETWORK.last);
        assert_eq!(counted, PARAMETERS);
    }
}

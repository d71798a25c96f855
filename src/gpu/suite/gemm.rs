//! Matrix products by cuBLASLt, the rate that others quote for a GPU, and its shapes at inference.
//!
//! Operands are those of the tensor tests, small multiples of 1/8: every sum is exact, and only the result
//! is rounded.

use super::Fault;
use super::operand::{Format, Operand};
use super::rig::Rig;
use crate::gpu::cuda::{Buffer, LtError, LtProduct, LtShape, LtType};
use crate::gpu::{from_half, peaks::Resource};
use crate::record::Measured;
use rand::SeedableRng;
use rand_pcg::Pcg32;

/// So many rows of an operand differ; then they repeat. A prime, so that no tile sees the same row twice.
const DISTINCT: usize = 61;

impl From<LtError> for Fault {
    fn from(error: LtError) -> Self {
        // Nor is the GPU at fault for a library that is newer than the driver, or than the GPU.
        const NOT_INITIALIZED: i32 = 1;
        const ARCHITECTURE_MISMATCH: i32 = 8;
        match error {
            LtError::Driver(error) => Self::Cuda(error),
            LtError::Call {
                status: LtError::NOT_SUPPORTED | ARCHITECTURE_MISMATCH,
                ..
            }
            | LtError::Call {
                call: "cublasLtCreate",
                status: NOT_INITIALIZED,
            } => Self::Skip(format!("cuBLASLt cannot compute it on this GPU: {error}")),
            LtError::Call { .. } | LtError::NoMemory { .. } => Self::Failed(error.to_string()),
        }
    }
}

/// A type with what the suite calls it.
#[derive(Clone, Copy)]
pub(super) struct Precision {
    pub(super) name: &'static str,
    pub(super) lt: LtType,
    pub(super) format: Format,
}

pub(super) const PRECISIONS: [Precision; 5] = [
    Precision {
        name: "tf32",
        lt: LtType::Tf32,
        format: Format::Tf32,
    },
    Precision {
        name: "f16",
        lt: LtType::F16,
        format: Format::F16,
    },
    Precision {
        name: "bf16",
        lt: LtType::Bf16,
        format: Format::Bf16,
    },
    Precision {
        name: "fp8",
        lt: LtType::E4m3,
        format: Format::E4m3,
    },
    Precision {
        name: "int8",
        lt: LtType::S8,
        format: Format::S8,
    },
];

/// A matrix on the device whose rows repeat.
pub(super) struct Repeated {
    rows: Operand,
    pub(super) buffer: Buffer,
}

impl Repeated {
    pub(super) fn new(
        rig: &Rig<'_>,
        generator: &mut Pcg32,
        (rows, depth): (usize, usize),
        format: Format,
    ) -> Result<Self, Fault> {
        let distinct = Operand::draw(generator, rows.min(DISTINCT), depth);
        let bytes = distinct.bytes(format);
        let buffer = rig.buffer(rows * depth * format.bytes())?;
        for offset in (0..buffer.bytes()).step_by(bytes.len()) {
            buffer.write_at(&rig.stream, offset, &bytes)?;
        }
        rig.stream.synchronize()?;
        Ok(Self {
            rows: distinct,
            buffer,
        })
    }

    pub(super) fn row(&self, place: usize) -> &[i8] {
        &self.rows.eighths[place % self.rows.eighths.len()]
    }
}

/// A product with its operands.
pub(super) struct Product {
    precision: Precision,
    shape: LtShape,
    ready: LtProduct,
    /// Several, so that no cache holds what the next one needs.
    weights: Vec<Repeated>,
    inputs: Repeated,
    outputs: Buffer,
}

impl Product {
    pub(super) fn new(
        rig: &Rig<'_>,
        precision: Precision,
        shape: LtShape,
        copies: usize,
    ) -> Result<Self, Fault> {
        let lt = rig.cublaslt().map_err(Fault::Skip)?;
        let ready = LtProduct::new(lt, &rig.device, precision.lt, shape)?;
        let mut generator = Pcg32::seed_from_u64(u64::from(rig.seed));
        let LtShape {
            rows,
            columns,
            depth,
        } = shape;
        let weights = (0..copies)
            .map(|_| Repeated::new(rig, &mut generator, (columns, depth), precision.format))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            precision,
            shape,
            ready,
            weights,
            inputs: Repeated::new(rig, &mut generator, (rows, depth), precision.format)?,
            outputs: rig.buffer(rows * columns * precision.lt.result_bytes())?,
        })
    }

    /// The same layers for another number of rows, not more than it was made for.
    pub(super) fn set_rows(&mut self, rig: &Rig<'_>, rows: usize) -> Result<(), Fault> {
        let lt = rig.cublaslt().map_err(Fault::Skip)?;
        let shape = LtShape { rows, ..self.shape };
        self.ready = LtProduct::new(lt, &rig.device, self.precision.lt, shape)?;
        self.shape = shape;
        Ok(())
    }

    /// Sends it to the rig's stream so many times, and to each weight in turn.
    pub(super) fn launch(
        &self,
        stream: &crate::gpu::cuda::Stream,
        amount: u32,
    ) -> Result<(), LtError> {
        let weights = self.weights.iter().cycle();
        for weights in weights.take(amount as usize * self.weights.len()) {
            self.ready
                .launch(stream, &weights.buffer, &self.inputs.buffer, &self.outputs)?;
        }
        Ok(())
    }

    /// Operations of one amount.
    pub(super) fn operations(&self) -> f64 {
        let LtShape {
            rows,
            columns,
            depth,
        } = self.shape;
        2.0 * (rows * columns * depth) as f64 * self.weights.len() as f64
    }

    /// Bytes of device memory that one amount needs at least.
    pub(super) fn bytes(&self) -> f64 {
        let LtShape {
            rows,
            columns,
            depth,
        } = self.shape;
        let operands = (rows + columns) * depth * self.precision.format.bytes();
        let results = rows * columns * self.precision.lt.result_bytes();
        ((operands + results) * self.weights.len()) as f64
    }

    /// Compares samples of the result with the CPU: of 64 rows and the last, each at other columns.
    pub(super) fn verify(&self, rig: &Rig<'_>) -> Result<(), Fault> {
        self.outputs.clear(&rig.stream)?;
        let weights = &self.weights[0];
        self.ready.launch(
            &rig.stream,
            &weights.buffer,
            &self.inputs.buffer,
            &self.outputs,
        )?;
        let each = self.precision.lt.result_bytes();
        let mut line = vec![0; self.shape.columns * each];
        let line_bytes = line.len();
        let last = self.shape.rows - 1;
        let rows = (0..last).step_by(self.shape.rows.div_ceil(64));
        for row in rows.chain([last]) {
            self.outputs
                .read_at(&rig.stream, row * line_bytes, &mut line)?;
            rig.stream.synchronize()?;
            for column in (row % 7..self.shape.columns).step_by(self.shape.columns.div_ceil(128)) {
                let (input, weight) = (self.inputs.row(row), weights.row(column));
                let bytes = &line[column * each..][..each];
                if let Some(is) = differs(self.precision, bytes, input, weight) {
                    let (precision, columns) = (self.precision.name, self.shape.columns);
                    return Err(Fault::Wrong(format!(
                        "row {row}, column {column} of {columns} of the {precision} product is wrong: {is}"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// What a result is and should be, where it differs by more than its rounding allows.
fn differs(precision: Precision, bytes: &[u8], input: &[i8], weight: &[i8]) -> Option<String> {
    let products = || {
        input
            .iter()
            .zip(weight)
            .map(|(a, b)| i64::from(*a) * i64::from(*b))
    };
    let sum: i64 = products().sum();
    if precision.lt == LtType::S8 {
        let is = i64::from(i32::from_le_bytes(*bytes.first_chunk()?));
        return (is != sum).then(|| format!("{is} instead of {sum}"));
    }
    let should = sum as f64 / 64.0;
    let (is, rounding) = match precision.lt {
        LtType::Tf32 => (f64::from(f32::from_le_bytes(*bytes.first_chunk()?)), 0.0),
        LtType::F16 => {
            let half = u16::from_le_bytes(*bytes.first_chunk()?);
            (f64::from(from_half(half)), 2f64.powi(-11))
        }
        LtType::Bf16 | LtType::E4m3 | LtType::S8 => {
            let [low, high] = *bytes.first_chunk()?;
            let value = f32::from_le_bytes([0, 0, low, high]);
            (f64::from(value), 2f64.powi(-8))
        }
    };
    // The tensor cores of Hopper add FP8 products up with fewer bits than FP32 has.
    let sizes: i64 = products().map(i64::abs).sum();
    let adding = if precision.lt == LtType::E4m3 {
        sizes as f64 / 64.0 * 2f64.powi(-12)
    } else {
        0.0
    };
    let allowed = should.abs() * rounding + adding;
    ((is - should).abs() > allowed || is.is_nan()).then(|| format!("{is} instead of {should}"))
}

/// The size of the large product; a simulated GPU would take hours for that of a real one.
fn large(rig: &Rig<'_>) -> usize {
    if rig.is_large() { 8192 } else { 128 }
}

fn square(rig: &mut Rig<'_>, name: &str) -> Result<Measured, Fault> {
    let size = large(rig);
    let precision = named(name)?;
    let shape = LtShape {
        rows: size,
        columns: size,
        depth: size,
    };
    let product = Product::new(rig, precision, shape, 1)?;
    product.verify(rig)?;
    let unit = if precision.lt == LtType::S8 {
        "TOP/s"
    } else {
        "TFLOP/s"
    };
    let measured = rig.rate(unit, product.operations(), 1e12, |stream, amount| {
        product.launch(stream, amount)
    })?;
    let resource = precision.format.resource();
    Ok(rig.against(measured, resource, CHECKED))
}

const CHECKED: &str = "samples of rows and columns against the CPU";

fn named(name: &str) -> Result<Precision, Fault> {
    let found = PRECISIONS.iter().find(|precision| precision.name == name);
    found
        .copied()
        .ok_or_else(|| Fault::Failed(format!("no precision {name}")))
}

macro_rules! squares {
    ($($test:ident = $name:literal;)*) => {
        $(pub(super) fn $test(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
            square(rig, $name)
        })*
    };
}

squares! {
    tf32 = "tf32";
    f16 = "f16";
    bf16 = "bf16";
    fp8 = "fp8";
    int8 = "int8";
}

/// A step of decoding: few rows through a large layer, so that reading its weights takes the time.
fn decode(rig: &mut Rig<'_>, rows: usize) -> Result<Measured, Fault> {
    let size = large(rig);
    let shape = LtShape {
        rows,
        columns: size,
        depth: size,
    };
    // Four layers, each larger than the cache.
    let product = Product::new(rig, named("bf16")?, shape, 4)?;
    product.verify(rig)?;
    let measured = rig.rate("GB/s", product.bytes(), 1e9, |stream, amount| {
        product.launch(stream, amount)
    })?;
    Ok(rig.against(measured, Resource::Memory, CHECKED))
}

pub(super) fn decode_16(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    decode(rig, 16)
}

pub(super) fn decode_128(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    decode(rig, 128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::to_half;

    #[test]
    fn results_may_be_rounded_and_not_more() {
        let precision = |name: &str| named(name).expect("it is in the table");
        // 3 × 49 / 64 = 2.296875.
        let (input, weight) = ([7i8; 3], [7i8; 3]);
        let found = |name: &str, bytes: &[u8]| differs(precision(name), bytes, &input, &weight);
        assert_eq!(found("tf32", &2.296_875f32.to_le_bytes()), None);
        assert!(found("tf32", &2.296_876f32.to_le_bytes()).is_some());
        assert_eq!(found("f16", &to_half(2.296_875).to_le_bytes()), None);
        assert!(found("f16", &to_half(2.3).to_le_bytes()).is_some());
        // The nearest BF16 is 2.296875 itself; 2.3125 is the next.
        let bf16 = |value: f32| value.to_le_bytes()[2..].to_vec();
        assert_eq!(found("bf16", &bf16(2.296_875)), None);
        assert!(found("bf16", &bf16(2.3125)).is_some());
        assert!(found("fp8", &bf16(f32::NAN)).is_some());
        assert_eq!(found("int8", &147i32.to_le_bytes()), None);
        assert_eq!(
            found("int8", &148i32.to_le_bytes()).as_deref(),
            Some("148 instead of 147")
        );
    }
}

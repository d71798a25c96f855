//! cuBLASLt, NVIDIA's own matrix multiplication, where its library is found: the rate of a GPU that others
//! quote. Nothing depends on it.
//!
//! Constants and structures are those of NVIDIA's cublasLt.h, versions 11 to 13.
#![expect(unsafe_code, reason = "functions of a C library, found by their names")]

use super::device::Device;
use super::library::{CudaError, Handle};
use super::memory::Buffer;
use super::stream::Stream;
use libloading::Library;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why cuBLASLt cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LtUnavailable {
    /// It is nowhere.
    #[error(
        "cuBLASLt was not found ({0}): install the CUDA runtime libraries or name the file with --cublaslt"
    )]
    LibraryMissing(String),
    /// It is there and cannot be loaded.
    #[error("cuBLASLt cannot be loaded: {0}")]
    LibraryBroken(String),
    /// It lacks a function.
    #[error("{0} has no function `{1}`: version 11 or newer is needed")]
    SymbolMissing(String, &'static str),
}

/// Why there is no product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LtError {
    /// A function of the library failed.
    #[error("`{call}` failed with status {status}: {}", meaning(*status))]
    Call {
        /// The function.
        call: &'static str,
        /// Its `cublasStatus_t`.
        status: i32,
    },
    /// There is no memory for what the library works in.
    #[error(
        "its workspace of {} MiB does not fit: {} MiB of the GPU's memory are free; see who else uses the GPU",
        .needed >> 20, .free >> 20
    )]
    NoMemory {
        /// How much it takes, in bytes.
        needed: usize,
        /// How much there is.
        free: usize,
    },
    /// The driver failed.
    #[error("{0}")]
    Driver(#[from] CudaError),
}

impl LtError {
    /// The status that says that there is no way to compute this on this device.
    pub const NOT_SUPPORTED: i32 = 15;
}

fn meaning(status: i32) -> &'static str {
    match status {
        1 => "the library is not initialized, or does not fit the driver",
        3 => "out of memory",
        7 => "invalid value",
        8 => "the device is too old",
        13 => "the GPU failed to execute it",
        14 => "internal error",
        15 => "not supported",
        _ => "see the library's documentation",
    }
}

/// `cublasLtMatmulAlgo_t`.
type Algorithm = [u64; 8];

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Suggestion {
    algorithm: Algorithm,
    workspace_bytes: usize,
    state: c_int,
    waves: f32,
    reserved: [c_int; 4],
}

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*);)*) => {
        #[expect(non_snake_case, reason = "the library's own names")]
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) -> c_int,)*
            /// Keeps the functions alive.
            _library: Library,
        }

        impl Functions {
            fn find(library: Library, path: &str) -> Result<Self, LtUnavailable> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the type is that of the function in cublasLt.h; the library is kept
                        // beside the pointer.
                        let found = unsafe {
                            library.get::<unsafe extern "C" fn($($argument),*) -> c_int>(
                                concat!(stringify!($name), "\0").as_bytes(),
                            )
                        };
                        let missing = || LtUnavailable::SymbolMissing(path.to_owned(), stringify!($name));
                        *found.map_err(|_| missing())?
                    },)*
                    _library: library,
                })
            }
        }
    };
}

functions! {
    cublasLtCreate: fn(*mut Handle);
    cublasLtDestroy: fn(Handle);
    cublasLtMatmulDescCreate: fn(*mut Handle, c_int, c_int);
    cublasLtMatmulDescSetAttribute: fn(Handle, c_int, *const c_void, usize);
    cublasLtMatmulDescDestroy: fn(Handle);
    cublasLtMatrixLayoutCreate: fn(*mut Handle, c_int, u64, u64, i64);
    cublasLtMatrixLayoutDestroy: fn(Handle);
    cublasLtMatmulPreferenceCreate: fn(*mut Handle);
    cublasLtMatmulPreferenceSetAttribute: fn(Handle, c_int, *const c_void, usize);
    cublasLtMatmulPreferenceDestroy: fn(Handle);
    cublasLtMatmulAlgoGetHeuristic: fn(Handle, Handle, Handle, Handle, Handle, Handle, Handle, c_int, *mut Suggestion, *mut c_int);
    cublasLtMatmul: fn(Handle, Handle, *const c_void, u64, Handle, u64, Handle, *const c_void, u64, Handle, u64, Handle, *const Algorithm, u64, usize, Handle);
}

macro_rules! call {
    ($functions:expr, $name:ident($($argument:expr),* $(,)?)) => {
        check(
            stringify!($name),
            // SAFETY: the function has this signature; pointers are to live values of this call, and
            // handles are those that the library gave and that their owners have not given back.
            unsafe { ($functions.$name)($($argument),*) },
        )
    };
}

fn check(call: &'static str, status: c_int) -> Result<(), LtError> {
    if status == 0 {
        return Ok(());
    }
    Err(LtError::Call { call, status })
}

/// The library.
#[derive(Clone)]
pub struct CublasLt {
    functions: Arc<Functions>,
    path: String,
}

impl fmt::Debug for CublasLt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CublasLt").field(&self.path).finish()
    }
}

impl CublasLt {
    /// Opens this file, or the newest version that the loader, the toolkit's folder or a Python
    /// environment has.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open(library: Option<&Path>) -> Result<Self, LtUnavailable> {
        let places = library.map_or_else(places, |path| vec![path.to_owned()]);
        for place in &places {
            // SAFETY: loading runs the library's own initialization; it is NVIDIA's, or the one that the
            // user named.
            match unsafe { Library::new(place) } {
                Ok(library) => {
                    let path = place.display().to_string();
                    let functions = Arc::new(Functions::find(library, &path)?);
                    return Ok(Self { functions, path });
                }
                Err(error) => {
                    // The loader tells "not there" from "there, but broken" in words only.
                    let reason = std::error::Error::source(&error)
                        .map_or_else(|| error.to_string(), ToString::to_string);
                    if !reason.contains("No such file") {
                        return Err(LtUnavailable::LibraryBroken(reason));
                    }
                }
            }
        }
        let first = places.first().map(|place| place.display().to_string());
        Err(LtUnavailable::LibraryMissing(first.unwrap_or_default()))
    }

    /// The file it came from.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Where the library may be. Names without a folder are looked up by the loader.
fn places() -> Vec<PathBuf> {
    const VERSIONS: [&str; 4] = [".13", ".12", ".11", ""];
    let names = || VERSIONS.iter().map(|it| format!("libcublasLt.so{it}"));
    let mut folders = vec![PathBuf::from("/usr/local/cuda/lib64")];
    for root in ["/usr/lib", "/usr/local/lib"] {
        let Ok(entries) = Path::new(root).read_dir() else {
            continue;
        };
        let pythons = entries.flatten().map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("python3"))
        });
        for python in pythons {
            for packages in ["site-packages", "dist-packages"] {
                for inside in ["nvidia/cu13/lib", "nvidia/cublas/lib"] {
                    folders.push(python.join(packages).join(inside));
                }
            }
        }
    }
    folders.retain(|folder| folder.is_dir());
    let within = |folder: &PathBuf| names().map(|name| folder.join(name)).collect::<Vec<_>>();
    names()
        .map(PathBuf::from)
        .chain(folders.iter().flat_map(within))
        .collect()
}

/// How operands are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LtType {
    /// FP32 operands, rounded to TF32 by the tensor cores; FP32 results.
    Tf32,
    /// FP16 operands and results, FP32 sums.
    F16,
    /// BF16 operands and results, FP32 sums.
    Bf16,
    /// FP8 (E4M3) operands, BF16 results, FP32 sums.
    E4m3,
    /// INT8 operands, INT32 results.
    S8,
}

impl LtType {
    /// `cublasComputeType_t`, and the `cudaDataType_t` of factors, operands and results.
    fn codes(self) -> [c_int; 4] {
        const F32: c_int = 0;
        const BF16: c_int = 14;
        match self {
            Self::Tf32 => [77, F32, F32, F32],
            Self::F16 => [68, F32, 2, 2],
            Self::Bf16 => [68, F32, BF16, BF16],
            Self::E4m3 => [68, F32, 28, BF16],
            Self::S8 => [72, 10, 3, 10],
        }
    }

    /// Bytes of a result.
    pub fn result_bytes(self) -> usize {
        match self {
            Self::Tf32 | Self::S8 => 4,
            Self::F16 | Self::Bf16 | Self::E4m3 => 2,
        }
    }
}

/// The shape of a product: `rows` inputs of `depth` numbers through a layer of `columns` outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LtShape {
    /// Inputs.
    pub rows: usize,
    /// Outputs of each.
    pub columns: usize,
    /// Numbers of each input.
    pub depth: usize,
}

/// Handles that are given back in the end.
#[derive(Default)]
struct Handles {
    library: Handle,
    description: Handle,
    layouts: [Handle; 3],
}

/// A product that is ready to be computed: the way to do it is chosen once.
pub struct LtProduct {
    lt: CublasLt,
    of: LtType,
    handles: Handles,
    algorithm: Algorithm,
    workspace: Buffer,
}

impl LtProduct {
    /// Lets the library choose how to compute a product on this device.
    ///
    /// # Errors
    /// When it cannot, with [`LtError::NOT_SUPPORTED`], or when memory is short.
    pub fn new(
        lt: &CublasLt,
        device: &Device,
        of: LtType,
        shape: LtShape,
    ) -> Result<Self, LtError> {
        // What NVIDIA recommends for Hopper; others need less.
        const WORKSPACE: usize = 32 << 20;
        let workspace = match Buffer::new(device, WORKSPACE) {
            Err(error) if error.code == CudaError::OUT_OF_MEMORY => {
                return Err(LtError::NoMemory {
                    needed: WORKSPACE,
                    free: device.free_bytes()?,
                });
            }
            workspace => workspace?,
        };
        let mut product = Self {
            lt: lt.clone(),
            of,
            handles: Handles::default(),
            algorithm: Algorithm::default(),
            workspace,
        };
        product.describe(shape)?;
        product.choose()?;
        Ok(product)
    }

    /// Both operands lie with their depth contiguous, which every type can do: the layer's weights are
    /// the first operand, transposed, because the library counts by columns.
    fn describe(&mut self, shape: LtShape) -> Result<(), LtError> {
        const TRANSPOSE_A: c_int = 3;
        let transposed: c_int = 1;
        let functions = Arc::clone(&self.lt.functions);
        let [compute, factor, operand, result] = self.of.codes();
        let handles = &mut self.handles;
        call!(functions, cublasLtCreate(&raw mut handles.library))?;
        call!(
            functions,
            cublasLtMatmulDescCreate(&raw mut handles.description, compute, factor)
        )?;
        call!(
            functions,
            cublasLtMatmulDescSetAttribute(
                handles.description,
                TRANSPOSE_A,
                (&raw const transposed).cast(),
                size_of::<c_int>()
            )
        )?;
        let LtShape {
            rows,
            columns,
            depth,
        } = shape;
        let layouts = [
            (operand, depth, columns),
            (operand, depth, rows),
            (result, columns, rows),
        ];
        for (layout, (of, down, across)) in handles.layouts.iter_mut().zip(layouts) {
            let stride = i64::try_from(down).unwrap_or(i64::MAX);
            call!(
                functions,
                cublasLtMatrixLayoutCreate(layout, of, down as u64, across as u64, stride)
            )?;
        }
        Ok(())
    }

    fn choose(&mut self) -> Result<(), LtError> {
        const WORKSPACE_BYTES: c_int = 1;
        const REDUCTIONS: c_int = 3;
        // Partial sums are added up in the sums' own type, not in the result's: so results are exact.
        let in_compute_type: u32 = 2;
        let workspace = self.workspace.bytes() as u64;
        let functions = &self.lt.functions;
        let mut preference: Handle = std::ptr::null_mut();
        call!(
            functions,
            cublasLtMatmulPreferenceCreate(&raw mut preference)
        )?;
        let mut suggestion = Suggestion::default();
        let mut found = 0;
        let [weights, inputs, outputs] = self.handles.layouts;
        let asked = call!(
            functions,
            cublasLtMatmulPreferenceSetAttribute(
                preference,
                WORKSPACE_BYTES,
                (&raw const workspace).cast(),
                size_of::<u64>()
            )
        )
        .and_then(|()| {
            call!(
                functions,
                cublasLtMatmulPreferenceSetAttribute(
                    preference,
                    REDUCTIONS,
                    (&raw const in_compute_type).cast(),
                    size_of::<u32>()
                )
            )
        })
        .and_then(|()| {
            call!(
                functions,
                cublasLtMatmulAlgoGetHeuristic(
                    self.handles.library,
                    self.handles.description,
                    weights,
                    inputs,
                    outputs,
                    outputs,
                    preference,
                    1,
                    &raw mut suggestion,
                    &raw mut found
                )
            )
        });
        let _ = call!(functions, cublasLtMatmulPreferenceDestroy(preference));
        asked?;
        if found == 0 {
            return Err(LtError::Call {
                call: "cublasLtMatmulAlgoGetHeuristic",
                status: LtError::NOT_SUPPORTED,
            });
        }
        check("cublasLtMatmulAlgoGetHeuristic", suggestion.state)?;
        self.algorithm = suggestion.algorithm;
        Ok(())
    }

    /// Sends it to a stream. `inputs` has the rows, `weights` the columns' rows.
    ///
    /// # Errors
    /// When the device is gone, or earlier work failed.
    pub fn launch(
        &self,
        stream: &Stream,
        weights: &Buffer,
        inputs: &Buffer,
        outputs: &Buffer,
    ) -> Result<(), LtError> {
        // The factors' type: both have four bytes.
        let (one, zero) = if self.of == LtType::S8 {
            (1u32, 0u32)
        } else {
            (1f32.to_bits(), 0)
        };
        let [weights_as, inputs_as, outputs_as] = self.handles.layouts;
        call!(
            self.lt.functions,
            cublasLtMatmul(
                self.handles.library,
                self.handles.description,
                (&raw const one).cast(),
                weights.address(),
                weights_as,
                inputs.address(),
                inputs_as,
                (&raw const zero).cast(),
                outputs.address(),
                outputs_as,
                outputs.address(),
                outputs_as,
                &raw const self.algorithm,
                self.workspace.address(),
                self.workspace.bytes(),
                stream.handle()
            )
        )
    }
}

impl Drop for LtProduct {
    fn drop(&mut self) {
        let functions = &self.lt.functions;
        for layout in self.handles.layouts {
            if !layout.is_null() {
                let _ = call!(functions, cublasLtMatrixLayoutDestroy(layout));
            }
        }
        if !self.handles.description.is_null() {
            let description = self.handles.description;
            let _ = call!(functions, cublasLtMatmulDescDestroy(description));
        }
        if !self.handles.library.is_null() {
            let _ = call!(functions, cublasLtDestroy(self.handles.library));
        }
    }
}

//! The CUDA driver against a fake one that runs the project's own kernels on the CPU: every way in which
//! it can be missing, and whether the kernels compute what they should.

use crate::fake_cuda::FakeCuda;
use bench::gpu::cuda::{
    Argument, Buffer, Cuda, CudaError, CudaUnavailable, Device, Kernel, Module, Stream,
};
use bench::gpu::kernels::{Source, named};
use std::path::Path;

fn open(script: &str) -> Result<Cuda, CudaUnavailable> {
    // The library stays loaded when its file is gone.
    Cuda::open(Some(&FakeCuda::new(script).path()))
}

fn device(script: &str) -> (Device, Stream) {
    let cuda = open(script).expect("the fake opens");
    let device = Device::open(&cuda, 0).expect("the fake has a device");
    let stream = Stream::new(&device).expect("the fake has streams");
    (device, stream)
}

fn kernel(device: &Device, name: &str) -> Kernel {
    let entry = named(name);
    let module = Module::load(device, entry.source).expect("the fake loads everything");
    Kernel::find(&module, entry).expect("the fake has it")
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let words = bytes.chunks_exact(4);
    words
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

#[test]
fn every_reason_why_cuda_is_not_there_has_a_name() {
    let missing = Cuda::open(Some(Path::new("/nonexistent/libcuda.so.1")));
    let expected = CudaUnavailable::LibraryMissing("/nonexistent/libcuda.so.1".to_owned());
    assert_eq!(missing.err(), Some(expected));
    let this = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let broken = Cuda::open(Some(&this));
    assert!(matches!(broken, Err(CudaUnavailable::LibraryBroken(_))));

    let driver = |call, code| CudaUnavailable::Driver(CudaError { call, code });
    let old = CudaUnavailable::TooOld {
        major: 11,
        minor: 4,
    };
    for (script, reason) in [
        ("init 100", CudaUnavailable::NoDevice),
        ("devices 0", CudaUnavailable::NoDevice),
        ("version 11040", old),
        ("init 803", driver("cuInit", 803)),
        ("init 34", driver("cuInit", 34)),
        ("fail cuDeviceGetCount 999", driver("cuDeviceGetCount", 999)),
    ] {
        assert_eq!(open(script).err(), Some(reason), "{script}");
    }
    assert_eq!(open("version 13010").unwrap().version(), "13.1");
}

#[test]
fn a_missing_function_is_named_before_anything_runs() {
    let fake = FakeCuda::without("cuEventElapsedTime");
    let reason = Cuda::open(Some(&fake.path())).err();
    assert_eq!(
        reason,
        Some(CudaUnavailable::SymbolMissing("cuEventElapsedTime"))
    );
}

#[test]
fn a_device_that_is_lost_or_refuses_says_which_call_failed() {
    let cuda = open("fail cuDevicePrimaryCtxRetain 46").unwrap();
    let lost = Device::open(&cuda, 0).err().unwrap();
    assert_eq!((lost.call, lost.code), ("cuDevicePrimaryCtxRetain", 46));
    assert_eq!(Device::open(&cuda, 7).err().unwrap().code, 101);

    let (device, _stream) = device("fail cuModuleLoadData 222");
    let refused = Module::load(&device, Source::Memory).err().unwrap();
    insta::assert_snapshot!(refused, @"`cuModuleLoadData` failed with error 222: the PTX is newer than the driver");
}

#[test]
fn a_device_is_described_and_memory_comes_back() {
    let (device, stream) = device("capability 9 0");
    let properties = device.properties();
    assert_eq!(properties.name, "SIMULATED GPU 0");
    assert_eq!(properties.pci_bus_id, "00000000:01:00.0");
    assert_eq!(properties.uuid, "GPU-00000000-0000-0000-0000-000000000000");
    assert_eq!(properties.capability, (9, 0));
    let before = device.free_bytes().unwrap();
    let buffer = Buffer::of(&device, &stream, &[1, 2, 3, 4]).unwrap();
    assert_eq!(device.free_bytes().unwrap(), before - 4);
    assert_eq!(buffer.contents(&stream).unwrap(), [1, 2, 3, 4]);
    drop(buffer);
    assert_eq!(device.free_bytes().unwrap(), before);
    let too_much = Buffer::new(&device, before + 1).err().unwrap();
    assert_eq!(too_much.code, CudaError::OUT_OF_MEMORY);
}

#[test]
fn memory_kernels_move_every_word_whatever_the_size() {
    let (device, stream) = device("");
    // Sizes around the unrolled loop of 2 blocks of 64 threads with four units each.
    for units in [1usize, 127, 512, 513, 2000] {
        let [from, to] = [(); 2].map(|()| Buffer::new(&device, units * 16).unwrap());
        let wrong = Buffer::of(&device, &stream, &[0; 8]).unwrap();
        let n = Argument::Long(units as u64);
        let launch = |name: &str, arguments: &[Argument]| {
            let kernel = kernel(&device, name);
            kernel.launch(&stream, (2, 1), 64, arguments).unwrap();
        };
        let at = |buffer: &Buffer| Argument::Address(buffer.address());
        launch("memory_fill", &[at(&from), n, Argument::Word(7)]);
        launch("memory_copy", &[at(&to), at(&from), n]);
        launch(
            "memory_verify",
            &[at(&to), n, Argument::Word(7), at(&wrong)],
        );
        assert_eq!(words(&wrong.contents(&stream).unwrap()), [0, 0], "{units}");
        launch(
            "memory_verify",
            &[at(&to), n, Argument::Word(8), at(&wrong)],
        );
        let other = words(&wrong.contents(&stream).unwrap())[0] as usize;
        assert!(
            other > units * 3,
            "{units}: another seed, {other} other words"
        );
    }
}

/// The matrix product of the reference model, with its tiles, its edges and its pipeline, against a
/// plain loop.
#[test]
fn a_layer_is_a_product_with_bias_and_rectifier() {
    let (device, stream) = device("");
    for (m, n, k) in [(1u32, 8u32, 8u32), (5, 136, 40), (130, 16, 72)] {
        // Small multiples of a quarter are exact in halves and in every sum.
        let number = |i: u32, j: u32, salt: u32| {
            let mixed = (i * 31 + j * 17 + salt).wrapping_mul(2_654_435_761);
            f32::from(u8::try_from(mixed >> 29).unwrap()) * 0.25 - 1.0
        };
        let half = |value: f32| bench::gpu::to_half(value).to_le_bytes();
        let matrix = |rows: u32, salt: u32| -> Vec<u8> {
            let cells = (0..rows).flat_map(|i| (0..k).map(move |j| (i, j)));
            cells.flat_map(|(i, j)| half(number(i, j, salt))).collect()
        };
        let bias: Vec<u8> = (0..n)
            .flat_map(|j| number(j, 0, 99).to_le_bytes())
            .collect();
        let a = Buffer::of(&device, &stream, &matrix(m, 1)).unwrap();
        let b = Buffer::of(&device, &stream, &matrix(n, 2)).unwrap();
        let bias = Buffer::of(&device, &stream, &bias).unwrap();
        let c = Buffer::new(&device, (m * n * 2) as usize).unwrap();
        let at = |buffer: &Buffer| Argument::Address(buffer.address());
        let [m_, n_, k_] = [m, n, k].map(Argument::Word);
        kernel(&device, "tensor_layer")
            .launch(
                &stream,
                (n.div_ceil(128), m.div_ceil(128)),
                256,
                &[at(&c), at(&a), at(&b), at(&bias), m_, n_, k_],
            )
            .unwrap();
        let results = c.contents(&stream).unwrap();
        for i in 0..m {
            for j in 0..n {
                let sum: f32 = (0..k).map(|x| number(i, x, 1) * number(j, x, 2)).sum();
                let should = (sum + number(j, 0, 99)).max(0.0);
                let place = ((i * n + j) * 2) as usize;
                let is = u16::from_le_bytes([results[place], results[place + 1]]);
                assert_eq!(is, bench::gpu::to_half(should), "{m}×{n}×{k} at {i},{j}");
            }
        }
    }
}

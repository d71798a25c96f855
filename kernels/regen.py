#!/usr/bin/env python3
"""Makes kernels/ptx/*.ptx from kernels/*.cu, or checks them; see BUILD.md. Needs no GPU and no toolkit.

    pip install --target toolchain/11 nvidia-cuda-nvrtc-cu11==11.8.89 nvidia-cuda-nvcc-cu11==11.8.89
    pip install --target toolchain/12 nvidia-cuda-nvrtc-cu12==12.0.140 nvidia-cuda-nvcc-cu12==12.0.140
    pip install --target toolchain/13 nvidia-cuda-nvcc==13.0.88
    regen.py write|check TOOLCHAIN
"""
import ctypes
import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# Source, toolkit whose NVRTC makes the oldest PTX that can say it, target.
SOURCES = [("memory", "11", "70"), ("compute", "11", "70"), ("tensor", "11", "80"), ("wgmma", "12", "90a")]
# Each assembler with the targets that it can make from the PTX of each kind.
ASSEMBLERS = {
    "70": {"11": ["70", "75", "80", "86", "89", "90"], "12": ["70", "80", "89", "90"], "13": ["75", "80", "86", "89", "90", "100", "103", "110", "120", "121"]},
    "80": {"11": ["80", "86", "89", "90"], "12": ["80", "89", "90"], "13": ["80", "86", "89", "90", "100", "103", "110", "120", "121"]},
    "90a": {"12": ["90a"], "13": ["90a"]},
}


def find(toolchain, version, name):
    found = sorted((toolchain / version).resolve().rglob(name))
    if not found:
        raise SystemExit(f"no {name} below {toolchain / version}: install the packages that regen.py names")
    return found[0]


def compile_ptx(toolchain, name, version, target):
    nvrtc = ctypes.CDLL(str(find(toolchain, version, "libnvrtc.so.*")))
    program = ctypes.c_void_p()
    header = (HERE / "device.cuh").read_bytes()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), (HERE / f"{name}.cu").read_bytes(), f"{name}.cu".encode(), 1,
                             (ctypes.c_char_p * 1)(header), (ctypes.c_char_p * 1)(b"device.cuh"))
    options = [f"--gpu-architecture=compute_{target}".encode(), b"--std=c++14"]
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    if failed:
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        raise SystemExit(f"{name}.cu does not compile:\n{log.value.decode()}")
    nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetPTX(program, ptx)
    return ptx.value.decode().rstrip() + "\n"


def assemble(toolchain, path, target):
    for version, architectures in ASSEMBLERS[target].items():
        ptxas = find(toolchain, version, "ptxas")
        for architecture in architectures:
            with tempfile.TemporaryDirectory() as folder:
                done = subprocess.run([ptxas, "-v", f"-arch=sm_{architecture}", "-o", f"{folder}/out", path],
                                      capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{path.name}: ptxas {version} for sm_{architecture}: {done.stderr}")
            if re.search(r"[1-9]\d* bytes spill", done.stderr):
                raise SystemExit(f"{path.name}: registers spill on sm_{architecture}: {done.stderr}")
            if "serialization" in done.stderr:
                raise SystemExit(f"{path.name}: wgmma is serialized on sm_{architecture}: {done.stderr}")
            print(f"{path.name}: ptxas {version} sm_{architecture}: assembled, no spills")


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("write", "check"):
        raise SystemExit(__doc__)
    toolchain = pathlib.Path(sys.argv[2]).resolve()
    for name, version, target in SOURCES:
        path = HERE / "ptx" / f"{name}_sm{target}.ptx"
        ptx = compile_ptx(toolchain, name, version, target)
        if sys.argv[1] == "write":
            path.write_text(ptx)
        elif path.read_text() != ptx:
            raise SystemExit(f"{path.name} is not what {name}.cu makes: run `regen.py write`")
        assemble(toolchain, path, target)
    names = ["device.cuh"] + [f"{name}.cu" for name, _, _ in SOURCES]
    names += [f"ptx/{name}_sm{target}.ptx" for name, _, target in SOURCES]
    hashes = "".join(f"{hashlib.sha256((HERE / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    if sys.argv[1] == "write":
        (HERE / "ptx" / "SOURCES").write_text(hashes)
    elif (HERE / "ptx" / "SOURCES").read_text() != hashes:
        raise SystemExit("ptx/SOURCES has other hashes: run `regen.py write`")
    print("kernels: all PTX is what the sources make, and assembles for every target")


main()

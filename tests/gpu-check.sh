#!/usr/bin/env bash
# Everything that needs a GPU, in less than nine minutes, from a prebuilt (stripped) binary: on a machine
# with a driver, without network and without Rust. It needs bash and coreutils there, and for the binary
# glibc 2.34 and libgcc_s: RHEL 9, Ubuntu 22.04, Debian 12 or newer.
#
#   tests/gpu-check.sh BINARY OUT
#
# OUT gets summary.txt and the records of all steps; OUT.tar.gz holds all of it. Exit codes: 0 all steps passed; 1 a step failed;
# 2 wrong arguments; 4 there is no GPU to check.
#
# From the environment, for tests of this script: GPU_CHECK_ARGS are more arguments of the suite,
# GPU_CHECK_SCENARIO takes the place of scenarios/prod.toml, GPU_CHECK_SECONDS that of the time for all steps
# together; each step may take GPU_CHECK_PATIENCE times as long as is written here.
set -u

if [ $# -ne 2 ] || [ ! -x "$1" ]; then
  echo "usage: tests/gpu-check.sh BINARY OUT (BINARY must be executable)" >&2
  exit 2
fi
binary=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$2" || exit 2
out=$(cd "$2" && pwd)
summary=$out/summary.txt
: >"$summary"
scenario=${GPU_CHECK_SCENARIO:-$here/scenarios/prod.toml}
total=${GPU_CHECK_SECONDS:-525}
patience=${GPU_CHECK_PATIENCE:-1}
read -r -a given <<<"${GPU_CHECK_ARGS:-}"
failures=()

say() { echo "$*" | tee -a "$summary"; }

# Whether one of the numbers after the first is the first.
among() { [[ " ${*:2} " == *" $1 "* ]]; }

# step NAME SECONDS EXPECTED-CODES COMMAND…: runs a command within its time and what is left of the whole,
# keeps what it prints, and says how it went. The last to be said on stdout is what it found.
step() {
  local name=$1 seconds=$(($2 * patience)) expected=$3 began=$SECONDS left=$((total - SECONDS)) code why
  shift 3
  if [ "$left" -le 0 ]; then
    failures+=("$name")
    say "FAIL  $name: not run, the $total s of the whole check are over"
    return
  fi
  if [ "$left" -lt "$seconds" ]; then seconds=$left; fi
  # A command that ignores its end is killed.
  timeout --kill-after=5 "$seconds" "$@" >"$out/$name.out" 2>"$out/$name.err" </dev/null
  code=$?
  # shellcheck disable=SC2086 # several codes are several words
  if among "$code" $expected; then
    say "ok    $name ($((SECONDS - began)) s, exit $code): $(tail -n 1 "$out/$name.out")"
    return
  fi
  case $code in
    124 | 137) why="it took longer than its $seconds s" ;;
    *) why="exit $code and not ${expected// / or }" ;;
  esac
  failures+=("$name")
  say "FAIL  $name ($((SECONDS - began)) s): $why: $(tail -n 1 "$out/$name.out") $(tail -n 1 "$out/$name.err")"
}

if ! version=$("$binary" --version 2>&1); then
  say "FAIL  the binary does not start here: $version"
  exit 1
fi
say "bench: $version, $(date -u +%Y-%m-%dT%H:%M:%SZ), $(uname -sr)"

gpu=("$binary" --quiet gpu)
# All see the GPUs in one order, and those of CUDA_VISIBLE_DEVICES only.
export CUDA_DEVICE_ORDER=PCI_BUS_ID
first=${CUDA_VISIBLE_DEVICES-0}
first=${first%%,*}

timeout --kill-after=5 $((40 * patience)) "${gpu[@]}" --quick --only=launch.round_trip --results="$out/probe" >"$out/probe.out" 2>"$out/probe.err" </dev/null
case $? in
  0 | 1) ;;
  3)
    if grep -q '"unavailable": "' "$out"/probe/*/gpu.json 2>/dev/null; then
      say "no GPU to check: $(tail -n 1 "$out/probe.out" | sed 's/^INCONCLUSIVE: //')"
      exit 4
    fi
    ;;
  124 | 137)
    say "FAIL  bench gpu did not answer in time: a GPU or its driver hangs"
    exit 1
    ;;
  *)
    say "FAIL  bench gpu cannot run here: $(tail -n 1 "$out/probe.err")"
    exit 1
    ;;
esac

gpus=1
if command -v nvidia-smi >/dev/null; then
  step nvidia-smi 20 "0" nvidia-smi -q
  # Parts of a GPU (MIG) are listed below it, indented.
  gpus=$(timeout 20 nvidia-smi -L | grep -c '^GPU')
fi
# Every kernel against the CPU, every PTX module loaded, every rate, cuBLASLt where it is found, a sustained
# load, health before and after: on the first GPU, so that the time does not grow with their number.
step suite 150 "0 3" env CUDA_VISIBLE_DEVICES="$first" "${gpu[@]}" ${given[@]+"${given[@]}"} --results="$out/suite"
# Batch sizes and precisions, on the same.
step tune 60 "0 3" env CUDA_VISIBLE_DEVICES="$first" "${gpu[@]}" --tune --results="$out/tune"
if [ "$gpus" -gt 1 ]; then
  # Siblings against each other, and the copies between them.
  step siblings 120 "0 3" "${gpu[@]}" --quick --only=memory.copy,mma.bf16,wgmma.bf16,gemm.bf16,peer --results="$out/siblings"
fi
# What cannot be must be said: a process that may see no GPU, and a model that fits none.
step hidden 20 "3" env CUDA_VISIBLE_DEVICES= "${gpu[@]}" --results="$out/hidden"
step hidden-serve 20 "2" env CUDA_VISIBLE_DEVICES= "$binary" serve --port=0 --backend=cuda
step too-large 20 "2" "$binary" serve --port=0 --backend=cuda --model-width=65536 --max-batch=1000000
# The reference model in both precisions, verified at its start against the CPU; and on all GPUs at once.
serve=("$binary" --quiet serve --port=0 --backend=cuda --until-stdin-closes)
step serve-f16 60 "0" "${serve[@]}" --precision=f16
step serve-bf16 60 "0" "${serve[@]}" --precision=bf16
if [ "$gpus" -gt 1 ]; then
  step serve-all 90 "0" "${serve[@]}" --gpu=all
fi
# Beside the records of the suite, so that the report relates the work to what the GPU can do.
mkdir -p "$out/prod" && cp -R "$out/suite/." "$out/prod/"
# The verdict on the service; FAIL and INCONCLUSIVE are findings, not faults of this check.
step prod 150 "0 1 3" "$binary" --quiet run "$scenario" --results="$out/prod"
# On the GPU, and not on the CPU in its stead.
step prod-on-gpu 5 "0" grep -Eqr --include=run.json '"kind": ?"cuda"' "$out/prod"
# The trace of NVML and of the GPU's own counters while it worked: which series there are.
step series 5 "0" bash -c 'set -o pipefail; grep -rhoE --include=telemetry.csv "gpu\.[a-z_.]+" "$1" | sort -u | tr "\n" " "' series "$out/prod"

if [ ${#failures[@]} -eq 0 ]; then
  say "all steps passed in $SECONDS s"
else
  say "failed in $SECONDS s: ${failures[*]}; see the files named after them beside this one"
fi
# All of it in one file to carry away, where there is tar.
if command -v tar >/dev/null; then
  tar -C "$(dirname "$out")" -czf "$out.tar.gz" "$(basename "$out")" || say "the records were not packed"
fi
[ ${#failures[@]} -eq 0 ]

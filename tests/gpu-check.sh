#!/usr/bin/env bash
# Everything that needs a GPU, in less than nine minutes, from a prebuilt (stripped) binary: on a machine
# with a driver, without network and without Rust.
#
#   tests/gpu-check.sh BINARY OUT
#
# OUT gets summary.txt and the records of all steps. Exit codes: 0 all steps passed; 1 a step failed;
# 2 wrong arguments; 4 there is no GPU to check.
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
# For tests of this script: arguments of `bench gpu` that make a fake driver its GPU.
read -r -a given <<<"${GPU_CHECK_ARGS:-}"
failed=0

say() { echo "$*" | tee -a "$summary"; }

# step NAME SECONDS EXPECTED-CODES COMMAND…
step() {
  local name=$1 seconds=$2 expected=$3 began=$SECONDS code
  shift 3
  timeout "$seconds" "$@" >"$out/$name.out" 2>"$out/$name.err"
  code=$?
  if [[ " $expected " == *" $code "* ]]; then
    say "ok    $name ($((SECONDS - began)) s, exit $code): $(tail -n 1 "$out/$name.out")"
  else
    say "FAIL  $name ($((SECONDS - began)) s, exit $code): $(tail -n 1 "$out/$name.out") $(tail -n 1 "$out/$name.err")"
    failed=1
  fi
}

say "bench: $("$binary" --version), $(date -u +%Y-%m-%dT%H:%M:%SZ), $(uname -sr)"

"$binary" --quiet gpu --quick --only=launch.round_trip --results="$out/probe" ${given[@]+"${given[@]}"} >"$out/probe.out" 2>"$out/probe.err"
case $? in
  0 | 1) ;;
  3)
    if grep -q '"unavailable": "' "$out"/probe/*/gpu.json 2>/dev/null; then
      say "no GPU to check: $(tail -n 1 "$out/probe.out" | sed 's/^INCONCLUSIVE: //')"
      exit 4
    fi
    ;;
  *)
    say "FAIL  bench gpu cannot run here: $(tail -n 1 "$out/probe.err")"
    exit 1
    ;;
esac

if command -v nvidia-smi >/dev/null; then
  step nvidia-smi 20 "0" nvidia-smi -q
fi
# Every kernel against the CPU, every PTX module loaded, every rate, cuBLASLt where it is found, a sustained
# load, health before and after: on the first GPU, so that the time does not grow with their number.
export CUDA_DEVICE_ORDER=PCI_BUS_ID
first=${CUDA_VISIBLE_DEVICES:-0}
step suite 150 "0 3" env CUDA_VISIBLE_DEVICES="${first%%,*}" "$binary" --quiet gpu --results="$out/suite" ${given[@]+"${given[@]}"}
# Batch sizes and precisions, on the same.
step tune 60 "0 3" env CUDA_VISIBLE_DEVICES="${first%%,*}" "$binary" --quiet gpu --tune --results="$out/tune" ${given[@]+"${given[@]}"}
if command -v nvidia-smi >/dev/null && [ "$(nvidia-smi -L | wc -l)" -gt 1 ]; then
  # Siblings against each other, and the copies between them.
  step siblings 120 "0 3" "$binary" --quiet gpu --quick --only=memory.copy,mma.bf16,wgmma.bf16,gemm.bf16,peer --results="$out/siblings"
fi
# A process that may see no GPU must say so.
step hidden 20 "3" env CUDA_VISIBLE_DEVICES= "$binary" --quiet gpu --results="$out/hidden"
if [ -z "${GPU_CHECK_ARGS:-}" ] && [ -f "$here/scenarios/prod.toml" ]; then
  # Beside the records of the suite, so that the report relates the work to what the GPU can do.
  mkdir -p "$out/prod" && cp -R "$out/suite/." "$out/prod/"
  # The verdict on the service; FAIL and INCONCLUSIVE are findings, not faults of this check.
  step prod 150 "0 1 3" "$binary" --quiet run "$here/scenarios/prod.toml" --results="$out/prod"
  # On the GPU, and not on the CPU in its stead.
  step prod-on-gpu 5 "0" grep -Eqr --include=run.json '"kind": ?"cuda"' "$out/prod"
fi

if [ $failed -eq 0 ]; then say "all steps passed"; else say "some steps failed: see the files beside this one"; fi
exit $failed

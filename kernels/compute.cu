// Arithmetic and shared memory without device memory in the way; and the tools of measurement: an empty
// kernel, one that occupies a multiprocessor, and one that reads clocks.
#include <device.cuh>

__device__ inline u32 thread_index() { return blockIdx.x * blockDim.x + threadIdx.x; }

// 16 independent chains of fused multiply-adds: 32 × iterations operations for each thread.
KERNEL compute_fma(float *out, u32 iterations, float factor, float addend) {
    float x[16];
#pragma unroll
    for (int k = 0; k < 16; k++) x[k] = (float)(threadIdx.x & 31) + (float)k;
    for (u32 i = 0; i < iterations; i++) {
#pragma unroll
        for (int k = 0; k < 16; k++) x[k] = fmaf(x[k], factor, addend);
    }
    float sum = 0;
#pragma unroll
    for (int k = 0; k < 16; k++) sum += x[k];
    out[thread_index()] = sum;
}

// Reads 16 bytes of shared memory at a time, without bank conflicts: 64 × iterations bytes for each
// thread of a block of 256, which reads the words of another thread each time.
KERNEL compute_shared(u32 *out, u32 iterations) {
    __shared__ uint4 cells[1024];
    for (u32 i = threadIdx.x; i < 1024; i += blockDim.x) cells[i] = make_uint4(i, i * 3, i * 5, i * 7);
    __syncthreads();
    u32 sum = 0;
    u32 at = threadIdx.x;
    for (u32 i = 0; i < iterations; i++) {
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            const uint4 v = cells[(at + k * 256) & 1023];
            sum += (v.x ^ v.y) + (v.z ^ v.w);
        }
        at = (at + 32) & 1023;
    }
    out[thread_index()] = sum;
}

KERNEL compute_empty() {}

// Occupies its block for so many cycles of the multiprocessor.
KERNEL compute_spin(u64 cycles, u32 *out) {
    const u64 begin = clock64();
    u32 rounds = 0;
    while (clock64() - begin < cycles) rounds++;
    if (threadIdx.x == 0) out[blockIdx.x] = rounds;
}

// Leaves the time and the cycle count of each multiprocessor that a block ran on. Two such readings of
// the same multiprocessor give the clock that it really had in between.
KERNEL compute_clocks(u64 *out) {
    if (threadIdx.x != 0) return;
    const u32 place = multiprocessor() * 2;
    out[place] = nanoseconds();
    out[place + 1] = clock64();
}

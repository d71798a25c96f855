// What the kernels need of the hardware beyond plain C++, each a thin name for PTX.
// tests/fake/device.cuh holds the same names for a CPU, so that the same sources can be tested there.
#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;

#define KERNEL extern "C" __global__ void

// The first shared-memory address of a pointer, as `ld.shared` and `cp.async` want it.
__device__ inline u32 shared_address(const void *pointer) {
    return (u32)__cvta_generic_to_shared(pointer);
}

// Nanoseconds of a clock that all multiprocessors share. It moves in steps of up to a microsecond.
__device__ inline u64 nanoseconds() {
    u64 value;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(value));
    return value;
}

__device__ inline u32 multiprocessor() {
    u32 value;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(value));
    return value;
}

#if __CUDA_ARCH__ >= 800
// Copies 16 bytes from global to shared memory in the background; past the end of the data, zeros.
__device__ inline void copy_async(void *to, const void *from, bool inside) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"(shared_address(to)), "l"(from), "r"(inside ? 16 : 0) : "memory");
}

__device__ inline void copies_begun() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most `LEFT` groups of copies are under way.
template <int LEFT> __device__ inline void copies_done() {
    asm volatile("cp.async.wait_group %0;" :: "n"(LEFT) : "memory");
}

// d += a × b over a warp, each operand spread over its registers as PTX defines it for this shape.
#define MMA(NAME, SHAPE, TYPES, D, KIND)                                                          \
    __device__ inline void NAME(D (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {                \
        asm volatile("mma.sync.aligned." SHAPE ".row.col." TYPES                                  \
                     " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                     \
                     : "+" KIND(d[0]), "+" KIND(d[1]), "+" KIND(d[2]), "+" KIND(d[3])             \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));         \
    }
MMA(mma_f16, "m16n8k16", "f32.f16.f16.f32", float, "f")
MMA(mma_bf16, "m16n8k16", "f32.bf16.bf16.f32", float, "f")
MMA(mma_tf32, "m16n8k8", "f32.tf32.tf32.f32", float, "f")
MMA(mma_s8, "m16n8k32", "s32.s8.s8.s32", int, "r")

// Two floats as two halves, the first in the low bits.
__device__ inline u32 halves(float low, float high) {
    u32 packed;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

// The same as two numbers in BF16.
__device__ inline u32 bfloats(float low, float high) {
    u32 packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}
#endif

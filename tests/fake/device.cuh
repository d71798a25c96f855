// The names of kernels/device.cuh, and those of CUDA C++ itself, for a CPU: with them g++ compiles the
// kernels, and cuda.cpp runs them thread by thread. A thread that must wait for others gives way to them.
#pragma once
#include <math.h>
#include <string.h>

typedef unsigned int u32;
typedef unsigned long long u64;

#define KERNEL extern "C" void
#define __device__
#define __shared__ static
#define __align__(N) __attribute__((aligned(N)))

struct uint4 { u32 x, y, z, w; };
struct float4 { float x, y, z, w; };
static inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
struct place { u32 x, y, z; };
extern place threadIdx, blockIdx, blockDim, gridDim;

void wait_for(u32 group, u32 members);
static inline void __syncthreads() { wait_for(0, blockDim.x); }
static inline void warp_barrier() { wait_for(1 + threadIdx.x / 32, 32); }

u64 nanoseconds();
static inline u64 clock64() { return nanoseconds() * 2; }
static inline u32 multiprocessor() { return blockIdx.x % 2; }
static inline uint4 __ldcg(const uint4 *from) { return *from; }
static inline void atomicAdd(u64 *to, u64 value) { *to += value; }

static inline void copy_async(void *to, const void *from, bool inside) {
    if (inside) memcpy(to, from, 16); else memset(to, 0, 16);
}
static inline void copies_begun() {}
template <int LEFT> static inline void copies_done() {}

static inline float bits_float(u32 bits) { float value; memcpy(&value, &bits, 4); return value; }
static inline u32 float_bits(float value) { u32 bits; memcpy(&bits, &value, 4); return bits; }
static inline float from_half(u32 half) {
    const int exponent = half >> 10 & 31;
    const float fraction = (float)(half & 1023);
    const float value = exponent == 31 ? (fraction ? NAN : INFINITY)
                      : exponent ? ldexpf(1024 + fraction, exponent - 25) : ldexpf(fraction, -24);
    return half & 0x8000 ? -value : value;
}
// To the nearest, ties to even.
static inline u32 to_half(float value) {
    const u32 sign = float_bits(value) >> 16 & 0x8000;
    const float size = fabsf(value);
    if (size >= 65520) return sign | 0x7c00;
    int exponent = 0;
    if (size > 0) frexpf(size, &exponent);
    if (exponent < -13) exponent = -13;
    const u32 steps = (u32)nearbyintf(ldexpf(size, 11 - exponent));
    // A carry out of the fraction goes into the exponent, as it should.
    return sign | (steps < 1024 ? steps : ((u32)(exponent + 14) << 10) + (steps - 1024));
}
static inline u32 halves(float low, float high) { return to_half(low) | to_half(high) << 16; }
static inline u32 to_bfloat(float value) {
    const u32 bits = float_bits(value);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
static inline u32 bfloats(float low, float high) { return to_bfloat(low) | to_bfloat(high) << 16; }

// The number at a place of a row of 32 bytes that eight words hold.
static inline float value_f16(const u32 *words, u32 k) { return from_half(words[k / 2] >> k % 2 * 16 & 0xffff); }
static inline float value_bf16(const u32 *words, u32 k) { return bits_float((words[k / 2] >> k % 2 * 16) << 16); }
static inline float value_tf32(const u32 *words, u32 k) { return bits_float(words[k] & 0xffffe000); }
static inline int value_s8(const u32 *words, u32 k) { return (signed char)(words[k / 4] >> k % 4 * 8); }

extern u32 warp_a[32][32][4], warp_b[32][32][2];

// By the tables of the PTX manual: row g and g + 8 of a, column g of b, words t and t + 4 of each lie
// with lane 4 g + t; results of rows g and g + 8, columns 2 t and 2 t + 1.
#define MMA(NAME, DEPTH, VALUE, ACC)                                                              \
    static inline void NAME(ACC (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {                  \
        const u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;                               \
        memcpy(warp_a[warp][lane], a, 16);                                                        \
        memcpy(warp_b[warp][lane], b, 8);                                                         \
        warp_barrier();                                                                           \
        for (u32 i = 0; i < 4; i++) {                                                             \
            const u32 row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;                  \
            u32 left[8], right[8];                                                                \
            for (u32 t = 0; t < 4; t++) {                                                         \
                left[t] = warp_a[warp][row % 8 * 4 + t][row / 8];                                 \
                left[t + 4] = warp_a[warp][row % 8 * 4 + t][row / 8 + 2];                         \
                right[t] = warp_b[warp][column * 4 + t][0];                                       \
                right[t + 4] = warp_b[warp][column * 4 + t][1];                                   \
            }                                                                                     \
            for (u32 k = 0; k < DEPTH; k++) d[i] += VALUE(left, k) * VALUE(right, k);             \
        }                                                                                         \
        warp_barrier();                                                                           \
    }
MMA(mma_f16, 16, value_f16, float)
MMA(mma_bf16, 16, value_bf16, float)
MMA(mma_tf32, 8, value_tf32, float)
MMA(mma_s8, 32, value_s8, int)

// Tensor cores by `mma.sync`, which every GPU since Ampere (sm_80) has: the rate at which they issue, and a
// matrix product with bias and rectifier, of which the reference service's model is made.
//
// On Hopper and newer `mma.sync` is the portable path, not the fastest one: see wgmma.cu.
#include <device.cuh>

// Each warp multiplies the same 16 rows with eight blocks of 8 columns, over and over, and each thread
// leaves the sum of its part of the results: iterations × the product, exactly, while that fits the
// accumulator. A row or column is 32 bytes, whatever the type: 16 halves, 8 tf32, 32 bytes.
#define RATE(NAME, MULTIPLY, ACC)                                                                 \
    KERNEL NAME(ACC *out, const u32 *rows, const u32 *columns, u32 iterations) {                  \
        const u32 lane = threadIdx.x & 31, group = lane / 4, word = lane & 3;                     \
        u32 a[4] = {rows[group * 8 + word], rows[(group + 8) * 8 + word],                         \
                    rows[group * 8 + word + 4], rows[(group + 8) * 8 + word + 4]};                \
        u32 b[8][2];                                                                              \
        ACC d[8][4];                                                                              \
        _Pragma("unroll") for (int k = 0; k < 8; k++) {                                           \
            b[k][0] = columns[(k * 8 + group) * 8 + word];                                        \
            b[k][1] = columns[(k * 8 + group) * 8 + word + 4];                                    \
            d[k][0] = d[k][1] = d[k][2] = d[k][3] = 0;                                            \
        }                                                                                         \
        for (u32 i = 0; i < iterations; i++) {                                                    \
            _Pragma("unroll") for (int k = 0; k < 8; k++) MULTIPLY(d[k], a, b[k]);                \
        }                                                                                         \
        ACC sum = 0;                                                                              \
        _Pragma("unroll") for (int k = 0; k < 8; k++) sum += (d[k][0] + d[k][1]) + (d[k][2] + d[k][3]); \
        out[blockIdx.x * blockDim.x + threadIdx.x] = sum;                                         \
    }
RATE(tensor_f16, mma_f16, float)
RATE(tensor_bf16, mma_bf16, float)
RATE(tensor_tf32, mma_tf32, float)
RATE(tensor_s8, mma_s8, int)

// c = max(0, a × bᵀ + bias): a has m rows and b n rows of k numbers, c m rows of n; k and n are multiples
// of 8. Blocks of 256 threads make tiles of 128 × 128, 32 deep, the next one on its way while one is used. A row in shared
// memory is 40 numbers apart from the next: 20 words, so that the 32 words a warp reads at once lie in 32
// banks.
const u32 TILE = 128, DEPTH = 32, APART = 40;

__device__ inline void load_tile(unsigned short *to, const unsigned short *from, u32 row, u32 rows, u32 column, u32 k) {
#pragma unroll
    for (u32 part = threadIdx.x; part < TILE * DEPTH / 8; part += 256) {
        const u32 r = part / 4, c = (part & 3) * 8;
        const bool inside = row + r < rows && column + c < k;
        const u64 at = inside ? (u64)(row + r) * k + column + c : 0;
        copy_async(to + r * APART + c, from + at, inside);
    }
}

template <void MULTIPLY(float (&)[4], const u32 (&)[4], const u32 (&)[2]), u32 PACK(float, float)>
__device__ inline void layer(unsigned short *c, const unsigned short *a, const unsigned short *b, const float *bias, u32 m, u32 n, u32 k) {
    __shared__ __align__(16) unsigned short rows[2][TILE * APART];
    __shared__ __align__(16) unsigned short columns[2][TILE * APART];
    const u32 lane = threadIdx.x & 31, warp = threadIdx.x / 32, group = lane / 4, word = lane & 3;
    const u32 first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
    const u32 warp_row = (warp & 1) * 64, warp_column = (warp / 2) * 32;
    const u32 steps = (k + DEPTH - 1) / DEPTH;
    float d[4][4][4];
#pragma unroll
    for (int i = 0; i < 64; i++) d[i / 16][i / 4 % 4][i % 4] = 0;
    load_tile(rows[0], a, first_row, m, 0, k);
    load_tile(columns[0], b, first_column, n, 0, k);
    copies_begun();
    for (u32 step = 0; step < steps; step++) {
        if (step + 1 < steps) {
            load_tile(rows[(step + 1) & 1], a, first_row, m, (step + 1) * DEPTH, k);
            load_tile(columns[(step + 1) & 1], b, first_column, n, (step + 1) * DEPTH, k);
        }
        copies_begun();
        copies_done<1>();
        __syncthreads();
        const u32 *r = (const u32 *)rows[step & 1], *s = (const u32 *)columns[step & 1];
#pragma unroll
        for (u32 half = 0; half < DEPTH / 2; half += 8) {
            u32 left[4][4], right[4][2];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const u32 at = (warp_row + i * 16 + group) * (APART / 2) + half + word;
                left[i][0] = r[at];
                left[i][1] = r[at + 8 * (APART / 2)];
                left[i][2] = r[at + 4];
                left[i][3] = r[at + 8 * (APART / 2) + 4];
            }
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const u32 at = (warp_column + j * 8 + group) * (APART / 2) + half + word;
                right[j][0] = s[at];
                right[j][1] = s[at + 4];
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) MULTIPLY(d[i][j], left[i], right[j]);
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const u32 column = first_column + warp_column + j * 8 + word * 2;
            if (column >= n) continue;
            const float low = bias[column], high = bias[column + 1];
#pragma unroll
            for (int side = 0; side < 2; side++) {
                const u32 row = first_row + warp_row + i * 16 + group + side * 8;
                if (row >= m) continue;
                const float x = d[i][j][side * 2] + low, y = d[i][j][side * 2 + 1] + high;
                *(u32 *)(c + (u64)row * n + column) = PACK(x > 0 ? x : 0, y > 0 ? y : 0);
            }
        }
    }
}

#define LAYER(NAME, MULTIPLY, PACK)                                                               \
    KERNEL NAME(unsigned short *c, const unsigned short *a, const unsigned short *b, const float *bias, u32 m, u32 n, u32 k) { \
        layer<MULTIPLY, PACK>(c, a, b, bias, m, n, k);                                            \
    }
LAYER(tensor_layer, mma_f16, halves)
LAYER(tensor_layer_bf16, mma_bf16, bfloats)

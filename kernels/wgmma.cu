// Tensor cores by `wgmma`, Hopper's own instruction and the only way to its full rate. sm_90a: this code
// runs on compute capability 9.0 and on nothing else.
#include <device.cuh>

// A row of the operands has 128 bytes: four steps of 32 bytes, as deep as one instruction goes whatever
// the type. In shared memory they lie without swizzle: blocks of 8 rows × 16 bytes, whole in 128 bytes;
// the blocks of a column one after the other, then the next column.
const int STEPS = 4, BLOCK = 128, ROWS = 64, COLUMNS = 128;

// Where an operand lies: its address, the distance between blocks along a row (bits 16 to 29) and
// along a column (bits 32 to 45), each in units of 16 bytes; the top bits 0: no swizzle.
__device__ inline u64 descriptor(u32 address, u32 along_row, u32 along_column) {
    return (u64)(address >> 4 & 0x3fff) | (u64)(along_row >> 4) << 16 | (u64)(along_column >> 4) << 32;
}

#define WGMMA(NAME, SHAPE, TYPES, D, KIND, SCALES) \
    __device__ inline void NAME(D (&d)[64], u64 a, u64 b) { \
        asm volatile("wgmma.mma_async.sync.aligned." SHAPE "." TYPES " {" \
                     "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63" \
                     "}, %64, %65, 1" SCALES ";" \
                     : "+" KIND(d[0]), "+" KIND(d[1]), "+" KIND(d[2]), "+" KIND(d[3]), \
                       "+" KIND(d[4]), "+" KIND(d[5]), "+" KIND(d[6]), "+" KIND(d[7]), \
                       "+" KIND(d[8]), "+" KIND(d[9]), "+" KIND(d[10]), "+" KIND(d[11]), \
                       "+" KIND(d[12]), "+" KIND(d[13]), "+" KIND(d[14]), "+" KIND(d[15]), \
                       "+" KIND(d[16]), "+" KIND(d[17]), "+" KIND(d[18]), "+" KIND(d[19]), \
                       "+" KIND(d[20]), "+" KIND(d[21]), "+" KIND(d[22]), "+" KIND(d[23]), \
                       "+" KIND(d[24]), "+" KIND(d[25]), "+" KIND(d[26]), "+" KIND(d[27]), \
                       "+" KIND(d[28]), "+" KIND(d[29]), "+" KIND(d[30]), "+" KIND(d[31]), \
                       "+" KIND(d[32]), "+" KIND(d[33]), "+" KIND(d[34]), "+" KIND(d[35]), \
                       "+" KIND(d[36]), "+" KIND(d[37]), "+" KIND(d[38]), "+" KIND(d[39]), \
                       "+" KIND(d[40]), "+" KIND(d[41]), "+" KIND(d[42]), "+" KIND(d[43]), \
                       "+" KIND(d[44]), "+" KIND(d[45]), "+" KIND(d[46]), "+" KIND(d[47]), \
                       "+" KIND(d[48]), "+" KIND(d[49]), "+" KIND(d[50]), "+" KIND(d[51]), \
                       "+" KIND(d[52]), "+" KIND(d[53]), "+" KIND(d[54]), "+" KIND(d[55]), \
                       "+" KIND(d[56]), "+" KIND(d[57]), "+" KIND(d[58]), "+" KIND(d[59]), \
                       "+" KIND(d[60]), "+" KIND(d[61]), "+" KIND(d[62]), "+" KIND(d[63]) \
                     : "l"(a), "l"(b)); \
    }
WGMMA(wgmma_f16, "m64n128k16", "f32.f16.f16", float, "f", ", 1, 1, 0, 0")
WGMMA(wgmma_bf16, "m64n128k16", "f32.bf16.bf16", float, "f", ", 1, 1, 0, 0")
WGMMA(wgmma_tf32, "m64n128k8", "f32.tf32.tf32", float, "f", ", 1, 1")
WGMMA(wgmma_e4m3, "m64n128k32", "f32.e4m3.e4m3", float, "f", ", 1, 1")
WGMMA(wgmma_s8, "m64n128k32", "s32.s8.s8", int, "r", "")

__device__ inline void place(uint4 *to, const uint4 *from, int rows) {
    for (int i = threadIdx.x; i < rows * 8; i += blockDim.x) {
        const int row = i / 8, column = i % 8;
        to[(column * rows / 8 + row / 8) * 8 + row % 8] = from[i];
    }
}

// Two warpgroups multiply 64 rows with 128 columns, over and over, and each thread leaves the sum of its
// part of the results: iterations × the product over 128 bytes, exactly, while that fits.
#define RATE(NAME, MULTIPLY, ACC)                                                                 \
    KERNEL __launch_bounds__(256) NAME(ACC *out, const uint4 *rows, const uint4 *columns, u32 iterations) { \
        __shared__ __align__(128) uint4 left[ROWS * 8];                                           \
        __shared__ __align__(128) uint4 right[COLUMNS * 8];                                       \
        place(left, rows, ROWS);                                                                  \
        place(right, columns, COLUMNS);                                                           \
        /* What was written by ordinary stores must be seen by the tensor cores' own reads. */    \
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");                              \
        __syncthreads();                                                                          \
        const u32 a = shared_address(left), b = shared_address(right);                            \
        ACC d[64];                                                                                \
        _Pragma("unroll") for (int k = 0; k < 64; k++) d[k] = 0;                                  \
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");                                   \
        for (u32 i = 0; i < iterations; i++) {                                                    \
            _Pragma("unroll") for (int step = 0; step < STEPS; step++) {                          \
                const u32 at_a = a + step * 2 * ROWS / 8 * BLOCK;                                 \
                const u32 at_b = b + step * 2 * COLUMNS / 8 * BLOCK;                              \
                MULTIPLY(d, descriptor(at_a, ROWS / 8 * BLOCK, BLOCK),                            \
                         descriptor(at_b, COLUMNS / 8 * BLOCK, BLOCK));                           \
            }                                                                                     \
            asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");                        \
            asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");                        \
        }                                                                                         \
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");                            \
        ACC sum = 0;                                                                              \
        _Pragma("unroll") for (int k = 0; k < 64; k++) { sum += d[k]; } \
        out[blockIdx.x * blockDim.x + threadIdx.x] = sum;                                         \
    }
RATE(wgmma_rate_f16, wgmma_f16, float)
RATE(wgmma_rate_bf16, wgmma_bf16, float)
RATE(wgmma_rate_tf32, wgmma_tf32, float)
RATE(wgmma_rate_e4m3, wgmma_e4m3, float)
RATE(wgmma_rate_s8, wgmma_s8, int)

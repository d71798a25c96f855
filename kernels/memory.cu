// Memory: streams over device memory with 16 bytes for each access and four accesses in flight, and a
// pattern by which every byte can be checked afterwards.
#include <device.cuh>

// The word at an index: two rounds of a mixing function, so that neither equal nor shifted data fits.
__device__ inline u32 word(u64 index, u32 seed) {
    u32 mixed = (u32)index * 2654435761u ^ (u32)(index >> 32) ^ seed;
    mixed = (mixed ^ mixed >> 15) * 2246822519u;
    return mixed ^ mixed >> 13;
}

__device__ inline uint4 pattern(u64 index, u32 seed) {
    u64 first = index * 4;
    return make_uint4(word(first, seed), word(first + 1, seed), word(first + 2, seed), word(first + 3, seed));
}

__device__ inline u64 first_index() { return (u64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline u64 all_threads() { return (u64)gridDim.x * blockDim.x; }

// Calls BODY for each index below n, four of them side by side.
#define FOUR_AT_ONCE(LOAD, STORE, REST)                                                           \
    const u64 step = all_threads();                                                               \
    u64 i = first_index();                                                                        \
    for (; i + 3 * step < n; i += 4 * step) {                                                     \
        LOAD(0) LOAD(1) LOAD(2) LOAD(3) STORE(0) STORE(1) STORE(2) STORE(3)                       \
    }                                                                                             \
    for (; i < n; i += step) { REST }

// Writes the pattern. `n` counts units of 16 bytes, here and below.
KERNEL memory_fill(uint4 *to, u64 n, u32 seed) {
    for (u64 i = first_index(); i < n; i += all_threads()) to[i] = pattern(i, seed);
}

// Counts the words that differ from the pattern.
KERNEL memory_verify(const uint4 *from, u64 n, u32 seed, u64 *wrong) {
    u64 found = 0;
    for (u64 i = first_index(); i < n; i += all_threads()) {
        uint4 is = from[i], should = pattern(i, seed);
        found += (is.x != should.x) + (is.y != should.y) + (is.z != should.z) + (is.w != should.w);
    }
    if (found) atomicAdd(wrong, found);
}

// Writes one value everywhere: nothing but stores.
KERNEL memory_write(uint4 *to, u64 n, u32 value) {
    const uint4 v = make_uint4(value, value, value, value);
#define NONE(K)
#define STORE(K) to[i + K * step] = v;
    FOUR_AT_ONCE(NONE, STORE, to[i] = v;)
#undef STORE
}

// Reads everything `passes` times. Each thread leaves the exclusive or of all that it read.
KERNEL memory_read(const uint4 *from, u64 n, u32 passes, u32 *out) {
    u32 sum = 0;
    for (u32 pass = 0; pass < passes; pass++) {
#define LOAD(K) const uint4 v##K = __ldcg(from + i + K * step);
#define FOLD(K) sum ^= v##K.x ^ v##K.y ^ v##K.z ^ v##K.w;
        FOUR_AT_ONCE(LOAD, FOLD, const uint4 v = __ldcg(from + i); sum ^= v.x ^ v.y ^ v.z ^ v.w;)
#undef LOAD
#undef FOLD
        // Two equal passes would cancel each other out.
        sum = sum << 1 | sum >> 31;
    }
    out[first_index()] = sum;
}

KERNEL memory_copy(uint4 *to, const uint4 *from, u64 n) {
#define LOAD(K) const uint4 v##K = from[i + K * step];
#define STORE(K) to[i + K * step] = v##K;
    FOUR_AT_ONCE(LOAD, STORE, to[i] = from[i];)
#undef LOAD
#undef STORE
}

__device__ inline float4 triad(float4 b, float4 c, float s) {
    return make_float4(fmaf(s, c.x, b.x), fmaf(s, c.y, b.y), fmaf(s, c.z, b.z), fmaf(s, c.w, b.w));
}

// a = b + s × c, as STREAM defines it.
KERNEL memory_triad(float4 *a, const float4 *b, const float4 *c, u64 n, float s) {
#define LOAD(K) const float4 b##K = b[i + K * step], c##K = c[i + K * step];
#define STORE(K) a[i + K * step] = triad(b##K, c##K, s);
    FOUR_AT_ONCE(LOAD, STORE, a[i] = triad(b[i], c[i], s);)
}

// Fills with floats that are exact: small whole numbers.
KERNEL memory_numbers(float *to, u64 n, u32 seed) {
    for (u64 i = first_index(); i < n; i += all_threads()) to[i] = (float)(word(i, seed) & 1023);
}

// Counts the results of the triad that are not what the numbers make.
KERNEL memory_triad_verify(const float *a, u64 n, u32 seed_b, u32 seed_c, float s, u64 *wrong) {
    u64 found = 0;
    for (u64 i = first_index(); i < n; i += all_threads()) {
        float should = (float)(word(i, seed_b) & 1023) + s * (float)(word(i, seed_c) & 1023);
        found += a[i] != should;
    }
    if (found) atomicAdd(wrong, found);
}

/* A fake libcublasLt for tests: products on the CPU, in the memory of the fake driver (cuda.cpp), which is
 * that of the host. Structures and numbers are those of cublasLt.h. It says nothing about speed.
 *
 * The file `script` in the library's own folder is read by cublasLtCreate. Its lines:
 *
 *   fail FUNCTION STATUS   what a function answers
 *   unsupported TYPE       operands of this cudaDataType have no algorithm
 *   corrupt                the last result of every product is wrong
 */
#include <dlfcn.h>
#include <map>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string>

#include <device.cuh>

static std::map<std::string, int> failures;
static int unsupported = -1;
static bool corrupt;

static void read_script() {
    Dl_info here;
    failures.clear();
    unsupported = -1;
    corrupt = false;
    if (!dladdr((void *)&read_script, &here)) return;
    std::string path = here.dli_fname;
    path = path.substr(0, path.rfind('/')) + "/script";
    FILE *file = fopen(path.c_str(), "r");
    if (!file) return;
    char line[256], name[96];
    while (fgets(line, sizeof line, file)) {
        int code = 0;
        if (sscanf(line, "fail %95s %d", name, &code) == 2) failures[name] = code;
        else if (sscanf(line, "unsupported %d", &code) == 1) unsupported = code;
        else if (std::string(line).rfind("corrupt", 0) == 0) corrupt = true;
    }
    fclose(file);
}

#define ANSWER() do { auto found = failures.find(__func__); if (found != failures.end()) return found->second; } while (0)

struct description { int compute, factor, transposed; };
struct layout { int type; uint64_t rows, columns; int64_t stride; };
struct result { uint64_t algorithm[8]; size_t workspace; int state; float waves; int reserved[4]; };
enum { F32 = 0, F16 = 2, S8 = 3, S32 = 10, BF16 = 14, E4M3 = 28 };

static float e4m3(unsigned char bits) {
    const int exponent = bits >> 3 & 15;
    const float size = exponent ? ldexpf(1 + (bits & 7) / 8.0f, exponent - 7) : ldexpf((bits & 7) / 8.0f, -6);
    return bits & 0x80 ? -size : size;
}
static float value(const layout &it, uint64_t address, uint64_t place) {
    switch (it.type) {
        case F32: return ((float *)address)[place];
        case F16: return from_half(((unsigned short *)address)[place]);
        case BF16: return bits_float((u32)((unsigned short *)address)[place] << 16);
        case E4M3: return e4m3(((unsigned char *)address)[place]);
        default: return ((signed char *)address)[place];
    }
}
static void store(const layout &it, uint64_t address, uint64_t place, float sum) {
    switch (it.type) {
        case F32: ((float *)address)[place] = sum; break;
        case F16: ((unsigned short *)address)[place] = (unsigned short)to_half(sum); break;
        case S32: ((int *)address)[place] = (int)sum; break;
        default: {
            const u32 bits = float_bits(sum);
            ((unsigned short *)address)[place] = (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
        }
    }
}

extern "C" {
int cublasLtCreate(void **out) { read_script(); ANSWER(); *out = malloc(1); return 0; }
int cublasLtDestroy(void *handle) { free(handle); return 0; }
int cublasLtMatmulDescCreate(void **out, int compute, int factor) { ANSWER(); *out = new description{compute, factor, 0}; return 0; }
int cublasLtMatmulDescSetAttribute(void *it, int attribute, const void *value, size_t size) {
    ANSWER();
    if (attribute != 3 || size != sizeof(int)) return 7;
    ((description *)it)->transposed = *(const int *)value;
    return 0;
}
int cublasLtMatmulDescDestroy(void *it) { delete (description *)it; return 0; }
int cublasLtMatrixLayoutCreate(void **out, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    ANSWER();
    *out = new layout{type, rows, columns, stride};
    return 0;
}
int cublasLtMatrixLayoutDestroy(void *it) { delete (layout *)it; return 0; }
int cublasLtMatmulPreferenceCreate(void **out) { ANSWER(); *out = malloc(1); return 0; }
int cublasLtMatmulPreferenceSetAttribute(void *, int attribute, const void *, size_t size) {
    ANSWER();
    return (attribute == 1 && size == 8) || (attribute == 3 && size == 4) ? 0 : 7;
}
int cublasLtMatmulPreferenceDestroy(void *it) { free(it); return 0; }
int cublasLtMatmulAlgoGetHeuristic(void *, void *of, void *a, void *b, void *c, void *d, void *, int wanted, result *results, int *found) {
    ANSWER();
    const layout &left = *(layout *)a, &right = *(layout *)b, &out = *(layout *)d;
    const bool fits = left.rows == right.rows && left.columns == out.rows && right.columns == out.columns;
    if (!fits || c != d || wanted != 1 || !((description *)of)->transposed) return 7;
    *found = left.type == unsupported ? 0 : 1;
    results[0] = result();
    return 0;
}
int cublasLtMatmul(void *, void *, const void *one, uint64_t a, void *a_as, uint64_t b, void *b_as, const void *, uint64_t,
                   void *, uint64_t d, void *d_as, const uint64_t *, uint64_t, size_t, void *) {
    ANSWER();
    const layout &left = *(layout *)a_as, &right = *(layout *)b_as, &out = *(layout *)d_as;
    if (out.type == S32 ? *(const int *)one != 1 : *(const float *)one != 1.0f) return 7;
    for (uint64_t row = 0; row < right.columns; row++) {
        for (uint64_t column = 0; column < left.columns; column++) {
            float sum = 0;
            for (uint64_t k = 0; k < left.rows; k++) {
                sum += value(left, a, column * left.stride + k) * value(right, b, row * right.stride + k);
            }
            if (corrupt && row + 1 == right.columns) sum += 64;
            store(out, d, row * out.stride + column, sum);
        }
    }
    return 0;
}
}

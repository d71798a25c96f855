/* A fake libcuda for tests: devices that run the project's own kernels on the CPU, thread by thread.
 *
 * It holds only what this program calls, needs no CUDA header, and must never be installed anywhere: its
 * devices are called SIMULATED, and so are all figures that come of it. It says nothing about speed.
 *
 * The file `script` in the library's own folder is read by cuInit. Its lines:
 *
 *   init CODE                   what cuInit answers
 *   version NUMBER              of the driver's CUDA, for example 12000
 *   devices COUNT
 *   capability MAJOR MINOR
 *   memory MIB                  of each device
 *   peers                       devices reach each other
 *   fail FUNCTION CODE [AFTER]  what a function answers, after so many calls that went well
 *   corrupt KERNEL [AFTER]      a kernel whose first result is wrong, after so many launches that were right
 *
 * As the real one does, it shows only the devices that CUDA_VISIBLE_DEVICES lists, by number, in that order,
 * up to the first that is not there.
 */
#include <chrono>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <time.h>
#include <ucontext.h>
#include <vector>

#include <device.cuh>
#include "../../kernels/memory.cu"
#undef LOAD
#undef STORE
#undef FOLD
#include "../../kernels/compute.cu"
#include "../../kernels/tensor.cu"

/* ---- threads ------------------------------------------------------------------------------------ */

place threadIdx, blockIdx, blockDim, gridDim;
u32 warp_a[32][32][4], warp_b[32][32][2];

struct barrier { u32 arrived, turn; };
static barrier barriers[33];
static const u32 MOST_THREADS = 1024, STACK = 64 * 1024;
static ucontext_t scheduler, fibers[MOST_THREADS];
static bool ended[MOST_THREADS];
/* What threads may still use while the process ends is never destroyed: as with the real driver, memory may be
 * given back at any time. */
static std::vector<char> &stacks = *new std::vector<char>();
static u32 running;
static bool in_fiber;

void wait_for(u32 group, u32 members) {
    barrier &it = barriers[group];
    const u32 turn = it.turn;
    if (++it.arrived == members) { it.arrived = 0; it.turn++; return; }
    if (!in_fiber) { fprintf(stderr, "fake cuda: a kernel waits that is not in the table of waiting ones\n"); abort(); }
    const place me = threadIdx;
    const u32 self = running;
    while (it.turn == turn) { swapcontext(&fibers[self], &scheduler); }
    threadIdx = me;
}

u64 nanoseconds() {
    return (u64)std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct kernel { void (*call)(void **); u32 arguments; bool waits; };
static const kernel *current;
static void **current_arguments;

static void fiber_main() {
    current->call(current_arguments);
    ended[running] = true;
    for (;;) swapcontext(&fibers[running], &scheduler);
}

static void run_block() {
    if (!current->waits) {
        for (u32 thread = 0; thread < blockDim.x; thread++) {
            threadIdx = {thread, 0, 0};
            current->call(current_arguments);
        }
        return;
    }
    stacks.resize((size_t)MOST_THREADS * STACK);
    in_fiber = true;
    for (u32 thread = 0; thread < blockDim.x; thread++) {
        ended[thread] = false;
        getcontext(&fibers[thread]);
        fibers[thread].uc_stack.ss_sp = &stacks[(size_t)thread * STACK];
        fibers[thread].uc_stack.ss_size = STACK;
        fibers[thread].uc_link = nullptr;
        makecontext(&fibers[thread], fiber_main, 0);
    }
    for (u32 left = blockDim.x; left > 0;) {
        left = 0;
        for (u32 thread = 0; thread < blockDim.x; thread++) {
            if (ended[thread]) continue;
            running = thread;
            threadIdx = {thread, 0, 0};
            swapcontext(&scheduler, &fibers[thread]);
            left += !ended[thread];
        }
    }
    in_fiber = false;
}

/* ---- kernels by name ---------------------------------------------------------------------------- */

#define A(N, TYPE) (*(TYPE *)a[N])
static const std::map<std::string, kernel> &KERNELS = *new std::map<std::string, kernel>{
    {"memory_fill", {[](void **a) { memory_fill(A(0, uint4 *), A(1, u64), A(2, u32)); }, 3, false}},
    {"memory_verify", {[](void **a) { memory_verify(A(0, uint4 *), A(1, u64), A(2, u32), A(3, u64 *)); }, 4, false}},
    {"memory_write", {[](void **a) { memory_write(A(0, uint4 *), A(1, u64), A(2, u32)); }, 3, false}},
    {"memory_read", {[](void **a) { memory_read(A(0, uint4 *), A(1, u64), A(2, u32), A(3, u32 *)); }, 4, false}},
    {"memory_copy", {[](void **a) { memory_copy(A(0, uint4 *), A(1, uint4 *), A(2, u64)); }, 3, false}},
    {"memory_triad", {[](void **a) { memory_triad(A(0, float4 *), A(1, float4 *), A(2, float4 *), A(3, u64), A(4, float)); }, 5, false}},
    {"memory_numbers", {[](void **a) { memory_numbers(A(0, float *), A(1, u64), A(2, u32)); }, 3, false}},
    {"memory_triad_verify", {[](void **a) { memory_triad_verify(A(0, float *), A(1, u64), A(2, u32), A(3, u32), A(4, float), A(5, u64 *)); }, 6, false}},
    {"compute_fma", {[](void **a) { compute_fma(A(0, float *), A(1, u32), A(2, float), A(3, float)); }, 4, false}},
    {"compute_shared", {[](void **a) { compute_shared(A(0, u32 *), A(1, u32)); }, 2, true}},
    {"compute_empty", {[](void **) { compute_empty(); }, 0, false}},
    {"compute_spin", {[](void **a) { compute_spin(A(0, u64), A(1, u32 *)); }, 2, false}},
    {"compute_clocks", {[](void **a) { compute_clocks(A(0, u64 *)); }, 1, false}},
    {"tensor_f16", {[](void **a) { tensor_f16(A(0, float *), A(1, u32 *), A(2, u32 *), A(3, u32)); }, 4, true}},
    {"tensor_bf16", {[](void **a) { tensor_bf16(A(0, float *), A(1, u32 *), A(2, u32 *), A(3, u32)); }, 4, true}},
    {"tensor_tf32", {[](void **a) { tensor_tf32(A(0, float *), A(1, u32 *), A(2, u32 *), A(3, u32)); }, 4, true}},
    {"tensor_s8", {[](void **a) { tensor_s8(A(0, int *), A(1, u32 *), A(2, u32 *), A(3, u32)); }, 4, true}},
    {"tensor_layer", {[](void **a) { tensor_layer(A(0, unsigned short *), A(1, unsigned short *), A(2, unsigned short *), A(3, float *), A(4, u32), A(5, u32), A(6, u32)); }, 7, true}},
    {"tensor_layer_bf16", {[](void **a) { tensor_layer_bf16(A(0, unsigned short *), A(1, unsigned short *), A(2, unsigned short *), A(3, float *), A(4, u32), A(5, u32), A(6, u32)); }, 7, true}},
};

/* ---- the script --------------------------------------------------------------------------------- */

struct failure { int code; int after; };
static std::map<std::string, failure> &failures = *new std::map<std::string, failure>();
static std::map<std::string, int> &calls = *new std::map<std::string, int>();
static std::string &corrupt = *new std::string();
static int corrupt_after;
static int peers;
static u64 memory = 256ull << 20;
static int init_code, version = 12000, devices = 1, major_capability = 8, minor_capability = 0;

static void read_script() {
    Dl_info here;
    if (!dladdr((void *)&read_script, &here)) return;
    std::string path = here.dli_fname;
    path = path.substr(0, path.rfind('/')) + "/script";
    FILE *file = fopen(path.c_str(), "r");
    if (!file) return;
    char line[256], name[96];
    while (fgets(line, sizeof line, file)) {
        int code = 0, after = 0;
        if (sscanf(line, "fail %95s %d %d", name, &code, &after) >= 2) failures[name] = {code, after};
        else if (sscanf(line, "corrupt %95s %d", name, &after) >= 1) { corrupt = name; corrupt_after = after; }
        else if (sscanf(line, "memory %d", &code) == 1) memory = (u64)code << 20;
        else if (strncmp(line, "peers", 5) == 0) peers = 1;
        else if (sscanf(line, "init %d", &init_code) == 1) {}
        else if (sscanf(line, "version %d", &version) == 1) {}
        else if (sscanf(line, "devices %d", &devices) == 1) {}
        else sscanf(line, "capability %d %d", &major_capability, &minor_capability);
    }
    fclose(file);
}

/* The devices that are shown: for each ordinal, which it is. */
static std::vector<int> &visible = *new std::vector<int>();

static void choose_visible() {
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    visible.clear();
    if (!list) {
        for (int device = 0; device < devices; device++) visible.push_back(device);
        return;
    }
    for (char *rest; *list; list = *rest == ',' ? rest + 1 : rest) {
        const long device = strtol(list, &rest, 10);
        if (rest == list || device < 0 || device >= devices) return;
        visible.push_back((int)device);
    }
}

static int answer(const char *function) {
    auto found = failures.find(function);
    if (found == failures.end()) return 0;
    return calls[function]++ < found->second.after ? 0 : found->second.code;
}
/* One call at a time: the devices share one CPU, and the emulation its state. */
static std::recursive_mutex &turn = *new std::recursive_mutex();
#define ANSWER() std::lock_guard<std::recursive_mutex> guard(turn); if (int code = answer(__func__)) return code

/* ---- the driver's functions --------------------------------------------------------------------- */

typedef u64 pointer;
static u64 allocated;
static std::map<pointer, size_t> &sizes = *new std::map<pointer, size_t>();
struct launch { const kernel *of; u32 grid[3], block; std::vector<std::vector<char>> values; };
static std::vector<launch> *recording;

extern "C" {
int cuInit(unsigned) { std::lock_guard<std::recursive_mutex> guard(turn); failures.clear(); calls.clear(); corrupt.clear(); read_script(); choose_visible(); return init_code ? init_code : visible.empty() ? 100 : 0; }
int cuDriverGetVersion(int *out) { ANSWER(); *out = version; return 0; }
int cuDeviceGetCount(int *out) { ANSWER(); *out = (int)visible.size(); return 0; }
int cuDeviceGet(int *out, int ordinal) {
    ANSWER();
    if ((size_t)ordinal >= visible.size()) return 101;
    *out = visible[(size_t)ordinal];
    return 0;
}
int cuDeviceGetName(char *out, int size, int device) { ANSWER(); snprintf(out, size, "SIMULATED GPU %d", device); return 0; }
int cuDeviceGetUuid(unsigned char *out, int device) { ANSWER(); memset(out, 0, 16); out[15] = (unsigned char)device; return 0; }
int cuDeviceTotalMem_v2(size_t *out, int) { ANSWER(); *out = memory; return 0; }
int cuDeviceGetAttribute(int *out, int attribute, int device) {
    ANSWER();
    switch (attribute) {
        case 16: *out = 2; break;               /* multiprocessors */
        case 13: *out = 1000000; break;         /* clock, kHz */
        case 36: *out = 1000000; break;         /* memory clock, kHz */
        case 37: *out = 64; break;              /* bus, bits */
        case 38: *out = 1 << 20; break;         /* level 2 cache, bytes */
        case 75: *out = major_capability; break;
        case 76: *out = minor_capability; break;
        case 50: *out = 0; break;               /* PCI domain */
        case 33: *out = device + 1; break;      /* PCI bus */
        case 34: *out = 0; break;               /* PCI device */
        default: *out = 0;
    }
    return 0;
}
int cuDeviceCanAccessPeer(int *out, int, int) { ANSWER(); *out = peers; return 0; }
int cuDevicePrimaryCtxRetain(void **out, int device) { ANSWER(); *out = (void *)(u64)(device + 1); return 0; }
int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
int cuCtxSetCurrent(void *) { ANSWER(); return 0; }
int cuCtxEnablePeerAccess(void *, unsigned) { ANSWER(); return peers ? 0 : 217; }
int cuCtxSynchronize() { ANSWER(); return 0; }
int cuStreamCreate(void **out, unsigned) { ANSWER(); *out = malloc(1); return 0; }
int cuStreamDestroy_v2(void *stream) { free(stream); return 0; }
int cuStreamSynchronize(void *) { ANSWER(); return 0; }
int cuStreamWaitEvent(void *, void *, unsigned) { ANSWER(); return 0; }
int cuEventCreate(void **out, unsigned) { ANSWER(); *out = calloc(1, sizeof(u64)); return 0; }
int cuEventDestroy_v2(void *event) { free(event); return 0; }
int cuEventRecord(void *event, void *) { ANSWER(); *(u64 *)event = nanoseconds(); return 0; }
int cuEventSynchronize(void *) { ANSWER(); return 0; }
int cuEventElapsedTime(float *out, void *from, void *to) { ANSWER(); *out = (float)(*(u64 *)to - *(u64 *)from) / 1e6f; return 0; }
int cuMemAlloc_v2(pointer *out, size_t size) {
    ANSWER();
    if (allocated + size > memory) return 2;
    void *block = nullptr;
    if (posix_memalign(&block, 256, size ? size : 1)) return 2;
    allocated += size;
    *out = (pointer)block;
    sizes[*out] = size;
    return 0;
}
int cuMemFree_v2(pointer block) { std::lock_guard<std::recursive_mutex> guard(turn); allocated -= sizes[block]; sizes.erase(block); free((void *)block); return 0; }
int cuMemGetInfo_v2(size_t *available, size_t *total) { ANSWER(); *available = memory - allocated; *total = memory; return 0; }
int cuMemHostAlloc(void **out, size_t size, unsigned) { ANSWER(); return posix_memalign(out, 4096, size) ? 2 : 0; }
int cuMemFreeHost(void *block) { free(block); return 0; }
static int copy(void *to, const void *from, size_t size) { memmove(to, from, size); return 0; }
int cuMemcpyHtoDAsync_v2(pointer to, const void *from, size_t size, void *) { ANSWER(); return copy((void *)to, from, size); }
int cuMemcpyDtoHAsync_v2(void *to, pointer from, size_t size, void *) { ANSWER(); return copy(to, (void *)from, size); }
int cuMemcpyPeerAsync(pointer to, void *to_device, pointer from, void *from_device, size_t size, void *) {
    ANSWER();
    if (to_device == from_device) return 1;
    copy((void *)to, (void *)from, size);
    if (corrupt == "peer") *(u32 *)to ^= 1;
    return 0;
}
int cuMemsetD8Async(pointer to, unsigned char value, size_t size, void *) { ANSWER(); memset((void *)to, value, size); return 0; }
int cuModuleLoadData(void **out, const void *) { ANSWER(); *out = malloc(1); return 0; }
int cuModuleUnload(void *module) { free(module); return 0; }
int cuModuleGetFunction(const void **out, void *, const char *name) {
    ANSWER();
    auto found = KERNELS.find(name);
    if (found == KERNELS.end()) return 500;
    *out = &*found;
    return 0;
}
static void execute(const kernel *of, const u32 *grid, u32 block, void **values) {
    current = of;
    current_arguments = values;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block, 1, 1};
    for (u32 y = 0; y < grid[1]; y++) for (u32 x = 0; x < grid[0]; x++) { blockIdx = {x, y, 0}; run_block(); }
}
int cuLaunchKernel(const void *function, u32 x, u32 y, u32 z, u32 block, u32, u32, u32, void *, void **values, void **) {
    ANSWER();
    const auto &found = *(const std::pair<const std::string, kernel> *)function;
    const u32 grid[3] = {x, y, z};
    if (recording) {
        launch one = {&found.second, {x, y, z}, block, {}};
        for (u32 i = 0; i < found.second.arguments; i++) one.values.push_back(std::vector<char>((char *)values[i], (char *)values[i] + 8));
        recording->push_back(one);
        return 0;
    }
    execute(&found.second, grid, block, values);
    /* The first argument is where results go. */
    if (found.first == corrupt && corrupt_after-- <= 0) **(u32 **)values[0] ^= 0x40004000;
    return 0;
}
int cuStreamBeginCapture_v2(void *, int) { ANSWER(); recording = new std::vector<launch>(); return 0; }
int cuStreamEndCapture(void *, void **graph) { ANSWER(); *graph = recording; recording = nullptr; return 0; }
int cuGraphInstantiateWithFlags(void **out, void *graph, u64) { ANSWER(); *out = new std::vector<launch>(*(std::vector<launch> *)graph); return 0; }
int cuGraphLaunch(void *graph, void *) {
    ANSWER();
    for (launch &one : *(std::vector<launch> *)graph) {
        std::vector<void *> values;
        for (auto &value : one.values) values.push_back(value.data());
        execute(one.of, one.grid, one.block, values.data());
    }
    return 0;
}
int cuGraphExecDestroy(void *graph) { delete (std::vector<launch> *)graph; return 0; }
int cuGraphDestroy(void *graph) { delete (std::vector<launch> *)graph; return 0; }
}

/* A fake libnvidia-ml for tests: GPUs that make their values up by a script.
 *
 * It holds only what nvml-wrapper 0.13 calls for this program, needs no header, and must never be
 * installed anywhere: its names say SIMULATED, and so do the reports about it.
 *
 * The file `script` in the library's own folder is read anew by each nvmlInit_v2. Its lines:
 *
 *   init CODE             what nvmlInit_v2 answers
 *   driver VERSION
 *   gpu NAME              one more GPU; the lines below describe it
 *   KEY START [STEP]      a value of this GPU: START in its first reading, STEP more in each after it
 *   fail FUNCTION CODE    what this GPU answers to a function
 *   lost READING          from this reading on the GPU is lost; the first is 0
 *
 * A reading begins with nvmlDeviceGetHandleByIndex_v2. The program takes reading 0 of each GPU when it
 * opens the library, and one more for each sample.
 */

void *fopen(const char *path, const char *mode);
char *fgets(char *line, int size, void *file);
int fclose(void *file);
int sscanf(const char *text, const char *format, ...);
int snprintf(char *text, unsigned long size, const char *format, ...);
int strcmp(const char *a, const char *b);
char *strrchr(const char *text, int character);
void *memset(void *block, int byte, unsigned long size);

/* Dl_info of <dlfcn.h>. */
struct place { const char *path; void *base; const char *symbol; void *address; };
int dladdr(const void *address, struct place *place);

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, INSUFFICIENT_SIZE = 7, LOST = 15, VERSION_MISMATCH = 25 };
enum { MOST_GPUS = 8, MOST_FAILURES = 16, LONGEST = 96 };
enum {
    UTILIZATION, MEMORY_ACTIVITY, MEMORY_USED, MEMORY_TOTAL, MEMORY_RESERVED, POWER, TEMPERATURE,
    SM_CLOCK, MEMORY_CLOCK, THROTTLE, MIG, KEYS
};

static const char *const KEY_NAMES[KEYS] = {
    "utilization", "memory_activity", "memory_used", "memory_total", "memory_reserved", "power_mw",
    "temperature", "sm_clock", "memory_clock", "throttle", "mig"
};

struct value { long long start, step; };
struct failure { char function[LONGEST]; int code; };
struct gpu {
    char name[LONGEST];
    int index;
    struct value values[KEYS];
    struct failure failures[MOST_FAILURES];
    int failure_count;
    long long lost_from;
    long long reading;
};

static struct gpu gpus[MOST_GPUS];
static int gpu_count;
static int init_code;
static char driver[LONGEST];

static struct gpu *new_gpu(void) {
    static const struct value USUAL[KEYS] = {
        {50, 0}, {25, 0}, {1LL << 30, 0}, {141LL << 30, 0}, {1LL << 29, 0}, {300000, 0}, {40, 0},
        {1980, 0}, {3201, 0}, {0, 0}, {0, 0}
    };
    struct gpu *gpu = &gpus[gpu_count];
    gpu->index = gpu_count++;
    gpu->reading = -1;
    gpu->lost_from = -1;
    for (int key = 0; key < KEYS; key++) gpu->values[key] = USUAL[key];
    return gpu;
}

static void describe(struct gpu *gpu, const char *line) {
    char word[LONGEST], function[LONGEST];
    long long start = 0, step = 0;
    int code = 0;
    if (sscanf(line, "fail %95s %d", function, &code) == 2) {
        if (gpu->failure_count == MOST_FAILURES) return;
        struct failure *failure = &gpu->failures[gpu->failure_count++];
        snprintf(failure->function, LONGEST, "%s", function);
        failure->code = code;
        return;
    }
    if (sscanf(line, "lost %lld", &start) == 1) {
        gpu->lost_from = start;
        return;
    }
    if (sscanf(line, "%95s %lld %lld", word, &start, &step) < 2) return;
    for (int key = 0; key < KEYS; key++) {
        if (strcmp(word, KEY_NAMES[key]) == 0) gpu->values[key] = (struct value){start, step};
    }
}

static void *open_script(void) {
    char path[4096];
    struct place place;
    if (!dladdr(gpus, &place)) return 0;
    snprintf(path, sizeof path, "%s", place.path);
    char *slash = strrchr(path, '/');
    if (!slash) return 0;
    snprintf(slash, sizeof path - (unsigned long)(slash - path), "/script");
    return fopen(path, "r");
}

static void read_script(void) {
    char line[256], name[LONGEST];
    struct gpu *gpu = 0;
    void *file = open_script();
    memset(gpus, 0, sizeof gpus);
    gpu_count = 0;
    init_code = SUCCESS;
    snprintf(driver, LONGEST, "580.159.03-SIMULATED");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "gpu %95[^\n]", name) == 1) {
            if (gpu_count == MOST_GPUS) break;
            gpu = new_gpu();
            snprintf(gpu->name, LONGEST, "%s", name);
        } else if (gpu) {
            describe(gpu, line);
        } else if (sscanf(line, "init %d", &init_code) != 1) {
            sscanf(line, "driver %95[^\n]", driver);
        }
    }
    fclose(file);
}

/* What the GPU answers to a function before it looks at the question. */
static int answer(struct gpu *gpu, const char *function) {
    if (gpu->lost_from >= 0 && gpu->reading >= gpu->lost_from) return LOST;
    for (int i = 0; i < gpu->failure_count; i++) {
        if (strcmp(gpu->failures[i].function, function) == 0) return gpu->failures[i].code;
    }
    return SUCCESS;
}

static long long now(struct gpu *gpu, int key) {
    return gpu->values[key].start + gpu->values[key].step * gpu->reading;
}

static unsigned percent(struct gpu *gpu, int key) {
    long long value = now(gpu, key);
    return value < 0 ? 0 : value > 100 ? 100 : (unsigned)value;
}

static int text(struct gpu *gpu, const char *function, char *out, unsigned size, const char *value) {
    int code = answer(gpu, function);
    if (code == SUCCESS && snprintf(out, size, "%s", value) >= (int)size) code = INSUFFICIENT_SIZE;
    return code;
}

static int number(struct gpu *gpu, const char *function, unsigned *out, int key) {
    int code = answer(gpu, function);
    if (code == SUCCESS) *out = (unsigned)now(gpu, key);
    return code;
}

int nvmlInit_v2(void) {
    read_script();
    return init_code;
}

int nvmlShutdown(void) { return SUCCESS; }

int nvmlSystemGetDriverVersion(char *version, unsigned size) {
    return snprintf(version, size, "%s", driver) >= (int)size ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = (unsigned)gpu_count;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **device) {
    if (index >= (unsigned)gpu_count) return INVALID_ARGUMENT;
    *device = &gpus[index];
    gpus[index].reading++;
    int code = answer(&gpus[index], "nvmlDeviceGetHandleByIndex_v2");
    /* A lost GPU keeps its handle; its values are what cannot be had. */
    return code == LOST ? SUCCESS : code;
}

int nvmlDeviceGetName(struct gpu *gpu, char *name, unsigned size) {
    return text(gpu, "nvmlDeviceGetName", name, size, gpu->name);
}

int nvmlDeviceGetUUID(struct gpu *gpu, char *uuid, unsigned size) {
    char value[LONGEST];
    snprintf(value, sizeof value, "GPU-00000000-0000-0000-0000-%012d", gpu->index);
    return text(gpu, "nvmlDeviceGetUUID", uuid, size, value);
}

struct pci {
    char legacy_bus_id[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};

int nvmlDeviceGetPciInfo_v3(struct gpu *gpu, struct pci *pci) {
    int code = answer(gpu, "nvmlDeviceGetPciInfo_v3");
    if (code != SUCCESS) return code;
    memset(pci, 0, sizeof *pci);
    pci->bus = (unsigned)gpu->index + 1;
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", pci->bus);
    return SUCCESS;
}

/* nvmlMemory_v2_t: `used` does not include `reserved`. */
struct memory {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

int nvmlDeviceGetMemoryInfo_v2(struct gpu *gpu, struct memory *memory) {
    int code = answer(gpu, "nvmlDeviceGetMemoryInfo_v2");
    if (code != SUCCESS) return code;
    if (memory->version != (sizeof *memory | 2u << 24)) return VERSION_MISMATCH;
    memory->total = (unsigned long long)now(gpu, MEMORY_TOTAL);
    memory->reserved = (unsigned long long)now(gpu, MEMORY_RESERVED);
    memory->used = (unsigned long long)now(gpu, MEMORY_USED);
    memory->free = memory->total - memory->reserved - memory->used;
    return SUCCESS;
}

struct rates { unsigned gpu, memory; };

int nvmlDeviceGetUtilizationRates(struct gpu *gpu, struct rates *rates) {
    int code = answer(gpu, "nvmlDeviceGetUtilizationRates");
    if (code != SUCCESS) return code;
    rates->gpu = percent(gpu, UTILIZATION);
    rates->memory = percent(gpu, MEMORY_ACTIVITY);
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(struct gpu *gpu, unsigned *milliwatts) {
    return number(gpu, "nvmlDeviceGetPowerUsage", milliwatts, POWER);
}

int nvmlDeviceGetTemperature(struct gpu *gpu, unsigned sensor, unsigned *celsius) {
    if (sensor != 0) return INVALID_ARGUMENT;
    return number(gpu, "nvmlDeviceGetTemperature", celsius, TEMPERATURE);
}

int nvmlDeviceGetClockInfo(struct gpu *gpu, unsigned clock, unsigned *megahertz) {
    enum { SM = 1, MEMORY = 2 };
    if (clock != SM && clock != MEMORY) return INVALID_ARGUMENT;
    return number(gpu, "nvmlDeviceGetClockInfo", megahertz, clock == SM ? SM_CLOCK : MEMORY_CLOCK);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(struct gpu *gpu, unsigned long long *reasons) {
    int code = answer(gpu, "nvmlDeviceGetCurrentClocksThrottleReasons");
    if (code == SUCCESS) *reasons = (unsigned long long)now(gpu, THROTTLE);
    return code;
}

int nvmlDeviceGetMigMode(struct gpu *gpu, unsigned *current, unsigned *pending) {
    int code = answer(gpu, "nvmlDeviceGetMigMode");
    if (code == SUCCESS) *current = *pending = (unsigned)now(gpu, MIG);
    return code;
}

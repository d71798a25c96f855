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
 *   field ID START [STEP] a field of nvmlDeviceGetFieldValues, STEP more in each call; others are not supported
 *   link GEN WIDTH MAXGEN MAXWIDTH
 *   xid CODE              a message about a fault, which waits to be fetched
 *   lost READING          from this reading on the GPU is lost; the first is 0
 *   sampled MILLISECONDS  the driver keeps samples of utilization, one in so many milliseconds
 *   sample_offset_us N    the clock of those samples is so far behind the time of day
 *   process PID START [STEP]  a process with a CUDA context, and its memory; -1: not known
 *   gpm SM TENSOR DRAM ENGINE  the GPU's own counters of activity, in percent
 *   part INSTANCE USED    a MIG instance of this GPU, with its memory in use; its counters are the GPU's
 *
 * Keys that begin with -1 (counters, mostly) are not supported unless the script sets them.
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
int nanosleep(const void *time, void *left);
void *memset(void *block, int byte, unsigned long size);
void abort(void);
struct timespec { long seconds, nanoseconds; };
int clock_gettime(int clock, struct timespec *time);

static unsigned long long unix_us(void) {
    struct timespec time;
    clock_gettime(0, &time);
    return (unsigned long long)time.seconds * 1000000 + (unsigned long long)time.nanoseconds / 1000;
}

/* Dl_info of <dlfcn.h>. */
struct place { const char *path; void *base; const char *symbol; void *address; };
int dladdr(const void *address, struct place *place);

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, LOST = 15, TIMEOUT = 10, VERSION_MISMATCH = 25 };
enum { MOST_GPUS = 8, MOST_FAILURES = 16, MOST_PROCESSES = 8, MOST_PARTS = 7, MOST_FIELDS = 32, MOST_XIDS = 4, LONGEST = 96 };
enum {
    UTILIZATION, MEMORY_ACTIVITY, MEMORY_USED, MEMORY_TOTAL, MEMORY_RESERVED, POWER, TEMPERATURE,
    SM_CLOCK, MEMORY_CLOCK, THROTTLE, MIG, SAMPLED, ENERGY, REPLAYS, HELD_POWER, HELD_THERMAL, HELD_BOARD,
    HELD_RELIABILITY, PCIE_SENT, PCIE_RECEIVED, SAMPLE_OFFSET, KEYS
};

static const char *const KEY_NAMES[KEYS] = {
    "utilization", "memory_activity", "memory_used", "memory_total", "memory_reserved", "power_mw",
    "temperature", "sm_clock", "memory_clock", "throttle", "mig", "sampled",
    "energy_mj", "replays", "held_power_ns", "held_thermal_ns", "held_board_ns", "held_reliability_ns",
    "pcie_sent", "pcie_received", "sample_offset_us"
};

struct value { long long start, step; };
struct scripted { unsigned id; long long start, step; };
struct failure { char function[LONGEST]; int code; };
struct process { unsigned pid; struct value memory; };
struct gpu {
    struct process processes[MOST_PROCESSES];
    int process_count;
    double gpm[4];
    int has_gpm;
    struct gpu *parts[MOST_PARTS];
    int part_count;
    unsigned instance;
    char name[LONGEST];
    int index;
    struct value values[KEYS];
    struct failure failures[MOST_FAILURES];
    int failure_count;
    struct scripted fields[MOST_FIELDS];
    int field_count;
    long long field_calls;
    unsigned link[4];
    unsigned long long xids[MOST_XIDS];
    int xid_count;
    long long lost_from;
    long long reading;
};

static struct gpu gpus[MOST_GPUS];
static struct gpu parts[MOST_PARTS];
static int gpu_count, part_count, outstanding_samples;
static int init_code;
static char driver[LONGEST];

static struct gpu *new_gpu(void) {
    static const struct value USUAL[KEYS] = {
        {50, 0}, {25, 0}, {1LL << 30, 0}, {141LL << 30, 0}, {1LL << 29, 0}, {300000, 0}, {40, 0},
        {1980, 0}, {3201, 0}, {0, 0}, {0, 0}, {0, 0}, {-1, 0}, {-1, 0}, {-1, 0}, {-1, 0}, {-1, 0}, {-1, 0},
        {-1, 0}, {-1, 0}, {0, 0}
    };
    struct gpu *gpu = &gpus[gpu_count];
    gpu->index = gpu_count++;
    gpu->reading = -1;
    gpu->lost_from = -1;
    gpu->link[0] = gpu->link[2] = 5;
    gpu->link[1] = gpu->link[3] = 16;
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
    unsigned id = 0;
    if (sscanf(line, "field %u %lld %lld", &id, &start, &step) >= 2) {
        if (gpu->field_count < MOST_FIELDS) gpu->fields[gpu->field_count++] = (struct scripted){id, start, step};
        return;
    }
    if (sscanf(line, "link %u %u %u %u", &gpu->link[0], &gpu->link[1], &gpu->link[2], &gpu->link[3]) == 4) return;
    if (sscanf(line, "xid %lld", &start) == 1) {
        if (gpu->xid_count < MOST_XIDS) gpu->xids[gpu->xid_count++] = (unsigned long long)start;
        return;
    }
    if (sscanf(line, "lost %lld", &start) == 1) {
        gpu->lost_from = start;
        return;
    }
    unsigned pid = 0;
    if (sscanf(line, "process %u %lld %lld", &pid, &start, &step) >= 2) {
        if (gpu->process_count == MOST_PROCESSES) return;
        gpu->processes[gpu->process_count++] = (struct process){pid, {start, step}};
        return;
    }
    double *gpm = gpu->gpm;
    if (sscanf(line, "gpm %lf %lf %lf %lf", &gpm[0], &gpm[1], &gpm[2], &gpm[3]) == 4) {
        gpu->has_gpm = 1;
        return;
    }
    if (sscanf(line, "part %u %lld", &pid, &start) == 2) {
        if (part_count == MOST_PARTS) return;
        struct gpu *part = &parts[part_count++];
        *part = *gpu;
        part->instance = pid;
        part->values[MEMORY_USED] = (struct value){start, 0};
        part->lost_from = -1;
        part->part_count = 0;
        gpu->parts[gpu->part_count++] = part;
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
    gpu_count = part_count = 0;
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

/* Who forgets to give a sample back notices here. */
int nvmlShutdown(void) {
    if (outstanding_samples) abort();
    return SUCCESS;
}

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

/* ---- what the driver samples and counts ---- */

union value_of { double d; int i; unsigned u; unsigned long ul; unsigned long long ull; long long ll; };
enum { UNSIGNED_INT = 1, UNSIGNED_LONG_LONG = 3 };

struct sample { unsigned long long at; union value_of value; };

/* One sample at each multiple of the period, for the last hundred periods, as far as they are new. The
 * program may ask for the count first. */
int nvmlDeviceGetSamples(struct gpu *gpu, unsigned type, unsigned long long since, unsigned *value_type,
                         unsigned *count, struct sample *samples) {
    enum { UTILIZATION_SAMPLES = 1, MEMORY_SAMPLES = 2, KEPT = 100 };
    int code = answer(gpu, "nvmlDeviceGetSamples");
    if (code != SUCCESS) return code;
    const unsigned long long period = (unsigned long long)gpu->values[SAMPLED].start * 1000;
    if (!period || (type != UTILIZATION_SAMPLES && type != MEMORY_SAMPLES)) return NOT_SUPPORTED;
    *value_type = UNSIGNED_INT;
    if (!samples) { *count = KEPT; return SUCCESS; }
    const unsigned long long last = unix_us() / period;
    unsigned found = 0;
    for (unsigned long long n = last - KEPT + 1; n <= last && found < *count; n++) {
        if (n * period <= since) continue;
        samples[found].at = n * period - (unsigned long long)gpu->values[SAMPLE_OFFSET].start;
        samples[found++].value.u = percent(gpu, type == UTILIZATION_SAMPLES ? UTILIZATION : MEMORY_ACTIVITY);
    }
    *count = found;
    return found ? SUCCESS : NOT_FOUND;
}

static int counter(struct gpu *gpu, const char *function, unsigned long long *out, int key) {
    int code = answer(gpu, function);
    if (code == SUCCESS && gpu->values[key].start < 0) code = NOT_SUPPORTED;
    if (code == SUCCESS) *out = (unsigned long long)now(gpu, key);
    return code;
}

int nvmlDeviceGetTotalEnergyConsumption(struct gpu *gpu, unsigned long long *millijoules) {
    return counter(gpu, "nvmlDeviceGetTotalEnergyConsumption", millijoules, ENERGY);
}

int nvmlDeviceGetPcieReplayCounter(struct gpu *gpu, unsigned *replays) {
    unsigned long long value = 0;
    int code = counter(gpu, "nvmlDeviceGetPcieReplayCounter", &value, REPLAYS);
    *replays = (unsigned)value;
    return code;
}

struct field {
    unsigned id, scope;
    long long at, latency;
    unsigned type;
    int code;
    union value_of value;
};

int nvmlDeviceGetFieldValues(struct gpu *gpu, int count, struct field *fields) {
    static const struct { unsigned id; int key; } KNOWN[] = {
        {74, HELD_POWER}, {75, HELD_THERMAL}, {77, HELD_BOARD}, {79, HELD_RELIABILITY}, {197, PCIE_SENT},
        {198, PCIE_RECEIVED}
    };
    int code = answer(gpu, "nvmlDeviceGetFieldValues");
    if (code != SUCCESS) return code;
    for (int i = 0; i < count; i++) {
        fields[i].code = NOT_SUPPORTED;
        fields[i].type = UNSIGNED_LONG_LONG;
        for (unsigned k = 0; k < sizeof KNOWN / sizeof *KNOWN; k++) {
            if (KNOWN[k].id != fields[i].id) continue;
            fields[i].code = counter(gpu, "field", &fields[i].value.ull, KNOWN[k].key);
        }
        for (int k = 0; k < gpu->field_count; k++) {
            const struct scripted *field = &gpu->fields[k];
            if (field->id != fields[i].id) continue;
            fields[i].code = SUCCESS;
            fields[i].value.ull = (unsigned long long)(field->start + field->step * gpu->field_calls);
        }
    }
    gpu->field_calls++;
    return SUCCESS;
}

struct process_info { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; };

int nvmlDeviceGetComputeRunningProcesses_v3(struct gpu *gpu, unsigned *count, struct process_info *out) {
    int code = answer(gpu, "nvmlDeviceGetComputeRunningProcesses_v3");
    if (code != SUCCESS) return code;
    const unsigned room = *count;
    *count = (unsigned)gpu->process_count;
    if (*count == 0) return SUCCESS;
    if (!out || room < *count) return INSUFFICIENT_SIZE;
    for (int i = 0; i < gpu->process_count; i++) {
        struct value memory = gpu->processes[i].memory;
        out[i].pid = gpu->processes[i].pid;
        out[i].memory = memory.start < 0 ? ~0ULL : (unsigned long long)(memory.start + memory.step * gpu->reading);
    }
    return SUCCESS;
}

/* ---- MIG ---- */

int nvmlDeviceGetMaxMigDeviceCount(struct gpu *gpu, unsigned *count) {
    *count = now(gpu, MIG) ? MOST_PARTS : 0;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(struct gpu *gpu, unsigned index, struct gpu **part) {
    if (index >= (unsigned)gpu->part_count) return NOT_FOUND;
    *part = gpu->parts[index];
    return SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(struct gpu *part, unsigned *id) {
    *id = part->instance;
    return SUCCESS;
}

/* ---- the GPU's own counters ---- */

struct support { unsigned version, is_supported; };
struct gpm_sample { struct gpu *of; unsigned long long at; };
struct gpm_metric {
    unsigned id;
    int code;
    double value;
    const char *short_name, *long_name, *unit;
};
struct gpm_request {
    unsigned version, count;
    struct gpm_sample *earlier, *later;
    struct gpm_metric metrics[210];
};
void *malloc(unsigned long size);
void free(void *block);

int nvmlGpmQueryDeviceSupport(struct gpu *gpu, struct support *support) {
    int code = answer(gpu, "nvmlGpmQueryDeviceSupport");
    if (code == SUCCESS) support->is_supported = (unsigned)gpu->has_gpm;
    return code;
}

int nvmlGpmSampleAlloc(struct gpm_sample **sample) {
    outstanding_samples++;
    *sample = malloc(sizeof **sample);
    (*sample)->of = 0;
    return SUCCESS;
}

int nvmlGpmSampleFree(struct gpm_sample *sample) {
    outstanding_samples--;
    free(sample);
    return SUCCESS;
}

int nvmlGpmSampleGet(struct gpu *gpu, struct gpm_sample *sample) {
    int code = answer(gpu, "nvmlGpmSampleGet");
    if (code == SUCCESS && now(gpu, MIG)) code = NOT_SUPPORTED;
    *sample = (struct gpm_sample){gpu, unix_us()};
    return code;
}

int nvmlGpmMigSampleGet(struct gpu *gpu, unsigned instance, struct gpm_sample *sample) {
    int code = answer(gpu, "nvmlGpmMigSampleGet");
    if (code != SUCCESS) return code;
    for (int i = 0; i < gpu->part_count; i++) {
        if (gpu->parts[i]->instance != instance) continue;
        *sample = (struct gpm_sample){gpu, unix_us()};
        return SUCCESS;
    }
    return INVALID_ARGUMENT;
}

int nvmlGpmMetricsGet(struct gpm_request *request) {
    static const struct { unsigned id; int place; } KNOWN[] = {{2, 0}, {5, 1}, {10, 2}, {1, 3}};
    if (request->version != 1) return VERSION_MISMATCH;
    if (request->later->at - request->earlier->at < 100000) return INVALID_ARGUMENT;
    for (unsigned i = 0; i < request->count; i++) {
        struct gpm_metric *metric = &request->metrics[i];
        metric->code = NOT_SUPPORTED;
        metric->short_name = metric->long_name = metric->unit = "";
        for (unsigned k = 0; k < sizeof KNOWN / sizeof *KNOWN; k++) {
            if (KNOWN[k].id != metric->id) continue;
            metric->code = SUCCESS;
            metric->value = request->later->of->gpm[KNOWN[k].place];
        }
    }
    return SUCCESS;
}

/* ---- health ---- */

static int link_value(struct gpu *gpu, const char *function, unsigned *out, int place) {
    int code = answer(gpu, function);
    if (code == SUCCESS) *out = gpu->link[place];
    return code;
}

int nvmlDeviceGetCurrPcieLinkGeneration(struct gpu *gpu, unsigned *out) {
    return link_value(gpu, "nvmlDeviceGetCurrPcieLinkGeneration", out, 0);
}

int nvmlDeviceGetCurrPcieLinkWidth(struct gpu *gpu, unsigned *out) {
    return link_value(gpu, "nvmlDeviceGetCurrPcieLinkWidth", out, 1);
}

int nvmlDeviceGetMaxPcieLinkGeneration(struct gpu *gpu, unsigned *out) {
    return link_value(gpu, "nvmlDeviceGetMaxPcieLinkGeneration", out, 2);
}

int nvmlDeviceGetMaxPcieLinkWidth(struct gpu *gpu, unsigned *out) {
    return link_value(gpu, "nvmlDeviceGetMaxPcieLinkWidth", out, 3);
}

int nvmlDeviceGetEnforcedPowerLimit(struct gpu *gpu, unsigned *milliwatts) {
    int code = answer(gpu, "nvmlDeviceGetEnforcedPowerLimit");
    if (code == SUCCESS) *milliwatts = 700000;
    return code;
}

int nvmlDeviceGetVbiosVersion(struct gpu *gpu, char *version, unsigned size) {
    return text(gpu, "nvmlDeviceGetVbiosVersion", version, size, "SIMULATED 1");
}

struct event { struct gpu *gpu; unsigned long long type, data; unsigned gpu_instance, compute_instance; };

int nvmlEventSetCreate(void **set) {
    *set = gpus;
    return SUCCESS;
}

int nvmlEventSetFree(void *set) {
    (void)set;
    return SUCCESS;
}

int nvmlDeviceRegisterEvents(struct gpu *gpu, unsigned long long types, void *set) {
    (void)types;
    (void)set;
    return answer(gpu, "nvmlDeviceRegisterEvents");
}

/* Waits by answering at once: whoever asks again and again must not depend on being slowed down here. */
int nvmlEventSetWait_v2(void *set, struct event *event, unsigned milliseconds) {
    struct { long long seconds, nanoseconds; } some = {0, milliseconds ? 1000000 : 0};
    (void)set;
    for (int i = 0; i < gpu_count; i++) {
        if (gpus[i].xid_count == 0) continue;
        memset(event, 0, sizeof *event);
        event->gpu = &gpus[i];
        event->type = 8;
        event->data = gpus[i].xids[--gpus[i].xid_count];
        return SUCCESS;
    }
    nanosleep(&some, 0);
    return TIMEOUT;
}

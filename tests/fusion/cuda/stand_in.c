/* A stand-in for NVIDIA's driver library, libcuda.so.1: "device" memory is host memory, kernels are the host-compiled ones,
 * and whatever is asynchronous is put off until somebody waits for it. So a copy that nobody waited for is not there yet, and
 * memory that was changed or freed too early gives a wrong picture. Poisons what it allocates. Only what livemef calls.
 *
 * STAND_IN_INTEGRATED=1: host and device share their memory. STAND_IN_FAULT=init, none, alloc, launch, hang, register,
 * capture: what goes wrong. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, INVALID = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, BAD_FILE = 301, BAD_HANDLE = 400, NOT_FOUND = 500,
       NOT_READY = 600, LAUNCH_FAILED = 719, NOT_SUPPORTED = 801 };
enum { ATTRIBUTE_INTEGRATED = 18, ATTRIBUTE_MAJOR = 75, ATTRIBUTE_MINOR = 76 };
#define POISON 0xFF
#define MOST_WORK 4096
#define MOST_CAPTURED 16
#define MOST_ARGUMENTS 1024

typedef unsigned long long Address;
typedef void (*Kernel)(const void *pair, const unsigned *grid, const unsigned *block);

/* CUDA_MEMCPY2D of cuda.h. */
typedef struct {
    size_t src_x, src_y;
    int src_kind;
    const void *src_host;
    Address src_device;
    void *src_array;
    size_t src_pitch, dst_x, dst_y;
    int dst_kind;
    void *dst_host;
    Address dst_device;
    void *dst_array;
    size_t dst_pitch, width, height;
} Copy2D;
enum { KIND_HOST = 1 };

typedef struct {
    int reached, asked;
    struct timespec when;
} Event;

typedef struct {
    enum { COPY, LAUNCH, RECORD } kind;
    Copy2D copy;
    Kernel kernel;
    unsigned grid[3], block[3];
    char argument[MOST_ARGUMENTS];
    Event *event;
} Work;

typedef struct {
    Work work[MOST_CAPTURED];
    int count;
} Graph;

static Work queue[MOST_WORK];
static int queued;
static Graph *capturing; /* what is put into a stream goes in here meanwhile, and does not run */
static int context, *current;

static int faulty(const char *name)
{
    const char *fault = getenv("STAND_IN_FAULT");
    return fault && strcmp(fault, name) == 0;
}

/* ---- what is put off ---- */

static void copy_rows(const Copy2D *c)
{
    const char *from = c->src_kind == KIND_HOST ? c->src_host : (const char *)c->src_device;
    char *to = c->dst_kind == KIND_HOST ? c->dst_host : (char *)c->dst_device;
    from += c->src_y * c->src_pitch + c->src_x;
    to += c->dst_y * c->dst_pitch + c->dst_x;
    for (size_t y = 0; y < c->height; y++)
        memmove(to + y * c->dst_pitch, from + y * c->src_pitch, c->width);
}

static void do_all(void)
{
    if (faulty("hang"))
        return;
    for (int i = 0; i < queued; i++) {
        Work *work = queue + i;
        if (work->kind == COPY)
            copy_rows(&work->copy);
        else if (work->kind == LAUNCH)
            work->kernel(work->argument, work->grid, work->block);
        else {
            clock_gettime(CLOCK_MONOTONIC, &work->event->when);
            work->event->reached = 1;
        }
    }
    queued = 0;
}

static Work *put_off(int kind)
{
    if (queued == MOST_WORK || (capturing && capturing->count == MOST_CAPTURED))
        abort();
    Work *work = capturing ? capturing->work + capturing->count++ : queue + queued++;
    memset(work, 0, sizeof *work);
    work->kind = kind;
    return work;
}

/* ---- device and context ---- */

int cuInit(unsigned flags) { return faulty("init") ? NO_DEVICE : SUCCESS; }
int cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = !faulty("none"), SUCCESS; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, ordinal ? 101 : SUCCESS; }
int cuDeviceGetName(char *name, int length, int device) { return snprintf(name, length, "stand-in"), SUCCESS; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = (size_t)8 << 30, SUCCESS; }
int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    const char *integrated = getenv("STAND_IN_INTEGRATED");
    *value = attribute == ATTRIBUTE_INTEGRATED ? integrated != NULL : attribute == ATTRIBUTE_MAJOR ? 8 :
             attribute == ATTRIBUTE_MINOR ? 7 : 1;
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void **handle, int device) { return *handle = &context, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int device) { return SUCCESS; }
int cuCtxPushCurrent_v2(void *handle) { return current = handle, SUCCESS; }
int cuCtxPopCurrent_v2(void **handle)
{
    if (!current)
        return 201;
    if (handle)
        *handle = current;
    current = NULL;
    return SUCCESS;
}
int cuCtxGetCurrent(void **handle) { return *handle = current, SUCCESS; }
int cuCtxSetCurrent(void *handle) { return current = handle, SUCCESS; }
int cuCtxGetDevice(int *device) { return *device = 0, current ? SUCCESS : 201; }
int cuCtxGetApiVersion(void *handle, unsigned *version) { return *version = 13000, SUCCESS; }
int cuCtxSynchronize(void) { return do_all(), SUCCESS; }

/* ---- memory ---- */

int cuMemAlloc_v2(Address *address, size_t size)
{
    void *memory = NULL;
    if (!current)
        return 201;
    if (faulty("alloc") || posix_memalign(&memory, 512, size + 64))
        return OUT_OF_MEMORY;
    memset(memory, POISON, size + 64);
    *address = (Address)memory;
    return SUCCESS;
}
int cuMemFree_v2(Address address) { return do_all(), free((void *)address), SUCCESS; } /* the real one waits too */
int cuMemHostAlloc(void **memory, size_t size, unsigned flags)
{
    if (posix_memalign(memory, 4096, size))
        return OUT_OF_MEMORY;
    memset(*memory, POISON, size);
    return SUCCESS;
}
int cuMemFreeHost(void *memory) { return do_all(), memset(memory, POISON, 1), free(memory), SUCCESS; }
int cuMemHostRegister_v2(void *memory, size_t size, unsigned flags) { return faulty("register") ? NOT_SUPPORTED : SUCCESS; }
int cuMemHostUnregister(void *memory)
{
    if (queued)
        abort(); /* the device may still read it: on a real one, a fault in the midst of somebody else's work */
    return SUCCESS;
}
int cuMemHostGetDevicePointer_v2(Address *address, void *memory, unsigned flags) { return *address = (Address)memory, SUCCESS; }
int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) { return *free_bytes = *total = (size_t)8 << 30, SUCCESS; }

/* Not asynchronous, and so at once: it does not wait for what was put off. */
int cuMemcpyHtoD_v2(Address to, const void *from, size_t size) { return memcpy((void *)to, from, size), SUCCESS; }
int cuMemcpyDtoH_v2(void *to, Address from, size_t size) { return memcpy(to, (const void *)from, size), SUCCESS; }

int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t size, void *stream)
{
    Copy2D copy = {.src_device = from, .dst_device = to, .src_pitch = size, .dst_pitch = size, .width = size, .height = 1};
    put_off(COPY)->copy = copy;
    return SUCCESS;
}

int cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t size, void *stream)
{
    Copy2D copy = {.src_kind = KIND_HOST, .src_host = from, .dst_device = to};
    copy.src_pitch = copy.dst_pitch = copy.width = size;
    copy.height = 1;
    put_off(COPY)->copy = copy;
    return SUCCESS;
}

int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t size, void *stream)
{
    Copy2D copy = {.src_device = from, .dst_kind = KIND_HOST, .dst_host = to};
    copy.src_pitch = copy.dst_pitch = copy.width = size;
    copy.height = 1;
    put_off(COPY)->copy = copy;
    return SUCCESS;
}

int cuMemcpy2DAsync_v2(const Copy2D *copy, void *stream)
{
    if (copy->src_pitch < copy->width || copy->dst_pitch < copy->width)
        return INVALID;
    put_off(COPY)->copy = *copy;
    return SUCCESS;
}

/* ---- streams and events ---- */

int cuStreamCreate(void **stream, unsigned flags) { return *stream = malloc(8), SUCCESS; }
int cuStreamDestroy_v2(void *stream) { return do_all(), free(stream), SUCCESS; }
int cuStreamSynchronize(void *stream) { return do_all(), SUCCESS; }
/* Work under way is not done at the first question here either. */
int cuStreamQuery(void *stream)
{
    static int asked;
    if (asked++ % 2)
        do_all();
    return asked % 2 || faulty("hang") ? NOT_READY : SUCCESS;
}
int cuEventCreate(void **event, unsigned flags) { return *event = calloc(1, sizeof(Event)), SUCCESS; }
int cuEventDestroy_v2(void *event) { return do_all(), free(event), SUCCESS; }
int cuEventRecord(void *event, void *stream)
{
    Event *recorded = event;
    recorded->reached = recorded->asked = 0;
    put_off(RECORD)->event = recorded;
    return SUCCESS;
}
/* Work under way is not done at the first question: so the answer "not yet" is met on every run. */
int cuEventQuery(void *event)
{
    Event *asked = event;
    if (!asked->reached && asked->asked++)
        do_all();
    return asked->reached ? SUCCESS : NOT_READY;
}
int cuEventSynchronize(void *event) { return do_all(), SUCCESS; }
int cuEventElapsedTime_v2(float *ms, void *from, void *to)
{
    Event *a = from, *b = to;
    if (!a->reached || !b->reached)
        return NOT_READY;
    *ms = (b->when.tv_sec - a->when.tv_sec) * 1e3f + (b->when.tv_nsec - a->when.tv_nsec) * 1e-6f;
    return SUCCESS;
}
int cuEventElapsedTime(float *ms, void *from, void *to) { return cuEventElapsedTime_v2(ms, from, to); }

/* ---- kernels ---- */

/* For a binary of device code, STAND_IN_KERNELS names the same kernels compiled for the host. */
int cuModuleLoad(void **module, const char *file)
{
    const char *kernels = getenv("STAND_IN_KERNELS"), *ending = strrchr(file, '.');
    if (kernels && ending && strcmp(ending, ".fatbin") == 0)
        file = kernels;
    return (*module = dlopen(file, RTLD_NOW | RTLD_LOCAL)) ? SUCCESS : BAD_FILE;
}
int cuModuleUnload(void *module) { return SUCCESS; }
int cuModuleGetFunction(void **function, void *module, const char *name)
{
    return (*function = dlsym(module, name)) ? SUCCESS : NOT_FOUND;
}
int cuFuncSetBlockShape(void *function, int x, int y, int z) { return SUCCESS; } /* pycuda still calls it; told again below */
int cuFuncGetAttribute(int *value, int attribute, void *function) { return *value = 256, SUCCESS; }

int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   void *stream, void **parameters, void **extra)
{
    const void *buffer = NULL;
    size_t size = 0;
    for (void **entry = extra; entry && *entry; entry += 2) { /* CU_LAUNCH_PARAM_BUFFER_POINTER, _SIZE */
        if (*entry == (void *)1)
            buffer = entry[1];
        if (*entry == (void *)2)
            size = *(size_t *)entry[1];
    }
    if (faulty("launch"))
        return LAUNCH_FAILED;
    if (!buffer || size > MOST_ARGUMENTS || bx * by * bz > 1024)
        return INVALID;
    Work *work = put_off(LAUNCH);
    unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
    work->kernel = (Kernel)function;
    memcpy(work->grid, grid, sizeof grid);
    memcpy(work->block, block, sizeof block);
    memcpy(work->argument, buffer, size);
    return SUCCESS;
}

/* ---- graphs ---- */

int cuStreamBeginCapture_v2(void *stream, int mode)
{
    if (faulty("capture") || capturing)
        return NOT_SUPPORTED;
    capturing = calloc(1, sizeof *capturing);
    return SUCCESS;
}
int cuStreamEndCapture(void *stream, void **graph)
{
    *graph = capturing;
    capturing = NULL;
    return *graph ? SUCCESS : INVALID;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags)
{
    *executable = memcpy(malloc(sizeof(Graph)), graph, sizeof(Graph));
    return SUCCESS;
}
int cuGraphDestroy(void *graph) { return free(graph), SUCCESS; }
int cuGraphExecDestroy(void *executable) { return do_all(), free(executable), SUCCESS; }
int stand_in_graph_launches; /* read by the tests */
int cuGraphLaunch(void *executable, void *stream)
{
    const Graph *graph = executable;
    for (int i = 0; i < graph->count; i++)
        *put_off(0) = graph->work[i];
    stand_in_graph_launches++;
    return SUCCESS;
}

static const char *words(int error)
{
    switch (error) {
    case OUT_OF_MEMORY: return "out of memory";
    case NO_DEVICE: return "no CUDA-capable device is detected";
    case BAD_FILE: return "file not found";
    case LAUNCH_FAILED: return "unspecified launch failure";
    case NOT_SUPPORTED: return "operation not supported";
    default: return "an error of the stand-in";
    }
}
int cuGetErrorString(int error, const char **text) { return *text = words(error), SUCCESS; }
int cuGetErrorName(int error, const char **text) { return *text = words(error), SUCCESS; }

/* The words that make the kernels C++ for the host: each kernel becomes a function that runs its threads one by one.
 * Given to the compiler before the source (-include), so that the source knows nothing of it. */
#pragma once
#include <math.h>
#include <stdint.h>

struct Place {
    unsigned x, y, z;
};
static thread_local Place threadIdx, blockIdx, blockDim, gridDim;

struct float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
typedef _Float16 Half;

#define ROLLED
#define KERNEL_OF(type, name, blocks)                                                                                       \
    static inline void name##_thread(const type &p);                                                                        \
    extern "C" void name(const void *argument, const unsigned *grid, const unsigned *block)                                 \
    {                                                                                                                       \
        run_threads(grid, block, [&] { name##_thread(*(const type *)argument); });                                          \
    }                                                                                                                       \
    static inline void name##_thread(const type &p)

template <typename Thread> static void run_threads(const unsigned *grid, const unsigned *block, Thread thread)
{
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    for (blockIdx.z = 0; blockIdx.z < grid[2]; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid[1]; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid[0]; blockIdx.x++)
                for (threadIdx.z = 0; threadIdx.z < block[2]; threadIdx.z++)
                    for (threadIdx.y = 0; threadIdx.y < block[1]; threadIdx.y++)
                        for (threadIdx.x = 0; threadIdx.x < block[0]; threadIdx.x++)
                            thread();
}

/* What the CUDA kernels have in common: one bracket's pictures, planes and settings, and twelve bytes of a row at a time.
 *
 * Every kernel takes one struct by value, most of them a `Bracket`, which fusion/cuda/launch_layout.py fills. All device memory is the
 * caller's. No shared memory and no barriers: compiled as C++ with a few words defined (tests/fusion/cuda/on_host.h), the
 * same source runs on the host, thread by thread.
 */
#pragma once

#include <stddef.h>

#include "pixels.h"

#ifdef __CUDACC__
#include <cuda_fp16.h>
/* So many blocks of 256 threads a multiprocessor: 6 leave each thread 40 registers, 5 leave it 48. */
#define KERNEL_OF(type, name, blocks) extern "C" __global__ void __launch_bounds__(256, blocks) name(const type p)
#define ROLLED _Pragma("unroll 1")
typedef __half Half;
#endif
#define KERNEL(name, blocks) KERNEL_OF(Bracket, name, blocks)

/* One entry of a table that is interpolated: its value, and the step to the next. */
struct Entry {
    float low, step;
};

enum { LAB, CHROMATICITY, TONE }; /* colour transfers */

#define MOST_PICTURES 4 /* exposures of a bracket; n of them in what follows */

struct Bracket {
    Constants constants;
    const uint8_t *pictures[MOST_PICTURES]; /* dark to bright */
    uint8_t *out;               /* may be one of the pictures */
    int64_t strides[MOST_PICTURES], out_stride;

    const float *decode;       /* linear light of every code */
    const Entry *decode_fine;  /* the same of fine_steps + 1 encoded values 0..1 */
    const Entry *encode;       /* codes before rounding, of encode_steps + 1 square roots of linear light 0..1 */

    float *row_sums;     /* n x small_height x sums_pitch: rows of the pictures, summed */
    float *small_bgr;    /* n x small_height x small_width x 3, encoded 0..1 */
    float *lightness;    /* n x small_height x small_width, L*, for `tone` that of the luma */
    float *chroma;       /* the same, C*ab */
    void *network_in;    /* n x network_height x network_width, L* / 100, float or half; the network takes two of them */
    const void *network_out; /* network_height x network_width, the fused L* / 100 */
    double *lightness_sums;  /* one a row of the network's result */
    float *exponent;     /* gamma compensation: one number */
    float *means;        /* kept from bracket to bracket: the white gain, then 6 (n - 1) x small_height x small_width evidence of drift */
    float *counts;       /* 2 x (small_height + 1) x NODES: histograms of the rows, then of all, of the target and the brightest L* */
    float *drift_sums;   /* 2 x 6 (n - 1) x small_height x small_width: the evidence, summed along rows: in boxes, then whole */
    float4 *drift;       /* n - 1 x small_height x small_width: factors of B, G, R */
    float *surround;     /* small_height x small_width, 0..1: part that is black surround */
    float *inside_sums;  /* 2 x n + 1 x small_height x small_width: L* inside and its share, summed along rows: in boxes, then whole */
    float *target;       /* fused_height x fused_width, the fused L* */
    int64_t *window_sums; /* PRODUCTS(n), and n where chroma is compared, x small_height x small_width */
    float *coefficients; /* n + 1 x small_height x small_width: A of each, and C, in units of f = (L* + 16) / 116 */
    float *smooth_sums;  /* the same, summed along rows */
    float4 *steering;    /* small_height x small_width x quarters(n): A of each, C, smoothed; parts of the chroma, of all but
                            the brightest, where it is compared */

    double window_eps;
    int32_t height, width, small_height, small_width, sums_pitch;
    int32_t network_height, network_width; /* as the network gets them: padded */
    int32_t fused_height, fused_width;     /* of the network's result, without the padding */
    int32_t half, fine_steps, encode_steps, window_radius, chroma_radius;
    int32_t exposures; /* n */
    int32_t select, transfer;
    int32_t full; /* the network sees every pixel: `target` is the picture's, and A, B, C are not used */
    int32_t drift_radius;
    float chroma_offset, adaptive_target, lowest_exponent, highest_exponent;
    float white, most_whitening, top_part, top_step; /* L*, factor, part of the picture, L* between histogram nodes */
    float drift_fall, drift_prior, drift_strength;
    float black_start, black_scale, surround_scale, least_seen; /* see fusion/method/surround.py */
    float share; /* of this bracket in the means, up to 1 */
};

/* One exposure, and what makes it one of the reference's moment: filled by fusion/cuda/motion.py. */
struct Remake {
    const uint8_t *reference, *other;
    uint8_t *out;
    int64_t reference_stride, other_stride, out_stride;
    const float *table;    /* the other's code, whole, for every code of the reference: 3 x codes, a channel after the other */
    const float *mask;     /* grid_height x grid_width: the reference's share */
    const int32_t *across; /* for each row, and */
    const int32_t *down;   /* for each column: how far right and down the place in the other lies, in PLACES; or NULL */
    const float *fill;     /* fill_height x fill_width x 3, or NULL: see with_fill, or if `tinted` with_tints */
    int32_t height, width, grid_height, grid_width, fill_height, fill_width;
    float clip_start, clip_scale, least_fill; /* codes */
    float like;                               /* see fusion/motion/saturation_fill.py */
    float dim, dim_scale, grain, faint; /* see fusion/motion/dim_colour.py; codes, grain: its square */
    int32_t tinted;                     /* the reference is the darker one, and `fill` is for where it is dim */
};

/* See guide_planes.compares_chroma. */
PIXEL_FN bool compares_chroma(int32_t n, int32_t transfer) { return n == 2 || transfer != TONE; }

/* float4s of steering of n exposures. */
PIXEL_FN int32_t quarters(int32_t n, int32_t transfer) { return ((compares_chroma(n, transfer) ? 2 * n : n + 1) + 3) / 4; }

PIXEL_FN int32_t thread_x() { return (int32_t)(blockIdx.x * blockDim.x + threadIdx.x); }
PIXEL_FN int32_t thread_y() { return (int32_t)(blockIdx.y * blockDim.y + threadIdx.y); }
PIXEL_FN int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }
PIXEL_FN int32_t most(int32_t a, int32_t b) { return a > b ? a : b; }

/* Place of a cell of one of several small planes that lie behind each other. */
PIXEL_FN size_t cell_of(const Bracket &p, int32_t plane, int32_t y, int32_t x)
{
    return ((size_t)plane * p.small_height + y) * p.small_width + x;
}

PIXEL_FN float interpolated(const Entry *table, int32_t steps, float position)
{
    position *= (float)steps;
    int32_t index = least((int32_t)position, steps - 1);
    Entry entry = table[index];
    return entry.low + (position - (float)index) * entry.step;
}

/* ---- twelve bytes: four pixels of 8 bits, two of 16 ---- */

#define GROUP_BYTES 12

template <typename Sample> struct Group {
    static const int bits = 8 * (int)sizeof(Sample), samples = 96 / bits, pixels = samples / 3;
    uint32_t words[3];
};

/* The highest code. */
template <typename Sample> PIXEL_FN float full_code() { return sizeof(Sample) == 1 ? 255.0f : 65535.0f; }

/* A sample of a group; `index` is known to the compiler, so that this is one shift and one mask. */
template <typename Sample> PIXEL_FN uint32_t sample_of(const Group<Sample> &group, int index)
{
    const int bits = Group<Sample>::bits, place = bits * index;
    return (group.words[place / 32] >> (place % 32)) & ((1u << bits) - 1u);
}

/* Take the first pixel out and put one (three samples) in behind the last: so a loop over pixels need not be unrolled. */
PIXEL_FN void shift(Group<uint8_t> &group, const uint32_t *samples)
{
    uint32_t pixel = samples[0] | samples[1] << 8 | samples[2] << 16, *words = group.words;
    words[0] = words[0] >> 24 | words[1] << 8;
    words[1] = words[1] >> 24 | words[2] << 8;
    words[2] = words[2] >> 24 | pixel << 8;
}

PIXEL_FN void shift(Group<uint16_t> &group, const uint32_t *samples)
{
    uint32_t *words = group.words;
    words[0] = words[1] >> 16 | words[2] << 16;
    words[1] = words[2] >> 16 | samples[0] << 16;
    words[2] = samples[1] | samples[2] << 16;
}

/* Bytes of a group that lie within the row; what is beyond reads as zero and is not written. */
PIXEL_FN int32_t bytes_within(int32_t group, int32_t row_bytes) { return least(GROUP_BYTES, row_bytes - GROUP_BYTES * group); }

PIXEL_FN bool in_words(const uint8_t *place, int32_t bytes) { return bytes == GROUP_BYTES && ((uintptr_t)place & 3) == 0; }

template <typename Sample> PIXEL_FN Group<Sample> load_group(const uint8_t *row, int32_t group, int32_t row_bytes)
{
    const uint8_t *place = row + GROUP_BYTES * (size_t)group;
    int32_t bytes = bytes_within(group, row_bytes);
    Group<Sample> loaded = {{0, 0, 0}};
    if (in_words(place, bytes)) {
        const uint32_t *words = (const uint32_t *)place;
        for (int i = 0; i < 3; i++)
            loaded.words[i] = words[i];
    } else {
        for (int i = 0; i < GROUP_BYTES; i++)
            if (i < bytes)
                loaded.words[i / 4] |= (uint32_t)place[i] << (8 * (i % 4));
    }
    return loaded;
}

template <typename Sample> PIXEL_FN void store_group(const Group<Sample> &stored, uint8_t *row, int32_t group, int32_t row_bytes)
{
    uint8_t *place = row + GROUP_BYTES * (size_t)group;
    int32_t bytes = bytes_within(group, row_bytes);
    if (in_words(place, bytes)) {
        uint32_t *words = (uint32_t *)place;
        for (int i = 0; i < 3; i++)
            words[i] = stored.words[i];
    } else {
        for (int i = 0; i < GROUP_BYTES; i++)
            if (i < bytes)
                place[i] = (uint8_t)(stored.words[i / 4] >> (8 * (i % 4)));
    }
}

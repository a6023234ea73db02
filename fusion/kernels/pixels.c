/* The method's loops over rows, for the CPU. Called through ctypes (fusion/pixels.py), in many threads at once: no state.
 *
 * Pictures are BGR, uint8 or uint16 (bytes_per_sample 1 or 2), rows `stride` bytes apart, pixels packed within a row. A row
 * is done in blocks that stay in the first-level cache: table look-ups one by one, everything between in loops that the
 * compiler vectorises. No result depends on how rows are cut into calls.
 */
#include "pixels.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#define BLOCK 256
#define STEERING 5 /* planes interpolated for each pixel: A, B, C of the lightness, regional chroma of under and over */

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define VECTORISED __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef VECTORISED
#define VECTORISED
#endif

typedef struct {
    const void *pixels;
    ptrdiff_t stride;
    int32_t height, width, bytes_per_sample;
} Picture;

typedef struct {
    const float *decode;      /* linear light of every code */
    const float *decode_fine; /* linear light at fine_steps + 1 encoded values 0..1 */
    const uint8_t *encode8;   /* code at encode8_steps + 1 square roots of linear light 0..1 */
    const float *encode16;    /* the same, 0..65535 before rounding, at encode16_steps + 1 */
    int32_t fine_steps, encode8_steps, encode16_steps;
} Tables;

typedef struct {
    Picture under, over;
    void *out;
    ptrdiff_t out_stride;
    const float *steering; /* small_height x STEERING x small_width; A, B, C map fy to fy */
    int32_t small_height, small_width;
    const float *lightness; /* height x width fused L*, 0..100, or NULL: then from A, B, C */
    int32_t select;
} Job;

static const void *row_of(const Picture *picture, int32_t row)
{
    return (const char *)picture->pixels + row * picture->stride;
}

/* ---- the small picture ---- */

VECTORISED static void add_row8(float *restrict sums, const uint8_t *restrict row, float weight, int32_t samples)
{
    for (int32_t i = 0; i < samples; i++)
        sums[i] += weight * (float)row[i];
}

VECTORISED static void add_row16(float *restrict sums, const uint16_t *restrict row, float weight, int32_t samples)
{
    for (int32_t i = 0; i < samples; i++)
        sums[i] += weight * (float)row[i];
}

/* Share of cell `index` that lies within start..end. */
static double overlap(double start, double end, int32_t index)
{
    double low = start > index ? start : index;
    double high = end < index + 1.0 ? end : index + 1.0;
    return high > low ? high - low : 0.0;
}

static int32_t last_cell(double end, int32_t size)
{
    int32_t last = (int32_t)ceil(end);
    return last < size ? last : size;
}

/* Rows top..bottom of a small picture (height x width x 3, encoded 0..1): averages over equal rectangles. 0, or 1 if out of
 * memory. */
int shrink_rows(const Picture *picture, float *small, int32_t height, int32_t width, int32_t top, int32_t bottom)
{
    int32_t samples = 3 * picture->width;
    float *sums = malloc((size_t)samples * sizeof *sums);
    if (!sums)
        return 1;
    double tall = (double)picture->height / height, wide = (double)picture->width / width;
    double scale = 1.0 / (tall * wide * (picture->bytes_per_sample == 1 ? 255.0 : 65535.0));
    for (int32_t y = top; y < bottom; y++) {
        memset(sums, 0, (size_t)samples * sizeof *sums);
        for (int32_t row = (int32_t)(y * tall); row < last_cell((y + 1) * tall, picture->height); row++) {
            float weight = (float)overlap(y * tall, (y + 1) * tall, row);
            if (picture->bytes_per_sample == 1)
                add_row8(sums, row_of(picture, row), weight, samples);
            else
                add_row16(sums, row_of(picture, row), weight, samples);
        }
        float *out = small + (size_t)y * width * 3;
        for (int32_t x = 0; x < width; x++) {
            double total[3] = {0, 0, 0};
            for (int32_t column = (int32_t)(x * wide); column < last_cell((x + 1) * wide, picture->width); column++) {
                double weight = overlap(x * wide, (x + 1) * wide, column);
                for (int c = 0; c < 3; c++)
                    total[c] += weight * sums[3 * column + c];
            }
            for (int c = 0; c < 3; c++)
                out[3 * x + c] = (float)(total[c] * scale);
        }
    }
    free(sums);
    return 0;
}

static float decode_between(const Tables *tables, float encoded)
{
    float position = within(encoded, 0.0f, 1.0f) * (float)tables->fine_steps;
    int32_t index = (int32_t)position;
    index = index < tables->fine_steps ? index : tables->fine_steps - 1;
    float low = tables->decode_fine[index];
    return low + (position - (float)index) * (tables->decode_fine[index + 1] - low);
}

/* L* and C*ab of `count` pixels, encoded 0..1. */
void small_lab(const Constants *constants, const Tables *tables, const float *encoded, int32_t count, float *lightness,
               float *chroma)
{
    for (int32_t i = 0; i < count; i++) {
        float bgr[3];
        for (int c = 0; c < 3; c++)
            bgr[c] = decode_between(tables, encoded[3 * i + c]);
        Tone tone = tone_of(constants, bgr[0], bgr[1], bgr[2]);
        float a = 500.0f * tone.a, b = 200.0f * tone.b;
        lightness[i] = 116.0f * tone.fy - 16.0f;
        chroma[i] = sqrtf(a * a + b * b);
    }
}

/* ---- blocks of a row ---- */

typedef struct {
    float blue[BLOCK], green[BLOCK], red[BLOCK];
} Linear;

typedef struct {
    float fy[BLOCK], a[BLOCK], b[BLOCK], trust[BLOCK];
} Tones;

static void decode_block(const float *table, const void *row, int bytes, int32_t start, int32_t count, Linear *out)
{
    if (bytes == 1) {
        const uint8_t *p = (const uint8_t *)row + 3 * (size_t)start;
        for (int32_t i = 0; i < count; i++, p += 3) {
            out->blue[i] = table[p[0]];
            out->green[i] = table[p[1]];
            out->red[i] = table[p[2]];
        }
    } else {
        const uint16_t *p = (const uint16_t *)row + 3 * (size_t)start;
        for (int32_t i = 0; i < count; i++, p += 3) {
            out->blue[i] = table[p[0]];
            out->green[i] = table[p[1]];
            out->red[i] = table[p[2]];
        }
    }
}

VECTORISED static void tone_block(const Constants *constants, const Linear *restrict in, int32_t count, Tones *restrict out)
{
    const Constants k = *constants;
    for (int32_t i = 0; i < count; i++) {
        Tone tone = tone_of(&k, in->blue[i], in->green[i], in->red[i]);
        out->fy[i] = tone.fy;
        out->a[i] = tone.a;
        out->b[i] = tone.b;
        out->trust[i] = tone.trust;
    }
}

VECTORISED static void lightness_block(const Constants *constants, const Linear *restrict in, int32_t count,
                                       float *restrict out)
{
    const Constants k = *constants;
    for (int32_t i = 0; i < count; i++)
        out[i] = 116.0f * lightness_f(&k, in->blue[i], in->green[i], in->red[i]) - 16.0f;
}

/* One row between two rows of steering planes, `plane` floats apart. */
VECTORISED static void blend_block(const float *restrict above, const float *restrict below, float down, int32_t plane,
                                   int32_t count, float (*restrict out)[BLOCK])
{
    for (int p = 0; p < STEERING; p++)
        for (int32_t i = 0; i < count; i++)
            out[p][i] = above[(size_t)p * plane + i] + down * (below[(size_t)p * plane + i] - above[(size_t)p * plane + i]);
}

VECTORISED static void fuse_block(const Constants *constants, int select, const Tones *restrict under,
                                  const Tones *restrict over, float (*restrict steering)[BLOCK],
                                  const float *restrict lightness, int32_t count, Linear *restrict out)
{
    const Constants k = *constants;
    float fy[BLOCK], share[BLOCK];
    if (lightness)
        for (int32_t i = 0; i < count; i++)
            fy[i] = within((lightness[i] + 16.0f) * (1.0f / 116.0f), k.black_f, 1.0f);
    else
        for (int32_t i = 0; i < count; i++)
            fy[i] = within(steering[0][i] * under->fy[i] + steering[1][i] * over->fy[i] + steering[2][i], k.black_f, 1.0f);
    for (int32_t i = 0; i < count; i++) {
        Tone u = {under->fy[i], under->a[i], under->b[i], under->trust[i]};
        Tone o = {over->fy[i], over->a[i], over->b[i], over->trust[i]};
        share[i] = under_weight(&k, u, o, steering[3][i], steering[4][i]);
    }
    if (select)
        for (int32_t i = 0; i < count; i++)
            share[i] = smoothstep(k.tie, share[i]);
    for (int32_t i = 0; i < count; i++) {
        Tone u = {under->fy[i], under->a[i], under->b[i], under->trust[i]};
        Tone o = {over->fy[i], over->a[i], over->b[i], over->trust[i]};
        float bgr[3];
        colour_of(&k, u, o, fy[i], share[i], bgr);
        out->blue[i] = sqrtf(bgr[0]);
        out->green[i] = sqrtf(bgr[1]);
        out->red[i] = sqrtf(bgr[2]);
    }
}

VECTORISED static void index_block(const float *restrict root, int32_t steps, int32_t count, int32_t *restrict index)
{
    for (int32_t i = 0; i < count; i++)
        index[i] = (int32_t)(root[i] * (float)steps + 0.5f);
}

static void encode8(const Tables *tables, const float *root, int32_t count, uint8_t *out)
{
    int32_t index[BLOCK];
    index_block(root, tables->encode8_steps, count, index);
    for (int32_t i = 0; i < count; i++)
        out[3 * i] = tables->encode8[index[i]];
}

static void encode16(const Tables *tables, const float *root, int32_t count, uint16_t *out)
{
    int32_t last = tables->encode16_steps - 1;
    for (int32_t i = 0; i < count; i++) {
        float position = root[i] * (float)tables->encode16_steps;
        int32_t index = (int32_t)position;
        index = index < last ? index : last;
        float low = tables->encode16[index];
        out[3 * i] = (uint16_t)(low + (position - (float)index) * (tables->encode16[index + 1] - low) + 0.5f);
    }
}

static void encode_block(const Tables *tables, const Linear *roots, int bytes, void *row, int32_t start, int32_t count)
{
    const float *channels[3] = {roots->blue, roots->green, roots->red};
    for (int c = 0; c < 3; c++) {
        if (bytes == 1)
            encode8(tables, channels[c], count, (uint8_t *)row + 3 * (size_t)start + c);
        else
            encode16(tables, channels[c], count, (uint16_t *)row + 3 * (size_t)start + c);
    }
}

/* ---- rows ---- */

/* L* of rows top..bottom of a picture, into height x width floats. */
void lightness_rows(const Constants *constants, const Tables *tables, const Picture *picture, float *lightness,
                    int32_t top, int32_t bottom)
{
    Linear linear;
    for (int32_t y = top; y < bottom; y++)
        for (int32_t x = 0; x < picture->width; x += BLOCK) {
            int32_t count = picture->width - x < BLOCK ? picture->width - x : BLOCK;
            decode_block(tables->decode, row_of(picture, y), picture->bytes_per_sample, x, count, &linear);
            lightness_block(constants, &linear, count, lightness + (size_t)y * picture->width + x);
        }
}

/* Where a pixel's centre lies between the centres of small pixels: the first of the two, and how far along. */
static int32_t between(int32_t index, int32_t size, int32_t small, float *along)
{
    double position = (index + 0.5) * ((double)small / size) - 0.5;
    position = position < 0 ? 0 : position > small - 1 ? small - 1 : position;
    int32_t last = small > 1 ? small - 2 : 0;
    int32_t first = (int32_t)position < last ? (int32_t)position : last;
    *along = (float)(position - first);
    return first;
}

/* One small row of steering planes, interpolated to the full width. */
static void widen(const Job *job, int32_t small_row, float *wide)
{
    int32_t width = job->under.width, small = job->small_width;
    const float *planes = job->steering + (size_t)small_row * STEERING * small;
    for (int32_t x = 0; x < width; x++) {
        float along;
        int32_t left = between(x, width, small, &along);
        int32_t right = left + 1 < small ? left + 1 : left;
        for (int p = 0; p < STEERING; p++) {
            float low = planes[p * small + left];
            wide[(size_t)p * width + x] = low + along * (planes[p * small + right] - low);
        }
    }
}

/* Two neighbouring small rows, widened; kept from row to row of the picture. */
typedef struct {
    float *above, *below;
    int32_t first; /* small row in `above`, -1 before the first use */
} Steering;

static void steer_to(const Job *job, Steering *steering, int32_t first)
{
    if (steering->first == first)
        return;
    int32_t second = first + 1 < job->small_height ? first + 1 : first;
    if (steering->first == first - 1 && steering->first >= 0) {
        float *swap = steering->above;
        steering->above = steering->below;
        steering->below = swap;
    } else {
        widen(job, first, steering->above);
    }
    widen(job, second, steering->below);
    steering->first = first;
}

static void fuse_row(const Constants *constants, const Tables *tables, const Job *job, int32_t y, const Steering *steering,
                     float down)
{
    Linear linear;
    Tones under, over;
    float steered[STEERING][BLOCK];
    int32_t width = job->under.width;
    int bytes = job->under.bytes_per_sample;
    char *out = (char *)job->out + y * job->out_stride;
    for (int32_t x = 0; x < width; x += BLOCK) {
        int32_t count = width - x < BLOCK ? width - x : BLOCK;
        decode_block(tables->decode, row_of(&job->under, y), bytes, x, count, &linear);
        tone_block(constants, &linear, count, &under);
        decode_block(tables->decode, row_of(&job->over, y), bytes, x, count, &linear);
        tone_block(constants, &linear, count, &over);
        blend_block(steering->above + x, steering->below + x, down, width, count, steered);
        const float *lightness = job->lightness ? job->lightness + (size_t)y * width + x : NULL;
        fuse_block(constants, job->select, &under, &over, steered, lightness, count, &linear);
        encode_block(tables, &linear, bytes, out, x, count);
    }
}

/* Fuse rows top..bottom. 0, or 1 if out of memory. `out` may be one of the exposures. */
int fuse_rows(const Constants *constants, const Tables *tables, const Job *job, int32_t top, int32_t bottom)
{
    size_t row = (size_t)STEERING * job->under.width;
    float *wide = malloc(2 * row * sizeof *wide);
    if (!wide)
        return 1;
    Steering steering = {wide, wide + row, -1};
    for (int32_t y = top; y < bottom; y++) {
        float down;
        steer_to(job, &steering, between(y, job->under.height, job->small_height, &down));
        fuse_row(constants, tables, job, y, &steering, down);
    }
    free(wide);
    return 0;
}

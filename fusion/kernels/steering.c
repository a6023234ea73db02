/* The small planes that steer every pixel of the large pictures: the lightness wanted (fusion/method/gamma.py), the means of a
 * cycle of exposures (fusion/motion/steadiness.py), all planes as the pixel loops read them. No state.
 *
 * Small planes lie row by row: a row of the first, one of the second, ..., then their next rows (height x planes x width). */
#include "pixels.h"
#include "pool.h"
#include "powers.h"
#include "rows.h"
#include "steering.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the lightness wanted ---- */

/* 100 times lightness 0..1 to the power `gamma`. */
VECTORISED static void compensate_lightness(const float *restrict lightness, int32_t count, float gamma, float *restrict out)
{
    const float octaves = gamma * 1.44269504f;
    for (int32_t i = 0; i < count; i++) {
        float light = lightness[i], power = exp2_of(octaves * log_of(light > 1e-30f ? light : 1e-30f));
        out[i] = 100.0f * (light <= 0 ? 0 : light < 1 ? power : 1);
    }
}

#define COUNTERS 4 /* in turn, so that no addition waits for the one before */

/* The L* (0..100) above which `part` of the values lies, by a histogram over nodes `step` apart (100 / step + 1 of them) in which
 * each value counts for the two nodes about it: top_lightness of fusion/method/gamma.py. -1 if out of memory. */
static double top_lightness(const float *lightness, int32_t count, float step, int32_t nodes, double part_above)
{
    float *parts = calloc((size_t)COUNTERS * nodes, sizeof *parts), scale = 1.0f / step;
    double wanted = part_above * count, above = 0;
    int32_t top = nodes;
    if (!parts)
        return -1;
    for (int32_t i = 0; i < count; i++) {
        float light = lightness[i], place = scale * (light < 0 ? 0 : light < 100 ? light : 100);
        int32_t node = (int32_t)place;
        node = node < nodes - 2 ? node : nodes - 2;
        float upper = place - (float)node, *part = parts + (i % COUNTERS) * nodes + node;
        part[0] += 1 - upper;
        part[1] += upper;
    }
    double at_top = 0;
    while (top > 0 && above < wanted) {
        top--;
        at_top = 0;
        for (int p = 0; p < COUNTERS; p++)
            at_top += (double)parts[p * nodes + top];
        above += at_top;
    }
    free(parts);
    double found = ((double)top - 0.5 + (above - wanted) / at_top) * (double)step; /* a node's count is spread about it */
    return found < 1 ? 1 : found < 100 ? found : 100;
}

VECTORISED static double mean_of(const float *restrict values, int32_t count)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int32_t i = 0; i < count; i++)
        sum += (double)values[i];
    return sum / count;
}

static double held(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

/* The lightness (0..1) as L* with gamma, without what raises its lightest end: the factor for that, 1 = none, is returned; brightest: L*
 * of the brightest exposure. -1 if out of memory. */
double show_lightness(const Showing *showing, const float *lightness, const float *brightest, int32_t count, float *out)
{
    double gamma = showing->gamma, reach, top;
    if (gamma == 0) {
        double mean = held(mean_of(lightness, count), 1e-3, 1 - 1e-3);
        gamma = held(log(showing->wanted_mean) / log(mean), showing->least_gamma, showing->most_gamma);
    }
    compensate_lightness(lightness, count, (float)gamma, out);
    if (showing->white == 0)
        return 1;
    reach = top_lightness(brightest, count, showing->top_step, showing->nodes, showing->top_part);
    top = top_lightness(out, count, showing->top_step, showing->nodes, showing->top_part);
    if (reach < 0 || top < 0)
        return -1;
    return held((reach < showing->white ? reach : showing->white) / top, 1, showing->most_whitening);
}

/* L* with its lightest end raised by `gain`, in place. */
VECTORISED void whiten_lightness(float *restrict lightness, int32_t count, float gain)
{
    const float more = (gain - 1) / 100;
    for (int32_t i = 0; i < count; i++) {
        float light = lightness[i] * (1 + more * lightness[i]);
        lightness[i] = light < 0 ? 0 : light < 100 ? light : 100;
    }
}

/* ---- the mean lightness ---- */

VECTORISED static void light_of_row(const float *restrict affine, const float *const *lights, int32_t n, int32_t width,
                                    size_t first, float *restrict out)
{
    const float *restrict rest = affine + (size_t)n * width;
    for (int32_t x = 0; x < width; x++)
        out[x] = rest[x];
    for (int32_t j = 0; j < n; j++, affine += width) {
        const float *restrict light = lights[j] + first;
        for (int32_t x = 0; x < width; x++)
            out[x] += affine[x] * light[x];
    }
}

VECTORISED static float sum_within(const float *restrict light, int32_t count)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int32_t i = 0; i < count; i++)
        sum += light[i] < 0 ? 0 : light[i] < 100 ? light[i] : 100;
    return sum;
}

/* Mean of the L* (held within 0..100) that coefficients, the first n + 1 of so many planes, give in n planes (height x width).
 * -1 if out of memory. */
double mean_lightness(const float *affine, int32_t planes, const float *const *lights, int32_t n, int32_t height, int32_t width)
{
    double sum = 0;
    float *row = malloc((size_t)width * sizeof *row);
    if (!row)
        return -1;
    for (int32_t y = 0; y < height; y++) {
        light_of_row(affine + (size_t)y * planes * width, lights, n, width, (size_t)y * width, row);
        sum += (double)sum_within(row, width);
    }
    free(row);
    return sum / ((double)height * width);
}

/* ---- the mean of a cycle of exposures ---- */

VECTORISED static void add_scaled(float *restrict sums, const float *restrict row, float scale, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        sums[i] += scale * row[i];
}

VECTORISED static void blend_row(const float *restrict newest, const float *restrict still, int32_t width, float *restrict mean)
{
    for (int32_t x = 0; x < width; x++)
        mean[x] = newest[x] + still[x] * (mean[x] - newest[x]);
}

/* Planes (height x planes x width) between the newest ones and, by the part `still` (height x width), the mean of `count` past
 * ones. */
void towards_mean(const float *newest, const float *const *past, int32_t count, const float *still, int32_t height, int32_t planes,
                  int32_t width, float *out)
{
    for (int32_t y = 0; y < height; y++, still += width)
        for (int32_t p = 0; p < planes; p++) {
            size_t first = ((size_t)y * planes + p) * width;
            memset(out + first, 0, (size_t)width * sizeof *out);
            for (int32_t one = 0; one < count; one++)
                add_scaled(out + first, past[one] + first, 1.0f / (float)count, width);
            blend_row(newest + first, still, width, out + first);
        }
}

/* ---- where nothing has changed ---- */

VECTORISED static void larger_of_row(float *restrict most, const float *restrict row, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        most[i] = row[i] > most[i] ? row[i] : most[i];
}

VECTORISED static void add_pairs(const float *restrict row, float scale, int32_t width, float *restrict out)
{
    for (int32_t x = 0; x < width; x++)
        out[x] += scale * (row[2 * x] + row[2 * x + 1]);
}

/* Means of cells x cells of the largest of `count` masks: a row of them. `most`: room for a row of cells. */
static void row_of_changes(const float *const *masks, int32_t count, int32_t y, int32_t width, int32_t cells, float *most, float *out)
{
    const float part = 1.0f / (float)(cells * cells);
    memset(out, 0, (size_t)width * sizeof *out);
    for (int32_t row = y * cells; row < (y + 1) * cells; row++) {
        size_t first = (size_t)row * width * cells;
        memcpy(most, masks[0] + first, (size_t)width * cells * sizeof *most);
        for (int32_t m = 1; m < count; m++)
            larger_of_row(most, masks[m] + first, width * cells);
        if (cells == 2) {
            add_pairs(most, part, width, out);
            continue;
        }
        for (int32_t x = 0; x < width; x++)
            for (int32_t i = x * cells; i < (x + 1) * cells; i++)
                out[x] += part * most[i];
    }
}

/* The place that is mirrored there, the border's own once. */
static int32_t mirrored(int32_t place, int32_t size)
{
    while (size > 1 && (place < 0 || place >= size))
        place = place < 0 ? -place : 2 * size - 2 - place;
    return size > 1 ? place : 0;
}

VECTORISED static void add_row(double *restrict sums, const float *restrict row, double sign, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        sums[i] += sign * (double)row[i];
}

/* 1 less `gain` times the mean of 2 radius + 1 column sums, held within 0..1. */
static void still_row(const double *sums, int32_t width, int32_t radius, float gain, float *out)
{
    double sum = 0, part = (double)gain / ((double)(2 * radius + 1) * (2 * radius + 1));
    for (int32_t x = 0; x < 2 * radius; x++)
        sum += sums[x];
    for (int32_t x = 0; x < width; x++) {
        sum += sums[x + 2 * radius];
        float still = (float)(1 - part * sum);
        out[x] = still < 0 ? 0 : still < 1 ? still : 1;
        sum -= sums[x];
    }
}

/* How far nothing has changed about each pixel of height x width, from `count` masks of cells times as many cells; see
 * fusion/motion/cycle_means.py. 0, or 1 if out of memory. */
int still_planes(const float *const *masks, int32_t count, int32_t height, int32_t width, int32_t cells, int32_t radius, float gain,
                 float *out)
{
    int32_t wide = width + 2 * radius;
    size_t floats = (size_t)wide * height + (size_t)width * cells;
    double *sums = calloc((size_t)wide + (floats + 1) / 2, sizeof *sums);
    float *rows = (float *)(sums + wide), *most = rows + (size_t)wide * height;
    if (!sums)
        return 1;
    for (int32_t y = 0; y < height; y++) {
        float *row = rows + (size_t)y * wide;
        row_of_changes(masks, count, y, width, cells, most, row + radius);
        for (int32_t i = 1; i <= radius; i++) {
            row[radius - i] = row[radius + mirrored(-i, width)];
            row[radius + width - 1 + i] = row[radius + mirrored(width - 1 + i, width)];
        }
    }
    for (int32_t y = -radius; y < radius; y++)
        add_row(sums, rows + (size_t)mirrored(y, height) * wide, 1.0, wide);
    for (int32_t y = 0; y < height; y++) {
        add_row(sums, rows + (size_t)mirrored(y + radius, height) * wide, 1.0, wide);
        still_row(sums, width, radius, gain, out + (size_t)y * width);
        add_row(sums, rows + (size_t)mirrored(y - radius, height) * wide, -1.0, wide);
    }
    free(sums);
    return 0;
}

/* ---- as the pixel loops read them ---- */

VECTORISED static void scale_row(const float *restrict small, float gain, int32_t count, float *restrict out)
{
    for (int32_t i = 0; i < count; i++)
        out[i] = gain * small[i];
}

/* The last of n + 1 rows of coefficients is written anew. */
VECTORISED static void offset_row(float *rows, int32_t n, int32_t width)
{
    const float *affine = rows;
    float *restrict offset = rows + (size_t)n * width;
    for (int32_t x = 0; x < width; x++) {
        float sum = 0;
        for (int32_t j = 0; j < n; j++)
            sum += affine[j * width + x];
        offset[x] = (offset[x] + 16.0f * (1.0f - sum)) * (1.0f / 116.0f);
    }
}

#define LEAST_ROWS 22 /* that are worth another thread */

typedef struct {
    const float *small, *const *drifts;
    float gain;
    int32_t n, count, width;
    float *out;
} Joined;

static void join_rows(void *job, int32_t top, int32_t bottom)
{
    const Joined *planes = job;
    int32_t n = planes->n, count = planes->count, width = planes->width;
    size_t row = (size_t)width * sizeof(float), drifts = planes->drifts ? 3 * (size_t)(n - 1) : 0;
    for (int32_t y = top; y < bottom; y++) {
        float *out = planes->out + (size_t)y * ((size_t)count + drifts) * width;
        const float *small = planes->small + (size_t)y * count * width;
        scale_row(small, planes->gain, (n + 1) * width, out);
        memcpy(out + (size_t)(n + 1) * width, small + (size_t)(n + 1) * width, (size_t)(count - n - 1) * row);
        offset_row(out, n, width);
        out += (size_t)count * width;
        for (int32_t j = 0; planes->drifts && j < n - 1; j++, out += 3 * (size_t)width)
            memcpy(out, planes->drifts[j] + 3 * (size_t)y * width, 3 * row);
    }
}

/* `count` planes, of which the first n + 1, coefficients, times `gain`, are rewritten from L* to f = (L* + 16) / 116, and, of each exposure
 * but the last, drifts (height x 3 x width; NULL: none), one after the other in every row. */
void steering_rows(Pool *pool, const float *small, float gain, const float *const *drifts, int32_t n, int32_t count, int32_t height,
                   int32_t width, float *out)
{
    Joined job = {small, drifts, gain, n, count, width, out};
    pool_run(pool, join_rows, &job, height, LEAST_ROWS);
}

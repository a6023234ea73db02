/* Masks of a grid (fusion/motion/ghost_mask.py): made whole and wider, in 255ths; ramps of window means. No state. */
#include "grids.h"
#include "rows.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* 0..1 to the nearest 255ths, ties to even; returns whether there is any. */
VECTORISED static int to_codes(const float *restrict in, size_t count, uint8_t *restrict out)
{
    uint32_t any = 0;
    for (size_t i = 0; i < count; i++) {
        float rounded = in[i] * 255.0f + 12582912.0f; /* 1.5 x 2^23: the last bits are the whole number */
        uint32_t bits;
        memcpy(&bits, &rounded, sizeof bits);
        out[i] = (uint8_t)bits;
        any |= bits & 255;
    }
    return any != 0;
}

VECTORISED static void to_shares(const uint8_t *restrict in, size_t count, float *restrict out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (float)in[i] * (1.0f / 255.0f);
}

VECTORISED static void larger(uint8_t *restrict most, const uint8_t *restrict other, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        most[i] = other[i] > most[i] ? other[i] : most[i];
}

VECTORISED static void complement(uint8_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (uint8_t)(255 - values[i]);
}

/* The largest of each cell and those `step` before and behind it, the first or last one where there is none; in: length cells. */
static void reach_across(const uint8_t *in, int32_t length, int32_t step, uint8_t *out)
{
    memcpy(out, in, (size_t)length);
    if (step < length) {
        larger(out, in + step, length - step);
        larger(out + step, in, length - step);
    }
    for (int32_t x = 0; x < step && x < length; x++) {
        out[x] = out[x] > in[0] ? out[x] : in[0];
        out[length - 1 - x] = out[length - 1 - x] > in[length - 1] ? out[length - 1 - x] : in[length - 1];
    }
}

static void reach_down(const uint8_t *in, int32_t height, int32_t width, int32_t step, uint8_t *out)
{
    for (int32_t y = 0; y < height; y++, out += width) {
        int32_t above = y > step ? y - step : 0, below = y + step < height ? y + step : height - 1;
        memcpy(out, in + (size_t)y * width, (size_t)width);
        larger(out, in + (size_t)above * width, width);
        larger(out, in + (size_t)below * width, width);
    }
}

/* The largest of 2 radius + 1 cells a side about each, in place: what reaches c cells to each side reaches 3 c + 1 after a step of up to
 * 2 c + 1. `room`: for as many cells. */
static void widen(uint8_t *cells, int32_t height, int32_t width, int32_t radius, uint8_t *room)
{
    for (int32_t reached = 0; reached < radius;) {
        int32_t step = radius - reached < 2 * reached + 1 ? radius - reached : 2 * reached + 1;
        for (int32_t y = 0; y < height; y++)
            reach_across(cells + (size_t)y * width, width, step, room + (size_t)y * width);
        reach_down(room, height, width, step, cells);
        reached += step;
    }
}

VECTORISED static void to_be_in(const float *restrict in, float least, size_t count, uint8_t *restrict out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = in[i] >= least;
}

#define LEAST_ROWS 40 /* that are worth another thread, which also does rows around them */

/* Masks of height x width cells, and the one that is made of them. */
typedef struct {
    const float *const *masks;
    int32_t count, height, width, wider;
    float *out;
    _Atomic int failed; /* out of memory */
} Masks;

/* The largest of the masks, wider; computed on the rows around as well, on which the result depends. */
static void widen_rows(void *job, int32_t top, int32_t bottom)
{
    Masks *masks = job;
    int32_t reach = masks->wider, first = top > reach ? top - reach : 0, width = masks->width;
    int32_t height = (bottom + reach < masks->height ? bottom + reach : masks->height) - first;
    size_t count = (size_t)height * width, start = (size_t)first * width;
    uint8_t *cells = malloc(2 * count), *room = cells + count;
    if (!cells) {
        masks->failed = 1;
        return;
    }
    int any = to_codes(masks->masks[0] + start, count, cells);
    for (int32_t m = 1; m < masks->count; m++) {
        any |= to_codes(masks->masks[m] + start, count, room);
        for (int32_t y = 0; y < height; y++)
            larger(cells + (size_t)y * width, room + (size_t)y * width, width);
    }
    if (any)
        widen(cells, height, width, masks->wider, room);
    to_shares(cells + (size_t)(top - first) * width, (size_t)(bottom - top) * width, masks->out + (size_t)top * width);
    free(cells);
}

/* The largest of `count` masks, `wider` cells wider; out: height x width, 0..1 in 255ths. 0, or 1 if out of memory. */
int wider_mask(Pool *pool, const float *const *masks, int32_t count, int32_t height, int32_t width, int32_t wider, float *out)
{
    Masks job = {masks, count, height, width, wider, out, 0};
    pool_run(pool, widen_rows, &job, height, LEAST_ROWS);
    return job.failed;
}

/* ---- the ghost mask ---- */

typedef struct {
    const Softening *rule;
    const float *disagreement, *gate;
    int32_t height, width;
    float *out;
    _Atomic int failed; /* out of memory */
} Soft;

/* The smallest of 2 radius + 1 cells a side about each, in place. */
static void shrink(uint8_t *cells, int32_t height, int32_t width, int32_t radius, uint8_t *rows)
{
    size_t count = (size_t)height * width;
    complement(cells, count);
    widen(cells, height, width, radius, rows);
    complement(cells, count);
}

static void close_gaps(uint8_t *cells, int32_t height, int32_t width, int32_t gap, uint8_t *rows)
{
    widen(cells, height, width, gap, rows);
    shrink(cells, height, width, gap, rows);
}

VECTORISED static void over_half(uint8_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = values[i] > 127 ? 255 : 0;
}

/* The larger of `narrow`, and of `wide` where it is `inside`. */
VECTORISED static void join(uint8_t *restrict wide, const uint8_t *restrict narrow, const uint8_t *restrict inside, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t held = wide[i] < inside[i] ? wide[i] : inside[i];
        wide[i] = held > narrow[i] ? held : narrow[i];
    }
}

static void soften_rows(void *job, int32_t top, int32_t bottom)
{
    Soft *soft = job;
    const Softening *rule = soft->rule;
    int32_t reach = 2 * rule->wide_gap + rule->wider, first = top > reach ? top - reach : 0, width = soft->width;
    int32_t height = (bottom + reach < soft->height ? bottom + reach : soft->height) - first;
    size_t count = (size_t)height * width, start = (size_t)first * width;
    uint8_t *cells = malloc(4 * count), *room = cells + count, *narrow = room + count, *inside = narrow + count;
    if (!cells) {
        soft->failed = 1;
        return;
    }
    if (to_codes(soft->disagreement + start, count, cells)) {
        memcpy(narrow, cells, count);
        close_gaps(cells, height, width, rule->wide_gap, room);
        if (soft->gate) {
            to_codes(soft->gate + start, count, inside);
            over_half(inside, count);
            shrink(inside, height, width, rule->inside, room);
            close_gaps(narrow, height, width, rule->gap, room);
            join(cells, narrow, inside, count);
        }
        widen(cells, height, width, rule->wider, room);
    }
    to_shares(cells + (size_t)(top - first) * width, (size_t)(bottom - top) * width, soft->out + (size_t)top * width);
    free(cells);
}

/* `soft_mask` of fusion/motion/ghost_mask.py; gate: NULL if there is none. 0, or 1 if out of memory. */
int soft_mask(Pool *pool, const Softening *rule, const float *disagreement, const float *gate, int32_t height, int32_t width, float *out)
{
    Soft job = {rule, disagreement, gate, height, width, out, 0};
    pool_run(pool, soften_rows, &job, height, LEAST_ROWS);
    return job.failed;
}

/* ---- regions ---- */

/* Cells first..end of a row, and the number of the region that they are part of. */
typedef struct {
    int32_t y, first, end, region;
} Run;

/* Regions are joined where they meet: each number leads to a smaller one of the same region, the smallest to itself. */
static int32_t first_of(int32_t *same, int32_t region)
{
    while (same[region] != region)
        region = same[region] = same[same[region]];
    return region;
}

static int32_t joined(int32_t *same, int32_t one, int32_t other)
{
    one = first_of(same, one), other = first_of(same, other);
    return one < other ? (same[other] = one) : (same[one] = other);
}

/* The runs of cells that are 1, not 0, row by row, and which regions are the `same`, of which the first is the last number; cells touch
 * at corners as well. Returns how many runs. */
static int32_t find_runs(const uint8_t *cells, int32_t height, int32_t width, Run *runs, int32_t *same)
{
    int32_t count = 0, above = 0, row = 0, *regions = same; /* runs from `above` on are of the row above, from `row` on of this one */
    *regions = 0;
    for (int32_t y = 0; y < height; y++, above = row, row = count) {
        const uint8_t *in = cells + (size_t)y * width, *end = in + width, *first = in;
        while (first < end && (first = memchr(first, 1, (size_t)(end - first)))) {
            const uint8_t *last = memchr(first, 0, (size_t)(end - first));
            Run run = {y, (int32_t)(first - in), (int32_t)((last ? last : end) - in), 0};
            for (; above < row && runs[above].end < run.first; above++)
                ;
            for (int32_t r = above; r < row && runs[r].first <= run.end; r++)
                run.region = run.region ? joined(same, run.region, runs[r].region) : runs[r].region;
            if (!run.region) {
                run.region = ++*regions;
                same[run.region] = run.region;
            }
            runs[count++] = run;
            first = in + run.end;
        }
    }
    return count;
}

/* The means of the planes over each region, weighted by the mask: regions x planes, region 0 left out. 0, or 1 if out of memory. */
static int means_of_runs(const Run *runs, int32_t count, int32_t regions, const float *mask, const float *const *planes, int32_t n,
                         int32_t width, float *means)
{
    double *sums = calloc((size_t)(regions + 1) * (size_t)(n + 1), sizeof *sums);
    if (!sums)
        return 1;
    for (const Run *run = runs; run < runs + count; run++) {
        double *weight = sums + (size_t)run->region * (size_t)(n + 1), *sum = weight + 1;
        size_t row = (size_t)run->y * width, first = row + run->first, end = row + run->end;
        for (size_t i = first; i < end; i++)
            *weight += (double)mask[i];
        for (int32_t plane = 0; plane < n; plane++)
            for (size_t i = first; i < end; i++)
                sum[plane] += (double)(mask[i] * planes[plane][i]);
    }
    for (int32_t region = 1; region <= regions; region++)
        for (int32_t plane = 0; plane < n; plane++) {
            const double *of = sums + (size_t)region * (size_t)(n + 1);
            means[(size_t)region * n + plane] = (float)(of[1 + plane] / of[0]);
        }
    free(sums);
    return 0;
}

/* The connected regions of a mask, `apart` cells wider than where that is `belongs` or more, see fusion/motion/regions.py: `numbers`,
 * 0 outside, and `means`, a region after the other. Returns how many there are, or -1 if out of memory. */
int find_regions(const float *mask, const float *const *planes, int32_t n, int32_t height, int32_t width, int32_t apart, float belongs,
                 int32_t *numbers, float *means)
{
    size_t count = (size_t)height * width, most = (size_t)height * (size_t)((width + 1) / 2);
    Run *runs = malloc(most * sizeof *runs + (most + 1) * sizeof(int32_t) + 2 * count);
    if (!runs)
        return -1;
    int32_t *same = (int32_t *)(runs + most), last = 0;
    uint8_t *cells = (uint8_t *)(same + most + 1), *room = cells + count;
    to_be_in(mask, belongs, count, cells);
    widen(cells, height, width, apart, room);
    int32_t found = find_runs(cells, height, width, runs, same);
    for (int32_t region = 1, raw = same[0]; region <= raw; region++) /* a smaller number has its new one already */
        same[region] = same[region] == region ? ++last : same[same[region]];
    memset(numbers, 0, count * sizeof *numbers);
    for (Run *run = runs; run < runs + found; run++) {
        run->region = same[run->region];
        for (int32_t x = run->first; x < run->end; x++)
            numbers[(size_t)run->y * width + x] = run->region;
    }
    memset(means, 0, (size_t)n * sizeof *means);
    int failed = means_of_runs(runs, found, last, mask, planes, n, width, means);
    free(runs);
    return failed ? -1 : last;
}

/* The value of each cell's region. */
void of_regions(const int32_t *numbers, const float *values, int32_t count, float *out)
{
    for (int32_t i = 0; i < count; i++)
        out[i] = values[numbers[i]];
}

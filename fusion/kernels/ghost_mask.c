/* Where two exposures show different things (fusion/motion/ghost_mask.py), for the CPU. No state. */
#include "grids.h"
#include "rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_CELLS 32
#define LEAST_ROWS 8 /* that are worth another thread, */
#define LEAST_CELLS 4096

/* Largest and smallest of three rows, by sample. */
VECTORISED static void extremes_of_rows(const float *restrict above, const float *restrict row, const float *restrict below,
                                        int32_t samples, float *restrict most, float *restrict least)
{
    for (int32_t i = 0; i < samples; i++) {
        float high = above[i] > below[i] ? above[i] : below[i], low = above[i] < below[i] ? above[i] : below[i];
        most[i] = row[i] > high ? row[i] : high;
        least[i] = row[i] < low ? row[i] : low;
    }
}

/* Largest less smallest of the 3 x 3 cells around; `most` and `least` have a cell more at either end. */
VECTORISED static void contrast_of_row(const float *restrict most, const float *restrict least, int32_t samples,
                                       float *restrict out)
{
    for (int32_t i = 0; i < samples; i++) {
        float high = most[i] > most[i + 6] ? most[i] : most[i + 6], low = least[i] < least[i + 6] ? least[i] : least[i + 6];
        high = most[i + 3] > high ? most[i + 3] : high;
        low = least[i + 3] < low ? least[i + 3] : low;
        out[i] = high - low;
    }
}

VECTORISED static void places_of_row(const float *restrict under, float knots, int32_t samples, int32_t *restrict out)
{
    for (int32_t i = 0; i < samples; i++)
        out[i] = (int32_t)(under[i] * knots + 0.5f);
}

/* One by one: gathering them costs more on some machines. */
static void look_up_row(const Allowed *allowed, const float *under, int32_t samples, float (*restrict out)[2])
{
    int32_t places[3 * BLOCK_CELLS];
    places_of_row(under, (float)allowed->knots, samples, places);
    for (int32_t i = 0; i < samples; i++)
        memcpy(out[i], allowed->levels[i % 3 * (allowed->knots + 1) + places[i]], sizeof *out);
}

VECTORISED static void squares_of_row(const float (*restrict levels)[2], const float *restrict over, float contrast_part,
                                      int32_t samples, float *restrict contrast)
{
    for (int32_t i = 0; i < samples; i++) {
        float blur = contrast_part * contrast[i], difference = levels[i][0] - over[i];
        contrast[i] = difference * difference / (levels[i][1] + blur * blur);
    }
}

/* Where one of a cell's channels clips in both exposures, all have more variance. */
VECTORISED static void spoil_cells(const Allowed *allowed, float (*restrict levels)[2], const float *restrict over, int32_t cells)
{
    const float start = allowed->clips_start, scale = allowed->clips_scale, spoilt = allowed->spoilt;
    for (int32_t i = 0; i < cells; i++) {
        float most = 0;
        for (int32_t c = 3 * i; c < 3 * i + 3; c++) {
            float both = levels[c][0] < over[c] ? levels[c][0] : over[c];
            most = both > most ? both : most;
        }
        float clips = (most - start) * scale;
        clips = spoilt * (clips < 0 ? 0 : clips < 1 ? clips : 1);
        for (int32_t c = 3 * i; c < 3 * i + 3; c++)
            levels[c][1] += clips * clips;
    }
}

VECTORISED static void ramp_of_row(float sure, float certain, const float *restrict squares, int32_t cells, float *restrict out)
{
    const float scale = 1.0f / (certain - sure);
    for (int32_t i = 0; i < cells; i++) {
        float most = squares[3 * i] > squares[3 * i + 1] ? squares[3 * i] : squares[3 * i + 1];
        most = most > squares[3 * i + 2] ? most : squares[3 * i + 2];
        float ramp = (sqrtf(most) - sure) * scale;
        out[i] = ramp < 0 ? 0 : ramp < 1 ? ramp : 1;
    }
}

/* Most agree before their surroundings' contrast is looked at, which only ever excuses. */
VECTORISED static int any_suspect(const float (*restrict levels)[2], const float *restrict over, float sure, int32_t samples)
{
    int any = 0;
    for (int32_t i = 0; i < samples; i++) {
        float difference = levels[i][0] - over[i];
        any |= difference * difference > sure * sure * levels[i][1];
    }
    return any;
}

/* Contrast around `count` cells of row y from column x. */
static void contrast_of_block(const float *over, int32_t height, int32_t width, int32_t x, int32_t y, int32_t count, float *out)
{
    float most[3 * (BLOCK_CELLS + 2)], least[3 * (BLOCK_CELLS + 2)];
    int32_t first = x > 0 ? x - 1 : 0, last = x + count < width ? x + count + 1 : width, skipped = 3 * (first - x + 1);
    const float *row = over + 3 * ((size_t)y * width + first);
    const float *above = y > 0 ? row - 3 * width : row, *below = y < height - 1 ? row + 3 * width : row;
    extremes_of_rows(above, row, below, 3 * (last - first), most + skipped, least + skipped);
    if (x == 0) {
        memcpy(most, most + 3, 3 * sizeof *most);
        memcpy(least, least + 3, 3 * sizeof *least);
    }
    if (x + count == width) {
        memcpy(most + 3 * (count + 1), most + 3 * count, 3 * sizeof *most);
        memcpy(least + 3 * (count + 1), least + 3 * count, 3 * sizeof *least);
    }
    contrast_of_row(most, least, 3 * count, out);
}

VECTORISED static int any_positive(const float *restrict values, int32_t count)
{
    int any = 0;
    for (int32_t i = 0; i < count; i++)
        any |= values[i] > 0;
    return any;
}

typedef struct {
    const Allowed *allowed;
    const float *under, *over, *gate;
    int32_t height, width;
    float *out;
} Disagreement;

static void disagreement_of_rows(void *job, int32_t top, int32_t bottom)
{
    const Disagreement *grids = job;
    const Allowed *allowed = grids->allowed;
    const float *under = grids->under, *over = grids->over, *gate = grids->gate;
    int32_t height = grids->height, width = grids->width;
    float levels[3 * BLOCK_CELLS][2], squares[3 * BLOCK_CELLS], *out = grids->out;
    for (int32_t y = top; y < bottom; y++)
        for (int32_t x = 0; x < width; x += BLOCK_CELLS) {
            int32_t count = width - x < BLOCK_CELLS ? width - x : BLOCK_CELLS;
            size_t first = (size_t)y * width + x;
            if (gate && !any_positive(gate + first, count)) {
                memset(out + first, 0, (size_t)count * sizeof *out);
                continue;
            }
            look_up_row(allowed, under + 3 * first, 3 * count, levels);
            if (!any_suspect(levels, over + 3 * first, allowed->sure, 3 * count)) {
                memset(out + first, 0, (size_t)count * sizeof *out);
                continue;
            }
            if (allowed->spoilt > 0)
                spoil_cells(allowed, levels, over + 3 * first, count);
            contrast_of_block(over, height, width, x, y, count, squares);
            squares_of_row(levels, over + 3 * first, allowed->contrast_part, 3 * count, squares);
            ramp_of_row(allowed->sure, allowed->certain, squares, count, out + first);
            for (int32_t i = 0; gate && i < count; i++)
                out[first + i] *= gate[first + i];
        }
}

/* How surely two grids (height x width x 3, encoded 0..1) disagree, 0..1, times `gate` (height x width) unless that is NULL. */
void disagreement(Pool *pool, const Allowed *allowed, const float *under, const float *over, const float *gate, int32_t height,
                  int32_t width, float *out)
{
    Disagreement job = {allowed, under, over, gate, height, width, out};
    pool_run(pool, disagreement_of_rows, &job, height, LEAST_ROWS);
}

/* ---- two frames of one exposure ---- */

/* Squared differences, and by the larger value how large they may be. */
static void variances_of_block(const Noise *noise, const float *grid, const float *before, int32_t samples, float *restrict out)
{
    int32_t places[3 * BLOCK_CELLS], last = noise->levels - 1;
    for (int32_t i = 0; i < samples; i++) {
        float most = grid[i] > before[i] ? grid[i] : before[i];
        int32_t place = (int32_t)(most * (float)noise->levels);
        places[i] = place < last ? place : last;
    }
    for (int32_t i = 0; i < samples; i++)
        out[i] = noise->variance[places[i]];
}

VECTORISED static int any_changed(const float *restrict grid, const float *restrict before, const float *restrict variance,
                                  float sure, int32_t samples)
{
    int any = 0;
    for (int32_t i = 0; i < samples; i++) {
        float difference = grid[i] - before[i];
        any |= difference * difference > sure * sure * variance[i];
    }
    return any;
}

VECTORISED static void change_of_row(const float *restrict grid, const float *restrict before, const float *restrict variance,
                                     float contrast_part, int32_t samples, float *restrict contrast)
{
    for (int32_t i = 0; i < samples; i++) {
        float blur = contrast_part * contrast[i], difference = grid[i] - before[i];
        contrast[i] = difference * difference / (variance[i] + blur * blur);
    }
}

typedef struct {
    const Noise *noise;
    const float *grid, *before;
    int32_t height, width;
    float *out;
} Changes;

static void changes_of_rows(void *job, int32_t top, int32_t bottom)
{
    const Changes *frames = job;
    const Noise *noise = frames->noise;
    const float *grid = frames->grid, *before = frames->before;
    int32_t height = frames->height, width = frames->width;
    float variance[3 * BLOCK_CELLS], squares[3 * BLOCK_CELLS], *out = frames->out;
    for (int32_t y = top; y < bottom; y++)
        for (int32_t x = 0; x < width; x += BLOCK_CELLS) {
            int32_t count = width - x < BLOCK_CELLS ? width - x : BLOCK_CELLS;
            size_t first = (size_t)y * width + x;
            const float *new = grid + 3 * first, *old = before + 3 * first;
            variances_of_block(noise, new, old, 3 * count, variance);
            if (!any_changed(new, old, variance, noise->sure, 3 * count)) {
                memset(out + first, 0, (size_t)count * sizeof *out);
                continue;
            }
            contrast_of_block(grid, height, width, x, y, count, squares);
            change_of_row(new, old, variance, noise->contrast_part, 3 * count, squares);
            ramp_of_row(noise->sure, noise->certain, squares, count, out + first);
        }
}

/* How surely two frames (height x width x 3, encoded 0..1) of one exposure differ, 0..1. */
void changes(Pool *pool, const Noise *noise, const float *grid, const float *before, int32_t height, int32_t width, float *out)
{
    Changes job = {noise, grid, before, height, width, out};
    pool_run(pool, changes_of_rows, &job, height, LEAST_ROWS);
}

VECTORISED static int any_at_least(const float *restrict values, float least, int32_t count)
{
    int any = 0;
    for (int32_t i = 0; i < count; i++)
        any |= values[i] >= least;
    return any;
}

#define COUNTERS 2 /* halves of a grid, counted by a thread each */

typedef struct {
    const float *grid, *mask;
    float least;
    int32_t cells, knots, *counts; /* counts: of each half */
} Counting;

static void count_cells(const Counting *job, int32_t start, int32_t end, int32_t *counts)
{
    const float *mask = job->mask;
    int32_t places[3 * BLOCK_CELLS], knots = job->knots;
    for (int32_t first = start; first < end; first += BLOCK_CELLS) {
        int32_t samples = 3 * (end - first < BLOCK_CELLS ? end - first : BLOCK_CELLS);
        if (mask && !any_at_least(mask + first, job->least, samples / 3))
            continue;
        places_of_row(job->grid + 3 * (size_t)first, (float)knots, samples, places);
        for (int32_t i = 0; i < samples; i += 3) {
            if (mask && mask[first + i / 3] < job->least)
                continue;
            counts[places[i]]++;
            counts[knots + 1 + places[i + 1]]++;
            counts[2 * (knots + 1) + places[i + 2]]++;
        }
    }
}

static void count_halves(void *argument, int32_t first, int32_t end)
{
    const Counting *job = argument;
    for (int32_t half = first; half < end; half++)
        count_cells(job, (int32_t)((int64_t)job->cells * half / COUNTERS), (int32_t)((int64_t)job->cells * (half + 1) / COUNTERS),
                    job->counts + (size_t)half * 3 * ((size_t)job->knots + 1));
}

/* How many of a grid's cells (3 channels, encoded 0..1) are nearest to each of knots + 1 levels: 3 x knots + 1. mask: of those where
 * it is at least `least`, or NULL. 0, or 1 if out of memory. */
int count_levels(Pool *pool, const float *grid, int32_t cells, int32_t knots, const float *mask, float least, double *out)
{
    size_t levels = 3 * ((size_t)knots + 1);
    int32_t *counts = calloc(COUNTERS * levels, sizeof *counts);
    if (!counts)
        return 1;
    Counting job = {grid, mask, least, cells, knots, counts};
    pool_run(pool, count_halves, &job, COUNTERS, 1);
    for (size_t l = 0; l < levels; l++)
        out[l] = counts[l] + counts[levels + l];
    free(counts);
    return 0;
}

VECTORISED static void medians_of(const float *restrict blue, const float *restrict green, const float *restrict red, int32_t count,
                                  float *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float low = blue[i] < green[i] ? blue[i] : green[i], high = blue[i] < green[i] ? green[i] : blue[i];
        float least = red[i] < high ? red[i] : high;
        out[i] = low > least ? low : least;
    }
}

typedef struct {
    const float *grid, *table, *mask;
    int32_t knots;
    float *out;
} Medians;

/* Whether a mask leaves out all of `count` cells: then these are 0. */
static int left_out(const float *mask, int32_t count, float *out)
{
    if (!mask || any_positive(mask, count))
        return 0;
    memset(out, 0, (size_t)count * sizeof *out);
    return 1;
}

static void leave_out(const float *mask, int32_t count, float *out)
{
    for (int32_t i = 0; mask && i < count; i++)
        out[i] = mask[i] > 0 ? out[i] : 0;
}

static void medians_of_cells(void *job, int32_t start, int32_t end)
{
    const Medians *medians = job;
    const float *grid = medians->grid, *blue = medians->table, *green = blue + medians->knots + 1, *red = green + medians->knots + 1;
    int32_t knots = medians->knots, places[3 * BLOCK_CELLS];
    float values[3][BLOCK_CELLS];
    for (int32_t first = start; first < end; first += BLOCK_CELLS) {
        int32_t count = end - first < BLOCK_CELLS ? end - first : BLOCK_CELLS;
        const float *mask = medians->mask ? medians->mask + first : NULL;
        float *out = medians->out + first;
        if (left_out(mask, count, out))
            continue;
        places_of_row(grid + 3 * (size_t)first, (float)knots, 3 * count, places);
        for (int32_t i = 0; i < count; i++) {
            values[0][i] = blue[places[3 * i]];
            values[1][i] = green[places[3 * i + 1]];
            values[2][i] = red[places[3 * i + 2]];
        }
        medians_of(values[0], values[1], values[2], count, out);
        leave_out(mask, count, out);
    }
}

/* The median over a cell's channels of what a table for each (3 x knots + 1) holds at its values; 0 where the mask, unless NULL, is. */
void median_levels(Pool *pool, const float *grid, const float *table, int32_t knots, int32_t cells, const float *mask, float *out)
{
    Medians job = {grid, table, mask, knots, out};
    pool_run(pool, medians_of_cells, &job, cells, LEAST_CELLS);
}

typedef struct {
    const float *under, *over, *curve, *mask;
    int32_t knots;
    float *out;
} Greens;

static void differences_of_cells(void *job, int32_t start, int32_t end)
{
    const Greens *greens = job;
    for (int32_t first = start; first < end; first += BLOCK_CELLS) {
        int32_t count = end - first < BLOCK_CELLS ? end - first : BLOCK_CELLS;
        if (left_out(greens->mask + first, count, greens->out + first))
            continue;
        for (int32_t i = first; i < first + count; i++) {
            int32_t place = (int32_t)(greens->under[3 * (size_t)i + 1] * (float)greens->knots + 0.5f);
            greens->out[i] = fabsf(greens->over[3 * (size_t)i + 1] - greens->curve[place]);
        }
        leave_out(greens->mask + first, count, greens->out + first);
    }
}

/* `green_difference` of fusion/motion/intensity_mapping.py; curve: knots + 1. */
void green_differences(Pool *pool, const float *under, const float *over, const float *curve, int32_t knots, int32_t cells,
                       const float *mask, float *out)
{
    Greens job = {under, over, curve, mask, knots, out};
    pool_run(pool, differences_of_cells, &job, cells, LEAST_CELLS);
}

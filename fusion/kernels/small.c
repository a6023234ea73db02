/* Small pictures: averages over equal rectangles (fusion/method/downscale.py), for the CPU. No state. */
#include "grids.h"
#include "rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sums of 8-bit samples are kept in 16 bits for up to MOST_ROWS rows. */
#define MOST_ROWS 257

VECTORISED static void add_whole8(uint16_t *restrict sums, const uint8_t *restrict row, int32_t samples)
{
    for (int32_t i = 0; i < samples; i++)
        sums[i] += row[i];
}

VECTORISED static void flush_whole8(uint16_t *restrict whole, float *restrict sums, int32_t samples)
{
    for (int32_t i = 0; i < samples; i++) {
        sums[i] += (float)whole[i];
        whole[i] = 0;
    }
}

VECTORISED static void add_part(float *restrict sums, const void *restrict row, int bytes, float weight, int32_t samples)
{
    const uint8_t *row8 = row;
    const uint16_t *row16 = row;
    if (bytes == 1)
        for (int32_t i = 0; i < samples; i++)
            sums[i] += weight * (float)row8[i];
    else
        for (int32_t i = 0; i < samples; i++)
            sums[i] += weight * (float)row16[i];
}

/* The cells of one of `parts` equal intervals of `size` cells: first..last inclusive, all whole but the two ends. */
typedef struct {
    int32_t first, last;
    float first_weight, last_weight; /* the latter 0 if the interval ends with its first cell */
} Interval;

static Interval interval(int32_t index, int32_t size, int32_t parts)
{
    double start = index * ((double)size / parts), end = (index + 1) * ((double)size / parts);
    Interval cells = {(int32_t)start, (int32_t)ceil(end) - 1, 0, 0};
    cells.last = cells.last < size ? cells.last : size - 1;
    if (cells.last <= cells.first) {
        cells.last = cells.first;
        cells.first_weight = (float)(end - start);
    } else {
        cells.first_weight = (float)(cells.first + 1 - start);
        cells.last_weight = (float)(end - cells.last);
    }
    return cells;
}

static float weight_of(Interval cells, int32_t index)
{
    return index == cells.first ? cells.first_weight : index == cells.last ? cells.last_weight : 1.0f;
}

/* Sums of the rows of an interval, ends weighted. `whole`: zeros, and zeros again afterwards. */
static void sum_rows(const Picture *picture, Interval cells, uint16_t *whole, float *sums)
{
    int32_t samples = 3 * picture->width, pending = 0;
    memset(sums, 0, (size_t)samples * sizeof *sums);
    for (int32_t row = cells.first; row <= cells.last; row++) {
        float weight = weight_of(cells, row);
        if (picture->bytes_per_sample == 1 && weight == 1.0f) {
            add_whole8(whole, row_of(picture, row), samples);
            if (++pending == MOST_ROWS) {
                flush_whole8(whole, sums, samples);
                pending = 0;
            }
        } else {
            add_part(sums, row_of(picture, row), picture->bytes_per_sample, weight, samples);
        }
    }
    if (pending)
        flush_whole8(whole, sums, samples);
}

static void sum_columns(const float *sums, const Interval *columns, int32_t parts, float scale, float *out)
{
    for (int32_t x = 0; x < parts; x++) {
        Interval cells = columns[x];
        const float *first = sums + 3 * (size_t)cells.first, *last = sums + 3 * (size_t)cells.last;
        float blue = cells.first_weight * first[0] + cells.last_weight * last[0];
        float green = cells.first_weight * first[1] + cells.last_weight * last[1];
        float red = cells.first_weight * first[2] + cells.last_weight * last[2];
        for (const float *cell = first + 3; cell < last; cell += 3) {
            blue += cell[0];
            green += cell[1];
            red += cell[2];
        }
        out[3 * x] = blue * scale;
        out[3 * x + 1] = green * scale;
        out[3 * x + 2] = red * scale;
    }
}

/* ---- rectangles of whole pixels whose sums fit 16 bits ---- */

VECTORISED static void start_whole8(uint16_t *restrict sums, const uint8_t *restrict row, int32_t samples)
{
    for (int32_t i = 0; i < samples; i++)
        sums[i] = row[i];
}

VECTORISED static void add_whole16(uint16_t *restrict sums, const uint16_t *restrict more, int32_t samples)
{
    for (int32_t i = 0; i < samples; i++)
        sums[i] = (uint16_t)(sums[i] + more[i]);
}

/* Sums over rectangles of down x across pixels, from row `first` on. `whole`, `wide`: rows of samples. */
static void sum_rectangles(const Picture *picture, int32_t first, int32_t down, int32_t across, uint16_t *whole, uint16_t *wide)
{
    int32_t samples = 3 * picture->width, starts = samples - 3 * (across - 1);
    start_whole8(whole, row_of(picture, first), samples);
    for (int32_t row = 1; row < down; row++)
        add_whole8(whole, row_of(picture, first + row), samples);
    memcpy(wide, whole, (size_t)starts * sizeof *wide);
    for (int32_t right = 1; right < across; right++) /* of rectangles that start anywhere: vectors hold 32 of them */
        add_whole16(wide, whole + 3 * right, starts);
}

static void pick_rectangles(const uint16_t *wide, int32_t parts, int32_t across, float scale, float *restrict out)
{
    for (int32_t x = 0; x < parts; x++, wide += 3 * across)
        for (int c = 0; c < 3; c++)
            out[3 * x + c] = scale * (float)wide[c];
}

static int fit_16_bits(const Picture *picture, int32_t height, int32_t width)
{
    int whole = picture->height % height == 0 && picture->width % width == 0 && picture->bytes_per_sample == 1;
    return whole && (picture->height / height) * (picture->width / width) <= MOST_ROWS;
}

/* ---- any ---- */

/* Rows top..bottom of a small picture (height x width x 3, encoded 0..1): averages over equal rectangles. 0, or 1 if out of
 * memory. */
int shrink_rows(const Picture *picture, float *small, int32_t height, int32_t width, int32_t top, int32_t bottom)
{
    size_t samples = 3 * (size_t)picture->width;
    char *memory = calloc(1, samples * (sizeof(float) + 2 * sizeof(uint16_t)) + (size_t)width * sizeof(Interval));
    if (!memory)
        return 1;
    Interval *columns = (Interval *)memory;
    float *sums = (float *)(columns + width);
    uint16_t *whole = (uint16_t *)(sums + samples);
    int fit = fit_16_bits(picture, height, width);
    for (int32_t x = 0; x < width && !fit; x++)
        columns[x] = interval(x, picture->width, width);
    double area = ((double)picture->height / height) * ((double)picture->width / width);
    float scale = (float)(1.0 / (area * (picture->bytes_per_sample == 1 ? 255.0 : 65535.0)));
    for (int32_t y = top; y < bottom; y++) {
        float *out = small + (size_t)y * width * 3;
        if (fit) {
            int32_t down = picture->height / height, across = picture->width / width;
            sum_rectangles(picture, y * down, down, across, whole, whole + samples);
            pick_rectangles(whole + samples, width, across, scale, out);
        } else {
            sum_rows(picture, interval(y, picture->height, height), whole, sums);
            sum_columns(sums, columns, width, scale, out);
        }
    }
    free(memory);
    return 0;
}

/* ---- cells ---- */

#define LEAST_ROWS 22 /* of means, that are worth another thread; each has room of its own for a row of cells */

VECTORISED static void add_floats(float *restrict sums, const float *restrict row, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        sums[i] += row[i];
}

/* Sums over `across` samples of `channels` each. */
static inline __attribute__((always_inline)) void add_across(const float *restrict row, int32_t parts, int32_t across,
                                                             int32_t channels, float scale, float *restrict out)
{
    for (int32_t x = 0; x < parts; x++, row += across * channels)
        for (int32_t c = 0; c < channels; c++) {
            float sum = row[c];
            for (int32_t i = 1; i < across; i++)
                sum += row[i * channels + c];
            out[x * channels + c] = sum * scale;
        }
}

typedef struct {
    const float *cells;
    int32_t width, channels, down, across;
    float *rows, *out;
} Means;

static void mean_rows(void *job, int32_t top, int32_t bottom)
{
    const Means *means = job;
    int32_t width = means->width, channels = means->channels, down = means->down, across = means->across;
    int32_t samples = width * across * channels;
    const float *cells = means->cells + (size_t)top * down * samples;
    float scale = 1.0f / (float)(down * across), *row = means->rows + (size_t)(top / LEAST_ROWS) * samples;
    float *out = means->out + (size_t)top * width * channels;
    for (int32_t y = top; y < bottom; y++, out += width * channels) {
        memcpy(row, cells, (size_t)samples * sizeof *row);
        cells += samples;
        for (int32_t i = 1; i < down; i++, cells += samples)
            add_floats(row, cells, samples);
        if (channels == 3 && across == 2)
            add_across(row, width, 2, 3, scale, out);
        else if (channels == 1 && across == 2)
            add_across(row, width, 2, 1, scale, out);
        else
            add_across(row, width, across, channels, scale, out);
    }
}

/* Means over down x across cells (`channels` floats each) of `height` x `width` rectangles. 0, or 1 if out of memory. */
int mean_cells(Pool *pool, const float *cells, int32_t height, int32_t width, int32_t channels, int32_t down, int32_t across, float *out)
{
    float *rows = malloc(((size_t)height / LEAST_ROWS + 1) * width * across * channels * sizeof *rows);
    if (!rows)
        return 1;
    Means job = {cells, width, channels, down, across, rows, out};
    pool_run(pool, mean_rows, &job, height, LEAST_ROWS);
    free(rows);
    return 0;
}

/* Masks of a grid (fusion/motion/ghost_mask.py): made whole and wider, in 255ths; ramps of window means. No state. */
#include "rows.h"

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

/* The largest of 2 radius + 1 cells a side about each, in place. `rows`: room for as many cells. */
static void widen(uint8_t *cells, int32_t height, int32_t width, int32_t radius, uint8_t *rows)
{
    for (int32_t y = 0; y < height; y++) {
        uint8_t *row = rows + (size_t)y * width;
        const uint8_t *in = cells + (size_t)y * width;
        memcpy(row, in, (size_t)width);
        for (int32_t r = 1; r <= radius && r < width; r++) {
            larger(row, in + r, width - r);
            larger(row + r, in, width - r);
        }
    }
    for (int32_t y = 0; y < height; y++) {
        int32_t first = y > radius ? y - radius : 0, last = y + radius < height ? y + radius : height - 1;
        uint8_t *out = cells + (size_t)y * width;
        memcpy(out, rows + (size_t)first * width, (size_t)width);
        for (int32_t row = first + 1; row <= last; row++)
            larger(out, rows + (size_t)row * width, width);
    }
}

/* Without gaps of less than 2 gap + 1 cells, and `wider` cells wider; out: height x width, 0..1 in 255ths. 0, or 1 if out of
 * memory. */
int soft_mask(const float *mask, int32_t height, int32_t width, int32_t gap, int32_t wider, float *out)
{
    size_t count = (size_t)height * width;
    uint8_t *cells = malloc(2 * count), *room = cells + count;
    if (!cells)
        return 1;
    if (to_codes(mask, count, cells)) {
        widen(cells, height, width, gap, room);
        complement(cells, count);
        widen(cells, height, width, gap, room);
        complement(cells, count);
        widen(cells, height, width, wider, room);
    }
    to_shares(cells, count, out);
    free(cells);
    return 0;
}

/* The largest of `count` masks, `wider` cells wider, in the same form. */
int wider_mask(const float *const *masks, int32_t count, int32_t height, int32_t width, int32_t wider, float *out)
{
    size_t cells = (size_t)height * width;
    uint8_t *most = malloc(2 * cells), *room = most + cells;
    if (!most)
        return 1;
    int any = to_codes(masks[0], cells, most);
    for (int32_t m = 1; m < count; m++) {
        any |= to_codes(masks[m], cells, room);
        for (int32_t y = 0; y < height; y++)
            larger(most + (size_t)y * width, room + (size_t)y * width, width);
    }
    if (any)
        widen(most, height, width, wider, room);
    to_shares(most, cells, out);
    free(most);
    return 0;
}

/* ---- ramps of means ---- */

/* The place that is mirrored there, the border's own once. */
static int32_t mirrored(int32_t place, int32_t size)
{
    while (size > 1 && (place < 0 || place >= size))
        place = place < 0 ? -place : 2 * size - 2 - place;
    return size > 1 ? place : 0;
}

VECTORISED static void add_cells(float *restrict sums, const float *restrict more, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        sums[i] += more[i];
}

/* Sums of 2 radius + 1 cells of a row. */
static void sum_across(const float *row, int32_t width, int32_t radius, float *out)
{
    int32_t inner = width - 2 * radius > 0 ? width - 2 * radius : 0;
    memset(out, 0, (size_t)width * sizeof *out);
    for (int32_t i = 0; inner && i <= 2 * radius; i++)
        add_cells(out + radius, row + i, inner);
    for (int32_t x = 0; x < width; x = inner && x + 1 == radius ? radius + inner : x + 1)
        for (int32_t i = -radius; i <= radius && (!inner || x < radius || x >= radius + inner); i++)
            out[x] += row[mirrored(x + i, width)];
}

VECTORISED static void ramp_of_sums(const float *restrict sums, int32_t count, float start, float scale, float *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float part = start - scale * sums[i];
        out[i] = part < 0 ? 0 : part < 1 ? part : 1;
    }
}

/* Means of a plane over windows of 2 radius + 1 cells, on `count` ramps (start, end): 0 from the start up, 1 from the end down; out:
 * count x height x width. 0, or 1 if out of memory. */
int falling_ramps(const float *plane, int32_t height, int32_t width, int32_t radius, const float (*ramps)[2], int32_t count, float *out)
{
    size_t cells = (size_t)height * width;
    float *rows = malloc((cells + width) * sizeof *rows), *sums = rows + cells;
    float part = 1.0f / (float)((2 * radius + 1) * (2 * radius + 1));
    if (!rows)
        return 1;
    for (int32_t y = 0; y < height; y++)
        sum_across(plane + (size_t)y * width, width, radius, rows + (size_t)y * width);
    for (int32_t y = 0; y < height; y++) {
        memcpy(sums, rows + (size_t)mirrored(y - radius, height) * width, (size_t)width * sizeof *sums);
        for (int32_t i = 1 - radius; i <= radius; i++)
            add_cells(sums, rows + (size_t)mirrored(y + i, height) * width, width);
        for (int32_t r = 0; r < count; r++) {
            float scale = 1.0f / (ramps[r][0] - ramps[r][1]);
            ramp_of_sums(sums, width, ramps[r][0] * scale, part * scale, out + r * cells + (size_t)y * width);
        }
    }
    free(rows);
    return 0;
}

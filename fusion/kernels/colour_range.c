/* Colours that a dim reference gives, against those that another exposure shows nearby (fusion/motion/colour_range.py). No state. */
#include "pool.h"
#include "rows.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const float *curves; /* 3 x knots + 1, a channel after the other: the other exposure's values for the reference's */
    int32_t knots, radius;
    float luma[3], dim;
} Range;

/* Blue and red, each less luma, of `count` cells. */
VECTORISED static void chroma_of_cells(const float *restrict cells, const float *luma, size_t count, float *restrict blue,
                                       float *restrict red)
{
    float first = luma[0], second = luma[1], third = luma[2];
    for (size_t i = 0; i < count; i++) {
        float grey = first * cells[3 * i] + second * cells[3 * i + 1] + third * cells[3 * i + 2];
        blue[i] = cells[3 * i] - grey;
        red[i] = cells[3 * i + 2] - grey;
    }
}

/* Of two windows of values, `apart`: the largest of the one's and the other's, and the smallest. */
VECTORISED static void join_windows(const float *restrict high, const float *restrict low, int32_t apart, int32_t count,
                                    float *restrict most, float *restrict least)
{
    for (int32_t i = 0; i < count; i++) {
        most[i] = high[i] > high[i + apart] ? high[i] : high[i + apart];
        least[i] = low[i] < low[i + apart] ? low[i] : low[i + apart];
    }
}

VECTORISED static void extend(float *restrict most, float *restrict least, const float *restrict high, const float *restrict low,
                              int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        most[i] = high[i] > most[i] ? high[i] : most[i];
        least[i] = low[i] < least[i] ? low[i] : least[i];
    }
}

/* By how much `made` is outside the range of two windows of rows together; 0 inside. */
VECTORISED static void outside_of_row(const float *restrict made, const float *restrict high, const float *restrict low, ptrdiff_t apart,
                                      int32_t count, float *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float most = high[i] > high[i + apart] ? high[i] : high[i + apart], least = low[i] < low[i + apart] ? low[i] : low[i + apart];
        float above = made[i] - most, below = least - made[i], farther = above > below ? above : below;
        out[i] = farther > 0 ? farther : 0;
    }
}

/* The largest and smallest of 2 radius + 1 values about each of a row; beyond its ends it goes on as it ends. A window of twice
 * the length is two joined. room: four rows of width + 2 radius. */
static void range_across(const float *row, int32_t width, int32_t radius, float *room, float *most, float *least)
{
    int32_t padded = width + 2 * radius, length = 1;
    float *high = room, *low = high + padded, *wider_high = low + padded, *wider_low = wider_high + padded, *kept;
    for (int32_t i = 0; i < radius; i++) {
        high[i] = row[0];
        high[padded - 1 - i] = row[width - 1];
    }
    memcpy(high + radius, row, (size_t)width * sizeof *row);
    memcpy(low, high, (size_t)padded * sizeof *low);
    for (; length <= radius; length *= 2) {
        join_windows(high, low, length, padded - 2 * length + 1, wider_high, wider_low);
        kept = high, high = wider_high, wider_high = kept;
        kept = low, low = wider_low, wider_low = kept;
    }
    join_windows(high, low, 2 * radius + 1 - length, width, most, least);
}

/* The work: a plane of the chroma of `seen`, of height x width, or both; colours made from `reference` where it is dim. */
typedef struct {
    const Range *range;
    const float *reference, *seen;
    int32_t height, width;
    float *room, *out; /* of each plane: room_floats, and how far outside its cells are */
} Planes;

/* Floats of one plane's room: rows of windows, windows in the making, and a row of colours made. */
static size_t room_floats(int32_t height, int32_t width, int32_t radius)
{
    return 2 * (size_t)(height + 2 * radius) * width + 9 * (size_t)(width + 2 * radius);
}

/* How dim the cells of a row of the reference are, 0..1. */
VECTORISED static void dimness_of_row(const float *restrict reference, float scale, int32_t count, float *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float blue = reference[3 * i], green = reference[3 * i + 1], red = reference[3 * i + 2];
        float largest = blue > green ? blue : green, part = 2 - (largest > red ? largest : red) * scale;
        out[i] = part < 0 ? 0 : part < 1 ? part : 1;
    }
}

/* Writes the blue and red, less luma, that a row of the reference gives where it is dim; returns whether it is anywhere. */
static int make_row(const Range *range, const float *reference, int32_t width, float *room, float *blue, float *red)
{
    size_t knots = (size_t)range->knots + 1;
    float *dim = room, *made = room + width;
    int any = 0;
    dimness_of_row(reference, 1 / range->dim, width, dim);
    for (int32_t x = 0; x < width; x++) {
        const float *cell = reference + 3 * x;
        if (dim[x] > 0)
            for (size_t c = 0; c < 3; c++)
                made[3 * x + c] = range->curves[c * knots + (size_t)(int32_t)(cell[c] * (float)range->knots + 0.5f)];
        else
            made[3 * x] = made[3 * x + 1] = made[3 * x + 2] = 0;
        any |= dim[x] > 0;
    }
    if (any)
        chroma_of_cells(made, range->luma, (size_t)width, blue, red);
    return any;
}

/* How far the colours made are outside the range of those seen within the radius; nothing is written for rows that are not dim. */
static void outside(void *job, int32_t first, int32_t end)
{
    const Planes *planes = job;
    int32_t height = planes->height, width = planes->width, radius = planes->range->radius, rows = height + 2 * radius;
    size_t row = (size_t)width, cells = row * height;
    for (int32_t plane = first; plane < end; plane++) {
        const float *seen = planes->seen + plane * cells;
        float *highs = planes->room + plane * room_floats(height, width, radius), *lows = highs + row * rows, *room = lows + row * rows;
        for (int32_t y = 0; y < rows; y++) {
            int32_t inside = y < radius ? 0 : y - radius < height ? y - radius : height - 1;
            if (y > 0 && (y <= radius || y >= height + radius)) {
                memcpy(highs + row * y, highs + row * (y - 1), row * sizeof *highs);
                memcpy(lows + row * y, lows + row * (y - 1), row * sizeof *lows);
            } else
                range_across(seen + row * inside, width, radius, room, highs + row * y, lows + row * y);
        }
        int32_t length = 1;
        for (; length <= radius; length *= 2)
            for (int32_t y = 0; y + 2 * length <= rows; y++)
                extend(highs + row * y, lows + row * y, highs + row * (y + length), lows + row * (y + length), width);
        ptrdiff_t apart = (ptrdiff_t)row * (2 * radius + 1 - length);
        float *chroma[2] = {room + 4 * row, room + 5 * row};
        for (int32_t y = 0; y < height; y++)
            if (make_row(planes->range, planes->reference + 3 * row * y, width, room, chroma[0], chroma[1]))
                outside_of_row(chroma[plane], highs + row * y, lows + row * y, apart, width, planes->out + plane * cells + row * y);
    }
}

/* Replaces how dim a row is by the farther outside of two planes, weighted by it. Rows that are not dim anywhere were not written. */
VECTORISED static void weigh(const float *restrict first, const float *restrict second, int32_t count, float *restrict dim)
{
    for (int32_t i = 0; i < count; i++)
        dim[i] = dim[i] > 0 ? (first[i] > second[i] ? first[i] : second[i]) * dim[i] : 0;
}

/* `strangeness` of fusion/motion/colour_range.py; grids: height x width x 3, out: height x width. 0, or 1 if out of memory. */
int strangeness(Pool *pool, const Range *range, const float *reference, const float *there, int32_t height, int32_t width, float *out)
{
    size_t row = (size_t)width, cells = row * height;
    float scale = 1 / range->dim, *memory = malloc((4 * cells + 2 * room_floats(height, width, range->radius)) * sizeof *memory);
    float *seen = memory, *far = seen + 2 * cells, *room = far + 2 * cells;
    int any = 0;
    if (!memory)
        return 1;
    for (int32_t y = 0; y < height; y++)
        dimness_of_row(reference + 3 * row * y, scale, width, out + row * y);
    for (size_t i = 0; i < cells && !any; i++)
        any = out[i] > 0;
    if (any) {
        chroma_of_cells(there, range->luma, cells, seen, seen + cells);
        Planes planes = {range, reference, seen, height, width, room, far};
        pool_run(pool, outside, &planes, 2, 1);
        for (int32_t y = 0; y < height; y++)
            weigh(far + row * y, far + cells + row * y, width, out + row * y);
    }
    free(memory);
    return 0;
}

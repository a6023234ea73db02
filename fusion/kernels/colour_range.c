/* Colours that a dim reference gives, against those that another exposure shows nearby (fusion/motion/colour_range.py). No state. */
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

VECTORISED static void extend(float *restrict most, float *restrict least, const float *restrict high, const float *restrict low,
                              int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        most[i] = high[i] > most[i] ? high[i] : most[i];
        least[i] = low[i] < least[i] ? low[i] : least[i];
    }
}

/* By how much `made` is outside least..most, where that is more than there was. */
VECTORISED static void outside_of_row(const float *restrict made, const float *restrict most, const float *restrict least, int32_t count,
                                      float *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float above = made[i] - most[i], below = least[i] - made[i], farther = above > below ? above : below;
        out[i] = farther > out[i] ? farther : out[i];
    }
}

/* The largest and smallest of 2 radius + 1 values about each of a row. */
static void range_across(const float *row, int32_t width, int32_t radius, float *most, float *least)
{
    memcpy(most, row, (size_t)width * sizeof *row);
    memcpy(least, row, (size_t)width * sizeof *row);
    for (int32_t r = 1; r <= radius && r < width; r++) {
        extend(most, least, row + r, row + r, width - r);
        extend(most + r, least + r, row, row, width - r);
    }
}

/* Raises `out` (height x width) to how far `made` is outside the range of `seen` within the radius. room: 2 height + 2 rows. */
static void outside(const float *made, const float *seen, int32_t height, int32_t width, int32_t radius, float *room, float *out)
{
    size_t row = (size_t)width;
    float *highs = room, *lows = highs + row * height, *most = lows + row * height, *least = most + row;
    for (int32_t y = 0; y < height; y++)
        range_across(seen + row * y, width, radius, highs + row * y, lows + row * y);
    for (int32_t y = 0; y < height; y++) {
        int32_t first = y > radius ? y - radius : 0, last = y + radius < height ? y + radius : height - 1;
        memcpy(most, highs + row * first, row * sizeof *most);
        memcpy(least, lows + row * first, row * sizeof *least);
        for (int32_t near = first + 1; near <= last; near++)
            extend(most, least, highs + row * near, lows + row * near, width);
        outside_of_row(made + row * y, most, least, width, out + row * y);
    }
}

/* How dim the cells of a reference are, 0..1; returns whether any is. */
static int dimness(const float *reference, size_t cells, float scale, float *out)
{
    int any = 0;
    for (size_t i = 0; i < cells; i++) {
        const float *cell = reference + 3 * i;
        float largest = cell[0] > cell[1] ? cell[0] : cell[1], part = 2 - (largest > cell[2] ? largest : cell[2]) * scale;
        out[i] = part < 0 ? 0 : part < 1 ? part : 1;
        any |= part > 0;
    }
    return any;
}

/* `strangeness` of fusion/motion/colour_range.py; grids: height x width x 3, out: height x width. 0, or 1 if out of memory. */
int strangeness(const Range *range, const float *reference, const float *there, int32_t height, int32_t width, float *out)
{
    size_t cells = (size_t)height * width, knots = (size_t)range->knots + 1;
    float *memory = malloc((10 * cells + 2 * (size_t)width) * sizeof *memory), *made = memory, *chroma = made + 3 * cells;
    float *dim = chroma + 4 * cells, *room = dim + cells;
    if (!memory)
        return 1;
    memset(out, 0, cells * sizeof *out);
    if (dimness(reference, cells, 1 / range->dim, dim)) {
        for (size_t i = 0; i < 3 * cells; i += 3)
            for (size_t c = 0; c < 3; c++)
                made[i + c] = range->curves[c * knots + (size_t)(int32_t)(reference[i + c] * (float)range->knots + 0.5f)];
        chroma_of_cells(made, range->luma, cells, chroma, chroma + cells);
        chroma_of_cells(there, range->luma, cells, chroma + 2 * cells, chroma + 3 * cells);
        for (int c = 0; c < 2; c++)
            outside(chroma + c * cells, chroma + (2 + c) * cells, height, width, range->radius, room, out);
        for (size_t i = 0; i < cells; i++)
            out[i] *= dim[i];
    }
    free(memory);
    return 0;
}

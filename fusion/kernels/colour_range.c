/* Colours that a dim reference gives, against those that another exposure shows nearby (fusion/motion/colour_range.py). No state. */
#include "pool.h"
#include "rows.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_ROWS 22 /* of a strip: each looks at `radius` more above and below */
#define NEAR 2        /* cells about one that counts of which the strangeness is wanted as well, as in colour_range.py */

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

/* The largest and smallest of 2 radius + 1 values from each of `width` on, of `padded` = width + 2 radius. A window of twice the length
 * is two joined. room: four rows of `padded`, of which the first holds the values. */
static void range_across(int32_t width, int32_t radius, float *room, float *most, float *least)
{
    int32_t padded = width + 2 * radius, length = 1;
    float *high = room, *low = high + padded, *wider_high = low + padded, *wider_low = wider_high + padded, *kept;
    memcpy(low, high, (size_t)padded * sizeof *low);
    for (; length <= radius; length *= 2) {
        join_windows(high, low, length, padded - 2 * length + 1, wider_high, wider_low);
        kept = high, high = wider_high, wider_high = kept;
        kept = low, low = wider_low, wider_low = kept;
    }
    join_windows(high, low, 2 * radius + 1 - length, width, most, least);
}

/* The work: how far the colours made from `reference` are outside the range of those in `there`; where (or NULL): cells that count. */
typedef struct {
    const Range *range;
    const float *reference, *there, *where;
    int32_t height, width;
    float *out;
    _Atomic int failed; /* out of memory */
} Strange;

/* Rows top..bottom and columns left..right (exclusive). */
typedef struct {
    int32_t top, bottom, left, right;
} Box;

static int32_t limited(int32_t value, int32_t last) { return value < 0 ? 0 : value > last ? last : value; }

/* How dim the cells of a row of the reference are, 0..1. */
VECTORISED static void dimness_of_row(const float *restrict reference, float scale, int32_t count, float *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float blue = reference[3 * i], green = reference[3 * i + 1], red = reference[3 * i + 2];
        float largest = blue > green ? blue : green, part = 2 - (largest > red ? largest : red) * scale;
        out[i] = part < 0 ? 0 : part < 1 ? part : 1;
    }
}

VECTORISED static void add_marks(const float *restrict row, int32_t count, float *restrict marks)
{
    for (int32_t i = 0; i < count; i++)
        marks[i] = row[i] > marks[i] ? row[i] : marks[i];
}

/* Only where a mark is near. marks: NEAR more on either side. */
VECTORISED static void keep_near(const float *restrict marks, int32_t count, float *restrict dim)
{
    for (int32_t i = 0; i < count; i++) {
        float most = 0;
        for (int32_t n = 0; n <= 2 * NEAR; n++)
            most = marks[i + n] > most ? marks[i + n] : most;
        dim[i] = most > 0 ? dim[i] : 0;
    }
}

/* Row y of the result becomes the weight of each cell: how dim it is, 0 where it does not count. marks: room for width + 2 NEAR. */
static void weight_of_row(const Strange *job, int32_t y, float *marks, float *out)
{
    int32_t width = job->width;
    dimness_of_row(job->reference + 3 * (size_t)y * width, 1 / job->range->dim, width, out);
    if (!job->where)
        return;
    memset(marks, 0, ((size_t)width + 2 * NEAR) * sizeof *marks);
    for (int32_t row = limited(y - NEAR, job->height - 1); row <= limited(y + NEAR, job->height - 1); row++)
        add_marks(job->where + (size_t)row * width, width, marks + NEAR);
    keep_near(marks, width, out);
}

/* Makes the columns of a part the ones between the first and the last with a weight. */
static void narrow(const float *weights, int32_t width, Box *part)
{
    part->left = width, part->right = 0;
    for (int32_t y = part->top; y < part->bottom; y++, weights += width) {
        int32_t left = 0, right = width;
        while (left < part->left && !(weights[left] > 0))
            left++;
        part->left = left < part->left ? left : part->left;
        while (right > part->right && !(weights[right - 1] > 0))
            right--;
        part->right = right > part->right ? right : part->right;
    }
}

/* Blue and red, less luma, of `there` in row y, columns first..first + count, beyond its border the nearest cell. */
static void chroma_of_row(const Strange *job, int32_t y, int32_t first, int32_t count, float *blue, float *red)
{
    int32_t width = job->width, begin = first < 0 ? -first : 0, end = first + count > width ? width - first : count;
    const float *row = job->there + 3 * (size_t)limited(y, job->height - 1) * width;
    chroma_of_cells(row + 3 * (size_t)(first + begin), job->range->luma, (size_t)(end - begin), blue + begin, red + begin);
    for (int32_t i = 0; i < begin; i++)
        blue[i] = blue[begin], red[i] = red[begin];
    for (int32_t i = end; i < count; i++)
        blue[i] = blue[end - 1], red[i] = red[end - 1];
}

/* The blue and red, less luma, that cells of the reference give where they have a weight. made: room for 3 x count. */
static void make_row(const Range *range, const float *reference, const float *weights, int32_t count, float *made, float *blue, float *red)
{
    size_t knots = (size_t)range->knots + 1;
    for (int32_t x = 0; x < count; x++)
        for (size_t c = 0; c < 3; c++) {
            float value = reference[3 * x + (int32_t)c];
            made[3 * x + (int32_t)c] = weights[x] > 0 ? range->curves[c * knots + (size_t)(int32_t)(value * (float)range->knots + 0.5f)] : 0;
        }
    chroma_of_cells(made, range->luma, (size_t)count, blue, red);
}

/* The farther outside of two planes, times the weight, in its place. */
VECTORISED static void weigh(const float *restrict first, const float *restrict second, int32_t count, float *restrict weights)
{
    for (int32_t i = 0; i < count; i++)
        weights[i] = weights[i] > 0 ? (first[i] > second[i] ? first[i] : second[i]) * weights[i] : 0;
}

/* The range of `there` about the rows of a part, and `radius` rows above and below: of each row across, both planes in turn. */
static void ranges_across(const Strange *job, Box part, float *room, float *highs, float *lows)
{
    int32_t radius = job->range->radius, width = part.right - part.left, padded = width + 2 * radius;
    size_t pair = 2 * (size_t)width;
    float *blue = room, *red = room + 4 * padded; /* each is the first of four rows: see range_across */
    for (int32_t y = part.top - radius, before = -1; y < part.bottom + radius; y++, highs += pair, lows += pair) {
        int32_t row = limited(y, job->height - 1);
        if (row == before) {
            memcpy(highs, highs - pair, pair * sizeof *highs);
            memcpy(lows, lows - pair, pair * sizeof *lows);
            continue;
        }
        chroma_of_row(job, row, part.left - radius, padded, blue, red);
        range_across(width, radius, blue, highs, lows);
        range_across(width, radius, red, highs + width, lows + width);
        before = row;
    }
}

/* Result of a part, whose weights are in its place. */
static int strange_part(const Strange *job, Box part)
{
    int32_t radius = job->range->radius, width = part.right - part.left, rows = part.bottom - part.top + 2 * radius, length = 1;
    size_t pair = 2 * (size_t)width, floats = 2 * pair * rows + 8 * ((size_t)width + 2 * radius) + 4 * pair;
    float *highs = malloc(floats * sizeof *highs), *lows = highs + pair * rows, *room = lows + pair * rows;
    if (!highs)
        return 1;
    ranges_across(job, part, room, highs, lows);
    for (; length <= radius; length *= 2)
        for (int32_t y = 0; y + 2 * length <= rows; y++)
            extend(highs + pair * y, lows + pair * y, highs + pair * (y + length), lows + pair * (y + length), 2 * width);
    ptrdiff_t apart = (ptrdiff_t)pair * (2 * radius + 1 - length);
    float *made = room, *chroma = made + 3 * width, *far = chroma + pair;
    for (int32_t y = 0; y < part.bottom - part.top; y++) {
        size_t first = (size_t)(part.top + y) * job->width + part.left;
        make_row(job->range, job->reference + 3 * first, job->out + first, width, made, chroma, chroma + width);
        outside_of_row(chroma, highs + pair * y, lows + pair * y, apart, 2 * width, far);
        weigh(far, far + width, width, job->out + first);
    }
    free(highs);
    return 0;
}

static void strange_rows(void *argument, int32_t first, int32_t end)
{
    Strange *job = argument;
    float *marks = malloc(((size_t)job->width + 2 * NEAR) * sizeof *marks);
    int failed = !marks;
    for (int32_t top = first; top < end && !failed; top += LEAST_ROWS) {
        Box part = {top, top + LEAST_ROWS < end ? top + LEAST_ROWS : end, 0, 0};
        float *out = job->out + (size_t)top * job->width;
        for (int32_t y = part.top; y < part.bottom; y++)
            weight_of_row(job, y, marks, job->out + (size_t)y * job->width);
        narrow(out, job->width, &part);
        if (part.left < part.right)
            failed = strange_part(job, part);
    }
    free(marks);
    if (failed)
        job->failed = 1;
}

/* `strangeness` of fusion/motion/colour_range.py; grids: height x width x 3, where (or NULL) and out: height x width. Found in strips of
 * rows, in each between the first and the last column that matters. 0, or 1 if out of memory. */
int strangeness(Pool *pool, const Range *range, const float *reference, const float *there, const float *where, int32_t height,
                int32_t width, float *out)
{
    Strange job = {range, reference, there, where, height, width, out, 0};
    pool_run(pool, strange_rows, &job, height, LEAST_ROWS);
    return job.failed;
}

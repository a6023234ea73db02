/* The other exposure at the reference's moment (fusion/motion/compensation.py), row by row, for the CPU. No state. */
#include "motion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPAN 32  /* pixels that are replaced together, at most */
#define STEPS 16 /* places are rounded to such parts of a pixel, so that weights are whole 256ths */

static int32_t limited(int32_t value, int32_t last) { return value < 0 ? 0 : value > last ? last : value; }

static int32_t code(const void *row, int bytes, int32_t index)
{
    return bytes == 1 ? ((const uint8_t *)row)[index] : ((const uint16_t *)row)[index];
}

/* ---- the whole picture moved ---- */

/* Two rows of the exposure, and how far the place lies below the first and right of a pixel. */
typedef struct {
    const void *above, *below;
    int32_t down, right;
} Between;

#define WEIGHTS                                                                                      \
    int32_t w = STEPS * STEPS - STEPS * (at.down + at.right) + at.down * at.right;                   \
    int32_t w_right = STEPS * at.right - at.down * at.right, w_down = STEPS * at.down - at.down * at.right; \
    int32_t w_both = at.down * at.right

VECTORISED static void shift8(Between at, int32_t from, int32_t count, uint8_t *restrict out)
{
    WEIGHTS;
    const uint8_t *restrict above = (const uint8_t *)at.above + from, *restrict below = (const uint8_t *)at.below + from;
    uint16_t a = (uint16_t)w, b = (uint16_t)w_right, c = (uint16_t)w_down, d = (uint16_t)w_both;
    for (int32_t i = 0; i < count; i++) /* at most 255 * 256 + 128: 16 bits hold it */
        out[i] = (uint8_t)((uint16_t)(a * above[i] + b * above[i + 3] + c * below[i] + d * below[i + 3] + 128) >> 8);
}

VECTORISED static void shift16(Between at, int32_t from, int32_t count, uint16_t *restrict out)
{
    WEIGHTS;
    const uint16_t *restrict above = (const uint16_t *)at.above + from, *restrict below = (const uint16_t *)at.below + from;
    uint32_t a = (uint32_t)w, b = (uint32_t)w_right, c = (uint32_t)w_down, d = (uint32_t)w_both;
    for (int32_t i = 0; i < count; i++)
        out[i] = (uint16_t)((a * above[i] + b * above[i + 3] + c * below[i] + d * below[i + 3] + 128) >> 8);
}

static void shift(Between at, int bytes, int32_t from, int32_t to, int32_t pixels, void *out)
{
    if (bytes == 1)
        shift8(at, 3 * from, 3 * pixels, (uint8_t *)out + 3 * (size_t)to);
    else
        shift16(at, 3 * from, 3 * pixels, (uint16_t *)out + 3 * (size_t)to);
}

/* At the left and right border: the nearest pixel of both rows. */
static void edge_pixel(Between at, int bytes, int32_t from, int32_t to, void *out)
{
    for (int c = 0; c < 3; c++) {
        int32_t above = code(at.above, bytes, 3 * from + c), below = code(at.below, bytes, 3 * from + c);
        int32_t value = (STEPS * above + at.down * (below - above) + STEPS / 2) / STEPS;
        if (bytes == 1)
            ((uint8_t *)out)[3 * to + c] = (uint8_t)value;
        else
            ((uint16_t *)out)[3 * to + c] = (uint16_t)value;
    }
}

/* Columns first..last of row y, all `down` STEPS-ths below it in the other exposure; beyond its border the nearest pixel. */
static void move_span(const Compensation *job, int32_t y, int32_t down, int32_t first, int32_t last, void *out)
{
    const Picture *other = &job->other;
    int32_t place = limited(STEPS * y + down, STEPS * (other->height - 1)), above = place / STEPS;
    int32_t right = job->across[y] & (STEPS - 1), step = (job->across[y] - right) / STEPS;
    Between at = {row_of(other, above), row_of(other, limited(above + 1, other->height - 1)), place % STEPS, right};
    int32_t begin = first + limited(-step - first, last - first); /* the first column whose place has pixels either side */
    int32_t end = first + limited(other->width - 1 - step - first, last - first); /* the first after those */
    end = end < begin ? begin : end;
    shift(at, other->bytes_per_sample, begin + step, begin, end - begin, out);
    for (int32_t x = first; x < begin; x++)
        edge_pixel(at, other->bytes_per_sample, limited(x + step, other->width - 1), x, out);
    for (int32_t x = end; x < last; x++)
        edge_pixel(at, other->bytes_per_sample, limited(x + step, other->width - 1), x, out);
}

static void move_row(const Compensation *job, const int32_t *ends, int32_t y, void *out)
{
    for (int32_t first = 0; first < job->other.width; first = *ends++)
        move_span(job, y, job->down[first], first, *ends, out);
}

/* Where the spans of columns end that lie equally far down. */
static void find_spans(const Compensation *job, int32_t *ends)
{
    int32_t width = job->other.width;
    for (int32_t x = 1; x <= width; x++)
        if (x == width || job->down[x] != job->down[x - 1])
            *ends++ = x;
}

/* ---- where the reference stands alone ---- */

static const float *grid_row(const Compensation *job, int32_t row)
{
    return job->mask + (size_t)limited(row, job->grid_height - 1) * (size_t)job->grid_width;
}

VECTORISED static void between_rows(const float *restrict above, const float *restrict below, float down, int32_t count,
                                    float *restrict out)
{
    for (int32_t i = 0; i < count; i++)
        out[i] = above[i] + down * (below[i] - above[i]);
}

VECTORISED static int any_positive(const float *values, int32_t count)
{
    int any = 0;
    for (int32_t i = 0; i < count; i++)
        any |= values[i] > 0;
    return any;
}

/* The reference's shares on row y, by cell, and one more: as the last. Whether there are any. */
static int turn_to(const Compensation *job, Shares *shares, int32_t y)
{
    float down;
    int32_t first = between(y, job->other.height, job->grid_height, &down);
    between_rows(grid_row(job, first), grid_row(job, first + 1), down, job->grid_width, shares->cells);
    shares->cells[job->grid_width] = shares->cells[job->grid_width - 1];
    return any_positive(shares->cells, job->grid_width);
}

/* The fill on row y, by its cells, and one more: as the last. */
static void turn_fill_to(const Compensation *job, Shares *shares, int32_t y)
{
    float down;
    int32_t above = between(y, job->other.height, job->fill_height, &down), samples = 3 * job->fill_width;
    int32_t below = limited(above + 1, job->fill_height - 1);
    between_rows(job->fill + (size_t)above * samples, job->fill + (size_t)below * samples, down, samples, shares->fill);
    memcpy(shares->fill + samples, shares->fill + samples - 3, 3 * sizeof *shares->fill);
}

/* Where the reference clips, the other exposure shows no less than the fill. */
static void fill_pixel(const Compensation *job, const float *left, float along, const int32_t *codes, float *made)
{
    float bgr[3], clips[3], bright = 1;
    for (int c = 0; c < 3; c++) { /* the channels that do not clip tell how bright it can be */
        bgr[c] = left[c] + along * (left[c + 3] - left[c]);
        float clip = ((float)codes[c] - job->clip_start) * job->clip_scale;
        clips[c] = clip < 0 ? 0 : clip < 1 ? clip : 1;
        float least = bgr[c] > job->least_fill ? bgr[c] : job->least_fill;
        float part = clips[c] + (1 - clips[c]) * made[c] / least;
        bright = part < bright ? part : bright;
    }
    for (int c = 0; c < 3; c++) {
        float more = bright * bgr[c] - made[c];
        made[c] += clips[c] * (more > 0 ? more : 0);
    }
}

static void fill_span(const Compensation *job, const Shares *shares, const void *reference, int32_t x, int32_t count, float *made)
{
    int32_t start = (int32_t)job->clip_start;
    for (int32_t i = 0; i < count; i++) {
        int32_t codes[3], any = 0;
        for (int c = 0; c < 3; c++) {
            codes[c] = code(reference, job->other.bytes_per_sample, 3 * (x + i) + c);
            any |= codes[c] > start;
        }
        if (!any)
            continue;
        float along;
        int32_t left = between(x + i, job->other.width, job->fill_width, &along);
        fill_pixel(job, shares->fill + 3 * left, along, codes, made + 3 * i);
    }
}

/* Samples of a share that rises by `step` from one cell to the next. */
VECTORISED static void mix8(const float *restrict made, const float *restrict along, float share, float step, int32_t count,
                            uint8_t *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float there = out[i];
        out[i] = (uint8_t)(int32_t)(there + (share + along[i] * step) * (made[i] - there) + 0.5f);
    }
}

VECTORISED static void mix16(const float *restrict made, const float *restrict along, float share, float step, int32_t count,
                             uint16_t *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float there = out[i];
        out[i] = (uint16_t)(int32_t)(there + (share + along[i] * step) * (made[i] - there) + 0.5f);
    }
}

/* Pixels that lie between two cells, of which the left one has `share`. */
static void replace_span(const Compensation *job, const Shares *shares, const void *reference, int32_t x, int32_t count,
                         float share, float step, void *out)
{
    float made[3 * SPAN];
    size_t start = 3 * (size_t)x;
    int bytes = job->other.bytes_per_sample;
    for (int32_t i = 0; i < 3 * count; i++)
        made[i] = job->table[code(reference, bytes, (int32_t)start + i)];
    if (job->fill)
        fill_span(job, shares, reference, x, count, made);
    if (bytes == 1)
        mix8(made, shares->along + start, share, step, 3 * count, (uint8_t *)out + start);
    else
        mix16(made, shares->along + start, share, step, 3 * count, (uint16_t *)out + start);
}

static void replace_row(const Compensation *job, Shares *shares, int32_t y, void *out)
{
    const float *cells = shares->cells;
    const void *reference = row_of(&job->reference, y);
    if (job->fill)
        turn_fill_to(job, shares, y);
    for (int32_t cell = 0; cell < job->grid_width; cell++) {
        if (cells[cell] <= 0 && cells[cell + 1] <= 0)
            continue;
        for (int32_t x = shares->starts[cell], end = shares->starts[cell + 1]; x < end; x += SPAN)
            replace_span(job, shares, reference, x, end - x < SPAN ? end - x : SPAN, cells[cell], cells[cell + 1] - cells[cell], out);
    }
}

int start_shares(const Compensation *job, Shares *shares)
{
    size_t width = (size_t)job->other.width, cells = (size_t)job->grid_width + 1, fill = 3 * ((size_t)job->fill_width + 1);
    size_t bytes = (cells + 3 * width + fill) * sizeof(float) + (cells + width) * sizeof(int32_t);
    shares->cells = malloc(bytes + 3 * width * (size_t)job->other.bytes_per_sample);
    if (!shares->cells)
        return 1;
    shares->along = shares->cells + cells;
    shares->fill = shares->along + 3 * width;
    shares->starts = (int32_t *)(shares->fill + fill);
    shares->ends = shares->starts + cells;
    shares->row = shares->ends + width;
    lay_out(job->other.width, job->grid_width, 3, shares->along, shares->starts);
    if (job->across)
        find_spans(job, shares->ends);
    return 0;
}

void end_shares(Shares *shares) { free(shares->cells); }

const void *compensated_row(const Compensation *job, Shares *shares, int32_t y)
{
    int any = turn_to(job, shares, y);
    if (!any && !job->across)
        return row_of(&job->other, y);
    if (job->across)
        move_row(job, shares->ends, y, shares->row);
    else
        memcpy(shares->row, row_of(&job->other, y), 3 * (size_t)job->other.width * (size_t)job->other.bytes_per_sample);
    if (any)
        replace_row(job, shares, y, shares->row);
    return shares->row;
}

/* Rows top..bottom of the other exposure as it would have been. 0, or 1 if out of memory. */
int compensate_rows(const Compensation *job, void *out, ptrdiff_t out_stride, int32_t top, int32_t bottom)
{
    Shares shares;
    if (start_shares(job, &shares))
        return 1;
    size_t row_bytes = 3 * (size_t)job->other.width * (size_t)job->other.bytes_per_sample;
    for (int32_t y = top; y < bottom; y++)
        memcpy((char *)out + y * out_stride, compensated_row(job, &shares, y), row_bytes);
    end_shares(&shares);
    return 0;
}

/* ---- where the exposures disagree ---- */

typedef struct {
    const float *expected; /* knots + 1: the brighter exposure's value for each of the darker one's */
    const float *noise;    /* knots + 1: variance of the difference */
    int32_t knots;
    float contrast_part, sure, certain;
} Allowed;

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

VECTORISED static void squares_of_row(const Allowed *allowed, const float *restrict under, const float *restrict over,
                                      int32_t samples, float *restrict contrast)
{
    const float knots = (float)allowed->knots, part = allowed->contrast_part;
    const float *restrict expected = allowed->expected, *restrict noise = allowed->noise;
    for (int32_t i = 0; i < samples; i++) {
        int32_t knot = (int32_t)(under[i] * knots + 0.5f);
        float blur = part * contrast[i], difference = expected[knot] - over[i];
        contrast[i] = difference * difference / (noise[knot] + blur * blur);
    }
}

VECTORISED static void ramp_of_row(const Allowed *allowed, const float *restrict squares, int32_t cells, float *restrict out)
{
    const float sure = allowed->sure, scale = 1.0f / (allowed->certain - allowed->sure);
    for (int32_t i = 0; i < cells; i++) {
        float most = squares[3 * i] > squares[3 * i + 1] ? squares[3 * i] : squares[3 * i + 1];
        most = most > squares[3 * i + 2] ? most : squares[3 * i + 2];
        float ramp = (sqrtf(most) - sure) * scale;
        out[i] = ramp < 0 ? 0 : ramp < 1 ? ramp : 1;
    }
}

static void copy_ends(float *extremes, int32_t samples)
{
    memcpy(extremes, extremes + 3, 3 * sizeof *extremes);
    memcpy(extremes + 3 + samples, extremes + samples, 3 * sizeof *extremes);
}

/* How surely two grids (height x width x 3, encoded 0..1) disagree, 0..1. 0, or 1 if out of memory. */
int disagreement(const Allowed *allowed, const float *under, const float *over, int32_t height, int32_t width, float *out)
{
    int32_t samples = 3 * width;
    float *most = malloc((3 * (size_t)samples + 12) * sizeof *most);
    if (!most)
        return 1;
    float *least = most + samples + 6, *squares = least + samples + 6;
    for (int32_t y = 0; y < height; y++) {
        const float *row = over + (size_t)y * samples;
        extremes_of_rows(y > 0 ? row - samples : row, row, y < height - 1 ? row + samples : row, samples, most + 3, least + 3);
        copy_ends(most, samples);
        copy_ends(least, samples);
        contrast_of_row(most, least, samples, squares);
        squares_of_row(allowed, under + (size_t)y * samples, row, samples, squares);
        ramp_of_row(allowed, squares, width, out + (size_t)y * width);
    }
    free(most);
    return 0;
}

/* The other exposure at the reference's moment (fusion/motion/compensation.py), row by row, for the CPU. No state. */
#include "grids.h"
#include "motion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPAN 64  /* pixels that are replaced together, at most */
#define STEPS 16 /* places are rounded to such parts of a pixel, so that weights are whole 256ths */

static int32_t limited(int32_t value, int32_t last) { return value < 0 ? 0 : value > last ? last : value; }

static int32_t code(const void *row, int bytes, int32_t index)
{
    return bytes == 1 ? ((const uint8_t *)row)[index] : ((const uint16_t *)row)[index];
}

/* ---- the whole picture moved ---- */

/* Two rows of the exposure, and how far right of a pixel the place lies. `down`: of every sample, how far below the upper row. */
typedef struct {
    const void *above, *below;
    const uint16_t *down;
    int32_t right;
} Between;

/* lower - upper may be negative: what counts is that the sum, modulo 2^16, lies within 0..255 * 256. */
VECTORISED static void shift8(Between at, int32_t from, int32_t to, int32_t count, uint8_t *restrict out)
{
    const uint8_t *restrict above = (const uint8_t *)at.above + from, *restrict below = (const uint8_t *)at.below + from;
    const uint16_t *restrict down = at.down + to;
    uint16_t right = (uint16_t)at.right, left = (uint16_t)(STEPS - right);
    for (int32_t i = 0; i < count; i++) {
        uint16_t a = above[i], b = above[i + 3], c = below[i], d = below[i + 3];
        uint16_t upper = (uint16_t)(left * a + right * b), lower = (uint16_t)(left * c + right * d);
        out[to + i] = (uint8_t)((uint16_t)(STEPS * upper + down[i] * (uint16_t)(lower - upper) + STEPS * STEPS / 2) >> 8);
    }
}

VECTORISED static void shift16(Between at, int32_t from, int32_t to, int32_t count, uint16_t *restrict out)
{
    const uint16_t *restrict above = (const uint16_t *)at.above + from, *restrict below = (const uint16_t *)at.below + from;
    const uint16_t *restrict down = at.down + to;
    int32_t right = at.right, left = STEPS - right;
    for (int32_t i = 0; i < count; i++) {
        int32_t upper = left * above[i] + right * above[i + 3], lower = left * below[i] + right * below[i + 3];
        out[to + i] = (uint16_t)((STEPS * upper + down[i] * (lower - upper) + STEPS * STEPS / 2) >> 8);
    }
}

/* Pixel `to` of the row, at the left and right border: between the nearest pixels, `from`, of both rows. */
static void edge_pixel(Between at, int bytes, int32_t from, int32_t to, void *out)
{
    for (int c = 0; c < 3; c++) {
        int32_t above = code(at.above, bytes, 3 * from + c), below = code(at.below, bytes, 3 * from + c);
        int32_t value = (STEPS * above + at.down[3 * to] * (below - above) + STEPS / 2) / STEPS;
        if (bytes == 1)
            ((uint8_t *)out)[3 * to + c] = (uint8_t)value;
        else
            ((uint16_t *)out)[3 * to + c] = (uint16_t)value;
    }
}

/* STEPS-ths of a pixel as whole ones, rounded down. */
static int32_t whole(int32_t steps) { return (steps - (steps & (STEPS - 1))) / STEPS; }

/* Columns first..last of row y, which all lie below the same row of the other exposure; beyond its border the nearest pixel. */
static void move_span(const Compensation *job, const Shares *shares, int32_t y, int32_t first, int32_t last)
{
    const Picture *other = &job->other;
    int bytes = other->bytes_per_sample;
    int32_t row = y + whole(job->down[first]), lowest = other->height - 1, step = whole(job->across[y]);
    Between at = {row_of(other, limited(row, lowest)), row_of(other, limited(row + 1, lowest)), shares->parts,
                  job->across[y] - STEPS * step};
    int32_t begin = first + limited(-step - first, last - first); /* the first column whose place has pixels either side */
    int32_t end = first + limited(other->width - 1 - step - first, last - first); /* the first after those */
    end = end < begin ? begin : end;
    if (bytes == 1)
        shift8(at, 3 * (begin + step), 3 * begin, 3 * (end - begin), shares->row);
    else
        shift16(at, 3 * (begin + step), 3 * begin, 3 * (end - begin), shares->row);
    for (int32_t x = first; x < begin; x++)
        edge_pixel(at, bytes, limited(x + step, other->width - 1), x, shares->row);
    for (int32_t x = end; x < last; x++)
        edge_pixel(at, bytes, limited(x + step, other->width - 1), x, shares->row);
}

static void move_row(const Compensation *job, const Shares *shares, int32_t y)
{
    const int32_t *end = shares->ends;
    for (int32_t first = 0; first < job->other.width; first = *end++)
        move_span(job, shares, y, first, *end);
}

/* Where the spans of columns end that lie below the same row, and how far below it each sample lies. */
static void find_spans(const Compensation *job, const Shares *shares)
{
    int32_t width = job->other.width, *end = shares->ends;
    for (int32_t x = 1; x <= width; x++)
        if (x == width || whole(job->down[x]) != whole(job->down[x - 1]))
            *end++ = x;
    for (int32_t i = 0; i < 3 * width; i++)
        shares->parts[i] = (uint16_t)(job->down[i / 3] & (STEPS - 1));
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

/* The stretches of spans, each between two cells, where one of the four cells around has a share: the same for all rows of
 * pixels between `upper` and the row of cells below it. */
static void find_stretches(const Compensation *job, Shares *shares, int32_t upper)
{
    const float *above = grid_row(job, upper), *below = grid_row(job, upper + 1);
    int32_t *edge = shares->stretches, inside = 0, last = job->grid_width - 1;
    for (int32_t cell = 0; cell <= last; cell++) {
        int32_t next = cell < last ? cell + 1 : last;
        int has = above[cell] > 0 || below[cell] > 0 || above[next] > 0 || below[next] > 0;
        if (has != inside)
            *edge++ = cell;
        inside = has;
    }
    if (inside)
        *edge++ = job->grid_width;
    shares->stretches_end = edge;
    shares->upper = upper;
}

/* Whether the reference has a share on row y. */
static int turn_to(const Compensation *job, Shares *shares, int32_t y)
{
    int32_t upper = between(y, job->other.height, job->grid_height, &shares->below_upper);
    if (upper != shares->upper)
        find_stretches(job, shares, upper);
    return shares->stretches_end > shares->stretches;
}

/* The fill on row y, by its cells, and one more: as the last. */
static void turn_fill_to(const Compensation *job, float *fill, int32_t y)
{
    float down;
    int32_t above = between(y, job->other.height, job->fill_height, &down), samples = 3 * job->fill_width;
    int32_t below = limited(above + 1, job->fill_height - 1);
    between_rows(job->fill + (size_t)above * samples, job->fill + (size_t)below * samples, down, samples, fill);
    memcpy(fill + samples, fill + samples - 3, 3 * sizeof *fill);
}

/* Where the reference clips, the other exposure shows no less than the fill. */
static inline __attribute__((always_inline)) void fill_pixel(const Compensation *job, const float *fill, const float *seen,
                                                             const float *there, float *made)
{
    float clips[3], bright = 1, stays = 1;
    for (int c = 0; c < 3; c++) {
        float clip = (seen[c] - job->clip_start) * job->clip_scale;
        clips[c] = clip < 0 ? 0 : clip < 1 ? clip : 1;
        float part = clips[c] + (1 - clips[c]) * made[c] / (fill[c] > job->least_fill ? fill[c] : job->least_fill);
        bright = part < bright ? part : bright; /* the channels that do not clip tell how bright it can be */
        float more = there[c] - made[c], differs = more < 0 ? -more : (1 - clips[c]) * more; /* one that clips may have been brighter */
        float alike = 1 - differs / (job->like * (made[c] > job->least_fill ? made[c] : job->least_fill));
        stays = alike < stays ? alike : stays;
    }
    stays = stays < 0 ? 0 : stays;
    for (int c = 0; c < 3; c++) {
        float more = stays * there[c] + (1 - stays) * bright * fill[c] - made[c];
        made[c] += clips[c] * (more > 0 ? more : 0);
    }
}

/* The fill at a pixel, from a row of its cells. */
static inline void fill_at(const Compensation *job, const float *row, int32_t x, float *fill)
{
    float along;
    const float *left = row + 3 * between(x, job->other.width, job->fill_width, &along);
    for (int c = 0; c < 3; c++)
        fill[c] = left[c] + along * (left[c + 3] - left[c]);
}

typedef struct {
    float fill[3][SPAN], seen[3][SPAN], there[3][SPAN], made[3][SPAN];
} Planes;

VECTORISED static void fill_planes(const Compensation *job, Planes *restrict planes, int32_t count)
{
    const Compensation constants = *job;
    for (int32_t i = 0; i < count; i++) {
        float fill[3], seen[3], there[3], made[3];
        for (int c = 0; c < 3; c++)
            fill[c] = planes->fill[c][i], seen[c] = planes->seen[c][i], there[c] = planes->there[c][i], made[c] = planes->made[c][i];
        fill_pixel(&constants, fill, seen, there, made);
        for (int c = 0; c < 3; c++)
            planes->made[c][i] = made[c];
    }
}

static void fill_span(const Compensation *job, const Shares *shares, const void *reference, int32_t x, int32_t count, float *made)
{
    Planes planes;
    int bytes = job->other.bytes_per_sample;
    for (int32_t i = 0; i < count; i++) {
        float fill[3];
        fill_at(job, shares->fill, x + i, fill);
        for (int c = 0; c < 3; c++) {
            planes.fill[c][i] = fill[c];
            planes.seen[c][i] = (float)code(reference, bytes, 3 * (x + i) + c);
            planes.there[c][i] = (float)code(shares->row, bytes, 3 * (x + i) + c);
            planes.made[c][i] = made[3 * i + c];
        }
    }
    fill_planes(job, &planes, count);
    for (int32_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++)
            made[3 * i + c] = planes.made[c][i];
}

VECTORISED static void mix8(const float *restrict made, const float *restrict share, int32_t samples, uint8_t *restrict out)
{
    for (int32_t i = 0; i < samples; i++) {
        float there = out[i];
        out[i] = (uint8_t)(int32_t)(there + share[i] * (made[i] - there) + 0.5f);
    }
}

VECTORISED static void mix16(const float *restrict made, const float *restrict share, int32_t samples, uint16_t *restrict out)
{
    for (int32_t i = 0; i < samples; i++) {
        float there = out[i];
        out[i] = (uint16_t)(int32_t)(there + share[i] * (made[i] - there) + 0.5f);
    }
}

static const float LUMA[3] = {0.114f, 0.587f, 0.299f};

/* Where a darker reference is dim, what is made of it has the tint; belief: 1 where it is not. See with_tints of dim_colour.py. */
static inline __attribute__((always_inline)) void tint_pixel(const Compensation *job, const float *tint, float belief, float *made)
{
    float luma = LUMA[0] * made[0] + LUMA[1] * made[1] + LUMA[2] * made[2];
    float smooth = LUMA[0] * tint[0] + LUMA[1] * tint[1] + LUMA[2] * tint[2], apart = luma - smooth, square = apart * apart;
    float gain = (smooth + apart * square / (square + job->grain) + job->faint) / (smooth + job->faint);
    for (int c = 0; c < 3; c++) {
        float lit = (tint[c] + job->faint) * gain - job->faint;
        made[c] = belief * made[c] + (1 - belief) * (lit < 0 ? 0 : lit < job->white ? lit : job->white);
    }
}

VECTORISED static void tint_pixels(const Compensation *job, const float *restrict tints, const float *restrict beliefs, int32_t count,
                                   float *restrict made)
{
    const Compensation constants = *job;
    for (int32_t i = 0; i < count; i++)
        tint_pixel(&constants, tints + 3 * i, beliefs[i], made + 3 * i);
}

/* How far a pixel of the reference, with this largest value, is not dim. */
static inline float belief_in(const Compensation *job, float largest)
{
    float belief = (largest - job->dim) * job->dim_scale;
    return belief < 0 ? 0 : belief < 1 ? belief : 1;
}

static void tint_span(const Compensation *job, const Shares *shares, const void *reference, int32_t x, int32_t count, float *made)
{
    int bytes = job->other.bytes_per_sample, any = 0;
    float beliefs[SPAN];
    for (int32_t i = 0; i < count; i++) {
        int32_t place = 3 * (x + i), first = code(reference, bytes, place), second = code(reference, bytes, place + 1);
        int32_t third = code(reference, bytes, place + 2), largest = first > second ? first : second;
        beliefs[i] = belief_in(job, (float)(largest > third ? largest : third));
        any |= beliefs[i] < 1;
    }
    if (any)
        tint_pixels(job, shares->tint + 3 * x, beliefs, count, made);
}

/* `count` pixels from column x on. */
static void replace_span(const Compensation *job, const Shares *shares, const void *reference, int32_t x, int32_t count)
{
    float made[3 * SPAN];
    int bytes = job->other.bytes_per_sample;
    int32_t start = 3 * x, most = 0;
    for (int32_t i = 0; i < 3 * count; i++) {
        int32_t seen = code(reference, bytes, start + i);
        most = seen > most ? seen : most;
        made[i] = job->table[i % 3 * job->codes + seen];
    }
    if (job->fill && job->tinted)
        tint_span(job, shares, reference, x, count, made);
    else if (job->fill && (float)most > job->clip_start)
        fill_span(job, shares, reference, x, count, made);
    if (bytes == 1)
        mix8(made, shares->share + start, 3 * count, (uint8_t *)shares->row + start);
    else
        mix16(made, shares->share + start, 3 * count, (uint16_t *)shares->row + start);
}

/* The reference's shares in the samples of the spans first..last (exclusive). */
VECTORISED static void widen_shares(const Compensation *job, Shares *shares, int32_t first, int32_t last)
{
    const float *above = grid_row(job, shares->upper), *below = grid_row(job, shares->upper + 1);
    const float *restrict along = shares->along;
    float *restrict share = shares->share, down = shares->below_upper, left = above[first] + down * (below[first] - above[first]);
    for (int32_t cell = first; cell < last; cell++) {
        int32_t next = limited(cell + 1, job->grid_width - 1);
        float right = above[next] + down * (below[next] - above[next]);
        for (int32_t i = 3 * shares->starts[cell]; i < 3 * shares->starts[cell + 1]; i++)
            share[i] = left + along[i] * (right - left);
        left = right;
    }
}

/* The tint at columns first..last (exclusive), from its row of cells. */
static void widen_tint(const Compensation *job, Shares *shares, int32_t first, int32_t last)
{
    for (int32_t cell = 0; cell < job->fill_width; cell++) {
        const float *left = shares->fill + 3 * cell;
        int32_t begin = shares->tint_starts[cell], end = shares->tint_starts[cell + 1];
        begin = begin < first ? first : begin;
        end = end > last ? last : end;
        for (int32_t x = begin; x < end; x++)
            for (int c = 0; c < 3; c++)
                shares->tint[3 * x + c] = left[c] + shares->tint_along[x] * (left[c + 3] - left[c]);
    }
}

static void replace_stretch(const Compensation *job, Shares *shares, const void *reference, int32_t first, int32_t last)
{
    widen_shares(job, shares, first, last);
    if (job->tinted)
        widen_tint(job, shares, shares->starts[first], shares->starts[last]);
    for (int32_t x = shares->starts[first], end = shares->starts[last]; x < end; x += SPAN)
        replace_span(job, shares, reference, x, end - x < SPAN ? end - x : SPAN);
}

static void replace_row(const Compensation *job, Shares *shares, const void *reference, int32_t y)
{
    if (job->fill)
        turn_fill_to(job, shares->fill, y);
    for (const int32_t *edge = shares->stretches; edge < shares->stretches_end; edge += 2)
        replace_stretch(job, shares, reference, edge[0], edge[1]);
}

int start_shares(const Compensation *job, Shares *shares)
{
    size_t width = (size_t)job->other.width, cells = (size_t)job->grid_width + 1, fill = 3 * ((size_t)job->fill_width + 1);
    size_t bytes = (10 * width + fill) * sizeof(float) + (2 * cells + width + fill) * sizeof(int32_t) + 3 * width * sizeof(uint16_t);
    shares->share = malloc(bytes + 3 * width * (size_t)job->other.bytes_per_sample);
    if (!shares->share)
        return 1;
    shares->along = shares->share + 3 * width;
    shares->fill = shares->along + 3 * width;
    shares->tint = shares->fill + fill;
    shares->tint_along = shares->tint + 3 * width;
    shares->tint_starts = (int32_t *)(shares->tint_along + width);
    shares->starts = shares->tint_starts + fill;
    shares->stretches = shares->starts + cells;
    shares->upper = -1;
    shares->ends = shares->stretches + cells;
    shares->parts = (uint16_t *)(shares->ends + width);
    shares->row = shares->parts + 3 * width;
    lay_out(job->other.width, job->grid_width, 3, shares->along, shares->starts);
    if (job->tinted)
        lay_out(job->other.width, job->fill_width, 1, shares->tint_along, shares->tint_starts);
    if (job->across)
        find_spans(job, shares);
    return 0;
}

void end_shares(Shares *shares) { free(shares->share); }

const void *compensated_row(const Compensation *job, Shares *shares, const void *reference, int32_t y)
{
    int any = turn_to(job, shares, y);
    if (!any && !job->across)
        return row_of(&job->other, y);
    if (job->across)
        move_row(job, shares, y);
    else
        memcpy(shares->row, row_of(&job->other, y), 3 * (size_t)job->other.width * (size_t)job->other.bytes_per_sample);
    if (any)
        replace_row(job, shares, reference, y);
    return shares->row;
}

/* How far the places of `count` rows or columns lie in the other exposure, STEPS-ths of a pixel; see `places` of
 * fusion/motion/exposure_synthesis.py. */
static int32_t *find_places(double slope, double start, int32_t count, int32_t *out)
{
    for (int32_t i = 0; i < count; i++)
        out[i] = (int32_t)floor(STEPS * (slope * i + start) + 0.5);
    return out;
}

/* Sets table, places and fill of a job of pictures in codes. curves: 3 x knots + 1; offsets: see Move.offsets, NULL: no move; fill:
 * encoded, or NULL. room: 3 x codes + height + width + the fill's, all of four bytes. */
void prepare_codes(Compensation *job, const double *curves, int32_t knots, const double *offsets, const float *fill, float *room)
{
    int32_t height = job->other.height, width = job->other.width, samples = 3 * job->fill_height * job->fill_width;
    code_tables(curves, knots, job->codes, room);
    job->table = room;
    int32_t *across = (int32_t *)(room + 3 * (size_t)job->codes), *down = across + height;
    if (offsets) {
        job->across = find_places(offsets[0], offsets[1], height, across);
        job->down = find_places(offsets[2], offsets[3], width, down);
    }
    float *codes = (float *)(down + width);
    for (int32_t i = 0; fill && i < samples; i++)
        codes[i] = fill[i] * job->white;
    job->fill = fill ? codes : NULL;
}

/* Rows top..bottom of the other exposure as it would have been. 0, or 1 if out of memory. */
int compensate_rows(const Compensation *job, void *out, ptrdiff_t out_stride, int32_t top, int32_t bottom)
{
    Shares shares;
    if (start_shares(job, &shares))
        return 1;
    size_t row_bytes = 3 * (size_t)job->other.width * (size_t)job->other.bytes_per_sample;
    for (int32_t y = top; y < bottom; y++)
        memcpy((char *)out + y * out_stride, compensated_row(job, &shares, row_of(&job->reference, y), y), row_bytes);
    end_shares(&shares);
    return 0;
}

/* ---- the grid ---- */

/* A cell of the grid, a pixel of a picture whose values are encoded, 0..1, changes the mean of which it has the part `share`. */
static void add_change(const Compensation *job, const float *fill, int32_t x, float share, const float *seen, const float *there,
                       float *mean)
{
    float made[3];
    for (int c = 0; c < 3; c++)
        made[c] = job->table[c * job->codes + (int32_t)(seen[c] * (float)(job->codes - 1) + 0.5f)];
    float largest = seen[0] > seen[1] ? seen[0] : seen[1], behind[3];
    largest = largest > seen[2] ? largest : seen[2];
    float belief = job->tinted ? belief_in(job, largest) : 1;
    if (fill && (belief < 1 || (!job->tinted && largest > job->clip_start))) {
        fill_at(job, fill, x, behind);
        if (job->tinted)
            tint_pixel(job, behind, belief, made);
        else
            fill_pixel(job, behind, seen, there, made);
    }
    for (int c = 0; c < 3; c++)
        mean[c] += share * (made[c] - there[c]);
}

#define LEAST_ROWS 8 /* of means, that are worth another thread */

typedef struct {
    const Compensation *job;
    int32_t cells;
    float *fills, *means; /* a row of the fill for each batch */
} Remaking;

static void remake_rows(void *argument, int32_t top, int32_t bottom)
{
    const Remaking *remaking = argument;
    const Compensation *job = remaking->job;
    int32_t width = job->other.width, cells = remaking->cells;
    float *fill = job->fill ? remaking->fills + 3 * (size_t)(top / LEAST_ROWS) * (job->fill_width + 1) : NULL;
    float *means = remaking->means, part = 1.0f / (float)(cells * cells);
    for (int32_t y = top * cells; y < bottom * cells; y++) {
        const float *seen = row_of(&job->reference, y), *there = row_of(&job->other, y), *share = job->mask + (size_t)y * width;
        float *row = means + 3 * (size_t)(y / cells) * (width / cells);
        if (!any_positive(share, width))
            continue;
        if (fill)
            turn_fill_to(job, fill, y);
        for (int32_t x = 0; x < width; x++)
            if (share[x] > 0)
                add_change(job, fill, x, part * share[x], seen + 3 * x, there + 3 * x, row + 3 * (x / cells));
    }
}

int remake_means(Pool *pool, const Compensation *job, int32_t cells, float *means)
{
    int32_t rows = job->other.height / cells;
    float *fills = job->fill ? malloc(3 * ((size_t)rows / LEAST_ROWS + 1) * ((size_t)job->fill_width + 1) * sizeof *fills) : NULL;
    if (job->fill && !fills)
        return 1;
    Remaking remaking = {job, cells, fills, means};
    pool_run(pool, remake_rows, &remaking, rows, LEAST_ROWS);
    free(fills);
    return 0;
}

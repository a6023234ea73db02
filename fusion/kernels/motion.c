/* The other exposure at the reference's moment (fusion/motion/compensation.py), row by row, for the CPU. No state. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

#define GUIDES 4 /* planes of the grid: the reference's share, and the fill's B, G, R in codes */

typedef struct {
    Picture reference, other;
    void *out; /* other's shape and sample size; must not be `other` where that is moved */
    ptrdiff_t out_stride;
    const float *table;  /* the other's code, whole, for every code of the reference */
    const float *guides; /* grid_height x GUIDES x grid_width */
    int32_t grid_height, grid_width;
    double move[6];      /* from a pixel of the reference to its place in the other: x' = m0 x + m1 y + m2, y' = m3 x + ... */
    int32_t moved, fills;
    float clip_start, clip_scale; /* codes */
} Compensation;

/* Places of the picture's columns on the grid, and two rows of shares as wide as the picture, thrice each: once a sample. */
typedef struct {
    int32_t *left; /* grid column left of each column's centre, and how far it is on the way to the next */
    float *along;
    float *above, *below; /* shares in two neighbouring grid rows, 3 x width */
    float *share;         /* those of the row at hand */
    int32_t first;        /* grid row in `above`, -1 before the first use */
    int any_above, any_below;
} Shares;

static int32_t limited(int32_t value, int32_t last) { return value < 0 ? 0 : value > last ? last : value; }

static float sample(const void *row, int bytes, int32_t index)
{
    return bytes == 1 ? ((const uint8_t *)row)[index] : ((const uint16_t *)row)[index];
}

static void store(void *row, int bytes, int32_t index, float value)
{
    if (bytes == 1)
        ((uint8_t *)row)[index] = (uint8_t)(value + 0.5f);
    else
        ((uint16_t *)row)[index] = (uint16_t)(value + 0.5f);
}

/* ---- the whole picture moved ---- */

static void moved_pixel(const Compensation *job, double x, double y, void *out, int32_t column)
{
    const Picture *other = &job->other;
    int bytes = other->bytes_per_sample;
    x = x < 0 ? 0 : x > other->width - 1 ? other->width - 1 : x;
    y = y < 0 ? 0 : y > other->height - 1 ? other->height - 1 : y;
    int32_t left = (int32_t)x, above = (int32_t)y;
    int32_t right = limited(left + 1, other->width - 1), below = limited(above + 1, other->height - 1);
    const void *first = row_of(other, above), *second = row_of(other, below);
    float part_x = (float)(x - left), part_y = (float)(y - above);
    for (int c = 0; c < 3; c++) {
        float a = sample(first, bytes, 3 * left + c), b = sample(first, bytes, 3 * right + c);
        float d = sample(second, bytes, 3 * left + c), e = sample(second, bytes, 3 * right + c);
        float upper = a + part_x * (b - a), lower = d + part_x * (e - d);
        store(out, bytes, 3 * column + c, upper + part_y * (lower - upper));
    }
}

VECTORISED static void shift8(const uint8_t *restrict above, const uint8_t *restrict below, float x, float y, int32_t count,
                              uint8_t *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float a = above[i], d = below[i];
        float upper = a + x * (above[i + 3] - a), lower = d + x * (below[i + 3] - d);
        out[i] = (uint8_t)(int32_t)(upper + y * (lower - upper) + 0.5f);
    }
}

VECTORISED static void shift16(const uint16_t *restrict above, const uint16_t *restrict below, float x, float y,
                               int32_t count, uint16_t *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float a = above[i], d = below[i];
        float upper = a + x * (above[i + 3] - a), lower = d + x * (below[i + 3] - d);
        out[i] = (uint16_t)(int32_t)(upper + y * (lower - upper) + 0.5f);
    }
}

static void move_row(const Compensation *job, int32_t y, void *out)
{
    const double *m = job->move;
    const Picture *other = &job->other;
    int32_t width = other->width, first = 0, last = 0;
    double x_place = m[1] * y + m[2], y_place = m[4] * y + m[5];
    if (m[3] == 0 && y_place >= 0 && y_place < other->height - 1) { /* rows stay rows: all but the ends in one go */
        int32_t step = (int32_t)(x_place < 0 ? x_place - 1 : x_place), row = (int32_t)y_place; /* step <= x_place */
        first = limited(-step, width);
        last = limited(width - 1 - step, width);
        last = last < first ? first : last;
        size_t from = 3 * (size_t)(first + step) * (size_t)other->bytes_per_sample;
        const char *above = (const char *)row_of(other, row) + from, *below = (const char *)row_of(other, row + 1) + from;
        float part_x = (float)(x_place - step), part_y = (float)(y_place - row);
        int32_t count = 3 * (last - first);
        if (other->bytes_per_sample == 1)
            shift8((const uint8_t *)above, (const uint8_t *)below, part_x, part_y, count, (uint8_t *)out + 3 * first);
        else
            shift16((const uint16_t *)above, (const uint16_t *)below, part_x, part_y, count, (uint16_t *)out + 3 * first);
    }
    for (int32_t x = 0; x < width; x = x + 1 == first ? last : x + 1)
        if (x < first || x >= last)
            moved_pixel(job, m[0] * x + x_place, m[3] * x + y_place, out, x);
}

/* ---- where the reference stands alone ---- */

static int widen(const Compensation *job, const Shares *shares, int32_t grid_row, float *wide)
{
    const float *row = job->guides + (size_t)grid_row * GUIDES * (size_t)job->grid_width;
    int any = 0;
    for (int32_t x = 0; x < job->grid_width; x++)
        any |= row[x] > 0;
    for (int32_t x = 0; any && x < job->other.width; x++) {
        int32_t left = shares->left[x], right = left + 1 < job->grid_width ? left + 1 : left;
        wide[3 * x] = wide[3 * x + 1] = wide[3 * x + 2] = row[left] + shares->along[x] * (row[right] - row[left]);
    }
    return any;
}

static void turn_to(const Compensation *job, Shares *shares, int32_t first)
{
    if (shares->first == first)
        return;
    int32_t second = first + 1 < job->grid_height ? first + 1 : first;
    size_t bytes = 3 * (size_t)job->other.width * sizeof(float);
    if (!(shares->any_above = widen(job, shares, first, shares->above)))
        memset(shares->above, 0, bytes);
    if (!(shares->any_below = widen(job, shares, second, shares->below)))
        memset(shares->below, 0, bytes);
    shares->first = first;
}

VECTORISED static void between_rows(const float *restrict above, const float *restrict below, float down, int32_t count,
                                    float *restrict out)
{
    for (int32_t i = 0; i < count; i++)
        out[i] = above[i] + down * (below[i] - above[i]);
}

VECTORISED static int any_positive(const float *restrict values, int32_t count)
{
    int any = 0;
    for (int32_t i = 0; i < count; i++)
        any |= values[i] > 0;
    return any;
}

VECTORISED static int any_above8(const uint8_t *restrict codes, int32_t limit, int32_t count)
{
    int any = 0;
    for (int32_t i = 0; i < count; i++)
        any |= codes[i] > limit;
    return any;
}

/* Where the reference clips, the other exposure shows no less than the fill. */
static void fill_block(const Compensation *job, const Shares *shares, const void *reference, float down, int32_t x,
                       int32_t count, float *made)
{
    int bytes = job->other.bytes_per_sample;
    if (bytes == 1 && !any_above8((const uint8_t *)reference + 3 * (size_t)x, (int32_t)job->clip_start, 3 * count))
        return;
    size_t plane = (size_t)job->grid_width;
    const float *above = job->guides + ((size_t)shares->first * GUIDES + 1) * plane;
    const float *below = shares->first + 1 < job->grid_height ? above + GUIDES * plane : above;
    for (int32_t i = 0; i < 3 * count; i++) {
        float over = sample(reference, bytes, 3 * x + i) - job->clip_start;
        if (over > 0 && shares->share[3 * x + i] > 0) {
            size_t left = (size_t)shares->left[x + i / 3] + (size_t)(i % 3) * plane;
            size_t right = shares->left[x + i / 3] + 1 < job->grid_width ? left + 1 : left;
            float along = shares->along[x + i / 3], clipped = over * job->clip_scale;
            float upper = above[left] + along * (above[right] - above[left]);
            float lower = below[left] + along * (below[right] - below[left]);
            float more = upper + down * (lower - upper) - made[i];
            made[i] += more > 0 ? (clipped < 1 ? clipped : 1) * more : 0;
        }
    }
}

VECTORISED static void mix8(const float *restrict made, const float *restrict share, int32_t count, uint8_t *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float there = out[i];
        out[i] = (uint8_t)(int32_t)(there + share[i] * (made[i] - there) + 0.5f);
    }
}

VECTORISED static void mix16(const float *restrict made, const float *restrict share, int32_t count, uint16_t *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float there = out[i];
        out[i] = (uint16_t)(int32_t)(there + share[i] * (made[i] - there) + 0.5f);
    }
}

static void replace_block(const Compensation *job, const Shares *shares, int32_t y, float down, int32_t x, int32_t count,
                          void *out)
{
    float made[3 * BLOCK];
    const void *reference = row_of(&job->reference, y);
    if (job->other.bytes_per_sample == 1) {
        const uint8_t *codes = (const uint8_t *)reference + 3 * (size_t)x;
        for (int32_t i = 0; i < 3 * count; i++)
            made[i] = job->table[codes[i]];
    } else {
        const uint16_t *codes = (const uint16_t *)reference + 3 * (size_t)x;
        for (int32_t i = 0; i < 3 * count; i++)
            made[i] = job->table[codes[i]];
    }
    if (job->fills)
        fill_block(job, shares, reference, down, x, count, made);
    if (job->other.bytes_per_sample == 1)
        mix8(made, shares->share + 3 * (size_t)x, 3 * count, (uint8_t *)out + 3 * (size_t)x);
    else
        mix16(made, shares->share + 3 * (size_t)x, 3 * count, (uint16_t *)out + 3 * (size_t)x);
}

static void replace_row(const Compensation *job, Shares *shares, int32_t y, void *out)
{
    float down;
    int32_t width = job->other.width;
    turn_to(job, shares, between(y, job->other.height, job->grid_height, &down));
    if (!shares->any_above && !shares->any_below)
        return;
    between_rows(shares->above, shares->below, down, 3 * width, shares->share);
    for (int32_t x = 0; x < width; x += BLOCK) {
        int32_t count = width - x < BLOCK ? width - x : BLOCK;
        if (any_positive(shares->share + 3 * (size_t)x, 3 * count))
            replace_block(job, shares, y, down, x, count, out);
    }
}

static int start_shares(const Compensation *job, Shares *shares)
{
    size_t width = (size_t)job->other.width;
    shares->left = malloc(width * (sizeof(int32_t) + (1 + 3 * 3) * sizeof(float)));
    if (!shares->left)
        return 1;
    shares->along = (float *)(shares->left + width);
    shares->above = shares->along + width;
    shares->below = shares->above + 3 * width;
    shares->share = shares->below + 3 * width;
    shares->first = -1;
    for (int32_t x = 0; x < job->other.width; x++)
        shares->left[x] = between(x, job->other.width, job->grid_width, shares->along + x);
    return 0;
}

/* Rows top..bottom of the other exposure as it would have been. 0, or 1 if out of memory. */
int compensate_rows(const Compensation *job, int32_t top, int32_t bottom)
{
    Shares shares;
    if (start_shares(job, &shares))
        return 1;
    size_t row_bytes = 3 * (size_t)job->other.width * (size_t)job->other.bytes_per_sample;
    for (int32_t y = top; y < bottom; y++) {
        char *out = (char *)job->out + y * job->out_stride;
        if (job->moved)
            move_row(job, y, out);
        else
            memcpy(out, row_of(&job->other, y), row_bytes);
        replace_row(job, &shares, y, out);
    }
    free(shares.left);
    return 0;
}

/* ---- where the exposures disagree ---- */

typedef struct {
    const float *expected; /* knots + 1: the brighter exposure's value for each of the darker one's */
    const float *noise;    /* knots + 1: variance of the difference */
    int32_t knots;
    float contrast_part;
} Allowed;

static float looked_up(const float *table, int32_t first, float along)
{
    return table[first] + along * (table[first + 1] - table[first]);
}

/* Squared deviations of cells (3 samples each, encoded 0..1), the largest of the channels; contrast: of `over`. */
void disagreement_cells(const Allowed *allowed, const float *under, const float *over, const float *contrast, int32_t cells,
                        float *out)
{
    for (int32_t i = 0; i < cells; i++) {
        float most = 0;
        for (int32_t s = 3 * i; s < 3 * i + 3; s++) {
            float position = under[s] * (float)allowed->knots;
            int32_t first = limited((int32_t)position, allowed->knots - 1);
            float along = position - (float)first, blur = allowed->contrast_part * contrast[s];
            float difference = looked_up(allowed->expected, first, along) - over[s];
            float square = difference * difference / (looked_up(allowed->noise, first, along) + blur * blur);
            most = square > most ? square : most;
        }
        out[i] = most;
    }
}

/* Means over windows of small planes, and what is made of them: the local affine model (fusion/method/guided_upsampling.py), the
 * exposures' parts of the chroma (fusion/method/chroma_map.py), colour drift (fusion/method/drift.py), what lies behind clipping
 * (fusion/motion/saturation_fill.py). No state.
 *
 * Small planes lie row by row: a row of the first, one of the second, ..., then their next rows (height x planes x width). */
#include "grids.h"
#include "pixels.h"
#include "powers.h"
#include "rows.h"
#include "steering.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PRODUCTS(n) (2 * (n) + 1 + (n) * ((n) + 1) / 2) /* statistics of the local affine model with n guides */
#define SOLVED 16 /* pixels whose equations are solved together */
#define EACH(i) _Pragma("omp simd") for (int i = 0; i < SOLVED; i++)

/* Running sums along a row of `planes` planes, each from 0: planes x (width + 1). */
PIXEL_FN void scan(const double *restrict sums, int32_t width, int32_t planes, double *restrict prefix)
{
    double running[MOST_EXPOSURES + 1]; /* so many in turn: each waits for the sum before */
    for (int32_t first = 0; first < planes; first += MOST_EXPOSURES) {
        int32_t count = planes - first < MOST_EXPOSURES ? planes - first : MOST_EXPOSURES;
        const double *in = sums + (size_t)first * width;
        double *out = prefix + (size_t)first * (width + 1);
        for (int32_t p = 0; p < count; p++)
            running[p] = out[(size_t)p * (width + 1)] = 0;
        for (int32_t x = 0; x < width; x++)
            for (int32_t p = 0; p < count; p++) {
                running[p] += in[(size_t)p * width + x];
                out[(size_t)p * (width + 1) + x + 1] = running[p];
            }
    }
}

/* With the number of planes known to the compiler where it matters. */
static void scan_row(const double *sums, int32_t width, int32_t planes, double *prefix)
{
    if (planes == 1)
        scan(sums, width, 1, prefix);
    else if (planes == 2)
        scan(sums, width, 2, prefix);
    else if (planes == 3)
        scan(sums, width, 3, prefix);
    else if (planes == 4)
        scan(sums, width, 4, prefix);
    else if (planes == DRIFT)
        scan(sums, width, DRIFT, prefix);
    else if (planes == PRODUCTS(2))
        scan(sums, width, PRODUCTS(2), prefix);
    else if (planes == PRODUCTS(3))
        scan(sums, width, PRODUCTS(3), prefix);
    else
        scan(sums, width, planes, prefix);
}

VECTORISED static void differences(const double *restrict prefix, int32_t window, double scale, int32_t count, double *restrict out)
{
    for (int32_t i = 0; i < count; i++)
        out[i] = (prefix[i + window] - prefix[i]) * scale;
}

/* Means over 2 radius + 1 columns of column sums over `rows` rows (planes x width), cut off at the border; in place. */
static void slide(double *sums, int32_t width, int32_t planes, int32_t radius, int32_t rows, double *prefix)
{
    int32_t left = radius < width ? radius : width, right = width - radius > left ? width - radius : left;
    scan_row(sums, width, planes, prefix);
    for (int32_t p = 0; p < planes; p++, sums += width, prefix += width + 1) {
        for (int32_t x = 0; x < width; x = x + 1 == left ? right : x + 1) {
            int32_t first = x - radius > 0 ? x - radius : 0, last = x + radius < width ? x + radius + 1 : width;
            if (x < left || x >= right)
                sums[x] = (prefix[last] - prefix[first]) / ((double)rows * (last - first));
        }
        if (right > left)
            differences(prefix, 2 * radius + 1, 1.0 / ((double)rows * (2 * radius + 1)), right - left, sums + left);
    }
}

VECTORISED static void add_row(double *restrict sums, const float *restrict row, double sign, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        sums[i] += sign * (double)row[i];
}

/* Rows of a plane that a window about row y covers. */
static int32_t rows_about(int32_t y, int32_t height, int32_t radius)
{
    return (y + radius < height ? y + radius : height - 1) - (y - radius > 0 ? y - radius : 0) + 1;
}

/* Planes whose window means are taken row by row, downwards. */
typedef struct {
    const float *const *planes; /* `count` of them, */
    int32_t stride;             /* each so many numbers from row to row, */
    int32_t count, height, width, radius;
    double *sums, *means, *prefix; /* count x width, the same, count x (width + 1) */
} Windows;

static size_t window_doubles(int32_t count, int32_t width) { return (size_t)count * (3 * (size_t)width + 1); }

static void start_windows(Windows *windows, double *room)
{
    size_t row = (size_t)windows->count * windows->width;
    windows->sums = room;
    windows->means = room + row;
    windows->prefix = room + 2 * row;
    memset(windows->sums, 0, row * sizeof *room);
}

static void add_rows(const Windows *windows, int32_t y, double sign)
{
    for (int32_t p = 0; p < windows->count; p++)
        add_row(windows->sums + (size_t)p * windows->width, windows->planes[p] + (size_t)y * windows->stride, sign, windows->width);
}

/* The means about row y, into windows->means; for y = 0, 1, ... in turn. */
static void next_means(const Windows *windows, int32_t y)
{
    int32_t radius = windows->radius, height = windows->height;
    for (int32_t row = y > 0 ? y + radius : 0; row <= y + radius && row < height; row++)
        add_rows(windows, row, 1.0);
    if (y - radius > 0)
        add_rows(windows, y - radius - 1, -1.0);
    memcpy(windows->means, windows->sums, (size_t)windows->count * windows->width * sizeof *windows->means);
    slide(windows->means, windows->width, windows->count, radius, rows_about(y, height, radius), windows->prefix);
}

/* ---- the local affine model ---- */

VECTORISED static void add_product(double *restrict sums, const float *restrict one, const float *restrict other, double sign,
                                   int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        sums[i] += sign * ((double)one[i] * (double)other[i]);
}

/* A row of the statistics: the n guides and the target (planes[n]), products of guides, products with the target. */
static void add_products(const float *const *planes, int n, int32_t y, int32_t width, double sign, double *sums)
{
    const float *rows[MOST_EXPOSURES + 1];
    for (int j = 0; j <= n; j++, sums += width) {
        rows[j] = planes[j] + (size_t)y * width;
        add_row(sums, rows[j], sign, width);
    }
    for (int j = 0; j < n; j++)
        for (int m = j; m < n; m++, sums += width)
            add_product(sums, rows[j], rows[m], sign, width);
    for (int j = 0; j < n; j++, sums += width)
        add_product(sums, rows[j], rows[n], sign, width);
}

/* Two guides, in closed form. `means`: PRODUCTS(2) rows; out: 3 rows. */
VECTORISED static void solve_two(const double *restrict means, double eps, int32_t width, float *restrict out)
{
#pragma omp simd
    for (int32_t i = 0; i < width; i++) {
        double u = means[i], o = means[width + i], t = means[2 * width + i];
        double var_u = means[3 * width + i] - u * u + eps, cov = means[4 * width + i] - u * o;
        double var_o = means[5 * width + i] - o * o + eps;
        double with_u = means[6 * width + i] - u * t, with_o = means[7 * width + i] - o * t;
        double scale = 1.0 / (var_u * var_o - cov * cov);
        double first = (with_u * var_o - with_o * cov) * scale, second = (with_o * var_u - with_u * cov) * scale;
        out[i] = (float)first;
        out[width + i] = (float)second;
        out[2 * width + i] = (float)(t - first * u - second * o);
    }
}

/* Factor on each of n exposures with which their sum has the variance of the strongest: structure_factors of the definition.
 * matrix: of which the lower triangle is used. share: of these factors; the fit has the rest. middle: mean of the target, which
 * becomes that of below_white. */
PIXEL_FN void structure_some(const Constants *constants, double (*restrict matrix)[MOST_EXPOSURES][SOLVED], double eps, int n,
                             double (*restrict out)[SOLVED], double *restrict share, double *restrict middle)
{
    double strongest[SOLVED] = {0}, spread[SOLVED] = {0}, edge = (double)constants->edge_variance;
    UNROLLED
    for (int j = 0; j < n; j++)
        EACH(i)
            strongest[i] = matrix[j][j][i] > strongest[i] ? matrix[j][j][i] : strongest[i];
    UNROLLED
    for (int j = 0; j < n; j++) {
        EACH(i)
            out[j][i] = matrix[j][j][i] / strongest[i];
        UNROLLED
        for (int m = 0; m <= j; m++)
            EACH(i)
                spread[i] += (m == j ? 1.0 : 2.0) * out[j][i] * out[m][i] * matrix[j][m][i];
    }
    EACH(i) {
        double least = strongest[i] * (double)constants->least_spread, kept = strongest[i] - eps;
        kept = kept > 0 ? kept : 0;
        share[i] = edge / (edge + strongest[i]);
        double excess = middle[i] + (double)constants->headroom * sqrt(kept) - 100;
        middle[i] -= share[i] * share[i] * (excess > 0 ? excess : 0);
        spread[i] = sqrt(kept / (spread[i] > least ? spread[i] : least));
    }
    UNROLLED
    for (int j = 0; j < n; j++)
        EACH(i)
            out[j][i] *= spread[i];
}

/* More: least squares by Cholesky's decomposition, since the covariances with eps added are positive definite, and what keeps the
 * structure. SOLVED pixels together. */
PIXEL_FN void solve_some(const Constants *constants, const double *restrict means, double eps, int n, int32_t width,
                         float *restrict out)
{
    double kept[MOST_EXPOSURES][SOLVED], share[SOLVED], rest[SOLVED];
    double root[MOST_EXPOSURES][MOST_EXPOSURES][SOLVED], right[MOST_EXPOSURES][SOLVED], inverse[MOST_EXPOSURES][SOLVED];
    const double *product = means + (size_t)(n + 1) * width, *with = product + (size_t)(n * (n + 1) / 2) * width;
    const double *target = means + (size_t)n * width;
    UNROLLED
    for (int j = 0; j < n; j++)
        UNROLLED
        for (int m = j; m < n; m++, product += width)
            EACH(i)
                root[m][j][i] = product[i] - means[j * width + i] * means[m * width + i] + (m == j ? eps : 0.0);
    EACH(i)
        rest[i] = target[i];
    structure_some(constants, root, eps, n, kept, share, rest);
    UNROLLED
    for (int j = 0; j < n; j++) {
        EACH(i)
            right[j][i] = with[j * width + i] - means[j * width + i] * target[i];
        UNROLLED
        for (int m = 0; m < j; m++) {
            UNROLLED
            for (int q = 0; q < m; q++)
                EACH(i)
                    root[j][m][i] -= root[j][q][i] * root[m][q][i];
            EACH(i) {
                root[j][m][i] *= inverse[m][i];
                root[j][j][i] -= root[j][m][i] * root[j][m][i];
                right[j][i] -= root[j][m][i] * right[m][i];
            }
        }
        EACH(i) {
            inverse[j][i] = 1.0 / sqrt(root[j][j][i]);
            right[j][i] *= inverse[j][i];
        }
    }
    UNROLLED
    for (int j = n - 1; j >= 0; j--) {
        UNROLLED
        for (int m = j + 1; m < n; m++)
            EACH(i)
                right[j][i] -= root[m][j][i] * right[m][i];
        EACH(i) {
            right[j][i] *= inverse[j][i];
            double factor = right[j][i] + share[i] * (kept[j][i] - right[j][i]);
            rest[i] -= factor * means[j * width + i];
            out[j * width + i] = (float)factor;
        }
    }
    EACH(i)
        out[n * width + i] = (float)rest[i];
}

VECTORISED static void solve_block(const Constants *constants, const double *means, double eps, int n, int32_t width, float *out)
{
    if (n == 3)
        solve_some(constants, means, eps, 3, width, out);
    else if (n == 4)
        solve_some(constants, means, eps, 4, width, out);
    else
        solve_some(constants, means, eps, n, width, out);
}

/* A row of `means` (PRODUCTS(n) x width) becomes n + 1 rows of coefficients. */
static void solve_row(const Constants *constants, const double *means, double eps, int n, int32_t width, float *out)
{
    if (n == 2) {
        solve_two(means, eps, width, out);
        return;
    }
    for (int32_t x = 0; x < width; x += SOLVED) {
        if (x + SOLVED <= width || width >= SOLVED) { /* the last ones once more */
            int32_t first = x + SOLVED <= width ? x : width - SOLVED;
            solve_block(constants, means + first, eps, n, width, out + first);
            continue;
        }
        double padded[PRODUCTS(MOST_EXPOSURES) * SOLVED];
        float solved[(MOST_EXPOSURES + 1) * SOLVED];
        for (int p = 0; p < PRODUCTS(n); p++)
            for (int i = 0; i < SOLVED; i++)
                padded[p * SOLVED + i] = means[p * width + (i < width ? i : width - 1)];
        solve_block(constants, padded, eps, n, SOLVED, solved);
        for (int p = 0; p <= n; p++)
            memcpy(out + (size_t)p * width, solved + p * SOLVED, (size_t)width * sizeof *out);
    }
}

/* Coefficients (height x n + 1 x width) of target ~ sum A_i guide_i + C, not yet smoothed. planes: n guides, up to
 * MOST_EXPOSURES, then the target, height x width each. 0, or 1 if out of memory. */
static int window_coefficients(const Constants *constants, const float *const *planes, int n, int32_t height, int32_t width,
                               int32_t radius, double eps, float *out)
{
    int32_t count = PRODUCTS(n);
    size_t row = (size_t)count * width;
    double *sums = calloc(window_doubles(count, width), sizeof *sums), *means = sums + row;
    if (!sums)
        return 1;
    for (int32_t y = 0; y < height; y++) {
        for (int32_t add = y > 0 ? y + radius : 0; add <= y + radius && add < height; add++)
            add_products(planes, n, add, width, 1.0, sums);
        if (y - radius > 0)
            add_products(planes, n, y - radius - 1, width, -1.0, sums);
        memcpy(means, sums, row * sizeof *means);
        slide(means, width, count, radius, rows_about(y, height, radius), means + row);
        solve_row(constants, means, eps, n, width, out + (size_t)y * (n + 1) * width);
    }
    free(sums);
    return 0;
}

VECTORISED static void to_floats(const double *restrict in, int32_t count, float *restrict out)
{
    for (int32_t i = 0; i < count; i++)
        out[i] = (float)in[i];
}

/* The same, smoothed over such windows, as the first of `out_planes` planes. `room`: n + 1 planes. */
int affine_coefficients(const Constants *constants, const float *const *planes, int32_t n, int32_t height, int32_t width,
                        int32_t radius, double eps, float *room, float *out, int32_t out_planes)
{
    const float *rows[MOST_EXPOSURES + 1];
    int32_t row = (n + 1) * width;
    double *memory = malloc(window_doubles(n + 1, width) * sizeof *memory);
    if (!memory || window_coefficients(constants, planes, n, height, width, radius, eps, room)) {
        free(memory);
        return 1;
    }
    for (int p = 0; p <= n; p++)
        rows[p] = room + (size_t)p * width;
    Windows windows = {rows, row, n + 1, height, width, radius, NULL, NULL, NULL};
    start_windows(&windows, memory);
    for (int32_t y = 0; y < height; y++) {
        next_means(&windows, y);
        to_floats(windows.means, row, out + (size_t)y * out_planes * width);
    }
    free(memory);
    return 0;
}

/* ---- the exposures' parts of the chroma ---- */

VECTORISED static void parts_of_row(double *means, int32_t n, int32_t width, double offset, float *restrict out)
{
    double *restrict total = means + (size_t)(n - 1) * width, rest = n * offset; /* in the last one's place */
    for (int32_t p = 0; p + 1 < n; p++)
        for (int32_t x = 0; x < width; x++)
            total[x] += means[p * width + x];
    for (int32_t x = 0; x < width; x++)
        total[x] = 1.0 / (total[x] + rest);
    for (int32_t p = 0; p + 1 < n; p++)
        for (int32_t x = 0; x < width; x++)
            out[p * width + x] = (float)((means[p * width + x] + offset) * total[x]);
}

/* Parts of all exposures but the last in the sum of the n chroma planes' window means, each with `offset` added, as n - 1 of
 * `out_planes` planes. 0, or 1 if out of memory. */
int chroma_parts(const float *const *planes, int32_t n, int32_t height, int32_t width, int32_t radius, double offset, float *out,
                 int32_t out_planes)
{
    double *memory = malloc(window_doubles(n, width) * sizeof *memory);
    if (!memory)
        return 1;
    Windows windows = {planes, width, n, height, width, radius, NULL, NULL, NULL};
    start_windows(&windows, memory);
    for (int32_t y = 0; y < height; y++) {
        next_means(&windows, y);
        parts_of_row(windows.means, n, width, offset, out + (size_t)y * out_planes * width);
    }
    free(memory);
    return 0;
}

/* ---- colour drift ---- */

VECTORISED static void factors_of_row(const double *restrict near, const double *restrict everywhere, double fall, double prior,
                                      float strength, int32_t width, float *restrict out)
{
    for (int c = 0; c < 3; c++)
        for (int32_t x = 0; x < width; x++) {
            double measured = near[c * width + x] + fall * everywhere[c];
            double seen = near[(3 + c) * width + x] + fall * everywhere[3 + c];
            out[c * width + x] = exp2_of(strength * (float)(measured / (seen + prior)));
        }
}

static void means_of_all(const float *evidence, int32_t height, int32_t width, double *out)
{
    double *sums = out + DRIFT;
    memset(out, 0, DRIFT * (size_t)(width + 1) * sizeof *out);
    for (int32_t y = 0; y < height; y++)
        add_row(sums, evidence + (size_t)y * DRIFT * width, 1.0, DRIFT * width);
    for (int p = 0; p < DRIFT; p++, sums += width) {
        for (int32_t x = 0; x < width; x++)
            out[p] += sums[x];
        out[p] /= (double)height * width;
    }
}

/* The drift's factors (height x 3 x width) from the evidence (height x DRIFT x width): window means and, `fall` times, the mean
 * of all; `prior`: weight of "none"; strength: of the logarithm, to base 2. 0, or 1 if out of memory. */
int drift_factors(const float *evidence, int32_t height, int32_t width, int32_t radius, double fall, double prior, double strength,
                  float *out)
{
    const float *rows[DRIFT];
    size_t all = DRIFT * (size_t)(width + 1);
    double *memory = malloc((window_doubles(DRIFT, width) + all) * sizeof *memory);
    if (!memory)
        return 1;
    for (int p = 0; p < DRIFT; p++)
        rows[p] = evidence + (size_t)p * width;
    Windows windows = {rows, DRIFT * width, DRIFT, height, width, radius, NULL, NULL, NULL};
    means_of_all(evidence, height, width, memory);
    start_windows(&windows, memory + all);
    for (int32_t y = 0; y < height; y++) {
        next_means(&windows, y);
        factors_of_row(windows.means, memory, fall, prior, (float)strength, width, out + (size_t)y * 3 * width);
    }
    free(memory);
    return 0;
}

/* ---- behind clipping ---- */

#define SEEN 4       /* planes: B, G, R where known, and the part that is */
#define FARTHEST 9   /* the last radius; as in saturation_fill.py, which a test holds them against */
static const int32_t RADII[] = {1, 3, FARTHEST};

static int any_masked(const Clipping *job, int32_t y, int32_t x)
{
    for (int32_t row = y * job->cells; row < (y + 1) * job->cells; row++)
        for (int32_t cell = x * job->cells; cell < (x + 1) * job->cells; cell++)
            if (job->mask[(size_t)row * job->width * job->cells + cell] > 0)
                return 1;
    return 0;
}

/* Adds row y of the pictures to a row of `seen` (SEEN x wide), whose first FARTHEST columns lie left of the picture. Returns whether
 * a pixel clips where something moved. */
static int add_seen(const Clipping *job, int32_t y, int32_t wide, float part, float *seen)
{
    int needed = 0;
    for (int32_t x = 0; x < job->width; x++) {
        const float *pixel = job->reference + 3 * ((size_t)y * job->width + x);
        const float *other = job->other + 3 * ((size_t)y * job->width + x);
        if (!(pixel[0] > job->clip_start || pixel[1] > job->clip_start || pixel[2] > job->clip_start))
            continue;
        if (any_masked(job, y, x)) {
            needed = 1;
            continue;
        }
        float *sums = seen + FARTHEST + x / job->across;
        for (int c = 0; c < 3; c++)
            sums[c * wide] += part * other[c];
        sums[3 * wide] += part;
    }
    return needed;
}

static void repeat_borders(float *row, int32_t width)
{
    for (int32_t i = 0; i < FARTHEST; i++) {
        row[i] = row[FARTHEST];
        row[FARTHEST + width + i] = row[FARTHEST + width - 1];
    }
}

static const float *seen_row(const float *seen, int32_t row, int32_t height, int32_t wide)
{
    return seen + (size_t)(row < 0 ? 0 : row < height ? row : height - 1) * SEEN * wide;
}

/* Adds the means within `radius`, times `weight`, to `total` (height x SEEN x width). */
static void add_means(const float *seen, int32_t height, int32_t width, int32_t radius, float weight, double *room, float *total)
{
    int32_t wide = width + 2 * FARTHEST, row = SEEN * wide, window = 2 * radius + 1;
    double *sums = room, *prefix = room + row, *means = prefix + SEEN * (wide + 1);
    memset(sums, 0, (size_t)row * sizeof *sums);
    for (int32_t y = -radius; y < radius; y++)
        add_row(sums, seen_row(seen, y, height, wide), 1.0, row);
    for (int32_t y = 0; y < height; y++) {
        add_row(sums, seen_row(seen, y + radius, height, wide), 1.0, row);
        scan_row(sums, wide, SEEN, prefix);
        for (int p = 0; p < SEEN; p++, total += width) {
            differences(prefix + p * (wide + 1) + FARTHEST - radius, window, (double)weight / (window * window), width, means);
            for (int32_t x = 0; x < width; x++)
                total[x] += (float)means[x];
        }
        add_row(sums, seen_row(seen, y - radius, height, wide), -1.0, row);
    }
}

/* out: fill (height / down x width / across x 3). 1, or 0 if no fill is needed, or -1 if out of memory. */
int behind_clipping(const Clipping *job, float *out)
{
    int32_t height = job->height / job->down, width = job->width / job->across, wide = width + 2 * FARTHEST, needed = 0;
    size_t doubles = SEEN * (2 * (size_t)wide + 1) + (size_t)width, seen = (size_t)height * SEEN * wide, total = (size_t)height * SEEN * width;
    double *room = calloc(doubles + (seen + total + 1) / 2, sizeof *room);
    float *planes = (float *)(room + doubles), *sums = planes + seen, weight = 1;
    if (!room)
        return -1;
    for (int32_t y = 0; y < height * job->down; y++)
        needed |= add_seen(job, y, wide, 1.0f / (float)(job->down * job->across), planes + (size_t)(y / job->down) * SEEN * wide);
    if (needed) {
        for (int32_t row = 0; row < SEEN * height; row++)
            repeat_borders(planes + (size_t)row * wide, width);
        for (size_t r = 0; r < sizeof RADII / sizeof *RADII; r++, weight *= job->farther)
            add_means(planes, height, width, RADII[r], weight, room, sums);
        for (int32_t y = 0; y < height; y++, sums += SEEN * width)
            for (int32_t x = 0; x < width; x++)
                for (int c = 0; c < 3; c++)
                    *out++ = sums[c * width + x] / (sums[3 * width + x] > 1e-6f ? sums[3 * width + x] : 1e-6f);
    }
    free(room);
    return needed;
}

/* The small picture, and what is told from it (fusion/method/downscale.py, fusion/method/guided_upsampling.py), for the CPU. No state. */
#include "pixels.h"
#include "rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PRODUCTS(n) (2 * (n) + 1 + (n) * ((n) + 1) / 2) /* statistics of the local affine model with n guides */
#define DRIFT 6 /* numbers of evidence of colour drift a pixel: see drift_evidence in pixels.c */
#define MOST_PLANES PRODUCTS(MOST_EXPOSURES)

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

/* Rows top..bottom of a small picture (height x width x 3, encoded 0..1): averages over equal rectangles. 0, or 1 if out of
 * memory. */
int shrink_rows(const Picture *picture, float *small, int32_t height, int32_t width, int32_t top, int32_t bottom)
{
    size_t samples = 3 * (size_t)picture->width;
    char *memory = calloc(1, samples * (sizeof(float) + sizeof(uint16_t)) + (size_t)width * sizeof(Interval));
    if (!memory)
        return 1;
    Interval *columns = (Interval *)memory;
    float *sums = (float *)(columns + width);
    uint16_t *whole = (uint16_t *)(sums + samples);
    for (int32_t x = 0; x < width; x++)
        columns[x] = interval(x, picture->width, width);
    double area = ((double)picture->height / height) * ((double)picture->width / width);
    float scale = (float)(1.0 / (area * (picture->bytes_per_sample == 1 ? 255.0 : 65535.0)));
    for (int32_t y = top; y < bottom; y++) {
        sum_rows(picture, interval(y, picture->height, height), whole, sums);
        sum_columns(sums, columns, width, scale, small + (size_t)y * width * 3);
    }
    free(memory);
    return 0;
}

/* One row of window sums, `planes` values a pixel, from column sums; each divided by the window's pixels. */
static inline __attribute__((always_inline)) void slide(const double *restrict column_sums, int32_t width, int32_t planes, int32_t radius, double rows,
                    double *restrict out)
{
    double sums[MOST_PLANES];
    for (int32_t p = 0; p < planes; p++)
        sums[p] = 0;
    for (int32_t x = 0; x < radius && x < width; x++)
        for (int32_t p = 0; p < planes; p++)
            sums[p] += column_sums[x * planes + p];
    for (int32_t x = 0; x < width; x++) {
        int32_t first = x - radius > 0 ? x - radius : 0, last = x + radius < width ? x + radius : width - 1;
        double mean = 1.0 / (rows * (last - first + 1));
        if (x + radius < width)
            for (int32_t p = 0; p < planes; p++)
                sums[p] += column_sums[(x + radius) * planes + p];
        if (x - radius > 0)
            for (int32_t p = 0; p < planes; p++)
                sums[p] -= column_sums[(x - radius - 1) * planes + p];
        for (int32_t p = 0; p < planes; p++)
            out[x * planes + p] = sums[p] * mean;
    }
}

/* With the number of planes known to the compiler where it matters. */
VECTORISED static void slide_row(const double *column_sums, int32_t width, int32_t planes, int32_t radius, double rows,
                                 double *out)
{
    if (planes == PRODUCTS(2))
        slide(column_sums, width, PRODUCTS(2), radius, rows, out);
    else if (planes == PRODUCTS(3))
        slide(column_sums, width, PRODUCTS(3), radius, rows, out);
    else if (planes == PRODUCTS(4))
        slide(column_sums, width, PRODUCTS(4), radius, rows, out);
    else if (planes == DRIFT)
        slide(column_sums, width, DRIFT, radius, rows, out);
    else
        slide(column_sums, width, planes, radius, rows, out);
}

VECTORISED static void add_row(double *restrict sums, const double *restrict row, double sign, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        sums[i] += sign * row[i];
}

/* Means over windows of 2 radius + 1 pixels a side, cut off at the border; height x width x planes, planes <= MOST_PLANES.
 * 0, or 1 if out of memory. */
int box_mean(const double *in, int32_t height, int32_t width, int32_t planes, int32_t radius, double *out)
{
    int32_t row = width * planes;
    double *sums = calloc((size_t)row, sizeof *sums);
    if (!sums)
        return 1;
    for (int32_t y = 0; y < radius && y < height; y++)
        add_row(sums, in + (size_t)y * row, 1.0, row);
    for (int32_t y = 0; y < height; y++) {
        int32_t first = y - radius > 0 ? y - radius : 0, last = y + radius < height ? y + radius : height - 1;
        if (y + radius < height)
            add_row(sums, in + (size_t)(y + radius) * row, 1.0, row);
        if (y - radius > 0)
            add_row(sums, in + (size_t)(y - radius - 1) * row, -1.0, row);
        slide_row(sums, width, planes, radius, last - first + 1, out + (size_t)y * row);
    }
    free(sums);
    return 0;
}

/* Statistics of one pixel for the local affine model: the n guides, the target, and their products. */
PIXEL_FN void products_loop(const float *const *guides, const double *target, int n, int32_t count, double *out)
{
    for (int32_t i = 0; i < count; i++) {
        double t = target[i];
        for (int j = 0; j < n; j++)
            *out++ = guides[j][i];
        *out++ = t;
        for (int j = 0; j < n; j++)
            for (int m = j; m < n; m++)
                *out++ = (double)guides[j][i] * (double)guides[m][i];
        for (int j = 0; j < n; j++)
            *out++ = (double)guides[j][i] * t;
    }
}

VECTORISED static void affine_products(const float *const *guides, const double *target, int n, int32_t count, double *out)
{
    if (n == 2)
        products_loop(guides, target, 2, count, out);
    else if (n == 3)
        products_loop(guides, target, 3, count, out);
    else if (n == 4)
        products_loop(guides, target, 4, count, out);
    else
        products_loop(guides, target, n, count, out);
}

/* Two guides, in closed form. */
VECTORISED static void solve_two(const double *means, double eps, int32_t count, double *out)
{
    for (int32_t i = 0; i < count; i++, means += PRODUCTS(2), out += 3) {
        double u = means[0], o = means[1], t = means[2];
        double var_u = means[3] - u * u + eps, var_o = means[5] - o * o + eps, cov = means[4] - u * o;
        double with_u = means[6] - u * t, with_o = means[7] - o * t;
        double determinant = var_u * var_o - cov * cov;
        out[0] = (with_u * var_o - with_o * cov) / determinant;
        out[1] = (with_o * var_u - with_u * cov) / determinant;
        out[2] = t - out[0] * u - out[1] * o;
    }
}

/* More, by Cholesky's decomposition: the covariances with eps added are positive definite. */
PIXEL_FN void solve_loop(const double *means, double eps, int n, int32_t count, double *out)
{
    for (int32_t i = 0; i < count; i++, means += PRODUCTS(n), out += n + 1) {
        double root[MOST_EXPOSURES][MOST_EXPOSURES], right[MOST_EXPOSURES];
        const double *product = means + n + 1, *with = product + n * (n + 1) / 2;
        for (int j = 0; j < n; j++)
            for (int m = j; m < n; m++)
                root[m][j] = *product++ - means[j] * means[m] + (m == j ? eps : 0.0);
        for (int j = 0; j < n; j++) {
            right[j] = with[j] - means[j] * means[n];
            for (int m = 0; m < j; m++) {
                double part = root[j][m];
                for (int q = 0; q < m; q++)
                    part -= root[j][q] * root[m][q];
                root[j][m] = part / root[m][m];
                root[j][j] -= root[j][m] * root[j][m];
                right[j] -= root[j][m] * right[m];
            }
            root[j][j] = sqrt(root[j][j]);
            right[j] /= root[j][j];
        }
        double rest = means[n];
        for (int j = n - 1; j >= 0; j--) {
            for (int m = j + 1; m < n; m++)
                right[j] -= root[m][j] * right[m];
            right[j] /= root[j][j];
            out[j] = right[j];
        }
        for (int j = 0; j < n; j++)
            rest -= out[j] * means[j];
        out[n] = rest;
    }
}

VECTORISED static void affine_solve(const double *means, double eps, int n, int32_t count, double *out)
{
    if (n == 2)
        solve_two(means, eps, count, out);
    else if (n == 3)
        solve_loop(means, eps, 3, count, out);
    else if (n == 4)
        solve_loop(means, eps, 4, count, out);
    else
        solve_loop(means, eps, n, count, out);
}

/* Smoothed coefficients (height x width x n + 1) of target ~ sum A_i guide_i + C; n guides, height x width each, up to
 * MOST_EXPOSURES. 0, or 1 if out of memory. */
int affine_coefficients(const float *const *guides, int32_t n, const double *target, int32_t height, int32_t width, int32_t radius,
                        double eps, double *out)
{
    int32_t count = height * width;
    double *products = malloc((size_t)count * 2 * PRODUCTS(n) * sizeof *products);
    if (!products)
        return 1;
    double *means = products + (size_t)count * PRODUCTS(n);
    affine_products(guides, target, n, count, products);
    int failed = box_mean(products, height, width, PRODUCTS(n), radius, means);
    affine_solve(means, eps, n, count, products);
    failed = failed || box_mean(products, height, width, n + 1, radius, out);
    free(products);
    return failed;
}

/* Logarithm (height x width x 3) of the drift's factors from the evidence: fusion/method/drift.py. `count` box radii, each with
 * `fall` times the weight of the one before; `prior` is the last one's weight of "none". 0, or 1 if out of memory. */
int drift_logarithms(const double *evidence, int32_t height, int32_t width, const int32_t *radii, int32_t count, double fall,
                     double prior, double *out)
{
    size_t cells = (size_t)height * width;
    double *sums = calloc(2 * DRIFT * cells, sizeof *sums), *means = sums + DRIFT * cells, weight = 1.0;
    if (!sums)
        return 1;
    int failed = 0;
    for (int32_t r = 0; r < count && !failed; r++, weight *= fall) {
        failed = box_mean(evidence, height, width, DRIFT, radii[r], means);
        add_row(sums, means, weight, (int32_t)(DRIFT * cells));
    }
    for (size_t i = 0; i < cells; i++)
        for (int c = 0; c < 3; c++)
            out[3 * i + c] = sums[DRIFT * i + c] / (sums[DRIFT * i + 3 + c] + prior);
    free(sums);
    return failed;
}

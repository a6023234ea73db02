/* The small picture: area averages, the network's input, its result, and the planes that steer the pixels. */
#pragma once

#include "bracket.cuh"

/* Window sums for the local affine model of n guides: the guides, the target, the guides' products (each with itself and those
 * after it), their products with the target; after them come the n chromas'. */
PIXEL_FN int32_t products(int32_t n) { return 2 * n + 1 + n * (n + 1) / 2; }

/* The cells of one of `parts` equal intervals of `size` cells, all whole but the two ends; in whole numbers, so exact. */
struct Interval {
    int32_t first, last;
    float first_weight, last_weight; /* the latter 0 if the interval ends with its first cell */
};

PIXEL_FN Interval interval(int32_t index, int32_t size, int32_t parts)
{
    uint32_t start = (uint32_t)index * (uint32_t)size, end = start + (uint32_t)size, count = (uint32_t)parts;
    Interval cells;
    cells.first = (int32_t)(start / count);
    cells.last = (int32_t)((end - 1) / count);
    bool one = cells.first == cells.last;
    cells.first_weight = (one ? (float)size : (float)((uint32_t)(cells.first + 1) * count - start)) / (float)parts;
    cells.last_weight = one ? 0.0f : (float)(end - (uint32_t)cells.last * count) / (float)parts;
    return cells;
}

/* Rows of one small row, summed: a thread has twelve bytes of each row. Whole rows are summed in whole numbers. */
template <typename Sample> PIXEL_FN void sum_rows(const Bracket &p)
{
    typedef Group<Sample> Twelve;
    int32_t group = thread_x(), y = thread_y(), z = (int32_t)blockIdx.z, row_bytes = 3 * p.width * (int32_t)sizeof(Sample);
    if (y >= p.small_height || GROUP_BYTES * group >= row_bytes)
        return;
    Interval rows = interval(y, p.height, p.small_height);
    const uint8_t *row = p.pictures[z] + rows.first * p.strides[z];
    Twelve first = load_group<Sample>(row, group, row_bytes), last = first;
    uint32_t whole[Twelve::samples] = {0};
    for (int32_t inner = rows.first + 1; inner <= rows.last; inner++) {
        row += p.strides[z];
        last = load_group<Sample>(row, group, row_bytes);
        if (inner < rows.last)
            for (int i = 0; i < Twelve::samples; i++)
                whole[i] += sample_of(last, i);
    }
    float2 *sums = (float2 *)(p.row_sums + ((size_t)z * p.small_height + y) * p.sums_pitch + Twelve::samples * group);
    for (int i = 0; i < Twelve::samples; i += 2) {
        float2 two;
        two.x = (float)whole[i] + rows.first_weight * (float)sample_of(first, i) + rows.last_weight * (float)sample_of(last, i);
        two.y = (float)whole[i + 1] + rows.first_weight * (float)sample_of(first, i + 1) +
                rows.last_weight * (float)sample_of(last, i + 1);
        sums[i / 2] = two;
    }
}

KERNEL(sum_rows8, 6) { sum_rows<uint8_t>(p); }
KERNEL(sum_rows16, 6) { sum_rows<uint16_t>(p); }

/* Averages from the summed rows: a thread has one channel of one cell. x counts channels. */
PIXEL_FN void sum_columns(const Bracket &p, float full_code)
{
    int32_t x = thread_x(), y = thread_y(), z = (int32_t)blockIdx.z;
    if (y >= p.small_height || x >= 3 * p.small_width)
        return;
    Interval cells = interval(x / 3, p.width, p.small_width);
    const float *row = p.row_sums + ((size_t)z * p.small_height + y) * p.sums_pitch + x % 3;
    float sum = cells.first_weight * row[3 * cells.first] + cells.last_weight * row[3 * cells.last];
    for (int32_t cell = cells.first + 1; cell < cells.last; cell++)
        sum += row[3 * cell];
    float area = ((float)p.height / (float)p.small_height) * ((float)p.width / (float)p.small_width);
    p.small_bgr[((size_t)z * p.small_height + y) * 3 * p.small_width + x] = sum / (area * full_code);
}

KERNEL(sum_columns8, 6) { sum_columns(p, 255.0f); }
KERNEL(sum_columns16, 6) { sum_columns(p, 65535.0f); }

PIXEL_FN void to_network(const Bracket &p, int32_t plane, int32_t y, int32_t x, float lightness)
{
    size_t place = ((size_t)plane * p.network_height + y) * p.network_width + x;
    if (p.half)
        ((Half *)p.network_in)[place] = (Half)(lightness * 0.01f);
    else
        ((float *)p.network_in)[place] = lightness * 0.01f;
}

/* In a black surround, which the network does not see, the brightest exposure's. */
PIXEL_FN float from_network(const Bracket &p, int32_t y, int32_t x)
{
    size_t place = (size_t)y * p.network_width + x;
    float value = p.half ? (float)((const Half *)p.network_out)[place] : ((const float *)p.network_out)[place];
    float fused = within(value, 0.0f, 1.0f);
    if (p.full)
        return fused;
    float part = smaller(p.surround[cell_of(p, 0, y, x)] * p.surround_scale, 1.0f);
    return fused + part * (0.01f * p.lightness[cell_of(p, p.exposures - 1, y, x)] - fused);
}

/* Lightness, and C*ab where it is compared, of the small pictures. A thread a cell of the network's input, whose border repeats the picture's last cells. */
KERNEL(small_lab, 6)
{
    const Constants *k = &p.constants;
    int32_t x = thread_x(), y = thread_y(), z = (int32_t)blockIdx.z;
    if (x >= most(p.small_width, p.network_width) || y >= most(p.small_height, p.network_height))
        return;
    size_t cell = cell_of(p, z, least(y, p.small_height - 1), least(x, p.small_width - 1));
    float linear[3];
    for (int c = 0; c < 3; c++)
        linear[c] = interpolated(p.decode_fine, p.fine_steps, within(p.small_bgr[3 * cell + c], 0.0f, 1.0f));
    bool compared = compares_chroma(p.exposures, p.transfer);
    float fy = lab_f(k, luminance_of(k, linear[0], linear[1], linear[2]), 1), lightness = 116.0f * fy - 16.0f;
    if (p.transfer == TONE) {
        const float *bgr = p.small_bgr + 3 * cell;
        lightness = 116.0f * on_curve(&k->f_of_luma, luminance_of(k, bgr[0], bgr[1], bgr[2]), 1) - 16.0f;
    }
    if (x < p.small_width && y < p.small_height) {
        p.lightness[cell] = lightness;
        if (compared) {
            Tone tone = tone_of(k, fy, linear[0], linear[1], linear[2]);
            float a = 500.0f * tone.a, b = 200.0f * tone.b;
            p.chroma[cell] = sqrtf(a * a + b * b);
        }
    }
    if (x < p.network_width && y < p.network_height)
        to_network(p, z, y, x, lightness);
}

/* Cells of a window that lie within the picture. */
PIXEL_FN int32_t window_cells(const Bracket &p, int32_t radius, int32_t y, int32_t x)
{
    int32_t rows = least(y + radius, p.small_height - 1) - most(y - radius, 0) + 1;
    return rows * (least(x + radius, p.small_width - 1) - most(x - radius, 0) + 1);
}

/* ---- black surrounds: fusion/method/surround.py ---- */

PIXEL_FN float black_at(const Bracket &p, int32_t y, int32_t x)
{
    return 1.0f - within((p.lightness[cell_of(p, p.exposures - 1, y, x)] - p.black_start) * p.black_scale, 0.0f, 1.0f);
}

PIXEL_FN float black_corners(const Bracket &p)
{
    int32_t bottom = p.small_height - 1, right = p.small_width - 1;
    return smaller(smaller(black_at(p, 0, 0), black_at(p, 0, right)), smaller(black_at(p, bottom, 0), black_at(p, bottom, right)));
}

/* The least black from a cell to the border in one direction, and up to `most`. */
PIXEL_FN float black_onward(const Bracket &p, float most, int32_t y, int32_t x, int32_t down, int32_t right)
{
    for (; most > 0.0f && x >= 0 && x < p.small_width && y >= 0 && y < p.small_height; y += down, x += right)
        most = smaller(most, black_at(p, y, x));
    return most;
}

KERNEL(find_surround, 6)
{
    int32_t x = thread_x(), y = thread_y();
    if (x >= p.small_width || y >= p.small_height)
        return;
    float most = smaller(black_at(p, y, x), black_corners(p));
    float across = larger(black_onward(p, most, y, x, 0, -1), black_onward(p, most, y, x, 0, 1));
    float down = larger(black_onward(p, most, y, x, -1, 0), black_onward(p, most, y, x, 1, 0));
    p.surround[cell_of(p, 0, y, x)] = larger(across, down);
}

/* Of a cell, L* times the part of it that is inside, or after the last exposure that part. */
PIXEL_FN float inside_at(const Bracket &p, int32_t number, int32_t y, int32_t x)
{
    float inside = 1.0f - p.surround[cell_of(p, 0, y, x)];
    return number < p.exposures ? inside * p.lightness[cell_of(p, number, y, x)] : inside;
}

/* Sums along rows, one of the numbers a z: within the box, and of the whole row. */
KERNEL(surround_rows, 6)
{
    int32_t x = thread_x(), y = thread_y(), number = (int32_t)blockIdx.z;
    if (x >= p.small_width || y >= p.small_height || black_corners(p) == 0.0f)
        return;
    float box = 0, whole = 0;
    ROLLED
    for (int32_t i = 0; i < p.small_width; i++) {
        float value = inside_at(p, number, y, i);
        whole += value;
        box += i >= x - p.drift_radius && i <= x + p.drift_radius ? value : 0.0f;
    }
    p.inside_sums[cell_of(p, number, y, x)] = box;
    p.inside_sums[cell_of(p, p.exposures + 1 + number, y, x)] = whole;
}

/* Mean of the box, and the whole picture's as much as counts. */
PIXEL_FN float inside_mean(const Bracket &p, int32_t number, int32_t y, int32_t x)
{
    float box = 0, whole = 0, cells = (float)p.small_height * (float)p.small_width;
    ROLLED
    for (int32_t i = 0; i < p.small_height; i++) {
        whole += p.inside_sums[cell_of(p, p.exposures + 1 + number, i, x)];
        box += i >= y - p.drift_radius && i <= y + p.drift_radius ? p.inside_sums[cell_of(p, number, i, x)] : 0.0f;
    }
    return box / (float)window_cells(p, p.drift_radius, y, x) + p.drift_fall * whole / cells;
}

/* The network's input anew where there is a surround. A thread a cell of it, as of small_lab. */
KERNEL(fill_surround, 6)
{
    int32_t x = thread_x(), y = thread_y(), z = (int32_t)blockIdx.z;
    int32_t inner_x = least(x, p.small_width - 1), inner_y = least(y, p.small_height - 1);
    if (x >= p.network_width || y >= p.network_height || p.surround[cell_of(p, 0, inner_y, inner_x)] == 0.0f)
        return;
    float part = p.surround[cell_of(p, 0, inner_y, inner_x)], lightness = p.lightness[cell_of(p, z, inner_y, inner_x)];
    float fill = inside_mean(p, z, inner_y, inner_x) / (inside_mean(p, p.exposures, inner_y, inner_x) + p.least_seen);
    to_network(p, z, y, x, lightness + part * (fill - lightness));
}

/* The network's result becomes one of its inputs: neighbours are fused two by two. */
PIXEL_FN void feed(const Bracket &p, int32_t plane)
{
    int32_t x = thread_x(), y = thread_y();
    if (x >= p.network_width || y >= p.network_height)
        return;
    size_t from = (size_t)y * p.network_width + x, to = ((size_t)plane * p.network_height + y) * p.network_width + x;
    if (p.half)
        ((Half *)p.network_in)[to] = ((const Half *)p.network_out)[from];
    else
        ((float *)p.network_in)[to] = ((const float *)p.network_out)[from];
}

KERNEL(feed_1, 6) { feed(p, 1); }
KERNEL(feed_2, 6) { feed(p, 2); }

/* ---- gamma compensation of the network's result ---- */

KERNEL(sum_lightness, 6)
{
    int32_t y = thread_x();
    if (y >= p.fused_height)
        return;
    double sum = 0;
    for (int32_t x = 0; x < p.fused_width; x++)
        sum += (double)from_network(p, y, x);
    p.lightness_sums[y] = sum;
}

/* The adaptive exponent, by one thread: see fusion.tone. */
KERNEL(adapt_exponent, 6)
{
    if (thread_x() > 0)
        return;
    double sum = 0;
    for (int32_t y = 0; y < p.fused_height; y++)
        sum += p.lightness_sums[y];
    float mean = within((float)(sum / ((double)p.fused_height * p.fused_width)), 1e-3f, 1.0f - 1e-3f);
    *p.exponent = within(logf(p.adaptive_target) / logf(mean), p.lowest_exponent, p.highest_exponent);
}

KERNEL(compensate_gamma, 6)
{
    int32_t x = thread_x(), y = thread_y();
    if (x < p.fused_width && y < p.fused_height)
        p.target[(size_t)y * p.fused_width + x] = 100.0f * powf(from_network(p, y, x), *p.exponent);
}

/* ---- white level: fusion/method/gamma.py ---- */

#define NODES 201

/* Histograms of single rows in which each pixel counts for the two nodes on either side. A thread a node and a row. */
KERNEL(count_lightness, 6)
{
    int32_t node = thread_x(), y = thread_y(), z = (int32_t)blockIdx.z;
    if (node >= NODES || y >= p.small_height)
        return;
    const float *row = (z ? p.lightness + cell_of(p, p.exposures - 1, 0, 0) : p.target) + (size_t)y * p.small_width;
    float sum = 0, scale = 1.0f / p.top_step;
    for (int32_t x = 0; x < p.small_width; x++)
        sum += larger(1.0f - fabsf(within(row[x], 0.0f, 100.0f) * scale - (float)node), 0.0f);
    p.counts[((size_t)z * (p.small_height + 1) + y) * NODES + node] = sum;
}

KERNEL(add_counts, 6)
{
    int32_t node = thread_x(), z = (int32_t)blockIdx.z;
    if (node >= NODES || thread_y() > 0)
        return;
    float *counts = p.counts + (size_t)z * (p.small_height + 1) * NODES + node, sum = 0;
    for (int32_t y = 0; y < p.small_height; y++)
        sum += counts[(size_t)y * NODES];
    counts[(size_t)p.small_height * NODES] = sum;
}

/* L* above which a part of the picture lies. */
PIXEL_FN float top_lightness(const Bracket &p, int32_t plane)
{
    const float *counts = p.counts + ((size_t)plane * (p.small_height + 1) + p.small_height) * NODES;
    float wanted = p.top_part * (float)p.small_height * (float)p.small_width, above = 0;
    int32_t node = NODES;
    while (node > 0 && above < wanted)
        above += counts[--node];
    return within(((float)node - 0.5f + (above - wanted) / counts[node]) * p.top_step, 1.0f, 100.0f);
}

/* The factor for the lightest end, and its mean over the brackets, by one thread. */
KERNEL(find_white, 6)
{
    if (thread_x() > 0 || thread_y() > 0)
        return;
    float gain = within(smaller(p.white, top_lightness(p, 1)) / top_lightness(p, 0), 1.0f, p.most_whitening);
    p.means[0] = p.share < 1.0f ? p.means[0] + p.share * (gain - p.means[0]) : gain;
}

KERNEL(whiten, 6)
{
    int32_t x = thread_x(), y = thread_y();
    if (x >= p.fused_width || y >= p.fused_height)
        return;
    float *target = p.target + (size_t)y * p.fused_width + x, lightness = *target;
    *target = within(lightness * (1.0f + (p.means[0] - 1.0f) * lightness * 0.01f), 0.0f, 100.0f);
}

/* ---- colour drift: fusion/method/drift.py ---- */

#define DRIFT 6 /* numbers of evidence a cell: of each channel the logarithm times how well it is seen, then how well */

PIXEL_FN float *evidence_at(const Bracket &p, int32_t number, int32_t y, int32_t x)
{
    return p.means + 1 + cell_of(p, number, y, x);
}

/* Evidence of a cell, and its mean over the brackets; a z for each exposure and the next one. */
KERNEL(drift_cells, 6)
{
    const Constants *k = &p.constants;
    int32_t x = thread_x(), y = thread_y(), z = (int32_t)blockIdx.z;
    if (x >= p.small_width || y >= p.small_height)
        return;
    const float *dark = p.small_bgr + 3 * cell_of(p, z, y, x), *bright = p.small_bgr + 3 * cell_of(p, z + 1, y, x);
    float luma_dark = luminance_of(k, dark[0], dark[1], dark[2]), luma_bright = luminance_of(k, bright[0], bright[1], bright[2]);
    for (int c = 0; c < 3; c++) {
        float seen = drift_seen(k, dark[c], bright[c]);
        float shown = seen * drift_measured(k, dark[c], bright[c], luma_dark, luma_bright);
        float *mean_shown = evidence_at(p, DRIFT * z + c, y, x), *mean_seen = evidence_at(p, DRIFT * z + 3 + c, y, x);
        *mean_shown = p.share < 1.0f ? *mean_shown + p.share * (shown - *mean_shown) : shown;
        *mean_seen = p.share < 1.0f ? *mean_seen + p.share * (seen - *mean_seen) : seen;
    }
}

/* Sums along rows, one of the numbers a z: within the box, and of the whole row. */
KERNEL(drift_rows, 6)
{
    int32_t x = thread_x(), y = thread_y(), number = (int32_t)blockIdx.z;
    if (x >= p.small_width || y >= p.small_height)
        return;
    float box = 0, whole = 0;
    for (int32_t i = 0; i < p.small_width; i++) {
        float value = *evidence_at(p, number, y, i);
        whole += value;
        box += i >= x - p.drift_radius && i <= x + p.drift_radius ? value : 0.0f;
    }
    p.drift_sums[cell_of(p, number, y, x)] = box;
    p.drift_sums[cell_of(p, DRIFT * (p.exposures - 1) + number, y, x)] = whole;
}

PIXEL_FN float box_and_whole(const Bracket &p, int32_t number, int32_t y, int32_t x)
{
    float box = 0, whole = 0, cells = (float)p.small_height * (float)p.small_width;
    for (int32_t i = 0; i < p.small_height; i++) {
        whole += p.drift_sums[cell_of(p, DRIFT * (p.exposures - 1) + number, i, x)];
        box += i >= y - p.drift_radius && i <= y + p.drift_radius ? p.drift_sums[cell_of(p, number, i, x)] : 0.0f;
    }
    return box / (float)window_cells(p, p.drift_radius, y, x) + p.drift_fall * whole / cells;
}

KERNEL(drift_factors, 6)
{
    int32_t x = thread_x(), y = thread_y(), z = (int32_t)blockIdx.z, first = DRIFT * z;
    if (x >= p.small_width || y >= p.small_height)
        return;
    float factors[3];
    ROLLED
    for (int c = first; c < first + 3; c++)
        factors[c - first] = expf(p.drift_strength * box_and_whole(p, c, y, x) / (box_and_whole(p, 3 + c, y, x) + p.drift_prior));
    float4 *drift = p.drift + cell_of(p, z, y, x);
    drift->x = factors[0];
    drift->y = factors[1];
    drift->z = factors[2];
    drift->w = 0.0f;
}

/* ---- the local affine model: fusion/method/guided_upsampling.py ---- */

/* Variances are small differences of large sums. These GPUs do a double-precision operation in the time of 64 others, so the
 * sums are whole numbers instead, of 2^-16 a lightness and 2^-32 a product, and exact: 129 x 129 products of 100 x 100 fit in. */
#define ONE 65536

PIXEL_FN int32_t fixed(float value) { return (int32_t)(value * (float)ONE + 0.5f); }

/* A guide, or after the last one the target. */
PIXEL_FN int32_t factor_at(const Bracket &p, int32_t index, int32_t y, int32_t x)
{
    return fixed(index < p.exposures ? p.lightness[cell_of(p, index, y, x)] : p.target[cell_of(p, 0, y, x)]);
}

PIXEL_FN int64_t product(const Bracket &p, int32_t plane, int32_t y, int32_t x)
{
    int32_t n = p.exposures;
    if (plane >= products(n))
        return (int64_t)fixed(p.chroma[cell_of(p, plane - products(n), y, x)]) * ONE;
    if (plane <= n)
        return (int64_t)factor_at(p, plane, y, x) * ONE;
    int32_t left = 0, right = plane - n - 1; /* of guides: row by row of the upper triangle */
    for (; left < n && right >= n - left; left++)
        right -= n - left;
    if (left == n) /* of a guide and the target */
        return (int64_t)factor_at(p, right, y, x) * factor_at(p, n, y, x);
    return (int64_t)factor_at(p, left, y, x) * factor_at(p, left + right, y, x);
}

/* Sums along rows, one plane a z. */
KERNEL(window_rows, 6)
{
    int32_t x = thread_x(), y = thread_y(), plane = (int32_t)blockIdx.z + (p.full ? products(p.exposures) : 0);
    if (x >= p.small_width || y >= p.small_height)
        return;
    int32_t radius = plane < products(p.exposures) ? p.window_radius : p.chroma_radius;
    int64_t sum = 0;
    for (int32_t i = most(x - radius, 0); i <= least(x + radius, p.small_width - 1); i++)
        sum += product(p, plane, y, i);
    p.window_sums[cell_of(p, plane, y, x)] = sum;
}

/* Sum of a window from the sums along its rows. */
template <typename Sum> PIXEL_FN Sum window_sum(const Bracket &p, const Sum *sums, int32_t plane, int32_t radius, int32_t y, int32_t x)
{
    int32_t bottom = least(y + radius, p.small_height - 1);
    Sum sum = 0;
    ROLLED
    for (int32_t i = most(y - radius, 0); i <= bottom; i++)
        sum += sums[cell_of(p, plane, i, x)];
    return sum;
}

/* Each exposure's part of the regional chroma, but the brightest's; where it is compared. */
KERNEL(chroma_parts, 6)
{
    int32_t x = thread_x(), y = thread_y(), n = p.exposures;
    if (x >= p.small_width || y >= p.small_height)
        return;
    float part = 1.0f / ((float)window_cells(p, p.chroma_radius, y, x) * ((float)ONE * (float)ONE)), total = 0.0f;
    float *parts = (float *)(p.steering + quarters(n, p.transfer) * cell_of(p, 0, y, x)) + n + 1;
    ROLLED
    for (int32_t j = 0; j < n; j++) {
        float scale = (float)window_sum(p, p.window_sums, products(n) + j, p.chroma_radius, y, x) * part + p.chroma_offset;
        total += scale;
        if (j < n - 1)
            parts[j] = scale;
    }
    ROLLED
    for (int32_t j = 0; j < n - 1; j++)
        parts[j] /= total;
}

KERNEL(solve_windows, 6)
{
    int32_t x = thread_x(), y = thread_y();
    if (x >= p.small_width || y >= p.small_height)
        return;
    size_t cell = cell_of(p, 0, y, x), plane = (size_t)p.small_height * p.small_width;
    double one = 1.0 / ((double)window_cells(p, p.window_radius, y, x) * ((double)ONE * (double)ONE)), means[8];
    for (int32_t i = 0; i < 8; i++)
        means[i] = (double)window_sum(p, p.window_sums, i, p.window_radius, y, x) * one;
    double u = means[0], o = means[1], t = means[2];
    double var_u = means[3] - u * u + p.window_eps, var_o = means[5] - o * o + p.window_eps, cov = means[4] - u * o;
    double with_u = means[6] - u * t, with_o = means[7] - o * t;
    double scale = 1.0 / (var_u * var_o - cov * cov);
    double a = (with_u * var_o - with_o * cov) * scale, b = (with_o * var_u - with_u * cov) * scale;
    p.coefficients[cell] = (float)a;
    p.coefficients[plane + cell] = (float)b;
    p.coefficients[2 * plane + cell] = (float)((t + 16.0 - a * (u + 16.0) - b * (o + 16.0)) / 116.0); /* from L* to f */
}

/* Factor on each exposure, `plane` numbers apart, with which their sum has the variance of the strongest: structure_factors of the
 * definition. matrix: of which the lower triangle is used. The share of these factors, of which the fit has the rest, is returned.
 * middle: mean of the target, which becomes that of below_white. */
template <int N> PIXEL_FN float structure_factors(const Bracket &p, const double (&matrix)[N][N], float *out, size_t plane,
                                                    double &middle)
{
    double strongest = 0.0, spread = 0.0;
    UNROLLED
    for (int j = 0; j < N; j++)
        strongest = matrix[j][j] > strongest ? matrix[j][j] : strongest;
    UNROLLED
    for (int j = 0; j < N; j++) {
        UNROLLED
        for (int m = 0; m <= j; m++)
            spread += (m == j ? 1.0 : 2.0) * matrix[j][j] * matrix[m][m] * matrix[j][m];
    }
    spread /= strongest * strongest;
    double least_spread = strongest * (double)p.constants.least_spread, kept = strongest > p.window_eps ? strongest - p.window_eps : 0.0;
    double gain = sqrt(kept / (spread > least_spread ? spread : least_spread));
    UNROLLED
    for (int j = 0; j < N; j++)
        out[j * plane] = (float)(gain * matrix[j][j] / strongest);
    float share = p.constants.edge_variance / (p.constants.edge_variance + (float)strongest);
    double excess = middle + (double)p.constants.headroom * sqrt(kept) - 100.0;
    middle -= (double)(share * share) * (excess > 0.0 ? excess : 0.0);
    return share;
}

/* More guides: least squares by Cholesky's decomposition, and what keeps the structure: see kernels/windows.c. */
template <int N> PIXEL_FN void solve_more(const Bracket &p)
{
    int32_t x = thread_x(), y = thread_y(), next = N + 1;
    if (x >= p.small_width || y >= p.small_height)
        return;
    double one = 1.0 / ((double)window_cells(p, p.window_radius, y, x) * ((double)ONE * (double)ONE));
    double means[N + 1], root[N][N], right[N];
    size_t plane = (size_t)p.small_height * p.small_width;
    float *factors = p.coefficients + cell_of(p, 0, y, x);
    UNROLLED
    for (int j = 0; j <= N; j++)
        means[j] = (double)window_sum(p, p.window_sums, j, p.window_radius, y, x) * one;
    UNROLLED
    for (int j = 0; j < N; j++) {
        UNROLLED
        for (int m = j; m < N; m++)
            root[m][j] = (double)window_sum(p, p.window_sums, next++, p.window_radius, y, x) * one - means[j] * means[m] +
                         (m == j ? p.window_eps : 0.0);
    }
    UNROLLED
    for (int j = 0; j < N; j++)
        right[j] = (double)window_sum(p, p.window_sums, next++, p.window_radius, y, x) * one - means[j] * means[N];
    float share = structure_factors<N>(p, root, factors, plane, means[N]); /* which lie in memory, lest they take registers meanwhile */
    UNROLLED
    for (int j = 0; j < N; j++) {
        UNROLLED
        for (int m = 0; m < j; m++) {
            double part = root[j][m];
            UNROLLED
            for (int q = 0; q < m; q++)
                part -= root[j][q] * root[m][q];
            root[j][m] = part / root[m][m];
            root[j][j] -= root[j][m] * root[j][m];
            right[j] -= root[j][m] * right[m];
        }
        root[j][j] = sqrt(root[j][j]);
        right[j] /= root[j][j];
    }
    UNROLLED
    for (int j = N - 1; j >= 0; j--) {
        UNROLLED
        for (int m = j + 1; m < N; m++)
            right[j] -= root[m][j] * right[m];
        right[j] /= root[j][j];
    }
    double rest = means[N] + 16.0;
    UNROLLED
    for (int j = 0; j < N; j++) {
        double factor = right[j] + (double)share * ((double)factors[j * plane] - right[j]);
        rest -= factor * (means[j] + 16.0);
        factors[j * plane] = (float)factor;
    }
    factors[N * plane] = (float)(rest / 116.0); /* from L* to f */
}

/* Double-precision values take two registers each. */
KERNEL(solve_windows_3, 4) { solve_more<3>(p); }
KERNEL(solve_windows_4, 3) { solve_more<4>(p); }

KERNEL(smooth_rows, 6)
{
    int32_t x = thread_x(), y = thread_y(), plane = (int32_t)blockIdx.z;
    if (x >= p.small_width || y >= p.small_height)
        return;
    float sum = 0;
    for (int32_t i = most(x - p.window_radius, 0); i <= least(x + p.window_radius, p.small_width - 1); i++)
        sum += p.coefficients[cell_of(p, plane, y, i)];
    p.smooth_sums[cell_of(p, plane, y, x)] = sum;
}

KERNEL(smooth_columns, 6)
{
    int32_t x = thread_x(), y = thread_y();
    if (x >= p.small_width || y >= p.small_height)
        return;
    float part = 1.0f / (float)window_cells(p, p.window_radius, y, x);
    float *steering = (float *)(p.steering + quarters(p.exposures, p.transfer) * cell_of(p, 0, y, x));
    ROLLED
    for (int32_t j = 0; j <= p.exposures; j++)
        steering[j] = window_sum(p, p.smooth_sums, j, p.window_radius, y, x) * part;
}

/* What grids show of their exposures: intensity mapping functions (fusion/motion/intensity_mapping.py), what two exposures may
 * differ by (ghost_mask.py), noise over time (temporal_noise.py). No state. */
#include "grids.h"
#include "rows.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

VECTORISED static void count_about(const float *restrict values, int32_t count, float middle, int32_t *less, int32_t *equal)
{
    int32_t smaller = 0, same = 0;
    for (int32_t i = 0; i < count; i++) {
        smaller += values[i] < middle;
        same += values[i] == middle;
    }
    *less = smaller, *equal = same;
}

/* The value of rank `rank` (0 = smallest) among `count`, which are lost: each time all are counted about one of them, and only those
 * on the side of the rank are kept, without a branch for each that no processor could foresee. */
static float ranked(float *values, int32_t count, int32_t rank)
{
    for (;;) {
        float middle = values[count / 2];
        int32_t less, equal, kept = 0;
        count_about(values, count, middle, &less, &equal);
        if (rank >= less && rank < less + equal)
            return middle;
        if (rank < less)
            for (int32_t i = 0; kept < less; i++) {
                float value = values[i];
                values[kept] = value;
                kept += value < middle;
            }
        else
            for (int32_t i = 0; kept < count - less - equal; i++) {
                float value = values[i];
                values[kept] = value;
                kept += value > middle;
            }
        rank -= rank < less ? 0 : less + equal;
        count = kept;
    }
}

/* ---- noise over time ---- */

#define LEAST_LEVELS 4 /* that are worth another thread */

/* Values by level; edges[l + 1] is where level l begins. */
typedef struct {
    float *values;
    const int32_t *edges;
    int32_t levels, count, fewest;
    float *out;
} Sorted;

static void medians_of_levels(void *job, int32_t from, int32_t to)
{
    const Sorted *sorted = job;
    for (int32_t l = from; l < to; l++) {
        int32_t first = sorted->edges[l + 1], seen = (l + 1 < sorted->levels ? sorted->edges[l + 2] : sorted->count) - first;
        sorted->out[l] = seen >= sorted->fewest ? ranked(sorted->values + first, seen, seen / 2) : -1;
    }
}

/* The median difference of two grids (height x width x 3) at each of `levels` intervals of the larger value, among the samples of
 * every `step`-th cell; -1 for a level that fewer than `fewest` samples have. 0, or 1 if out of memory. */
int median_differences(Pool *pool, const float *grid, const float *old, int32_t height, int32_t width, int32_t step, int32_t levels,
                       int32_t fewest, float *out)
{
    size_t most = 3 * ((size_t)height / step + 1) * ((size_t)width / step + 1);
    char *memory = malloc(most * (2 * sizeof(float) + 1) + ((size_t)levels + 1) * sizeof(int32_t));
    if (!memory)
        return 1;
    int32_t *edges = (int32_t *)memory, count = 0;
    float *differences = (float *)(edges + levels + 1), *sorted = differences + most;
    uint8_t *level = (uint8_t *)(sorted + most);
    memset(edges, 0, ((size_t)levels + 1) * sizeof *edges);
    for (int32_t y = step / 2; y < height; y += step)
        for (int32_t x = step / 2; x < width; x += step) {
            size_t first = 3 * ((size_t)y * width + x);
            for (size_t i = first; i < first + 3; i++, count++) {
                float larger = grid[i] > old[i] ? grid[i] : old[i];
                int32_t place = (int32_t)(larger * (float)levels);
                place = place < levels - 1 ? place : levels - 1;
                level[count] = (uint8_t)place;
                differences[count] = fabsf(grid[i] - old[i]);
                edges[place + 1]++;
            }
        }
    for (int32_t l = 0; l < levels; l++)
        edges[l + 1] += edges[l];
    for (int32_t i = count - 1; i >= 0; i--)
        sorted[--edges[level[i] + 1]] = differences[i]; /* afterwards edges[l + 1] is where level l begins */
    Sorted job = {sorted, edges, levels, count, fewest, out};
    pool_run(pool, medians_of_levels, &job, levels, LEAST_LEVELS);
    free(memory);
    return 0;
}

/* ---- what two exposures may differ by ---- */

/* numpy's interp: `values` at `count` places that do not fall, at each of knots + 1 equal steps of 0..1. */
static void interpolate(const double *places, const double *values, int32_t count, int32_t knots, double *out)
{
    int32_t at = -1; /* the last place that has been reached */
    double rise = 0, part = 1.0 / knots, reached = places[0], value = values[0];
    for (int32_t k = 0; k <= knots; k++) {
        double x = part * k;
        while (at + 1 < count && places[at + 1] <= x) {
            at++;
            reached = places[at], value = values[at], rise = 0;
            if (at + 1 < count && places[at + 1] > reached)
                rise = (values[at + 1] - value) / (places[at + 1] - reached);
        }
        out[k] = value + rise * (x - reached);
    }
}

/* Samples of one channel of every step-th cell, in the order of the knot nearest to the darker value; ties as they come. */
typedef struct {
    int32_t count;
    float *levels, *differences, *room;
    uint16_t *knots;
} Samples;

static void take_samples(const Measure *measure, const float *under, const float *over, int32_t height, int32_t width, Samples *samples)
{
    int32_t step = measure->step, top = step / 2 < height - 1 ? step / 2 : height - 1, left = step / 2 < width - 1 ? step / 2 : width - 1;
    int32_t count = 0, all = 0, still = 0;
    float *levels = samples->room, *seen = samples->differences;
    for (int32_t y = top; y < height && measure->changed; y += step)
        for (int32_t x = left; x < width; x += step, all++)
            still += measure->changed[(size_t)y * width + x] < (float)measure->still_below;
    const float *changed = measure->fewest_still * still >= all ? measure->changed : NULL;
    for (int32_t y = top; y < height; y += step)
        for (int32_t x = left; x < width; x += step) {
            size_t cell = (size_t)y * width + x, place = 3 * cell;
            if (changed && !(changed[cell] < (float)measure->still_below))
                continue;
            levels[count] = under[place];
            seen[count++] = over[place];
        }
    for (int32_t i = 0; i < count; i++)
        samples->knots[i] = (uint16_t)(levels[i] * (float)measure->knots + 0.5f);
    samples->count = count;
}

/* Sorted by counting; `counts`: knots + 2. */
static void sort_samples(const Measure *measure, Samples *samples, int32_t *counts)
{
    float *seen = samples->differences, *levels = samples->levels, *sorted = levels + samples->count;
    memset(counts, 0, ((size_t)measure->knots + 2) * sizeof *counts);
    for (int32_t i = 0; i < samples->count; i++)
        counts[samples->knots[i] + 1]++;
    for (int32_t k = 0; k <= measure->knots; k++)
        counts[k + 1] += counts[k];
    for (int32_t i = 0; i < samples->count; i++) {
        int32_t knot = samples->knots[i], to = counts[knot]++;
        levels[to] = samples->room[i];
        sorted[to] = (float)measure->brighter[knot] - seen[i];
    }
    samples->differences = sorted;
}

static double held(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

/* By level: median and spread of the difference between the expected and the seen brighter values; `at`: the middle level. */
static int32_t spreads_of_parts(const Measure *measure, Samples *samples, double *at, double *medians, double *spreads)
{
    int32_t parts = samples->count < measure->levels ? samples->count : measure->levels;
    int32_t each = samples->count / parts, first = samples->count % parts;
    for (int32_t p = 0; p < parts; p++, first += each) {
        float *differences = samples->differences + first, *room = samples->room;
        memcpy(room, differences, (size_t)each * sizeof *room);
        float median = ranked(room, each, each / 2);
        for (int32_t i = 0; i < each; i++)
            differences[i] = fabsf(differences[i] - median);
        at[p] = (double)samples->levels[first + each / 2];
        medians[p] = (double)median;
        spreads[p] = measure->spread_of_mad * (double)ranked(differences, each, each / 2);
    }
    return parts;
}

/* Of a curve of knots + 1, at knot k. */
static double slope_at(const double *curve, int32_t k, int32_t knots)
{
    double before = (curve[k > 0 ? k : 1] - curve[k > 0 ? k - 1 : 0]) * knots;
    double after = (curve[k < knots ? k + 1 : knots] - curve[k < knots ? k : knots - 1]) * knots;
    return (before + after) / 2;
}

/* Of one channel of two grids (both height x width x 3, from that channel on, as the measure's curves): `_measured` of fusion/motion/ghost_mask.py. Returns 1 if
 * out of memory. */
static int allowed_of_channel(const Measure *measure, const float *under, const float *over, int32_t height, int32_t width)
{
    size_t most = ((size_t)height / measure->step + 1) * ((size_t)width / measure->step + 1), knots = (size_t)measure->knots + 2;
    double *memory = malloc(3 * (size_t)measure->levels * sizeof(double) + most * (4 * sizeof(float) + 2) + knots * sizeof(int32_t));
    if (!memory)
        return 1;
    double *at = memory, *medians = at + measure->levels, *spreads = medians + measure->levels;
    int32_t *counts = (int32_t *)(spreads + measure->levels);
    float *floats = (float *)(counts + knots);
    Samples samples = {0, floats, floats + 2 * most, floats + 3 * most, (uint16_t *)(floats + 4 * most)};
    take_samples(measure, under, over, height, width, &samples);
    sort_samples(measure, &samples, counts);
    int32_t parts = spreads_of_parts(measure, &samples, at, medians, spreads);
    double *expected = measure->expected, *noise = measure->noise;
    interpolate(at, medians, parts, measure->knots, expected);
    interpolate(at, spreads, parts, measure->knots, noise);
    for (int32_t k = 0; k <= measure->knots; k++) {
        double code = measure->code * slope_at(measure->brighter, k, measure->knots), bias = 0.05 + code;
        double spread = held(noise[k], measure->code + 0.25 * code, 0.03 + 2 * code);
        expected[k] = held(measure->brighter[k] - held(expected[k], -bias, bias), 0, 1);
        spread *= spread;
        noise[k] = measure->least[k] > spread ? measure->least[k] : spread;
    }
    free(memory);
    return 0;
}

typedef struct {
    Measure *measure;
    const float *under, *over;
    int32_t height, width;
} Channels;

static void allowed_of_channels(void *job, int32_t first, int32_t end)
{
    const Channels *grids = job;
    for (int32_t c = first; c < end; c++) {
        const Measure *of = grids->measure;
        size_t place = (size_t)c * ((size_t)of->knots + 1);
        Measure one = {of->brighter + place, of->least + place, of->expected + place, of->noise + place, of->changed, 0, of->knots,
                       of->levels, of->step, of->fewest_still, of->code, of->spread_of_mad, of->still_below};
        if (allowed_of_channel(&one, grids->under + c, grids->over + c, grids->height, grids->width))
            grids->measure->failed = 1;
    }
}

/* By channel, expected value and variance of the brighter of two grids (height x width x 3), by the level of the darker one: into the
 * `measure`. 0, or 1 if out of memory. */
int allowed_by_channel(Pool *pool, Measure *measure, const float *under, const float *over, int32_t height, int32_t width)
{
    Channels job = {measure, under, over, height, width};
    pool_run(pool, allowed_of_channels, &job, 3, 1);
    return measure->failed;
}

/* ---- intensity mapping functions ---- */

/* The value with the same rank in `target` for each of `source`, both histograms over knots + 1 knots. `room`: 2 (knots + 1). */
static void match(const double *source, const double *target, int32_t knots, double *room, double *out)
{
    double *ranks = room, *places = room + knots + 1, sum = 0, below = 0, most = 0;
    int32_t count = 0, at = 0;
    memset(out, 0, ((size_t)knots + 1) * sizeof *out);
    for (int32_t k = 0; k <= knots; k++) {
        sum += target[k];
        if (target[k] != 0) {
            ranks[count] = sum - target[k] / 2;
            places[count++] = (double)k / knots;
        }
    }
    for (int32_t k = 0; k <= knots && count; k++) {
        below += source[k];
        double rank = below - source[k] / 2, value;
        while (at + 1 < count && ranks[at + 1] <= rank)
            at++;
        if (rank < ranks[0] || at + 1 == count)
            value = places[at];
        else
            value = places[at] + (places[at + 1] - places[at]) / (ranks[at + 1] - ranks[at]) * (rank - ranks[at]);
        out[k] = most = value > most ? value : most;
    }
}

/* The mean of `near` (odd) knots about each, the first and last repeated beyond the ends. */
static void smooth(const double *curve, int32_t knots, int32_t near, double *out)
{
    double sum = 0;
    for (int32_t k = -near / 2; k < near / 2; k++)
        sum += curve[k < 0 ? 0 : k > knots ? knots : k];
    for (int32_t k = 0; k <= knots; k++) {
        int32_t last = k + near / 2, first = k - near / 2;
        sum += curve[last > knots ? knots : last];
        out[k] = sum / near;
        sum -= curve[first < 0 ? 0 : first];
    }
}

/* `matched` goes towards `known` where few of `seen` are near, but not above the next level of which the pictures' share
 * is `surely` or more. `share`: room for knots + 1. */
static void blend_known(const double *known, const double *seen, int32_t knots, int32_t near, double prior, double surely,
                        double *share, double *matched)
{
    double least = 2, most = 0; /* all values are 0..1 */
    smooth(seen, knots, near, share);
    for (int32_t k = knots; k >= 0; k--) {
        double count = share[k] * near, part = count / (count + prior), value = known[k] + part * (matched[k] - known[k]);
        if (part >= surely && value < least)
            least = value;
        matched[k] = value < least ? value : least;
    }
    for (int32_t k = 0; k <= knots; k++)
        matched[k] = most = matched[k] > most || k == 0 ? matched[k] : most;
}

/* From the histograms of two exposures (3 x knots + 1), and `known`: a curve a channel to the brighter exposure's values, then one a
 * channel back; NULL: not known. clips: the knot from which values clip; near, prior, surely: see fusion/motion/intensity_mapping.py.
 * found: as known. least: what their noise (deviation at `levels` intervals) brings about, 3 x knots + 1; NULL: not wanted. */
typedef struct {
    const double *dark, *bright, *known;
    const float *dark_noise, *bright_noise;
    double *found, *least;
    int32_t knots, clips, near, levels;
    double prior, surely;
    _Atomic int32_t failed; /* out of memory */
} Learning;

static double noise_at(const float *noise, int32_t levels, double value)
{
    int32_t place = (int32_t)(value * levels);
    return (double)noise[place < levels - 1 ? place : levels - 1];
}

/* What the noise of two exposures (deviation at `levels` intervals) brings about between them: the variance at knots + 1 knots. room: as
 * many. */
static void find_least(const double *brighter, const float *dark, const float *bright, int32_t knots, int32_t levels, int32_t near,
                       double *room, double *out)
{
    for (int32_t k = 0; k <= knots; k++)
        room[k] = slope_at(brighter, k, knots);
    smooth(room, knots, near, out);
    for (int32_t k = 0; k <= knots; k++) {
        double enlarged = out[k] * noise_at(dark, levels, (double)k / knots), own = noise_at(bright, levels, brighter[k]);
        out[k] = enlarged * enlarged + own * own;
    }
}

/* The slopes of three curves (3 x knots + 1), means over `near` knots. 0, or 1 if out of memory. */
int smooth_slopes(const double *curves, int32_t knots, int32_t near, float *out)
{
    size_t count = (size_t)knots + 1;
    double *room = malloc(2 * count * sizeof *room);
    if (!room)
        return 1;
    for (int c = 0; c < 3; c++, curves += count) {
        for (int32_t k = 0; k <= knots; k++)
            room[k] = slope_at(curves, k, knots);
        smooth(room, knots, near, room + count);
        for (size_t k = 0; k < count; k++)
            *out++ = (float)room[count + k];
    }
    free(room);
    return 0;
}

/* `least_variance` of fusion/motion/temporal_noise.py. 0, or 1 if out of memory. */
int least_variance(const double *brighter, const float *dark, const float *bright, int32_t knots, int32_t levels, int32_t near, double *out)
{
    double *room = malloc(((size_t)knots + 1) * sizeof *room);
    if (!room)
        return 1;
    find_least(brighter, dark, bright, knots, levels, near, room, out);
    free(room);
    return 0;
}

static int learn_channel(const Learning *job, int32_t channel)
{
    int32_t knots = job->knots;
    size_t count = (size_t)knots + 1;
    const double *dark = job->dark + (size_t)channel * count, *bright = job->bright + (size_t)channel * count;
    double *brighter = job->found + (size_t)channel * count, *darker = brighter + 3 * count;
    double *memory = calloc(3 * count, sizeof *memory), *scaled = memory + 2 * count, darks = 0, brights = 0;
    if (!memory)
        return 1;
    for (size_t k = 0; k < count; k++)
        darks += dark[k], brights += bright[k];
    for (size_t k = 0; k < count; k++)
        scaled[k] = bright[k] * (darks / (brights > 1e-9 ? brights : 1e-9));
    match(dark, scaled, knots, memory, brighter);
    match(scaled, dark, knots, memory, darker);
    double top = darker[job->clips];
    for (size_t k = 0; k < count; k++)
        darker[k] = darker[k] < top ? darker[k] : top;
    if (job->known) {
        const double *known = job->known + (size_t)channel * count;
        blend_known(known, dark, knots, job->near, job->prior, job->surely, memory, brighter);
        blend_known(known + 3 * count, scaled, knots, job->near, job->prior, job->surely, memory, darker);
    }
    if (job->least)
        find_least(brighter, job->dark_noise, job->bright_noise, knots, job->levels, job->near, memory, job->least + (size_t)channel * count);
    free(memory);
    return 0;
}

static void learn_channels(void *argument, int32_t first, int32_t end)
{
    Learning *job = argument;
    for (int32_t channel = first; channel < end; channel++)
        if (learn_channel(job, channel))
            job->failed = 1;
}

/* Maps of the three channels, from the darker exposure's values to the brighter one's and the reverse: `learned` of
 * fusion/motion/intensity_mapping.py. 0, or 1 if out of memory. */
int learned_maps(Pool *pool, Learning *job)
{
    pool_run(pool, learn_channels, job, 3, 1);
    return job->failed;
}

/* Sum, and sum times value, of a histogram's knots whose value is below `clips`. */
static void add_seen(const double *counts, const double *values, int32_t knots, double clips, double *sum, double *light)
{
    for (int32_t k = 0; k <= knots; k++)
        if (values[k] < clips) {
            *sum += counts[k];
            *light += counts[k] * values[k];
        }
}

/* See the constants of fusion/motion/intensity_mapping.py. */
typedef struct {
    double clips, balanced, most_gain, cells;
    int32_t knots;
} Balance;

/* The gain by which cells with these histograms (3 x knots + 1) in the darker and the brighter exposure are as bright on the mean as
 * they are seen; in part, if they are few. maps: of the three channels, `brighter`. values: of the knots. 0 = not known. */
static double gain_of_moving(const Balance *balance, const double *under, const double *over, const double *maps, const double *values)
{
    double expected = 0, as_expected = 0, seen = 0, as_seen = 0, most = balance->most_gain;
    for (size_t c = 0, first = 0; c < 3; c++, first += (size_t)balance->knots + 1) {
        add_seen(under + first, maps + first, balance->knots, balance->clips, &expected, &as_expected);
        add_seen(over + first, values, balance->knots, balance->clips, &seen, &as_seen);
    }
    double both = expected < seen ? 2 * expected - seen : 2 * seen - expected, moving = both / (3 * balance->cells);
    if (!(moving > 0))
        return 0;
    double mean = as_expected / expected, ratio = as_seen / seen / (mean > 1e-6 ? mean : 1e-6);
    return held(1 + moving * moving / (moving * moving + balance->balanced * balance->balanced) * (ratio - 1), 1 / most, most);
}

/* `balanced` of fusion/motion/intensity_mapping.py. maps: of each channel, `brighter`, then of each `darker` (6 x knots + 1); out: the
 * same. values: of the knots. Returns whether there is a gain; else nothing is written. */
int balanced_maps(const Balance *balance, const double *under, const double *over, const double *maps, const double *values, double *out)
{
    int32_t knots = balance->knots;
    double gain = gain_of_moving(balance, under, over, maps, values);
    if (gain == 0)
        return 0;
    for (int c = 0; c < 3; c++, out += knots + 1, maps += knots + 1)
        for (int32_t k = 0; k <= knots; k++)
            out[k] = maps[k] * gain < 1 ? maps[k] * gain : 1;
    for (int c = 3; c < 6; c++, out += knots + 1, maps += knots + 1)
        for (int32_t k = 0; k <= knots; k++) {
            double place = k / gain < knots ? k / gain : knots;
            int32_t first = (int32_t)place < knots - 1 ? (int32_t)place : knots - 1;
            out[k] = maps[first] + (place - first) * (maps[first + 1] - maps[first]);
        }
    return 1;
}

/* ---- what moves ---- */

/* Histograms (3 x knots + 1) of what moves in this bracket, `under` and `over`, and so far, `dark` and `bright`; maps (6 x knots + 1) of
 * it. learning: of these; it is done if it `learns`. See fusion/motion/moving_maps.py. */
typedef struct {
    Learning learning;
    Balance balance;
    const double *under, *over, *maps, *values, *around; /* around: maps of all, from which the learned ones stay at most `astray` */
    double *dark, *bright, *balanced; /* the results: the histograms, the learned maps, and these, if there is a gain */
    double keep, astray;
    int32_t learns, any, gained; /* results: whether anything moves, and there is a gain */
} Moving;

/* Two loops, so that a product is rounded before it is added to: as numpy does. */
static void follow_histogram(double *restrict histogram, const double *restrict seen, double keep, size_t count)
{
    for (size_t i = 0; i < count; i++)
        histogram[i] *= keep;
    for (size_t i = 0; i < count; i++)
        histogram[i] += seen[i];
}

/* 0, or 1 if out of memory. */
int follow_moving(Pool *pool, Moving *job)
{
    size_t count = 3 * ((size_t)job->balance.knots + 1), at = 0;
    while (at < count && job->under[at] == 0)
        at++;
    job->any = at < count;
    if (!job->any)
        return 0;
    follow_histogram(job->dark, job->under, job->keep, count);
    follow_histogram(job->bright, job->over, job->keep, count);
    const double *maps = job->learns ? job->learning.found : job->maps;
    if (job->learns && learned_maps(pool, &job->learning))
        return 1;
    for (size_t i = 0; job->learns && i < 2 * count; i++)
        job->learning.found[i] = held(job->learning.found[i], job->around[i] - job->astray, job->around[i] + job->astray);
    job->gained = balanced_maps(&job->balance, job->under, job->over, maps, job->values, job->balanced);
    return 0;
}

/* Curves (3 x knots + 1) as whole codes for every one of `codes`: 3 x codes. */
void code_tables(const double *curves, int32_t knots, int32_t codes, float *out)
{
    for (int c = 0; c < 3; c++, curves += knots + 1)
        for (int32_t code = 0; code < codes; code++) {
            double place = (double)code * knots / (codes - 1);
            int32_t first = (int32_t)place < knots - 1 ? (int32_t)place : knots - 1;
            double value = curves[first] + (place - first) * (curves[first + 1] - curves[first]);
            *out++ = (float)(int32_t)(held(value, 0, 1) * (codes - 1) + 0.5);
        }
}

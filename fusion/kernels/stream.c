/* What fusion makes of a new frame of a stream (fusion/motion/loops.py: ComposedLoops): several loops over grids in one call, so that
 * the pool's helpers stay awake. No state. */
#include "grids.h"
#include "rows.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_CELLS 2048 /* that are worth another thread */

/* A move (dx, dy in cells of a grid, turn) without what no pixel would notice; returns whether anything is left. least_move,
 * least_turn: in cells. See `worthwhile` of fusion/motion/registration.py. */
static int worthwhile(double *move, int32_t height, int32_t width, double least_move, double least_turn)
{
    double far = hypot(height, width) / 2;
    if (fabs(move[2]) * far < least_turn)
        move[2] = 0;
    if (hypot(move[0], move[1]) + fabs(move[2]) * far >= least_move)
        return 1;
    memset(move, 0, 3 * sizeof *move);
    return 0;
}

static int is_move(const double *move) { return move[0] != 0 || move[1] != 0 || move[2] != 0; }

/* A grid without a move, see Move.offsets. */
static int undo_move(Pool *pool, const float *cells, int32_t height, int32_t width, int32_t channels, const double *move, float *out)
{
    double x = 0.5 * (width - 1), y = 0.5 * (height - 1);
    Moved moved = {cells, height, width, channels, width * channels, {-move[2], move[0] + move[2] * y}, {move[2], move[1] - move[2] * x}};
    return moved_cells(pool, &moved, 1, out);
}

/* ---- the planes in which a move is searched ---- */

typedef struct {
    const float *cells, *luma, *curve;
    int32_t knots;
    float ceiling, *out;
} Lumas;

static void luma_of_cells(void *job, int32_t first, int32_t end)
{
    const Lumas *lumas = job;
    comparable_luma(lumas->cells + 3 * (size_t)first, lumas->luma, lumas->curve, lumas->knots, lumas->ceiling, end - first, lumas->out + first);
}

/* Small pictures of two exposures of height x width, and grids of cells times as many; the luma of both is compared after `curve` (knots +
 * 1) has made one of them as bright as the other. */
typedef struct {
    const Search *search;
    const float *reference, *other, *reference_curve, *other_curve; /* one curve is NULL */
    const float *luma;                                              /* weights of the channels */
    const float *grid;                                              /* of the other exposure */
    float *there, *there_small;                                     /* the results: without the move, unless it is none */
    int32_t height, width, cells, knots;
    double least_move, least_turn, move[3]; /* cells of the grid */
} Alignment;

/* The other exposure without its move. */
int align(Pool *pool, Alignment *job)
{
    int32_t count = job->height * job->width, height = job->height * job->cells, width = job->width * job->cells;
    float *planes = malloc(2 * (size_t)count * sizeof *planes);
    if (!planes)
        return 1;
    Lumas still = {job->reference, job->luma, job->reference_curve, job->knots, job->search->ceiling, planes};
    Lumas stirred = {job->other, job->luma, job->other_curve, job->knots, job->search->ceiling, planes + count};
    pool_run(pool, luma_of_cells, &still, count, LEAST_CELLS);
    pool_run(pool, luma_of_cells, &stirred, count, LEAST_CELLS);
    int failed = find_move(pool, job->search, planes, planes + count, job->height, job->width, job->move);
    free(planes);
    job->move[0] *= job->cells, job->move[1] *= job->cells;
    if (failed || !worthwhile(job->move, height, width, job->least_move, job->least_turn))
        return failed;
    return undo_move(pool, job->grid, height, width, 3, job->move, job->there) ||
           mean_cells(pool, job->there, job->height, job->width, 3, job->cells, job->cells, job->there_small);
}

/* ---- a new frame beside the last one of its exposure ---- */

/* See the constants of fusion/motion/temporal_noise.py. */
typedef struct {
    double of_median, first, least, most, falling, rising;
    int32_t step, fewest;
} Following;

/* Planes of height x width x 3 are grids, of height x width masks; NULL: there is none. */
typedef struct {
    const Search *search;
    const Following *following;
    const Lights *lights;
    Noise changing; /* its variance: room for as many levels, written */
    const float *grid, *old, *small, *old_luma, *luma_weights;
    const float *noise_before;                                /* deviations, by level */
    const float *own_blinks, *other_changed, *other_blinks;   /* other: the exposure before this one */
    float *luma, *noise, *changed, *moved_blinks, *new_blinks; /* the results; moved_blinks: own_blinks, if there is a move */
    const double *histogram_before;
    double *histogram; /* 3 x knots + 1 */
    int32_t height, width, cells, knots;
    float noted, keep_blinks, most_blinking; /* most_blinking: of new_blinks, a result */
    double keep_histogram, least_move, least_turn, move[3];
} Observation;

/* `followed` of fusion/motion/temporal_noise.py. */
static void follow_noise(const Observation *job, float *measured)
{
    const Following *rule = job->following;
    float *variance = (float *)job->changing.variance;
    for (int32_t l = 0; l < job->changing.levels; l++) {
        double seen = rule->of_median * (double)measured[l], found = seen;
        if (job->noise_before) {
            double before = (double)job->noise_before[l];
            found = measured[l] < 0 ? before : before + (seen < before ? rule->falling : rule->rising) * (seen - before);
        } else {
            found = measured[l] < 0 ? rule->first : seen < 2 * rule->first ? seen : 2 * rule->first;
        }
        float noise = (float)(found < 0 ? 0 : found < rule->most ? found : rule->most), least = (float)rule->least;
        job->noise[l] = noise;
        noise = noise > least ? noise : least; /* `judged_by` */
        variance[l] = 2 * (noise * noise);
    }
}

typedef struct {
    const Observation *job;
    const float *seen; /* by_other */
    _Atomic uint32_t most; /* the bits of a float, 0 or more: those of a larger one are larger */
} Blinking;

static void blinking_cells(void *argument, int32_t first, int32_t end)
{
    Blinking *blinking = argument;
    const Observation *job = blinking->job;
    const float *before = job->other_blinks ? job->other_blinks + first : NULL;
    float most = follow_blinking(before, job->other_changed + first, blinking->seen + first, end - first, job->noted, job->keep_blinks,
                                 job->new_blinks + first);
    uint32_t bits, seen = atomic_load(&blinking->most);
    memcpy(&bits, &most, sizeof bits);
    while (bits > seen && !atomic_compare_exchange_weak(&blinking->most, &seen, bits))
        ;
}

static int follow_blinks(Pool *pool, Observation *job, float *seen)
{
    int32_t count = job->height * job->width;
    if (is_move(job->move) && job->own_blinks &&
        undo_move(pool, job->own_blinks, job->height, job->width, 1, job->move, job->moved_blinks))
        return 1;
    if (!job->other_changed)
        return 0;
    if (seen_by_other(pool, job->lights, job->changed, job->other_changed, job->height, job->width, seen))
        return 1;
    Blinking blinking = {job, seen, 0};
    pool_run(pool, blinking_cells, &blinking, count, LEAST_CELLS);
    uint32_t most = atomic_load(&blinking.most);
    memcpy(&job->most_blinking, &most, sizeof most);
    return 0;
}

/* What a frame shows beside the one before of its exposure: its move, the noise, what has changed, and what blinks. */
int observe(Pool *pool, Observation *job)
{
    int32_t height = job->height, width = job->width, small_height = height / job->cells, small_width = width / job->cells;
    size_t count = (size_t)height * width;
    float *room = malloc(3 * count * sizeof *room), measured[256];
    if (!room)
        return 1;
    const float *old = job->old;
    Lumas lumas = {job->small, job->luma_weights, NULL, job->knots, job->search->ceiling, job->luma};
    pool_run(pool, luma_of_cells, &lumas, small_height * small_width, LEAST_CELLS);
    int failed = find_move(pool, job->search, job->luma, job->old_luma, small_height, small_width, job->move);
    job->move[0] *= job->cells, job->move[1] *= job->cells;
    if (!failed && worthwhile(job->move, height, width, job->least_move, job->least_turn)) {
        failed = undo_move(pool, old, height, width, 3, job->move, room);
        old = room;
    }
    failed = failed || median_differences(pool, job->grid, old, height, width, job->following->step, job->changing.levels,
                                          job->following->fewest, measured);
    if (!failed) {
        follow_noise(job, measured);
        changes(pool, &job->changing, job->grid, old, height, width, job->changed);
        failed = without_lights_out(job->lights, job->grid, old, height, width, job->changed) || follow_blinks(pool, job, room) || count_levels(pool, job->grid, (int32_t)count, job->knots, NULL, 0, job->histogram);
    }
    for (int32_t k = 0; !failed && k < 3 * (job->knots + 1); k++)
        job->histogram[k] += job->keep_histogram * job->histogram_before[k];
    free(room);
    return failed;
}

/* ---- where two exposures show different things ---- */

/* changed, blinks (or NULL): a mask for each of `exposures`, with its move, which is undone (all zero: none). */
typedef struct {
    const float *const *changed, *const *blinks;
    const double (*moves)[3];
    const float *under, *over;
    Measure *measure; /* its `changed` is set */
    const Softening *softening;
    Allowed *allowed; /* its levels are set */
    float *mask;      /* the result, and */
    double *under_levels, *over_levels; /* histograms of what is masked by at least `moving`, if anything is */
    int32_t exposures, height, width, gate_cells;
    float moving;
    int32_t any_gate, any_mask;
} Difference;

typedef struct {
    const float *changed, *blinks;
    float *out;
} Unblinking;

static void unblink_cells(void *argument, int32_t first, int32_t end)
{
    const Unblinking *job = argument;
    without_blinking(job->changed + first, job->blinks + first, end - first, job->out + first);
}

static int any_of(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] != 0)
            return 1;
    return 0;
}

static int find_gate(Pool *pool, const Difference *job, float *room, const float **masks, float *gate)
{
    int32_t height = job->height, width = job->width;
    size_t count = (size_t)height * width;
    for (int32_t e = 0; e < job->exposures; e++, room += 2 * count) {
        masks[e] = job->changed[e];
        if (job->blinks[e]) {
            Unblinking part = {masks[e], job->blinks[e], room};
            pool_run(pool, unblink_cells, &part, (int32_t)count, LEAST_CELLS);
            masks[e] = room;
        }
        if (is_move(job->moves[e])) {
            if (undo_move(pool, masks[e], height, width, 1, job->moves[e], room + count))
                return 1;
            masks[e] = room + count;
        }
    }
    return wider_mask(pool, masks, job->exposures, height, width, job->gate_cells, gate);
}

static void set_levels(const Measure *measure, int32_t count, float (*levels)[2])
{
    for (int32_t k = 0; k < count; k++) {
        levels[k][0] = (float)measure->expected[k];
        levels[k][1] = (float)measure->noise[k];
    }
}

/* The mask of two grids where the exposures have changed. */
int find_difference(Pool *pool, Difference *job)
{
    int32_t height = job->height, width = job->width;
    size_t count = (size_t)height * width, exposures = (size_t)job->exposures, levels = 3 * ((size_t)job->measure->knots + 1);
    const float **masks = malloc(exposures * sizeof *masks + (2 * levels + 2 * (exposures + 1) * count) * sizeof(float));
    if (!masks)
        return 1;
    float (*allowed)[2] = (float (*)[2])(masks + exposures), *gate = (float *)(allowed + levels), *room = gate + count;
    int failed = find_gate(pool, job, room, masks, gate);
    job->any_gate = !failed && any_of(gate, count);
    job->any_mask = 0;
    if (job->any_gate) {
        job->measure->changed = gate;
        failed = allowed_by_channel(pool, job->measure, job->under, job->over, height, width);
        if (!failed) {
            set_levels(job->measure, (int32_t)levels, allowed);
            job->allowed->levels = (const float (*)[2])allowed;
            disagreement(pool, job->allowed, job->under, job->over, gate, height, width, room);
            failed = soft_mask(pool, job->softening, room, gate, height, width, job->mask);
            job->any_mask = !failed && any_of(job->mask, count);
        }
        if (job->any_mask)
            failed = count_levels(pool, job->under, (int32_t)count, job->allowed->knots, job->mask, job->moving, job->under_levels) ||
                     count_levels(pool, job->over, (int32_t)count, job->allowed->knots, job->mask, job->moving, job->over_levels);
    }
    free(masks);
    return failed;
}

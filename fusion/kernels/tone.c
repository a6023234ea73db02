/* The pass over the pixels for what live use has: colour transfer `tone`, up to QUICK_MOST exposures, 8 or 16 bits. The same
 * formulas as fuse_rows in pixels.c, which does all the rest; for vectors of AVX-512, AVX2 or NEON, from the codes to the codes in
 * the first-level cache.
 *
 * A tile is TILE columns by the rows that lie between two rows of small pixels; the planes that steer it are widened once. Each of
 * its rows goes through a few short loops: in one long loop a vector's chain of operations would leave the processor nothing to do
 * beside it. Colours are in codes. No result depends on how rows are cut into calls.
 */
#include "job.h"
#include "lanes.h"
#include "pixels.h"

#include <stdlib.h>

/* Numbers for fusion/cpu/compiled_tone.py. */
int32_t tone_lanes(void) { return LANES; }

#if LANES

int32_t tone_pieces(void) { return PIECES; }
int32_t tone_piece_shift(void) { return PIECE_SHIFT; }
int32_t tone_degree(int32_t fine) { return fine ? FINE_DEGREE : DEGREE; }
int32_t tone_terms(void) { return FINE_DEGREE + 1; }

#define QUICK_MOST 4
#define TILE 128
#define ALIGNED _Alignas(64) /* a vector that lies across two cache lines costs a third more */
#define ROOM (TILE + LANES)  /* floats of a plane of a tile's steering: whole vectors are written */
#define AHEAD 5              /* so many rows of a tile, a microsecond or two, before it is needed memory is asked for */
#define BAND 16              /* rows at most that are done together where small pixels are large */

typedef struct {
    float offset, factor; /* offset + factor x, not limited */
} Line;

/* The curves of a bit depth: f of a grey's luma, luma of f; places in them. The curves' knees lie where pieces end. */
typedef struct {
    Line luma_place, f_place;
    Terms f_of_luma, luma_of_f;
} Curves;

/* Constants, colours in codes. */
typedef struct {
    const Curves *curves;
    float luma[3];                  /* weights of B, G, R */
    Line dark, clip;                /* the two factors of trust, over f and the largest channel */
    float dark_floor, clip_floor;   /* what they are at least; at most 1 */
    float black_f, least_step, colour_floor, least_code, near_floor;
    float shoulder, luma_low, luma_high, least_luma;
    Line clipped, seen;             /* of clipped_gain in pixels.h: over the brighter and the darker exposure's channel */
    float clip_start, clipped_from; /* up to which nothing clips */
} Numbers;

static Numbers numbers_of(const Constants *k, const Curves *curves, float codes)
{
    float clip = -k->clip_loss * k->code_clip.scale;
    const float *luma = k->xyz_from_bgr + 3;
    return (Numbers){
        .curves = curves,
        .luma = {luma[0], luma[1], luma[2]},
        .dark = {-k->dark.scale * k->dark.start, k->dark.scale},
        .clip = {1.0f - clip * k->code_clip.start, clip / codes},
        .dark_floor = k->dark_floor,
        .clip_floor = 1.0f - k->clip_loss,
        .black_f = k->black_f,
        .least_step = k->least_step,
        .colour_floor = k->colour_floor,
        .least_code = codes * k->least_code,
        .near_floor = k->near_floor,
        .shoulder = codes * k->shoulder,
        .luma_low = codes * k->luma_low,
        .luma_high = codes * k->luma_high,
        .least_luma = codes * k->least_luma,
        .clipped = {-k->code_clip.scale * k->code_clip.start, k->code_clip.scale / codes},
        .seen = {-k->seen_dark.scale * k->seen_dark.start, k->seen_dark.scale / codes},
        .clip_start = codes * k->code_clip.start,
        .clipped_from = k->clipped_from,
    };
}

/* ---- a row of a tile, of n exposures; `fine` for 16 bits ---- */

typedef float Plane[ROOM];

typedef struct {
    Plane bgr[3], luma, f, trust;
} Tones;

typedef struct {
    Plane least_f;                 /* below which the pixel is not darkened */
    Plane f, luma;                 /* the fused ones */
    Plane reached[QUICK_MOST - 1]; /* how far f is on the way from an exposure to the next */
    Plane share[QUICK_MOST];       /* of each exposure; in all `shoulder` */
    Plane step[QUICK_MOST];        /* factor on an exposure's odds, or its part that drift does not change, and */
    Plane drifted[QUICK_MOST - 1]; /* that which it does */
    Plane far[QUICK_MOST - 1];     /* 1 - reached, and times the ratio of the two lumas' odds; where something clips */
    Plane lumas[QUICK_MOST - 1];
} Mix;

LANES_FN F held(F x, float low, float high) { return least(most(x, every(low)), every(high)); }
LANES_FN F on(Line line, F x) { return x * line.factor + line.offset; }

LANES_FN F luma_of(const Numbers *k, F blue, F green, F red)
{
    return k->luma[0] * blue + (k->luma[1] * green + k->luma[2] * red);
}

LANES_FN F largest_of(const Tones *t, int32_t i) { return most(most(load(t->bgr[0] + i), load(t->bgr[1] + i)), load(t->bgr[2] + i)); }

/* Whether a channel of some pixel clips, in part at least. */
LANES_FN int tones(const Numbers *k, int fine, int32_t count, Tones *restrict t)
{
    F peak = every(0);
    for (int32_t i = 0; i < count; i += LANES) {
        F luma = luma_of(k, load(t->bgr[0] + i), load(t->bgr[1] + i), load(t->bgr[2] + i));
        F f = piecewise(k->curves->f_of_luma, on(k->curves->luma_place, luma), fine), largest = largest_of(t, i);
        peak = most(peak, largest);
        store(t->luma + i, luma);
        store(t->f + i, f);
        store(t->trust + i, held(on(k->dark, f), k->dark_floor, 1) * held(on(k->clip, largest), k->clip_floor, 1));
    }
    int clips = 0;
    for (int lane = 0; lane < LANES; lane++)
        clips |= peak[lane] > k->clip_start;
    return clips;
}

/* See least_f in pixels.h. */
LANES_FN void colour_floor(const Numbers *k, int fine, int32_t count, const Tones *restrict brightest, Mix *restrict m)
{
    for (int32_t i = 0; i < count; i += LANES) {
        F grey = load(brightest->luma + i) * reciprocal(most(largest_of(brightest, i), every(k->least_code)), fine);
        F part = k->colour_floor - k->colour_floor * grey;
        store(m->least_f + i, part * (load(brightest->f + i) - k->black_f) + k->black_f);
    }
}

/* A tile's steering planes, and the row's place between the small rows. */
typedef struct {
    const float *planes;
    int32_t count;
    float down;
} Steering;

LANES_FN F steered(const Steering *s, int plane, int32_t i)
{
    return load(s->planes + plane * ROOM + i) + s->down * load(s->planes + (s->count + plane) * ROOM + i);
}

LANES_FN void lightness(const Numbers *k, int n, int fine, int32_t count, const Tones *restrict t, const Steering *s, Mix *restrict m)
{
    for (int32_t i = 0; i < count; i += LANES) {
        F f = steered(s, n, i);
        UNROLLED
        for (int j = 0; j < n; j++)
            f += steered(s, j, i) * load(t[j].f + i);
        f = most(least(f, every(1)), load(m->least_f + i));
        store(m->f + i, f);
        store(m->luma + i, piecewise(k->curves->luma_of_f, on(k->curves->f_place, f), fine));
    }
}

LANES_FN void shares(const Numbers *k, int n, int fine, int32_t count, const Tones *restrict t, const Steering *s, Mix *restrict m)
{
    for (int32_t i = 0; i < count; i += LANES) {
        F f = load(m->f + i), rest = every(1), near = every(1), total, share[QUICK_MOST];
        UNROLLED
        for (int j = 0; j < n; j++) {
            int last = j == n - 1;
            F part = rest, own = load(t[j].f + i), reached = near;
            if (!last) {
                part = steered(s, PARTS(n) + j, i);
                rest -= part;
                reached = held((f - own) * reciprocal(most(load(t[j + 1].f + i) - own, every(k->least_step)), fine), 0, 1);
                store(m->reached[j] + i, reached);
                near = j ? near - near * reached : 1.0f - reached;
            }
            share[j] = load(t[j].trust + i) * part * most(near, every(k->near_floor));
            total = j ? total + share[j] : share[j];
            near = reached;
        }
        F scale = k->shoulder * reciprocal(total, fine);
        UNROLLED
        for (int j = 0; j < n; j++)
            store(m->share[j] + i, share[j] * scale);
    }
}

/* See step_of in pixels.h. */
LANES_FN void steps(const Numbers *k, int n, int fine, int32_t count, const Tones *restrict t, Mix *restrict m)
{
    for (int32_t i = 0; i < count; i += LANES) {
        F end = held(load(m->luma + i), k->luma_low, k->luma_high), odds = end * reciprocal(k->shoulder - end, fine);
        F least_start = least(every(k->least_luma), end);
        UNROLLED
        for (int j = 0; j < n; j++) {
            F start = most(least(load(t[j].luma + i), every(k->luma_high)), least_start);
            F step = odds * ((k->shoulder - start) * reciprocal(start, fine));
            if (j < n - 1) {
                F drifted = step * load(m->reached[j] + i);
                store(m->drifted[j] + i, drifted);
                step -= drifted;
            }
            store(m->step[j] + i, step);
        }
    }
}

/* What clipped_gain needs, of an exposure, which clips somewhere, and the one before it. */
LANES_FN void lumas(const Numbers *k, int fine, int32_t count, const Tones *restrict t, const Plane *restrict reached, Plane *restrict far,
                    Plane *restrict ratio)
{
    for (int32_t i = 0; i < count; i += LANES) {
        F dark = held(load(t[0].luma + i), k->luma_low, k->luma_high), luma = held(load(t[1].luma + i), k->luma_low, k->luma_high);
        F rest = 1.0f - load(*reached + i);
        store(*far + i, rest);
        store(*ratio + i, rest * luma * (k->shoulder - dark) * reciprocal(dark * (k->shoulder - luma), fine));
    }
}

/* The factor on the odds of a channel that may clip, of the exposure after j: see clipped_gain in pixels.h. */
LANES_FN F clipped_factor(const Numbers *k, int fine, const Tones *t, const Mix *m, int j, int c, int32_t i)
{
    F dark = load(t[j].bgr[c] + i), code = load(t[j + 1].bgr[c] + i), high = most(code, every(k->clip_start));
    F ratio = dark * (k->shoulder - high) * reciprocal((k->shoulder - dark) * high, fine);
    F gain = most(load(m->lumas[j] + i) * ratio - k->clipped_from * load(m->far[j] + i), every(0));
    return held(on(k->clipped, code), 0, 1) * held(on(k->seen, dark), 0, 1) * gain + 1.0f;
}

/* Each exposure after its step, in the mixture; then grey until it has the fused luma. Not yet held within the codes. */
LANES_FN void colours(const Numbers *k, int n, int fine, int clips, int32_t count, const Tones *restrict t, const Steering *s,
                      const Mix *restrict m, Plane *restrict out)
{
    for (int32_t i = 0; i < count; i += LANES) {
        F mixed[3];
        UNROLLED
        for (int c = 0; c < 3; c++)
            UNROLLED
            for (int j = 0; j < n; j++) {
                F step = load(m->step[j] + i), code = load(t[j].bgr[c] + i);
                if (j < n - 1)
                    step += load(m->drifted[j] + i) * steered(s, DRIFTS(n) + 3 * j + c, i);
                if (clips && j)
                    step *= clipped_factor(k, fine, t, m, j - 1, c, i);
                F over = step * code, part = over * reciprocal((k->shoulder - code) + over, fine);
                mixed[c] = j ? mixed[c] + load(m->share[j] + i) * part : load(m->share[j] + i) * part;
            }
        F missing = load(m->luma + i) - luma_of(k, mixed[0], mixed[1], mixed[2]);
        UNROLLED
        for (int c = 0; c < 3; c++)
            store(out[c] + i, mixed[c] + missing);
    }
}

/* `count`, whole groups, of pixels from column x of the rows on. */
LANES_FN void tile_row(const Numbers *k, int n, int bytes, const void *const *rows, int32_t x, const Steering *s, int32_t count, void *out)
{
    ALIGNED Tones t[QUICK_MOST];
    ALIGNED Mix m;
    ALIGNED Plane fused[3];
    int fine = bytes > 1, clips = 0;
    UNROLLED
    for (int j = 0; j < n; j++) {
        for (int32_t i = 0; i < count; i += GROUP)
            read_group(rows[j], bytes, x + i, t[j].bgr[0] + i, ROOM);
        int some = tones(k, fine, count, t + j);
        clips |= j && some;
    }
    colour_floor(k, fine, count, t + n - 1, &m);
    lightness(k, n, fine, count, t, s, &m);
    shares(k, n, fine, count, t, s, &m);
    steps(k, n, fine, count, t, &m);
    if (clips) {
        UNROLLED
        for (int j = 0; j < n - 1; j++)
            lumas(k, fine, count, t + j, m.reached + j, m.far + j, m.lumas + j);
        colours(k, n, fine, 1, count, t, s, &m, fused);
    } else {
        colours(k, n, fine, 0, count, t, s, &m, fused);
    }
    for (int32_t i = 0; i < count; i += GROUP)
        write_group(fused[0] + i, ROOM, bytes, x + i, out);
}

typedef void TileRow(const Numbers *, const void *const *rows, int32_t x, const Steering *, int32_t count, void *out);

#define TILE_ROW(n, bytes)                                                                                                          \
    static __attribute__((noinline)) void tile_row_##n##_##bytes(const Numbers *k, const void *const *rows, int32_t x,              \
                                                                 const Steering *s, int32_t count, void *out)                       \
    {                                                                                                                               \
        tile_row(k, n, bytes, rows, x, s, count, out);                                                                              \
    }
TILE_ROW(2, 1)
TILE_ROW(3, 1)
TILE_ROW(4, 1)
TILE_ROW(2, 2)
TILE_ROW(3, 2)
TILE_ROW(4, 2)

static TileRow *const TILE_ROWS[2][QUICK_MOST - 1] = {{tile_row_2_1, tile_row_3_1, tile_row_4_1}, {tile_row_2_2, tile_row_3_2, tile_row_4_2}};

/* ---- tiles ---- */

typedef struct {
    float *along;    /* of each column, how far it is on the way from one small column to the next */
    int32_t *starts; /* see lay_out */
} Columns;

/* What all calls of a job have in common, and what this one has. */
typedef struct {
    const Job *job;
    Numbers numbers;
    TileRow *tile_row;
    Columns columns;
    Shares shares[QUICK_MOST];           /* of exposures that motion changes */
    void *room[QUICK_MOST];              /* rows of them for a band */
    const void *rows[BAND][QUICK_MOST];  /* of a band, of each exposure at the reference's moment */
} Pass;

static int32_t pixel_bytes(const Job *job) { return 3 * job->inputs->picture.bytes_per_sample; }

/* `count` pixels that are no whole number of groups: the last group is done in room of its own. */
static void tile_row_of_any_width(const Pass *pass, const void *const *rows, int32_t x, const Steering *s, int32_t count, void *out)
{
    int32_t whole = count / GROUP * GROUP, rest = count - whole, n = pass->job->count;
    ALIGNED uint8_t room[QUICK_MOST + 1][6 * GROUP];
    const void *last[QUICK_MOST];
    size_t start = (size_t)(x + whole) * (size_t)pixel_bytes(pass->job), bytes = (size_t)rest * (size_t)pixel_bytes(pass->job);
    for (int32_t j = 0; rest && j < n; j++) { /* read before anything is written: `out` may be one of the exposures */
        memset(room[j], 0, sizeof room[j]);
        last[j] = memcpy(room[j], (const uint8_t *)rows[j] + start, bytes);
    }
    if (whole)
        pass->tile_row(&pass->numbers, rows, x, s, whole, out);
    if (rest) {
        Steering further = {s->planes + whole, s->count, s->down};
        pass->tile_row(&pass->numbers, last, 0, &further, GROUP, room[QUICK_MOST]);
        memcpy((uint8_t *)out + start, room[QUICK_MOST], bytes);
    }
}

/* Columns x..x+count between the small rows `first` and the next: planes above, then the steps to those below. */
static void widen(const Pass *pass, int32_t first, int32_t x, int32_t count, float *wide)
{
    const Job *job = pass->job;
    const int32_t *starts = pass->columns.starts;
    int32_t small = job->small_width, planes = job->planes, second = first + 1 < job->small_height ? first + 1 : first;
    const float *above = job->steering + (size_t)first * planes * small, *below = job->steering + (size_t)second * planes * small;
    float along;
    int32_t left = between(x, job->inputs->picture.width, small, &along);
    for (; left < small && starts[left] < x + count; left++) {
        int32_t right = left + 1 < small ? left + 1 : left, from = starts[left] > x ? starts[left] : x;
        int32_t to = starts[left + 1] < x + count ? starts[left + 1] : x + count;
        for (int p = 0; p < planes; p++) {
            float low = above[p * small + left], step = above[p * small + right] - low;
            float low2 = below[p * small + left] - low, step2 = below[p * small + right] - below[p * small + left] - step;
            float *up = wide + p * ROOM - x, *steps = wide + (planes + p) * ROOM - x;
            for (int32_t i = from; i < to; i += LANES) { /* the next small column's overwrites what is too much */
                F part = load(pass->columns.along + i);
                store(up + i, low + part * step);
                store(steps + i, low2 + part * step2);
            }
        }
    }
}

/* Row y of an exposure as of the reference's moment, given that row of its neighbour. It stays for as long as the band. */
static const void *exposure_row(Pass *pass, int32_t j, int32_t y, int32_t index, const void *neighbour)
{
    const Input *input = pass->job->inputs + j;
    if (!input->motion)
        return row_of(&input->picture, y);
    pass->shares[j].row = (char *)pass->room[j] + (size_t)index * (size_t)pixel_bytes(pass->job) * (size_t)input->picture.width;
    return compensated_row(input->motion, pass->shares + j, neighbour, y);
}

/* Rows of all exposures, from the reference outward. */
static void take_rows(Pass *pass, int32_t first, int32_t end)
{
    int32_t n = pass->job->count, reference = pass->job->reference;
    for (int32_t y = first; y < end; y++) {
        const void **rows = pass->rows[y - first];
        rows[reference] = row_of(&pass->job->inputs[reference].picture, y);
        for (int32_t j = reference - 1; j >= 0; j--)
            rows[j] = exposure_row(pass, j, y, y - first, rows[j + 1]);
        for (int32_t j = reference + 1; j < n; j++)
            rows[j] = exposure_row(pass, j, y, y - first, rows[j - 1]);
    }
}

/* A tile's rows lie too far apart for the processor to guess which memory comes next: of row y, columns x..x+count. */
static void fetch(const Pass *pass, const void *const *rows, int32_t x, int32_t count, const void *out)
{
    int32_t start = x * pixel_bytes(pass->job), end = (x + count) * pixel_bytes(pass->job);
    for (int32_t i = start; i < end; i += 64) {
        for (int32_t j = 0; j < pass->job->count; j++)
            __builtin_prefetch((const char *)rows[j] + i);
        __builtin_prefetch((const char *)out + i, 1);
    }
}

static void fuse_band(const Pass *pass, int32_t small_row, int32_t top, int32_t bottom)
{
    ALIGNED float wide[2 * STEERING(QUICK_MOST) * ROOM];
    const Job *job = pass->job;
    int32_t width = job->inputs->picture.width, rows = bottom - top;
    for (int32_t x = 0; x < width; x += TILE) {
        int32_t count = width - x < TILE ? width - x : TILE;
        widen(pass, small_row, x, count, wide);
        for (int32_t y = top; y < bottom; y++) {
            Steering steering = {wide, job->planes, 0};
            between(y, job->inputs->picture.height, job->small_height, &steering.down);
            int32_t ahead = y - top + AHEAD, row = ahead % rows, next = x + ahead / rows * TILE;
            if (next < width)
                fetch(pass, pass->rows[row], next, width - next < TILE ? width - next : TILE, (char *)job->out + (top + row) * job->out_stride);
            tile_row_of_any_width(pass, pass->rows[y - top], x, &steering, count, (char *)job->out + y * job->out_stride);
        }
    }
}

/* ---- a call ---- */

static int start_pass(const Constants *constants, const Curves *curves, const Job *job, Pass *pass)
{
    const Picture *picture = &job->inputs->picture;
    size_t width = (size_t)picture->width, small = (size_t)job->small_width;
    memset(pass, 0, sizeof *pass);
    pass->job = job;
    pass->numbers = numbers_of(constants, curves, picture->bytes_per_sample == 1 ? 255.0f : 65535.0f);
    pass->tile_row = TILE_ROWS[picture->bytes_per_sample - 1][job->count - 2];
    pass->columns.along = calloc(width + LANES + small + 1, sizeof(float));
    if (!pass->columns.along)
        return 1;
    pass->columns.starts = (int32_t *)(pass->columns.along + width + LANES);
    lay_out(picture->width, job->small_width, 1, pass->columns.along, pass->columns.starts);
    for (int32_t j = 0; j < job->count; j++) {
        if (!job->inputs[j].motion)
            continue;
        pass->room[j] = malloc(BAND * width * (size_t)pixel_bytes(job));
        if (!pass->room[j] || start_shares(job->inputs[j].motion, pass->shares + j))
            return 1;
    }
    return 0;
}

static void end_pass(Pass *pass)
{
    for (int32_t j = 0; j < pass->job->count; j++) {
        if (pass->shares[j].share)
            end_shares(pass->shares + j);
        free(pass->room[j]);
    }
    free(pass->columns.along);
}

/* Fuse rows top..bottom. 0, or 1 if out of memory. `out` may be one of the exposures, if none is compensated. */
int tone_rows(const Constants *constants, const Curves *curves, const Job *job, int32_t top, int32_t bottom)
{
    Pass pass;
    int failed = start_pass(constants, curves, job, &pass);
    for (int32_t y = top, end; !failed && y < bottom; y = end) {
        float down;
        int32_t height = job->inputs->picture.height, first = between(y, height, job->small_height, &down);
        for (end = y + 1; end < bottom && end < y + BAND && between(end, height, job->small_height, &down) == first;)
            end++;
        take_rows(&pass, y, end);
        fuse_band(&pass, first, y, end);
    }
    end_pass(&pass);
    return failed;
}
#endif

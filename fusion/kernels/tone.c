/* The pass over the pixels for what live use has: colour transfer `tone`, up to QUICK_MOST exposures, 8 or 16 bits. The same
 * formulas as fuse_rows in pixels.c, which does all the rest; for vectors of AVX-512, AVX2 or NEON, from the codes to the codes in
 * the first-level cache.
 *
 * A tile is TILE columns by the rows of a band; the planes that steer it are widened once for each small row. Each of its rows goes
 * through a few short loops: in one long loop a vector's chain of operations would leave the processor nothing to do beside it,
 * and in many its results would wait to be written and read again. Colours are in codes. No result depends on how rows are cut
 * into calls.
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
#define BAND 16              /* rows that are done together, tile by tile */

typedef struct {
    float offset, factor; /* offset + factor x, not limited */
} Line;

/* The curves of a bit depth: f of a grey's luma, luma of f; places in them. The curves' knees lie where pieces end. */
typedef struct {
    Line luma_place, f_place;
    Terms f_of_luma, luma_of_f;
} Curves;

/* In every lane, as all constants: to read a vector costs nothing beside the sums, to spread one number as much as a sum. */
typedef struct {
    F offset, factor;
} Slope;

/* Constants, colours in codes. */
typedef struct {
    const Curves *curves;
    Slope luma_place, f_place;
    F luma[3];                  /* weights of B, G, R */
    Slope dark, clip;           /* the two factors of trust, over f and the largest channel */
    F dark_floor, clip_floor;   /* what they are at least; at most 1 */
    F black_f, least_step, colour_floor, least_code, near_floor;
    F shoulder, luma_low, luma_high, least_luma;
    Slope clipped, seen;        /* of clipped_gain in pixels.h: over the brighter and the darker exposure's channel */
    F clip_start, clipped_from; /* up to which nothing clips */
} Numbers;

static Slope slope(float offset, float factor) { return (Slope){every(offset), every(factor)}; }

static Numbers numbers_of(const Constants *k, int32_t n, const Curves *curves, float codes)
{
    float clip = -k->clip_loss * k->code_clip.scale;
    const float *luma = k->xyz_from_bgr + 3;
    return (Numbers){
        .curves = curves,
        .luma_place = slope(curves->luma_place.offset, curves->luma_place.factor),
        .f_place = slope(curves->f_place.offset, curves->f_place.factor),
        .luma = {every(luma[0]), every(luma[1]), every(luma[2])},
        .dark = slope(-k->dark.scale * k->dark.start, k->dark.scale),
        .clip = slope(1.0f - clip * k->code_clip.start, clip / codes),
        .dark_floor = every(k->dark_floor),
        .clip_floor = every(1.0f - k->clip_loss),
        .black_f = every(k->black_f),
        .least_step = every(k->least_step),
        .colour_floor = every(k->colour_floor),
        .least_code = every(codes * k->least_code),
        .near_floor = every(n == 2 ? k->near_floor : k->near_floor_of_more),
        .shoulder = every(codes * k->shoulder),
        .luma_low = every(codes * k->luma_low),
        .luma_high = every(codes * k->luma_high),
        .least_luma = every(codes * k->least_luma),
        .clipped = slope(-k->code_clip.scale * k->code_clip.start, k->code_clip.scale / codes),
        .seen = slope(-k->seen_dark.scale * k->seen_dark.start, k->seen_dark.scale / codes),
        .clip_start = every(codes * k->code_clip.start),
        .clipped_from = every(k->clipped_from),
    };
}

/* ---- a row of a tile, of n exposures; `fine` for 16 bits ---- */

typedef float Plane[ROOM];

typedef struct {
    Plane bgr[3], luma, f, trust;
} Tones;

typedef struct {
    Plane f, luma;                 /* the fused ones */
    Plane reached[QUICK_MOST - 1]; /* how far f is on the way from an exposure to the next */
    Plane share[QUICK_MOST];       /* of each exposure; in all `shoulder` */
    Plane step[QUICK_MOST];        /* factor on an exposure's odds, or its part that drift does not change, and */
    Plane drifted[QUICK_MOST - 1]; /* that which it does */
} Mix;

LANES_FN F held(F x, F low, F high) { return least(most(x, low), high); }
LANES_FN F on(Slope slope, F x) { return x * slope.factor + slope.offset; }

LANES_FN F luma_of(const Numbers *k, F blue, F green, F red)
{
    return k->luma[0] * blue + (k->luma[1] * green + k->luma[2] * red);
}

LANES_FN F largest_of(const Tones *t, int32_t i) { return most(most(load(t->bgr[0] + i), load(t->bgr[1] + i)), load(t->bgr[2] + i)); }

/* A row of all exposures as of the reference's moment, and the same row of the next band as it is in memory. */
typedef struct {
    const void *now[QUICK_MOST], *ahead[QUICK_MOST];
} Rows;

/* Ask for a group's memory: a tile's rows lie too far apart for the processor to guess it. */
LANES_FN void fetch(const void *row, int bytes, int32_t pixel)
{
    for (int32_t i = 0; i < bytes; i++) /* a group has 48 or 96 bytes */
        __builtin_prefetch((const char *)row + 3 * bytes * pixel + 64 * i);
}

/* The row's pixels from x on. clips: of each vector, whether a channel of some pixel clips, in part at least, in this exposure or
 * in one before; NULL: not asked. */
LANES_FN void tones(const Numbers *k, int bytes, const void *row, const void *ahead, int32_t x, int32_t count, Tones *restrict t,
                    uint8_t *clips)
{
    for (int32_t i = 0; i < count; i += LANES) {
        if (i % GROUP == 0) {
            read_group(row, bytes, x + i, t->bgr[0] + i, ROOM);
            fetch(ahead, bytes, x + i);
        }
        F luma = luma_of(k, load(t->bgr[0] + i), load(t->bgr[1] + i), load(t->bgr[2] + i));
        F f = piecewise(k->curves->f_of_luma, on(k->luma_place, luma), bytes > 1), largest = largest_of(t, i);
        if (clips)
            clips[i / LANES] |= (uint8_t)any_above(largest, k->clip_start);
        store(t->luma + i, luma);
        store(t->f + i, f);
        store(t->trust + i, held(on(k->dark, f), k->dark_floor, every(1)) * held(on(k->clip, largest), k->clip_floor, every(1)));
    }
}

/* A tile's steering planes of the small rows above and below, and how far the row is on the way between them. */
typedef struct {
    const float *above, *below;
    float down;
} Steering;

LANES_FN F steered(const Steering *s, int plane, int32_t i)
{
    F above = load(s->above + plane * ROOM + i);
    return above + s->down * (load(s->below + plane * ROOM + i) - above);
}

/* See least_f in pixels.h. */
LANES_FN F colour_floor(const Numbers *k, int fine, const Tones *brightest, int32_t i)
{
    F grey = load(brightest->luma + i) * reciprocal(most(largest_of(brightest, i), k->least_code), fine);
    F part = k->colour_floor - k->colour_floor * grey;
    return part * (load(brightest->f + i) - k->black_f) + k->black_f;
}

LANES_FN void lightness(const Numbers *k, int n, int fine, int32_t count, const Tones *restrict t, const Steering *s, Mix *restrict m)
{
    for (int32_t i = 0; i < count; i += LANES) {
        F f = steered(s, n, i);
        UNROLLED
        for (int j = 0; j < n; j++)
            f += steered(s, j, i) * load(t[j].f + i);
        f = most(least(f, every(1)), colour_floor(k, fine, t + n - 1, i));
        store(m->f + i, f);
        store(m->luma + i, piecewise(k->curves->luma_of_f, on(k->f_place, f), fine));
    }
}

LANES_FN void shares(const Numbers *k, int n, int fine, int32_t count, const Tones *restrict t, const Steering *s, Mix *restrict m)
{
    for (int32_t i = 0; i < count; i += LANES) {
        F f = load(m->f + i), near = every(1), total, share[QUICK_MOST];
        UNROLLED
        for (int j = 0; j < n; j++) {
            int last = j == n - 1;
            F own = load(t[j].f + i), trust = load(t[j].trust + i), reached = near;
            if (n == 2) {
                F part = steered(s, PARTS(n), i);
                trust *= last ? 1.0f - part : part;
            }
            if (!last) {
                reached = held((f - own) * reciprocal(most(load(t[j + 1].f + i) - own, k->least_step), fine), every(0), every(1));
                store(m->reached[j] + i, reached);
                near = j ? near - near * reached : 1.0f - reached;
            }
            share[j] = trust * most(near, k->near_floor);
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
        F least_start = least(k->least_luma, end);
        UNROLLED
        for (int j = 0; j < n; j++) {
            F start = most(least(load(t[j].luma + i), k->luma_high), least_start);
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

/* The factors on the odds of the channels that may clip, of the exposure after t: see clipped_gain in pixels.h. */
LANES_FN void clipped_factors(const Numbers *k, int fine, const Tones *t, F reached, int32_t i, F *factors)
{
    F below = held(load(t[0].luma + i), k->luma_low, k->luma_high), luma = held(load(t[1].luma + i), k->luma_low, k->luma_high);
    F far = 1.0f - reached, lumas = far * luma * (k->shoulder - below) * reciprocal(below * (k->shoulder - luma), fine);
    UNROLLED
    for (int c = 0; c < 3; c++) {
        F dark = load(t[0].bgr[c] + i), code = load(t[1].bgr[c] + i), high = most(code, k->clip_start);
        F ratio = dark * (k->shoulder - high) * reciprocal((k->shoulder - dark) * high, fine);
        F gain = most(lumas * ratio - k->clipped_from * far, every(0));
        factors[c] = held(on(k->clipped, code), every(0), every(1)) * held(on(k->seen, dark), every(0), every(1)) * gain + 1.0f;
    }
}

/* Each exposure after its step, in the mixture. */
LANES_FN void colours(const Numbers *k, int n, int fine, int clips, const Tones *restrict t, const Steering *s, const Mix *restrict m,
                      int32_t i, F *mixed)
{
    UNROLLED
    for (int j = 0; j < n; j++) {
        F step = load(m->step[j] + i), share = load(m->share[j] + i), factors[3];
        if (clips && j)
            clipped_factors(k, fine, t + j - 1, load(m->reached[j - 1] + i), i, factors);
        UNROLLED
        for (int c = 0; c < 3; c++) {
            F own = step, code = load(t[j].bgr[c] + i);
            if (j < n - 1)
                own += load(m->drifted[j] + i) * steered(s, DRIFTS(n) + 3 * j + c, i);
            if (clips && j)
                own *= factors[c];
            F over = own * code, part = over * reciprocal((k->shoulder - code) + over, fine);
            mixed[c] = j ? mixed[c] + share * part : share * part;
        }
    }
}

/* Grey until it has the fused luma. Not yet held within the codes. */
LANES_FN void with_luma(const Numbers *k, const Mix *restrict m, int32_t i, const F *mixed, float *out)
{
    F missing = load(m->luma + i) - luma_of(k, mixed[0], mixed[1], mixed[2]);
    UNROLLED
    for (int c = 0; c < 3; c++)
        store(out + c * GROUP, mixed[c] + missing);
}

/* `count`, whole groups, of pixels from column x of the rows on. */
LANES_FN void tile_row(const Numbers *k, int n, int bytes, const Rows *rows, int32_t x, const Steering *s, int32_t count, void *out)
{
    ALIGNED Tones t[QUICK_MOST];
    ALIGNED Mix m;
    uint8_t clips[TILE / LANES] = {0};
    int fine = bytes > 1;
    for (int32_t i = 0; i < count; i += GROUP) /* else the results wait for it, and what comes after them */
        fetch(out, bytes, x + i);
    UNROLLED
    for (int j = 0; j < n; j++)
        tones(k, bytes, rows->now[j], rows->ahead[j], x, count, t + j, j ? clips : NULL);
    lightness(k, n, fine, count, t, s, &m);
    shares(k, n, fine, count, t, s, &m);
    steps(k, n, fine, count, t, &m);
    ALIGNED float fused[3 * GROUP];
    F mixed[3] = {every(0), every(0), every(0)};
    for (int32_t i = 0; i <= count; i += LANES) { /* a vector is written one turn later: its sums need not be waited for */
        F last[3] = {mixed[0], mixed[1], mixed[2]};
        if (i < count) {
            if (clips[i / LANES])
                colours(k, n, fine, 1, t, s, &m, i, mixed);
            else
                colours(k, n, fine, 0, t, s, &m, i, mixed);
        }
        if (i) {
            with_luma(k, &m, i - LANES, last, fused + (i - LANES) % GROUP);
            if (i % GROUP == 0)
                write_group(fused, GROUP, bytes, x + i - GROUP, out);
        }
    }
}

typedef void TileRow(const Numbers *, const Rows *, int32_t x, const Steering *, int32_t count, void *out);

#define TILE_ROW(n, bytes)                                                                                                          \
    static __attribute__((noinline)) void tile_row_##n##_##bytes(const Numbers *k, const Rows *rows, int32_t x, const Steering *s,  \
                                                                 int32_t count, void *out)                                          \
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

/* Where the columns of pixels, in whole vectors, lie between small columns. */
typedef struct {
    float *along;             /* how far on the way from the left one to the right one */
    int32_t *firsts;          /* a small column for each vector */
    int32_t *lefts, *rights;  /* counted from there */
    int close;                /* those of each vector lie so close together that `term` finds them */
} Columns;

/* What all calls of a job have in common, and what this one has. */
typedef struct {
    const Job *job;
    Numbers numbers;
    TileRow *tile_row;
    Columns columns;
    Shares shares[QUICK_MOST];           /* of exposures that motion changes */
    void *room[QUICK_MOST];              /* rows of them for a band */
    Rows rows[BAND];                     /* of a band */
} Pass;

static int32_t lesser(int32_t a, int32_t b) { return a < b ? a : b; }

static int32_t pixel_bytes(const Job *job) { return 3 * job->inputs->picture.bytes_per_sample; }

/* `count` pixels that are no whole number of groups: the last group is done in room of its own. */
static void tile_row_of_any_width(const Pass *pass, int32_t index, int32_t x, const Steering *s, int32_t count, void *out)
{
    int32_t whole = count / GROUP * GROUP, rest = count - whole, n = pass->job->count;
    ALIGNED uint8_t room[QUICK_MOST + 1][6 * GROUP];
    const Rows *rows = pass->rows + index;
    Rows last;
    size_t start = (size_t)(x + whole) * (size_t)pixel_bytes(pass->job), bytes = (size_t)rest * (size_t)pixel_bytes(pass->job);
    for (int32_t j = 0; rest && j < n; j++) { /* read before anything is written: `out` may be one of the exposures */
        memset(room[j], 0, sizeof room[j]);
        last.ahead[j] = last.now[j] = memcpy(room[j], (const uint8_t *)rows->now[j] + start, bytes);
    }
    if (whole)
        pass->tile_row(&pass->numbers, rows, x, s, whole, out);
    if (rest) {
        Steering further = {s->above + whole, s->below + whole, s->down};
        pass->tile_row(&pass->numbers, &last, 0, &further, GROUP, room[QUICK_MOST]);
        memcpy((uint8_t *)out + start, room[QUICK_MOST], bytes);
    }
}

/* Planes of a small row at the columns x..x+count. */
LANES_FN void widen(const Columns *columns, int close, const float *planes, int32_t count, int32_t small, int32_t x, int32_t end,
                    float *wide)
{
    for (int32_t i = x; i < end; i += LANES) {
        Bits lefts = load_bits(columns->lefts + i), rights = load_bits(columns->rights + i);
        Piece low_place = pieces(lefts), high_place = pieces(rights);
        const float *plane = planes + columns->firsts[i / LANES];
        float *out = wide + i - x;
        F along = load(columns->along + i), low = every(0), high = every(0);
        for (int32_t p = 0; p < count; p++, plane += small, out += ROOM) {
            if (close) {
                low = term(plane, low_place);
                high = term(plane, high_place);
            } else {
                for (int lane = 0; lane < LANES; lane++)
                    low[lane] = plane[lefts[lane]], high[lane] = plane[rights[lane]];
            }
            store(out, low + along * (high - low));
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
    const Job *job = pass->job;
    int32_t n = job->count, reference = job->reference, lowest = job->inputs->picture.height - 1;
    for (int32_t y = first; y < end; y++) {
        Rows *rows = pass->rows + y - first;
        rows->now[reference] = row_of(&job->inputs[reference].picture, y);
        for (int32_t j = reference - 1; j >= 0; j--)
            rows->now[j] = exposure_row(pass, j, y, y - first, rows->now[j + 1]);
        for (int32_t j = reference + 1; j < n; j++)
            rows->now[j] = exposure_row(pass, j, y, y - first, rows->now[j - 1]);
        for (int32_t j = 0; j < n; j++)
            rows->ahead[j] = row_of(&job->inputs[j].picture, lesser(y + BAND, lowest));
    }
}

/* Of a tile: each small row lies in the place of its parity, until it is the turn of the one after next. */
typedef struct {
    ALIGNED float planes[2][STEERING(QUICK_MOST) * ROOM];
    int32_t rows[2];
} Wide;

static void widen_row(const Pass *pass, int32_t row, int32_t x, int32_t end, float *wide)
{
    const Job *job = pass->job;
    int32_t small = job->small_width;
    const float *planes = job->steering + (size_t)row * job->planes * small;
    if (pass->columns.close)
        widen(&pass->columns, 1, planes, job->planes, small, x, end, wide);
    else
        widen(&pass->columns, 0, planes, job->planes, small, x, end, wide);
}

static const float *wide_row(const Pass *pass, Wide *wide, int32_t row, int32_t x, int32_t count)
{
    int place = row & 1;
    if (wide->rows[place] != row)
        widen_row(pass, row, x, x + count, wide->planes[place]);
    wide->rows[place] = row;
    return wide->planes[place];
}

static void fuse_band(const Pass *pass, int32_t top, int32_t bottom)
{
    Wide wide;
    const Job *job = pass->job;
    int32_t width = job->inputs->picture.width;
    for (int32_t x = 0; x < width; x += TILE) {
        int32_t count = lesser(width - x, TILE);
        wide.rows[0] = wide.rows[1] = -1;
        for (int32_t y = top; y < bottom; y++) {
            Steering steering;
            int32_t small = between(y, job->inputs->picture.height, job->small_height, &steering.down);
            steering.above = wide_row(pass, &wide, small, x, count);
            steering.below = wide_row(pass, &wide, lesser(small + 1, job->small_height - 1), x, count);
            tile_row_of_any_width(pass, y - top, x, &steering, count, (char *)job->out + y * job->out_stride);
        }
    }
}

/* ---- a call ---- */

static int place_columns(Columns *columns, int32_t width, int32_t small)
{
    int32_t room = (width + LANES - 1) / LANES * LANES, last = small - 1;
    columns->along = malloc((size_t)room * (sizeof(float) + 3 * sizeof(int32_t)));
    if (!columns->along)
        return 1;
    columns->lefts = (int32_t *)(columns->along + room);
    columns->rights = columns->lefts + room;
    columns->firsts = columns->rights + room;
    columns->close = small >= PIECES;
    for (int32_t x = 0; x < room; x++) {
        int32_t left = between(lesser(x, width - 1), width, small, columns->along + x), *first = columns->firsts + x / LANES;
        if (x % LANES == 0)
            *first = small >= PIECES ? lesser(left, small - PIECES) : 0;
        columns->lefts[x] = left - *first;
        columns->rights[x] = lesser(left + 1, last) - *first;
        columns->close &= columns->rights[x] < PIECES;
    }
    return 0;
}

static int start_pass(const Constants *constants, const Curves *curves, const Job *job, Pass *pass)
{
    const Picture *picture = &job->inputs->picture;
    size_t width = (size_t)picture->width;
    memset(pass, 0, sizeof *pass);
    pass->job = job;
    pass->numbers = numbers_of(constants, job->count, curves, picture->bytes_per_sample == 1 ? 255.0f : 65535.0f);
    pass->tile_row = TILE_ROWS[picture->bytes_per_sample - 1][job->count - 2];
    if (place_columns(&pass->columns, picture->width, job->small_width))
        return 1;
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
    for (int32_t y = top; !failed && y < bottom; y += BAND) {
        take_rows(&pass, y, lesser(y + BAND, bottom));
        fuse_band(&pass, y, lesser(y + BAND, bottom));
    }
    end_pass(&pass);
    return failed;
}
#endif

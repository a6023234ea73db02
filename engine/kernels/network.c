/* livemef's U-Net (engine/unet.py) for one picture, in single precision, or, where the processor multiplies it, with planes and weights
 * in bfloat16 and sums in single precision. Called through ctypes (engine/compiled_network.py).
 *
 * Planes are height x width x channels with a border of one pixel of zeros. A layer's outputs are done in blocks of 16, 24 or 32
 * channels, several pixels at a time, so that all sums stay in registers. "Twice as large, then 3x3" is done as four 2x2
 * convolutions of the small planes, one for each place within a 2x2 cell: the same sums in four ninths of the multiplications.
 */
#include "threads.h"

#include <math.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Of the sources that this was compiled from: engine/processor.py compares it at load. */
#ifdef SOURCES_DIGEST
const char *sources_digest(void) { return SOURCES_DIGEST; }
#endif

#define LEVELS 4
#define CELL 2     /* the network sees 2x2 pixels at a time, */
#define BLOCKS 8   /* of two planes */
#define TAPS 9
#define SMALL_TAPS 4

/* A number of a plane, and of the weights: PAIR of them are multiplied and added together. */
#ifdef __AVX512BF16__
typedef uint16_t Value; /* the leading half of a float */
#define PAIR 2
static float float_of(Value value)
{
    uint32_t bits = (uint32_t)value << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static Value value_of(float x) /* the nearest; not for infinite ones */
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (Value)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
#else
typedef float Value;
#define PAIR 1
static float float_of(Value value) { return value; }
static Value value_of(float x) { return x; }
#endif

/* Bytes of a number of the weights, for engine/compiled_network.py. */
int32_t network_bytes(void) { return sizeof(Value); }

/* outs: channels. `skip` 0: 3x3 of `channels`; else the input is `channels` of half the size, repeated, beside `skip` channels; then
 * there are weights for each of the four places in a cell, one set after the other. Weights: for each block of outputs, for each
 * tap, for each PAIR of channels, PAIR numbers for each output. */
typedef struct {
    const Value *weights;
    const float *bias;
    int32_t outs, channels, skip;
} Layer;

typedef struct {
    Layer down[2 * LEVELS], up[2 * (LEVELS - 1)]; /* finest level first */
    const float *last, *last_bias;                /* (outs of the finest level + BLOCKS) x 4; 4 */
} Network;

typedef struct {
    Value *data;
    int32_t height, width, channels;
} Plane;

static ptrdiff_t row_values(const Plane *p) { return (ptrdiff_t)(p->width + 2) * p->channels; }
static Value *at(const Plane *p, int32_t y, int32_t x) { return p->data + (y + 1) * row_values(p) + (ptrdiff_t)(x + 1) * p->channels; }

/* ---- a few pixels' outputs ---- */

#if defined(__AVX512F__)
#define LANES 16
#define LANES_OF_24 8
#define PIXELS 10
#define PIXELS_OF_24 5
#elif defined(__AVX2__)
#define LANES 8
#define LANES_OF_24 8
#define PIXELS 5
#define PIXELS_OF_24 4
#else
#define LANES 4
#define LANES_OF_24 4
#define PIXELS 4
#define PIXELS_OF_24 2
#endif

/* Of L lanes: SUM adds the products of a PAIR of inputs and their weights; KEEP writes sums that are above 0. */
#ifdef __AVX512BF16__
#define SUM_16(SUM, IN, WEIGHTS) (SUM) = (F)_mm512_dpbf16_ps((__m512)(SUM), (__m512bh)_mm512_set1_epi32(IN), (__m512bh)_mm512_loadu_si512(WEIGHTS))
#define SUM_8(SUM, IN, WEIGHTS) \
    (SUM) = (F)_mm256_dpbf16_ps((__m256)(SUM), (__m256bh)_mm256_set1_epi32(IN), (__m256bh)_mm256_loadu_si256((const void *)(WEIGHTS)))
#define KEEP_16(OUT, SUM) _mm256_storeu_si256((void *)(OUT), (__m256i)_mm512_cvtneps_pbh((__m512)(SUM)))
#define KEEP_8(OUT, SUM) _mm_storeu_si128((void *)(OUT), (__m128i)_mm256_cvtneps_pbh((__m256)(SUM)))
static int32_t pair_at(const Value *values)
{
    int32_t pair;
    memcpy(&pair, values, sizeof pair);
    return pair;
}
#else
#define SUM_ANY(SUM, IN, WEIGHTS) (SUM) += (IN) * *(const F *)(WEIGHTS)
#define SUM_16 SUM_ANY
#define SUM_8 SUM_ANY
#define SUM_4 SUM_ANY
#define KEEP_ANY(OUT, SUM) *(F *)(OUT) = (SUM)
#define KEEP_16 KEEP_ANY
#define KEEP_8 KEEP_ANY
#define KEEP_4 KEEP_ANY
static float pair_at(const Value *value) { return *value; }
#endif

/* taps: places in the planes, `step` numbers a pixel apart; two kinds of planes. */
typedef void Tile(const Value *const *taps, int32_t count, const Value *const *skip_taps, int32_t skip_count, const Value *weights,
                  const float *bias, Value *out, ptrdiff_t out_step);

#define TILE(NAME, L, V, P, C, S)                                                                                               \
    static void NAME(const Value *const *taps, int32_t count, const Value *const *skip_taps, int32_t skip_count,                \
                     const Value *weights, const float *bias, Value *out, ptrdiff_t out_step)                                   \
    {                                                                                                                           \
        typedef float F __attribute__((vector_size(4 * L), aligned(4)));                                                        \
        typedef int32_t I __attribute__((vector_size(4 * L)));                                                                  \
        F sums[P][V];                                                                                                           \
        for (int p = 0; p < P; p++)                                                                                             \
            for (int v = 0; v < V; v++)                                                                                         \
                sums[p][v] = *(const F *)(bias + v * L);                                                                        \
        for (int32_t t = 0; t < count; t++)                                                                                     \
            for (int32_t c = 0; c < C; c += PAIR, weights += PAIR * V * L)                                                      \
                for (int p = 0; p < P; p++)                                                                                     \
                    for (int v = 0; v < V; v++)                                                                                 \
                        SUM_##L(sums[p][v], pair_at(taps[t] + p * C + c), weights + PAIR * v * L);                              \
        for (int32_t t = 0; t < skip_count; t++)                                                                                \
            for (int32_t c = 0; c < S; c += PAIR, weights += PAIR * V * L)                                                      \
                for (int p = 0; p < P; p++)                                                                                     \
                    for (int v = 0; v < V; v++)                                                                                 \
                        SUM_##L(sums[p][v], pair_at(skip_taps[t] + p * 2 * S + c), weights + PAIR * v * L);                     \
        for (int p = 0; p < P; p++)                                                                                             \
            for (int v = 0; v < V; v++)                                                                                         \
                KEEP_##L(out + p * out_step + v * L, (F)((I)sums[p][v] & (sums[p][v] > 0))); /* ReLU */                         \
    }

/* A layer of so many outputs a block, and its inputs: several pixels at a time, and one. */
#define BOTH(OUTS, L, P, C, S)                                                                                                   \
    TILE(tile_##OUTS##_##C##_##S, L, OUTS / L, P, C, S)                                                                         \
    TILE(pixel_##OUTS##_##C##_##S, L, OUTS / L, 1, C, S)
#define OF_LANES(OUTS, L, P, C, S) BOTH(OUTS, L, P, C, S) /* of the number that L is */
#define WIDE(OUTS, C, S) OF_LANES(OUTS, LANES, PIXELS, C, S)
#define OF_24(C, S) OF_LANES(24, LANES_OF_24, PIXELS_OF_24, C, S)

WIDE(16, 8, 0)
WIDE(16, 16, 0)
WIDE(16, 24, 16)
OF_24(16, 0)
OF_24(24, 0)
OF_24(32, 24)
WIDE(16, 24, 0)
WIDE(16, 32, 0)
WIDE(16, 48, 0)
WIDE(16, 48, 32)
#if LANES == 16
WIDE(32, 24, 0)
WIDE(32, 32, 0)
WIDE(32, 48, 32)
#endif

typedef struct {
    int32_t block, channels, skip, pixels;
    Tile *tile, *pixel;
} Kind;

#define KIND(OUTS, C, S, P) {OUTS, C, S, P, tile_##OUTS##_##C##_##S, pixel_##OUTS##_##C##_##S}

/* The first that fits is taken. */
static const Kind KINDS[] = {
#if LANES == 16
    KIND(32, 24, 0, PIXELS), KIND(32, 32, 0, PIXELS), KIND(32, 48, 32, PIXELS),
#endif
    KIND(24, 16, 0, PIXELS_OF_24), KIND(24, 24, 0, PIXELS_OF_24), KIND(24, 32, 24, PIXELS_OF_24),
    KIND(16, 8, 0, PIXELS), KIND(16, 16, 0, PIXELS), KIND(16, 24, 16, PIXELS), KIND(16, 24, 0, PIXELS), KIND(16, 32, 0, PIXELS),
    KIND(16, 48, 0, PIXELS), KIND(16, 48, 32, PIXELS),
};

static const Kind *kind_of(int32_t outs, int32_t channels, int32_t skip)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (outs % KINDS[i].block == 0 && channels == KINDS[i].channels && skip == KINDS[i].skip)
            return KINDS + i;
    return NULL;
}

/* Outputs that such a layer does together, 0 where there is no loop for it: then another runtime must serve. */
int32_t network_block(int32_t outs, int32_t channels, int32_t skip)
{
    const Kind *kind = kind_of(outs, channels, skip);
    return kind ? kind->block : 0;
}

/* ---- a row ---- */

/* Taps of the first pixel of a row of outputs, `count` pixels long. */
typedef struct {
    const Value *taps[TAPS], *skip_taps[TAPS];
    int32_t count, skip_count, channels, skip;
} Row;

static void move_taps(const Row *row, int32_t pixels, Row *moved)
{
    *moved = *row;
    for (int32_t t = 0; t < row->count; t++)
        moved->taps[t] += (ptrdiff_t)pixels * row->channels;
    for (int32_t t = 0; t < row->skip_count; t++)
        moved->skip_taps[t] += (ptrdiff_t)pixels * 2 * row->skip;
}

/* `pixels` outputs, `step` numbers apart. The last tile overlaps the one before where the pixels are not a multiple. */
static void do_row(const Layer *layer, const Value *weights, const Kind *kind, const Row *row, int32_t pixels, Value *out, ptrdiff_t step)
{
    ptrdiff_t block_weights = (ptrdiff_t)kind->block * (row->count * row->channels + row->skip_count * row->skip);
    int32_t several = pixels >= kind->pixels ? kind->pixels : 1;
    Tile *tile = several > 1 ? kind->tile : kind->pixel;
    for (int32_t x = 0; x < pixels; x += several) {
        Row here;
        x = x + several > pixels ? pixels - several : x;
        move_taps(row, x, &here);
        for (int32_t first = 0; first < layer->outs; first += kind->block)
            tile(here.taps, here.count, here.skip_taps, here.skip_count, weights + first / kind->block * block_weights,
                 layer->bias + first, out + x * step + first, step);
    }
}

static void plain_row(const Layer *layer, const Plane *in, const Plane *out, int32_t y)
{
    Row row = {.count = TAPS, .channels = layer->channels};
    for (int t = 0; t < TAPS; t++)
        row.taps[t] = at(in, y + t / 3 - 1, t % 3 - 1);
    do_row(layer, layer->weights, kind_of(layer->outs, layer->channels, 0), &row, out->width, at(out, y, 0), layer->outs);
}

static void up_row(const Layer *layer, const Plane *deep, const Plane *skip, const Plane *out, int32_t y)
{
    const Kind *kind = kind_of(layer->outs, layer->channels, layer->skip);
    ptrdiff_t weights = (ptrdiff_t)layer->outs * (SMALL_TAPS * layer->channels + TAPS * layer->skip);
    for (int32_t right = 0; right < 2; right++) {
        Row row = {.count = SMALL_TAPS, .channels = layer->channels, .skip_count = TAPS, .skip = layer->skip};
        int32_t below = y & 1;
        for (int t = 0; t < SMALL_TAPS; t++)
            row.taps[t] = at(deep, y / 2 + below - 1 + t / 2, right - 1 + t % 2);
        for (int t = 0; t < TAPS; t++)
            row.skip_taps[t] = at(skip, y + t / 3 - 1, right + t % 3 - 1);
        do_row(layer, layer->weights + (2 * below + right) * weights, kind, &row, out->width / 2, at(out, y, right), 2 * layer->outs);
    }
}

static void pool_row(const Plane *in, const Plane *out, int32_t y)
{
    const Value *above = at(in, 2 * y, 0), *below = at(in, 2 * y + 1, 0); /* none below 0: in any form the larger has the larger bits */
    Value *to = at(out, y, 0);
    int32_t channels = in->channels;
    for (int32_t x = 0; x < out->width; x++, above += 2 * channels, below += 2 * channels, to += channels)
        for (int32_t c = 0; c < channels; c++) {
            Value top = above[c] > above[c + channels] ? above[c] : above[c + channels];
            Value bottom = below[c] > below[c + channels] ? below[c] : below[c + channels];
            to[c] = top > bottom ? top : bottom;
        }
}

/* ---- the pictures ---- */

/* Two lightness planes, height x width, and the result. Beyond their border the nearest pixel. */
typedef struct {
    const float *dark, *bright;
    float *fused;
    int32_t height, width;
} Picture;

static void unshuffle_row(const Picture *picture, const Plane *blocks, int32_t y)
{
    Value *to = at(blocks, y, 0);
    for (int32_t down = 0; down < CELL; down++) {
        int32_t row = CELL * y + down < picture->height ? CELL * y + down : picture->height - 1;
        const float *dark = picture->dark + (ptrdiff_t)row * picture->width, *bright = picture->bright + (ptrdiff_t)row * picture->width;
        for (int32_t x = 0; x < CELL * blocks->width; x++) {
            int32_t column = x < picture->width ? x : picture->width - 1;
            to[x / CELL * BLOCKS + CELL * down + x % CELL] = value_of(dark[column]);
            to[x / CELL * BLOCKS + CELL * CELL + CELL * down + x % CELL] = value_of(bright[column]);
        }
    }
}

static void last_row(const Network *network, const Plane *features, const Plane *blocks, const Picture *picture, int32_t y)
{
    typedef float Cell __attribute__((vector_size(16), aligned(4)));
    const Cell *weights = (const Cell *)network->last;
    for (int32_t x = 0; x < blocks->width; x++) {
        const Value *feature = at(features, y, x), *block = at(blocks, y, x);
        Cell one = *(const Cell *)network->last_bias, two = {0};
        for (int32_t c = 0; c < features->channels; c += 2) {
            one += float_of(feature[c]) * weights[c];
            two += float_of(feature[c + 1]) * weights[c + 1];
        }
        for (int32_t c = 0; c < BLOCKS; c++)
            one += float_of(block[c]) * weights[features->channels + c];
        one += two;
        for (int32_t i = 0; i < CELL * CELL; i++) {
            int32_t row = CELL * y + i / CELL, column = CELL * x + i % CELL;
            float value = one[i] > 0 ? one[i] : 0;
            if (row < picture->height && column < picture->width)
                picture->fused[(ptrdiff_t)row * picture->width + column] = value < 1 ? value : 1;
        }
    }
}

/* ---- the whole ---- */

typedef struct {
    Plane blocks, pooled[LEVELS], inner[LEVELS], outer[LEVELS];
} Planes;

static size_t lay(Plane *plane, Value *memory, size_t used, int32_t height, int32_t width, int32_t channels)
{
    Plane laid = {memory + used, height, width, channels};
    *plane = laid;
    return used + ((size_t)(height + 2) * (size_t)(width + 2) * (size_t)channels + 31) / 32 * 32;
}

static size_t lay_out(const Network *network, int32_t height, int32_t width, Value *memory, Planes *planes)
{
    size_t used = lay(&planes->blocks, memory, 0, height / CELL, width / CELL, BLOCKS);
    for (int l = 0; l < LEVELS; l++) {
        int32_t rows = height / CELL >> l, columns = width / CELL >> l;
        used = lay(planes->pooled + l, memory, used, rows, columns, l ? network->down[2 * l].channels : 0);
        used = lay(planes->inner + l, memory, used, rows, columns, network->down[2 * l].outs);
        used = lay(planes->outer + l, memory, used, rows, columns, network->down[2 * l].outs);
    }
    return used;
}

/* Numbers in memory that planes of this size take, all zero before the first run; both multiples of CELL << (LEVELS - 1). */
size_t network_values(const Network *network, int32_t height, int32_t width)
{
    Planes planes;
    return lay_out(network, height, width, NULL, &planes);
}

#define ROWS(COUNT, WORK)                                                                                                       \
    do {                                                                                                                        \
        int32_t y, end_;                                                                                                        \
        begin_step(&member, COUNT);                                                                                             \
        while (begin_batch(&member, &y, &end_)) {                                                                               \
            for (; y < end_; y++)                                                                                               \
                WORK;                                                                                                           \
            end_batch(team);                                                                                                    \
        }                                                                                                                       \
    } while (0)

/* The fused lightness, 0..1, is there on return. Called once by each member of the team, with its number; padded: the size of the
 * planes. A member that comes when all is done touches nothing but `team` and `network`. */
void network_run(const Network *network, const Picture *picture, int32_t padded_height, int32_t padded_width, Value *memory, Team *team,
                 int32_t own)
{
    Member member = {.team = team, .own = own};
    Planes planes;
    lay_out(network, padded_height, padded_width, memory, &planes);
    planes.pooled[0] = planes.blocks;
    ROWS(planes.blocks.height, unshuffle_row(picture, &planes.blocks, y));
    for (int l = 0; l < LEVELS; l++) {
        if (l)
            ROWS(planes.pooled[l].height, pool_row(planes.outer + l - 1, planes.pooled + l, y));
        ROWS(planes.inner[l].height, plain_row(network->down + 2 * l, planes.pooled + l, planes.inner + l, y));
        ROWS(planes.outer[l].height, plain_row(network->down + 2 * l + 1, planes.inner + l, planes.outer + l, y));
    }
    for (int l = LEVELS - 2; l >= 0; l--) { /* the skip is no longer needed when the level's result takes its place */
        ROWS(planes.inner[l].height, up_row(network->up + 2 * l, planes.outer + l + 1, planes.outer + l, planes.inner + l, y));
        ROWS(planes.outer[l].height, plain_row(network->up + 2 * l + 1, planes.inner + l, planes.outer + l, y));
    }
    ROWS(planes.blocks.height, last_row(network, planes.outer, &planes.blocks, picture, y));
    wait_for(team, (member.before + member.batches) * team->members);
}

typedef struct {
    const Network *network;
    const Picture *picture;
    int32_t padded_height, padded_width;
    Value *memory;
    Team *team;
} Run;

/* Members first..end (exclusive) of the team, one after the other: for threads that are another library's. */
void network_members(void *argument, int32_t first, int32_t end)
{
    const Run *run = argument;
    for (int32_t member = first; member < end; member++)
        network_run(run->network, run->picture, run->padded_height, run->padded_width, run->memory, run->team, member);
}

/* The search for the move of the whole picture, and small pictures without it (fusion/motion/registration.py). No state. */
#include "grids.h"
#include "rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The reference (height x width) with its slopes to the right and down, room for rows of the other
 * exposure, one for each batch, and for the sums of each row. */
typedef struct {
    const float *plane;
    float *along, *down, *columns, *rows;
    double *sums;
} Still;

/* Normal equations of (dx, dy, turn): upper triangle of the matrix, right side, usable cells, sum of robust differences. */
#define SUMS 11

#define UNKNOWN (-1.0) /* no mean difference is below 0 */
#define MOST_BLOCKS 8 /* down and across */
#define LEAST_ROWS 20 /* of so small a picture that are worth another thread */

static int32_t limited(double value, int32_t last) { return value < 0 ? 0 : value > last ? last : (int32_t)value; }
static float part(float value) { return value < 0 ? 0 : value > 1 ? 1 : value; }

/* Samples between those of two rows and `step` samples to the right. Each lies `start` + `slope` times its column below the upper
 * row. */
VECTORISED static void between_cells(const float *restrict above, const float *restrict below, int32_t step, float along,
                                     float start, float slope, const float *restrict columns, int32_t count,
                                     float *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float top = above[i] + along * (above[i + step] - above[i]);
        float bottom = below[i] + along * (below[i + step] - below[i]);
        out[i] = top + part(start + slope * columns[i]) * (bottom - top);
    }
}

/* The same where all lie equally far below. */
VECTORISED static void between_rows(const float *restrict above, const float *restrict below, int32_t step, float along, float down,
                                    int32_t count, float *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float top = above[i] + along * (above[i + step] - above[i]);
        float bottom = below[i] + along * (below[i + step] - below[i]);
        out[i] = top + down * (bottom - top);
    }
}

/* Columns first..last of row y, all of which lie between the same two rows of the picture; beyond its border the nearest cell. */
static void moved_span(const Moved *plane, const float *columns, int32_t y, int32_t first, int32_t last, double place, float *out)
{
    int32_t channels = plane->channels;
    int32_t row = limited(floor(place), plane->height > 1 ? plane->height - 2 : 0);
    const float *above = plane->cells + (size_t)row * plane->stride, *below = plane->height > 1 ? above + plane->stride : above;
    double shift = plane->across[0] * y + plane->across[1], left = floor(shift);
    float start = (float)(y + plane->down[1] - row), slope = (float)plane->down[0];
    int32_t begin = first + limited(-left - first, last - first); /* the first column whose place has cells either side */
    int32_t end = begin + limited(plane->width - 1 - left - begin, last - begin);
    if (end > begin) {
        ptrdiff_t from = ((ptrdiff_t)left + begin) * channels, to = (ptrdiff_t)begin * channels;
        float along = (float)(shift - left);
        if (slope == 0)
            between_rows(above + from, below + from, channels, along, part(start), (end - begin) * channels, out + to);
        else
            between_cells(above + from, below + from, channels, along, start, slope, columns + to, (end - begin) * channels, out + to);
    }
    for (int32_t x = first; x < last; x++) {
        if (x == begin)
            x = end;
        if (x < last) {
            int32_t nearest = limited(x + left, plane->width - 1) * channels, to = x * channels;
            between_cells(above + nearest, below + nearest, 0, 0, start, slope, columns + to, channels, out + to);
        }
    }
}

/* Row y of the picture without the move. `columns`: of every sample of a row. */
static void moved_row(const Moved *plane, const float *columns, int32_t y, float *out)
{
    double slope = plane->down[0];
    for (int32_t first = 0, last; first < plane->width; first = last) {
        double place = y + plane->down[1] + slope * first, row = floor(place), far = plane->width;
        if (slope != 0)
            far = slope > 0 ? ceil((row + 1 - place) / slope) : floor((row - place) / slope) + 1;
        last = first + 1 + limited(far - 1, plane->width - first - 1);
        moved_span(plane, columns, y, first, last, place, out);
    }
}

static void number_columns(const Moved *plane, float *columns)
{
    for (int32_t x = 0; x < plane->width; x++)
        for (int32_t c = 0; c < plane->channels; c++)
            *columns++ = (float)x;
}

typedef struct {
    const Moved *first;
    int32_t count;
    const float *columns;
    float *out;
} Pictures;

static void moved_rows(void *job, int32_t top, int32_t bottom)
{
    const Pictures *pictures = job;
    Moved plane = *pictures->first;
    int32_t row = plane.width * plane.channels;
    float *out = pictures->out;
    for (int32_t p = 0; p < pictures->count; p++, plane.cells += row, out += row)
        for (int32_t y = top; y < bottom; y++)
            moved_row(&plane, pictures->columns, y, out + (size_t)y * plane.stride);
}

/* The whole picture without the move, and `pictures` - 1 more whose first rows follow its first row, and so on. 0, or 1 if out of
 * memory. */
int moved_cells(Pool *pool, const Moved *picture, int32_t pictures, float *out)
{
    float *columns = malloc((size_t)picture->width * picture->channels * sizeof *columns);
    if (!columns)
        return 1;
    Pictures job = {picture, pictures, columns, out};
    number_columns(picture, columns);
    pool_run(pool, moved_rows, &job, picture->height, LEAST_ROWS);
    free(columns);
    return 0;
}

/* ---- the search ---- */

/* Luma of `count` cells (3 channels, encoded 0..1), held below `ceiling`; before that replaced by the value that `curve` (knots + 1)
 * has at the nearest knot, unless that is NULL. */
VECTORISED void comparable_luma(const float *restrict cells, const float *luma, const float *restrict curve, int32_t knots, float ceiling,
                                int32_t count, float *restrict out)
{
    const float blue = luma[0], green = luma[1], red = luma[2];
    for (int32_t i = 0; i < count; i++)
        out[i] = blue * cells[3 * i] + green * cells[3 * i + 1] + red * cells[3 * i + 2];
    for (int32_t i = 0; curve && i < count; i++)
        out[i] = curve[(int32_t)(out[i] * (float)knots + 0.5f)];
    for (int32_t i = 0; i < count; i++)
        out[i] = out[i] < ceiling ? out[i] : ceiling;
}

VECTORISED static void add_row(const Search *search, const Still *still, const Moved *other, const float *row, int32_t y, double *restrict out)
{
    size_t first = (size_t)y * other->width;
    const float *restrict plane = still->plane + first, *restrict along = still->along + first, *restrict down = still->down + first;
    const float *restrict columns = still->columns, *restrict there = row;
    const float ceiling = search->ceiling, tolerance = search->tolerance;
    const float middle_x = 0.5f * (float)(other->width - 1), below_middle = (float)y - 0.5f * (float)(other->height - 1);
    const float last_x = (float)(other->width - 1), last_y = (float)(other->height - 1);
    const float shift = (float)(other->across[0] * y + other->across[1]);
    const float start = (float)(y + other->down[1]), slope = (float)other->down[0];
    float xx = 0, xy = 0, xt = 0, yy = 0, yt = 0, tt = 0, xr = 0, yr = 0, tr = 0, cells = 0, loss = 0;
#pragma omp simd reduction(+ : xx, xy, xt, yy, yt, tt, xr, yr, tr, cells, loss)
    for (int32_t i = 0; i < other->width; i++) {
        float x = columns[i] + shift, place = start + slope * columns[i];
        int within = (x >= 0) & (x <= last_x) & (place >= 0) & (place <= last_y);
        float tells = within & (plane[i] < ceiling) & (there[i] < ceiling) ? 1.0f : 0.0f;
        float residual = there[i] - plane[i], square = residual * residual * tolerance;
        float weight = tells / (1.0f + square);
        float turning = down[i] * (columns[i] - middle_x) - along[i] * below_middle;
        float right = weight * along[i], below = weight * down[i], t = weight * turning;
        xx += right * along[i];
        xy += right * down[i];
        xt += right * turning;
        yy += below * down[i];
        yt += below * turning;
        tt += t * turning;
        xr += right * residual;
        yr += below * residual;
        tr += t * residual;
        cells += tells;
        loss += square * weight;
    }
    const float sums[SUMS] = {xx, xy, xt, yy, yt, tt, xr, yr, tr, cells, loss};
    for (int i = 0; i < SUMS; i++)
        out[i] = (double)sums[i];
}

typedef struct {
    const Search *search;
    const Still *still;
    const Moved *other;
} Comparison;

static void compare_rows(void *job, int32_t top, int32_t bottom)
{
    const Comparison *planes = job;
    const Still *still = planes->still;
    float *row = still->rows + (size_t)(top / LEAST_ROWS) * planes->other->width;
    for (int32_t y = top; y < bottom; y++) {
        moved_row(planes->other, still->columns, y, row);
        add_row(planes->search, still, planes->other, row, y, still->sums + (size_t)y * SUMS);
    }
}

/* `move`: dx, dy in cells, turn about the middle. See Move.offsets. */
static void set_offsets(Moved *other, const double *move)
{
    double x = 0.5 * (other->width - 1), y = 0.5 * (other->height - 1);
    other->across[0] = -move[2], other->across[1] = move[0] + move[2] * y;
    other->down[0] = move[2], other->down[1] = move[1] - move[2] * x;
}

static void add_up(Pool *pool, const Search *search, const Still *still, Moved *other, const double *move, double *sums)
{
    Comparison job = {search, still, other};
    set_offsets(other, move);
    pool_run(pool, compare_rows, &job, other->height, LEAST_ROWS);
    memset(sums, 0, SUMS * sizeof *sums);
    for (int32_t i = 0; i < other->height * SUMS; i++)
        sums[i % SUMS] += still->sums[i];
}

static double seen(const Moved *other, const double *sums) { return sums[9] / ((double)other->height * other->width); }

/* The step that the sums ask for: a symmetric system of three, by its adjoint. */
static void solve(const double *sums, double regular, double *step)
{
    double a = sums[0] + regular, b = sums[1], c = sums[2], d = sums[3] + regular, e = sums[4], f = sums[5] + regular;
    double aa = d * f - e * e, ab = c * e - b * f, ac = b * e - c * d, bb = a * f - c * c, bc = b * c - a * e, cc = a * d - b * b;
    double determinant = a * aa + b * ab + c * ac;
    const double *side = sums + 6;
    step[0] = -(aa * side[0] + ab * side[1] + ac * side[2]) / determinant;
    step[1] = -(ab * side[0] + bb * side[1] + bc * side[2]) / determinant;
    step[2] = -(ac * side[0] + bc * side[1] + cc * side[2]) / determinant;
}

static void refine(Pool *pool, const Search *search, const Still *still, Moved *other, double *move)
{
    for (int32_t n = 0; n < search->steps; n++) {
        double sums[SUMS], step[3];
        add_up(pool, search, still, other, move, sums);
        if (seen(other, sums) < search->least_seen) {
            memset(move, 0, 3 * sizeof *move);
            return;
        }
        solve(sums, search->regular, step);
        for (int i = 0; i < 3; i++)
            move[i] += step[i];
        if (hypot(step[0], step[1]) + fabs(step[2]) * hypot(other->height, other->width) / 2 < search->enough)
            return;
    }
}

/* Slopes where there are cells on all sides. */
VECTORISED static void slopes_of_row(const float *restrict above, const float *restrict row, const float *restrict below,
                                     int32_t count, float *restrict along, float *restrict down)
{
    for (int32_t x = 0; x < count; x++) {
        along[x] = ((above[x + 1] - above[x - 1]) + 2 * (row[x + 1] - row[x - 1]) + (below[x + 1] - below[x - 1])) * 0.125f;
        down[x] = ((below[x - 1] - above[x - 1]) + 2 * (below[x] - above[x]) + (below[x + 1] - above[x + 1])) * 0.125f;
    }
}

/* Slopes by Sobel's weights, over the place mirrored at the border (the border's own cells once). */
static void find_slopes(const Still *still, int32_t height, int32_t width)
{
    for (int32_t y = 0; y < height; y++) {
        const float *row = still->plane + (size_t)y * width;
        const float *above = y > 0 ? row - width : height > 1 ? row + width : row;
        const float *below = y < height - 1 ? row + width : height > 1 ? row - width : row;
        float *along = still->along + (size_t)y * width, *down = still->down + (size_t)y * width;
        if (width > 2)
            slopes_of_row(above + 1, row + 1, below + 1, width - 2, along + 1, down + 1);
        for (int32_t x = 0; x < width; x += width > 2 ? width - 1 : 1) {
            int32_t left = x > 0 ? x - 1 : width > 1 ? 1 : 0, right = x < width - 1 ? x + 1 : width > 1 ? width - 2 : 0;
            along[x] = ((above[right] - above[left]) + 2 * (row[right] - row[left]) + (below[right] - below[left])) / 8;
            down[x] = ((below[left] - above[left]) + 2 * (below[x] - above[x]) + (below[right] - above[right])) / 8;
        }
    }
}

VECTORISED static void halve_rows(const float *restrict above, const float *restrict below, int32_t count, float *restrict out)
{
    for (int32_t x = 0; x < count; x++)
        out[x] = (above[2 * x] + above[2 * x + 1] + below[2 * x] + below[2 * x + 1]) * 0.25f;
}

static void halve(const float *plane, int32_t height, int32_t width, float *out)
{
    for (int32_t y = 0; y < height / 2; y++, out += width / 2)
        halve_rows(plane + 2 * (size_t)y * width, plane + (2 * (size_t)y + 1) * width, width / 2, out);
}

/* From coarse to fine: at each level, made from the one below, the move found so far is refined. */
static void descend(Pool *pool, const Search *search, Still still, Moved other, float *room, double *move)
{
    int32_t height = other.height, width = other.width;
    if ((height < width ? height : width) >= 2 * search->smallest_side) {
        size_t cells = (size_t)(height / 2) * (width / 2);
        Still coarse = still;
        coarse.plane = room;
        halve(still.plane, height, width, room);
        halve(other.cells, height, width, room + cells);
        Moved halved = {.cells = room + cells, .height = height / 2, .width = width / 2, .channels = 1, .stride = width / 2};
        descend(pool, search, coarse, halved, room + 2 * cells, move);
    }
    find_slopes(&still, height, width);
    move[0] *= 2, move[1] *= 2;
    refine(pool, search, &still, &other, move);
}

/* Columns first..last of a row: adds how many are usable, and the sum of their robust differences. */
VECTORISED static void add_losses(const Search *search, const float *restrict plane, const float *restrict there,
                                  const float *restrict columns, float shift, float start, float slope, float last_x, float last_y,
                                  int32_t first, int32_t last, double *sums)
{
    const float ceiling = search->ceiling, tolerance = search->tolerance;
    float cells = 0, loss = 0;
#pragma omp simd reduction(+ : cells, loss)
    for (int32_t i = first; i < last; i++) {
        float x = columns[i] + shift, place = start + slope * columns[i];
        int within = (x >= 0) & (x <= last_x) & (place >= 0) & (place <= last_y);
        float tells = within & (plane[i] < ceiling) & (there[i] < ceiling) ? 1.0f : 0.0f;
        float residual = there[i] - plane[i], square = residual * residual * tolerance;
        cells += tells;
        loss += tells * square / (1.0f + square);
    }
    sums[0] += (double)cells;
    sums[1] += (double)loss;
}

/* The first of `side` cells that lies in a block. */
static int32_t first_of_block(int32_t block, int32_t side, int32_t blocks) { return (block * side + blocks - 1) / blocks; }

/* The mean robust difference in each block without a move; UNKNOWN where few cells are usable. */
static void find_block_losses(const Search *search, const Still *still, Moved *other, const double *move, double *losses)
{
    int32_t blocks = search->blocks, height = other->height, width = other->width;
    set_offsets(other, move);
    for (int32_t down = 0; down < blocks; down++) {
        double sums[MOST_BLOCKS][2] = {{0}};
        int32_t top = first_of_block(down, height, blocks), bottom = first_of_block(down + 1, height, blocks);
        for (int32_t y = top; y < bottom; y++) {
            float shift = (float)(other->across[0] * y + other->across[1]), start = (float)(y + other->down[1]);
            moved_row(other, still->columns, y, still->rows);
            for (int32_t across = 0; across < blocks; across++)
                add_losses(search, still->plane + (size_t)y * width, still->rows, still->columns, shift, start, (float)other->down[0],
                           (float)(width - 1), (float)(height - 1), first_of_block(across, width, blocks),
                           first_of_block(across + 1, width, blocks), sums[across]);
        }
        for (int32_t across = 0; across < blocks; across++) {
            int32_t columns = first_of_block(across + 1, width, blocks) - first_of_block(across, width, blocks);
            double least = fmax(search->tells * (bottom - top) * columns, 1);
            losses[down * blocks + across] = sums[across][0] >= least ? sums[across][1] / sums[across][0] : UNKNOWN;
        }
    }
}

/* Whether undoing the move helps in far more blocks than it harms. See registration.helps_most. */
static int helps_most(const Search *search, const Still *still, Moved *other, const double *move)
{
    const double none[3] = {0}, opposite[3] = {-move[0], -move[1], -move[2]}, *moves[3] = {none, move, opposite};
    double losses[3][MOST_BLOCKS * MOST_BLOCKS];
    int32_t better = 0, worse = 0, telling = 0;
    for (int i = 0; i < 3; i++)
        find_block_losses(search, still, other, moves[i], losses[i]);
    for (int32_t i = 0; i < search->blocks * search->blocks; i++) {
        double before = losses[0][i], after = losses[1][i], back = losses[2][i];
        better += after >= 0 && after < search->gain * before && after < search->gain * back;
        worse += before >= 0 && before < search->gain * after;
        telling += before >= 0;
    }
    return better > search->helped * worse && search->helped_of * better >= telling;
}

/* The move of `other` from `reference` (height x width each): dx, dy in cells, turn; zeros if undoing it is no gain. 0, or 1
 * if out of memory. */
int find_move(Pool *pool, const Search *search, const float *reference, const float *other, int32_t height, int32_t width, double *move)
{
    size_t cells = (size_t)height * width;
    double *memory = malloc((size_t)height * SUMS * sizeof(double) + (3 * cells + ((size_t)height / LEAST_ROWS + 2) * width) * sizeof(float));
    if (!memory)
        return 1;
    float *room = (float *)(memory + (size_t)height * SUMS); /* all levels below take less than the first */
    Still still = {reference, room, room + cells, room + 2 * cells, room + 2 * cells + width, memory};
    Moved moved = {.cells = other, .height = height, .width = width, .channels = 1, .stride = width};
    double before[SUMS], after[SUMS];
    const double none[3] = {0};
    number_columns(&moved, still.columns);
    memset(move, 0, 3 * sizeof *move);
    descend(pool, search, still, moved, still.rows + ((size_t)height / LEAST_ROWS + 1) * width, move);
    add_up(pool, search, &still, &moved, none, before);
    add_up(pool, search, &still, &moved, move, after);
    int tells = seen(&moved, before) >= search->least_seen && seen(&moved, after) >= search->least_seen;
    if (!tells || after[10] * before[9] > search->gain * before[10] * after[9] || !helps_most(search, &still, &moved, move))
        memset(move, 0, 3 * sizeof *move);
    free(memory);
    return 0;
}

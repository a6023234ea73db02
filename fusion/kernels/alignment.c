/* One step of the search for the move of the whole picture (fusion/motion/alignment.py). No state. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const float *still, *along, *down; /* height x width: the reference and its slopes */
    const float *other;
    int32_t height, width;
    double move[6];  /* place in the other of a cell: x' = m0 x + m1 y + m2, y' = m3 x + m4 y + m5 */
    float ceiling;   /* from here up a cell clips */
    float tolerance; /* 1 / difference^2 at which a cell's say is halved */
} Alignment;

/* Normal equations of (dx, dy, turn): upper triangle of the matrix, right side, usable cells, sum of robust differences. */
#define SUMS 11

/* What the other exposure shows at the place of each cell of row y; outside of it, as much as if it clipped. */
VECTORISED static void sample_row(const Alignment *job, int32_t y, float *restrict out)
{
    const float *restrict other = job->other;
    const int32_t width = job->width, most_left = width > 1 ? width - 2 : 0, most_above = job->height > 1 ? job->height - 2 : 0;
    const int32_t right = width > 1, below = job->height > 1 ? width : 0;
    const float last_x = (float)(width - 1), last_y = (float)(job->height - 1), ceiling = job->ceiling;
    const float x_part = (float)job->move[0], y_part = (float)job->move[3];
    const float x_start = (float)(job->move[1] * y + job->move[2]), y_start = (float)(job->move[4] * y + job->move[5]);
    for (int32_t i = 0; i < width; i++) {
        float x = x_part * (float)i + x_start, y_place = y_part * (float)i + y_start;
        int within = x >= 0 && x <= last_x && y_place >= 0 && y_place <= last_y;
        int32_t left = (int32_t)x, above = (int32_t)y_place;
        left = left < 0 ? 0 : left < most_left ? left : most_left;
        above = above < 0 ? 0 : above < most_above ? above : most_above;
        int32_t place = above * width + left;
        float along = x - (float)left, down = y_place - (float)above;
        float top = other[place] + along * (other[place + right] - other[place]);
        float bottom = other[place + below] + along * (other[place + below + right] - other[place + below]);
        float there = top + down * (bottom - top);
        out[i] = within ? there : ceiling;
    }
}

VECTORISED static void add_row(const Alignment *job, int32_t y, const float *restrict there, double *restrict out)
{
    size_t start = (size_t)y * job->width;
    const float *restrict still = job->still + start, *restrict along = job->along + start, *restrict down = job->down + start;
    const float ceiling = job->ceiling, tolerance = job->tolerance;
    const float middle_x = 0.5f * (float)(job->width - 1), below_middle = (float)y - 0.5f * (float)(job->height - 1);
    float xx = 0, xy = 0, xt = 0, yy = 0, yt = 0, tt = 0, xr = 0, yr = 0, tr = 0, cells = 0, loss = 0;
#pragma omp simd reduction(+ : xx, xy, xt, yy, yt, tt, xr, yr, tr, cells, loss)
    for (int32_t i = 0; i < job->width; i++) {
        float tells = still[i] < ceiling && there[i] < ceiling ? 1.0f : 0.0f;
        float residual = there[i] - still[i], square = residual * residual * tolerance;
        float weight = tells / (1.0f + square);
        float turning = down[i] * ((float)i - middle_x) - along[i] * below_middle;
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
        out[i] += sums[i];
}

/* 0, or 1 if out of memory. */
int alignment_sums(const Alignment *job, double *out)
{
    float *there = malloc((size_t)job->width * sizeof *there);
    if (!there)
        return 1;
    memset(out, 0, SUMS * sizeof *out);
    for (int32_t y = 0; y < job->height; y++) {
        sample_row(job, y, there);
        add_row(job, y, there, out);
    }
    free(there);
    return 0;
}

/* One exposure as it would have been at another's moment, row by row. */
#ifndef LIVEMEF_MOTION_H
#define LIVEMEF_MOTION_H

#include "pool.h"
#include "rows.h"

typedef struct {
    Picture reference, other;
    const float *table;  /* the other's code, whole, for every code of the reference: 3 x codes, a channel after the other */
    int32_t codes;
    const float *mask;   /* grid_height x grid_width: the reference's share */
    int32_t grid_height, grid_width;
    const int32_t *across; /* for each row, and */
    const int32_t *down;   /* for each column: how far right and down the place in the other lies, STEPS-ths of a pixel */
    const float *fill;     /* fill_height x fill_width x 3, or NULL: codes behind clipping, or if `tinted` where the reference is dim */
    int32_t fill_height, fill_width;
    float clip_start, clip_scale, least_fill; /* codes */
    float like;                               /* see fusion/motion/saturation_fill.py */
    int32_t tinted;
    float dim, dim_scale, white;              /* see fusion/motion/dim_colour.py; codes */
    float grain, faint;                       /* grain: its square */
} Compensation; /* across and down NULL: not moved */

/* Where the reference has a share, and what a row needs at hand. */
typedef struct {
    float *share;    /* the reference's share, for each sample of a row that has any */
    float *along;    /* for each sample of a row, how far its pixel's centre is on the way from one cell's to the next */
    float *fill;     /* a row of the fill, or of the tints */
    float *tint, *tint_along; /* for each sample of a row with shares its tint, for each pixel its way from one cell to the next, and */
    int32_t *tint_starts;     /* the first column that lies right of each such cell's centre, and the width */
    int32_t *starts; /* first column that lies right of each cell's centre, and the width */
    int32_t *stretches, *stretches_end; /* where a row has shares: first cell, and the one after the last, of each stretch */
    int32_t upper;                      /* row of cells above the pixels, -1 before the first use, and */
    float below_upper;                  /* how far below it they lie */
    int32_t *ends;   /* if the other exposure is moved, where the spans of columns end that lie below one of its rows, */
    uint16_t *parts; /* and for each sample of a row, how far below */
    void *row;       /* room for a row of the picture */
} Shares;

/* 0, or 1 if out of memory. */
int start_shares(const Compensation *job, Shares *shares);
void end_shares(Shares *shares);

/* Row y of the other exposure: itself where nothing is to be done, else a row in `shares`. `reference`: that row of it. */
const void *compensated_row(const Compensation *job, Shares *shares, const void *reference, int32_t y);

/* Means of cells x cells of the other exposure's grid, already without the move, become as they would have been; job->table holds the
 * curves at `codes` places. 0, or 1 if out of memory. */
int remake_means(Pool *pool, const Compensation *job, int32_t cells, float *means);

#endif

/* The small planes that steer every pixel, which bracket.c puts together: steering.c, windows.c, pixels.c. Those that return int give 0, or 1
 * if out of memory. */
#ifndef LIVEMEF_STEERING_H
#define LIVEMEF_STEERING_H

#include "pixels.h"

/* See the constants of fusion/method/gamma.py. */
typedef struct {
    double gamma, wanted_mean, least_gamma, most_gamma; /* gamma: 0 = the one that brings the mean to the one wanted, within limits */
    double white, most_whitening, top_part;             /* white: L*, 0 = as it is */
    float top_step;
    int32_t nodes;
} Showing;

#define DRIFT 6 /* numbers of evidence of colour drift a pixel: see drift_evidence in pixels.c */

double show_lightness(const Showing *showing, const float *lightness, const float *brightest, int32_t count, float *out);
void whiten_lightness(float *lightness, int32_t count, float gain);
double mean_lightness(const float *affine, int32_t planes, const float *const *lights, int32_t n, int32_t height, int32_t width);
void towards_mean(const float *newest, const float *const *past, int32_t count, const float *still, int32_t height, int32_t planes,
                  int32_t width, float *out);
int still_planes(const float *const *masks, int32_t count, int32_t height, int32_t width, int32_t cells, int32_t radius, float gain,
                 float *out);
int affine_coefficients(const Constants *constants, const float *const *planes, int32_t n, int32_t height, int32_t width,
                        int32_t radius, double eps, float *room, float *out, int32_t out_planes);
int chroma_parts(const float *const *planes, int32_t n, int32_t height, int32_t width, int32_t radius, double offset, float *out,
                 int32_t out_planes);
void drift_evidence(const Constants *constants, const float *dark, const float *bright, int32_t height, int32_t width, float *out);
int drift_factors(const float *evidence, int32_t height, int32_t width, int32_t radius, double fall, double prior, double strength,
                  float *out);

#endif

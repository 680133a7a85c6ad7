/* tanh and the logistic function on vectors, with a small relative error even for tiny results.
 *
 * In float, results are within 1e-6 of the true value wherever that value is a normal number. In double, they come from
 * the C library. NaN stays NaN, as no comparison with it is true.
 */
#ifndef ACTIVATIONS_H
#define ACTIVATIONS_H

#include <math.h>

#include "vectors.h"

#if IS_FLOAT

/* An odd rational function of degree 13 / 6, fitted to tanh on [-7.9, 7.9], where it reaches 1 in float. */
static inline vec tanh_of(vec x)
{
    const vec end = all(7.90531110763549805f);
    x = choose(x > end, end, x);
    x = choose(x < -end, -end, x);
    const vec s = x * x;
    vec p = s * all(-2.76076847742355e-16f) + all(2.00018790482477e-13f);
    p = p * s + all(-8.60467152213735e-11f);
    p = p * s + all(5.12229709037114e-08f);
    p = p * s + all(1.48572235717979e-05f);
    p = p * s + all(6.37261928875436e-04f);
    p = p * s + all(4.89352455891786e-03f);
    vec q = s * all(1.19825839466702e-06f) + all(1.18534705686654e-04f);
    q = q * s + all(2.26843463243900e-03f);
    q = q * s + all(4.89352518554385e-03f);
    return p / q * x; /* not p * x, which is subnormal for the smallest x */
}

/* e^x = 2^n e^r with n an integer and |r| <= ln(2) / 2; e^r by its Taylor series to degree 7. Below about -87.68,
 * where the result is subnormal, it is 0; above about 88.38 it is infinity. */
static inline vec exp_of(vec x)
{
    x = choose(x > all(88.73f), all(88.73f), x);
    x = choose(x < all(-88.0f), all(-88.0f), x);
    const vec shift = all(12582912.0f); /* 1.5 * 2^23: adding it leaves round(x) in the lowest bits */
    const vec shifted = x * all(1.44269504f) + shift;
    const vec n = shifted - shift;
    const vec r = (x - n * all(0.693359375f)) - n * all(-2.12194440e-4f); /* ln(2) in two parts */
    vec p = r * all(1.0f / 5040) + all(1.0f / 720);
    p = p * r + all(1.0f / 120);
    p = p * r + all(1.0f / 24);
    p = p * r + all(1.0f / 6);
    p = p * r + all(0.5f);
    p = p * r + all(1.0f);
    p = p * r + all(1.0f);
    const bits power = ((bits)shifted - (bits)shift + 127) << 23;
    return p * (vec)power;
}

static inline vec sigmoid_of(vec x) { return all(1.0f) / (all(1.0f) + exp_of(-x)); }

#else

static inline vec tanh_of(vec x)
{
    for (int lane = 0; lane < LANES; lane++)
        x[lane] = tanh(x[lane]);
    return x;
}

static inline vec sigmoid_of(vec x)
{
    for (int lane = 0; lane < LANES; lane++)
        x[lane] = 1.0 / (1.0 + exp(-x[lane]));
    return x;
}

#endif

static inline vec relu_of(vec x) { return choose(x < all(0), all(0), x); }

#endif

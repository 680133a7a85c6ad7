/* Vectors of real numbers, with the vector extensions of GCC and Clang: one source for AVX-512, AVX2, SSE and NEON.
 *
 * An object is compiled for one width, VECTOR_BYTES, and one type of number, REAL (float or double).
 */
#ifndef VECTORS_H
#define VECTORS_H

#include <stddef.h>
#include <stdint.h>

typedef REAL real;

enum {
    LANES = VECTOR_BYTES / sizeof(real), /* numbers in a vector */
    PAIR = 2 * LANES,                    /* columns of a full panel: two vectors */
    BLOCK = BLOCK_ROWS                   /* rows whose accumulators fit the registers: 12 of 16, or 24 of 32 */
};

typedef real vec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

/* As many integers as a vector has numbers, of the same size: the result of a comparison, or the bits of the
 * numbers. */
typedef BITS bits __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

static inline vec load(const real *from) { return *(const vec *)from; }

static inline void store(real *to, vec v) { *(vec *)to = v; }

static inline vec all(real value)
{
    const vec zero = {0};
    return value - zero; /* x - 0 is x for every x, so only the broadcast remains; x + 0 would change -0 */
}

/* `yes` where `which` is true, else `no`. A comparison with NaN is false. */
static inline vec choose(bits which, vec yes, vec no)
{
    return (vec)((which & (bits)yes) | (~which & (bits)no));
}

/* The first `count` numbers, at most one vector, followed by zeros. */
static inline vec load_part(const real *from, size_t count)
{
    if (count >= LANES)
        return load(from);
    vec v = {0};
    for (size_t lane = 0; lane < count; lane++)
        v[lane] = from[lane];
    return v;
}

/* A mask's entries, 0 or 1 in bfloat16: the upper half of a float's bits. */
static inline real from_bfloat16(uint16_t half)
{
    union {
        uint32_t bits;
        float value;
    } number = {.bits = (uint32_t)half << 16};
    return (real)number.value;
}

typedef uint16_t halves __attribute__((vector_size(LANES * 2), aligned(2), may_alias));
typedef uint32_t words __attribute__((vector_size(LANES * 4), may_alias));
typedef float floats __attribute__((vector_size(LANES * 4), may_alias));

static inline vec load_mask(const uint16_t *from, size_t count)
{
    if (count >= LANES) {
        words wide = __builtin_convertvector(*(const halves *)from, words) << 16;
        return __builtin_convertvector((floats)wide, vec);
    }
    vec v = {0};
    for (size_t lane = 0; lane < count; lane++)
        v[lane] = from_bfloat16(from[lane]);
    return v;
}

/* Rows are short, so calling memcpy would cost more than the copy. */
static inline void copy(real *to, const real *from, size_t count)
{
    size_t at = 0;
    for (; at + LANES <= count; at += LANES)
        store(to + at, load(from + at));
    for (; at < count; at++)
        to[at] = from[at];
}

/* Zeroes a row from `count` to `width`. An infinite x leaves NaN there, which products would spread over the row. */
static inline void clear_behind(real *row, size_t count, size_t width)
{
    for (size_t at = count; at < width; at++)
        row[at] = 0;
}

static inline size_t round_up(size_t count, size_t unit) { return (count + unit - 1) / unit * unit; }

#endif

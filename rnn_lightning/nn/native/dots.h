/* Dot products of rows with unpacked weights, for when packing the weights would take longer than it saves.
 *
 * The vectors run along the depth. A block of some rows and units keeps its sums in registers, and adds up the lanes of
 * each sum at the end. A sum does not depend on the block that it is computed in.
 */
#ifndef DOTS_H
#define DOTS_H

#include "vectors.h"

enum { UNITS = 4, ROWS_A_BLOCK = BLOCK / 2 }; /* sums that fit the registers: 12 of 16, or 24 of 32 */

typedef real quarter __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));

static inline real sum_of_lanes(vec v)
{
    const quarter *part = (const quarter *)&v;
    quarter sum = part[0];
    for (size_t n = 1; n < sizeof v / sizeof sum; n++)
        sum += part[n];
    real total = 0;
    for (size_t lane = 0; lane < sizeof sum / sizeof total; lane++)
        total += sum[lane];
    return total;
}

/* Loads the numbers from `at` to `depth`, which do not fill a vector, and adds zeros. They are the last lanes of a
 * vector that ends at `depth`, unless there are too few numbers for one. */
static inline vec load_rest(const real *from, size_t at, size_t depth)
{
    if (depth < LANES)
        return load_part(from + at, depth - at);
    bits lane = {0};
    for (int n = 0; n < LANES; n++)
        lane[n] = n;
    return choose(lane >= (BITS)(LANES - (depth - at)), load(from + depth - LANES), all(0));
}

/* sums (rows, units) += A (rows, depth) W^T, with W (units, depth). The rows of A are `a_row` apart, those of the sums
 * `sums_row`. For constant `rows` and `units`, `sum` is kept in registers. */
__attribute__((always_inline)) static inline void dot_block(const int rows, const int units, const real *a, size_t a_row,
                                                            const real *w, size_t depth, real *sums, size_t sums_row)
{
    vec sum[ROWS_A_BLOCK][UNITS], weight[UNITS];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < units; j++)
            sum[i][j] = all(0);
    size_t at = 0;
    for (; at + LANES <= depth; at += LANES) {
        for (int j = 0; j < units; j++)
            weight[j] = load(w + j * depth + at);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < units; j++)
                sum[i][j] += load(a + i * a_row + at) * weight[j];
    }
    if (at < depth) {
        for (int j = 0; j < units; j++)
            weight[j] = load_rest(w + j * depth, at, depth);
        for (int i = 0; i < rows; i++) {
            const vec rest = load_rest(a + i * a_row, at, depth);
            for (int j = 0; j < units; j++)
                sum[i][j] += rest * weight[j];
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < units; j++)
            sums[i * sums_row + j] += sum_of_lanes(sum[i][j]);
}

/* `dot_block` for any number of rows. */
__attribute__((always_inline)) static inline void dot_rows(const int units, size_t rows, const real *a, size_t a_row,
                                                           const real *w, size_t depth, real *sums, size_t sums_row)
{
    size_t i = 0;
    for (; i + ROWS_A_BLOCK <= rows; i += ROWS_A_BLOCK)
        dot_block(ROWS_A_BLOCK, units, a + i * a_row, a_row, w, depth, sums + i * sums_row, sums_row);
    for (; i + 2 <= rows; i += 2)
        dot_block(2, units, a + i * a_row, a_row, w, depth, sums + i * sums_row, sums_row);
    for (; i < rows; i++)
        dot_block(1, units, a + i * a_row, a_row, w, depth, sums + i * sums_row, sums_row);
}

/* `dot_rows` for any number of units. */
static void add_dots(size_t rows, size_t units, const real *a, size_t a_row, const real *w, size_t depth, real *sums,
                     size_t sums_row)
{
    size_t j = 0;
    for (; j + UNITS <= units; j += UNITS)
        dot_rows(UNITS, rows, a, a_row, w + j * depth, depth, sums + j, sums_row);
    for (; j < units; j++)
        dot_rows(1, rows, a, a_row, w + j * depth, depth, sums + j, sums_row);
}

#endif

/* The micro-kernel: a block of rows times a panel of columns, all sums kept in registers.
 *
 * C (rows, columns) = A (rows, depth) P (depth, columns), or C += ...; columns are one vector or two. In each step of
 * the depth it reads one or two vectors of the panel and one number a row, for `rows` times as many multiply-adds.
 * (The scheme of Goto & van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.)
 */
#ifndef PRODUCT_H
#define PRODUCT_H

#include "vectors.h"

typedef struct {
    const real *start;
    size_t row;  /* numbers from one row to the next */
    size_t step; /* numbers from one step of the depth to the next */
} factor;

/* For constant `rows`, `vectors` and `rows_adjacent` the loops are unrolled and `sum` lies in registers. */
__attribute__((always_inline)) static inline void multiply_block(const int rows, const int vectors,
                                                                 const int rows_adjacent, factor a, size_t depth,
                                                                 const real *panel, real *c, size_t c_row, int add)
{
    vec sum[BLOCK][2];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++)
            sum[i][v] = add ? load(c + i * c_row + v * LANES) : all(0);
    const real *at[BLOCK];
    for (int i = 0; i < rows; i++)
        at[i] = a.start + i * a.row;
    for (size_t k = 0; k < depth; k++) {
        vec w[2];
        for (int v = 0; v < vectors; v++)
            w[v] = load(panel + v * LANES);
        panel += vectors * LANES;
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            const vec factor = all(rows_adjacent ? a.start[i] : at[i][k]);
            for (int v = 0; v < vectors; v++)
                sum[i][v] += factor * w[v];
        }
        a.start += a.step;
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++)
            store(c + i * c_row + v * LANES, sum[i][v]);
}

/* One function for each number of rows, so that each is compiled with its own constants. */
#define MULTIPLY(ROWS)                                                                                                 \
    case ROWS:                                                                                                         \
        multiply_block(ROWS, vectors, rows_adjacent, a, depth, panel, c, c_row, add);                                  \
        break;

__attribute__((always_inline)) static inline void multiply_rows(int rows, const int vectors, const int rows_adjacent,
                                                                factor a, size_t depth, const real *panel, real *c,
                                                                size_t c_row, int add)
{
    switch (rows) {
        MULTIPLY(1) MULTIPLY(2) MULTIPLY(3) MULTIPLY(4) MULTIPLY(5) MULTIPLY(6)
#if BLOCK_ROWS > 6
        MULTIPLY(7) MULTIPLY(8) MULTIPLY(9) MULTIPLY(10) MULTIPLY(11) MULTIPLY(12)
#endif
    }
}

static void __attribute__((noinline)) multiply_full(int rows, factor a, size_t depth, const real *panel, real *c,
                                                    size_t c_row, int add)
{
    multiply_rows(rows, 2, 0, a, depth, panel, c, c_row, add);
}

static void __attribute__((noinline)) multiply_half(int rows, factor a, size_t depth, const real *panel, real *c,
                                                    size_t c_row, int add)
{
    multiply_rows(rows, 1, 0, a, depth, panel, c, c_row, add);
}

static void __attribute__((noinline)) multiply_full_adjacent(int rows, factor a, size_t depth, const real *panel,
                                                             real *c, size_t c_row, int add)
{
    multiply_rows(rows, 2, 1, a, depth, panel, c, c_row, add);
}

static void __attribute__((noinline)) multiply_half_adjacent(int rows, factor a, size_t depth, const real *panel,
                                                             real *c, size_t c_row, int add)
{
    multiply_rows(rows, 1, 1, a, depth, panel, c, c_row, add);
}

/* Any number of rows, in blocks as equal as can be: 13 rows as 5, 4, 4, since a block of one row is slow.
 * A's numbers are adjacent along the depth (`step` 1) or along the rows (`row` 1). */
static void multiply(size_t rows, int vectors, factor a, size_t depth, const real *panel, real *c, size_t c_row,
                     int add)
{
    const size_t blocks = (rows + BLOCK - 1) / BLOCK;
    for (size_t block = 0, done = 0; block < blocks; block++) {
        const size_t height = (rows - done + (blocks - block) - 1) / (blocks - block);
        const factor part = {a.start + done * a.row, a.row, a.step};
        real *to = c + done * c_row;
        if (a.row == 1 && a.step != 1)
            (vectors == 2 ? multiply_full_adjacent : multiply_half_adjacent)((int)height, part, depth, panel, to,
                                                                            c_row, add);
        else
            (vectors == 2 ? multiply_full : multiply_half)((int)height, part, depth, panel, to, c_row, add);
        done += height;
    }
}

#endif

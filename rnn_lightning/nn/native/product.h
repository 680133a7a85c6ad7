/* The micro-kernel: a block of rows times a panel of columns, all sums kept in registers.
 *
 * C (rows, columns) = A (rows, depth) P (depth, columns), or C += ...; columns are one vector or two. At each step of
 * the depth it reads one or two vectors of the panel and one number per row, and does `rows` times as many
 * multiply-adds as it reads vectors. (This is the scheme of Goto & van de Geijn, "Anatomy of high-performance matrix
 * multiplication", 2008.)
 */
#ifndef PRODUCT_H
#define PRODUCT_H

#include "vectors.h"

/* Numbers of A: they start at `a`; `row` is the stride between rows, `step` the stride along the depth. For constant
 * `rows`, `vectors`, `adjacent` and `add` the loops are unrolled and `sum` is kept in registers. */
__attribute__((always_inline)) static inline void multiply_block(const int rows, const int vectors, const int adjacent,
                                                                 const int add, const real *a, size_t row, size_t step,
                                                                 size_t depth, const real *panel, real *c,
                                                                 size_t c_row)
{
    vec sum[BLOCK][2];
    const real *at[BLOCK];
    for (int i = 0; i < rows; i++) {
        for (int v = 0; v < vectors; v++)
            sum[i][v] = add ? load(c + i * c_row + v * LANES) : all(0);
        at[i] = a + i * row;
    }
    for (size_t k = 0; k < depth; k++, panel += vectors * LANES, a += step) {
        vec w[2];
        for (int v = 0; v < vectors; v++)
            w[v] = load(panel + v * LANES);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            const vec factor = all(adjacent ? a[i] : at[i][k]);
            for (int v = 0; v < vectors; v++)
                sum[i][v] += factor * w[v];
        }
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++)
            store(c + i * c_row + v * LANES, sum[i][v]);
}

/* One function for each kind of product; each number of rows is compiled with its own constants. */
#define ROWS(COUNT)                                                                                                    \
    case COUNT:                                                                                                        \
        multiply_block(COUNT, vectors, adjacent, add, a, row, step, depth, panel, c, c_row);                           \
        break;

__attribute__((always_inline)) static inline void multiply_rows(int rows, const int vectors, const int adjacent,
                                                                const int add, const real *a, size_t row, size_t step,
                                                                size_t depth, const real *panel, real *c,
                                                                size_t c_row)
{
    switch (rows) {
        ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6)
#if BLOCK_ROWS > 6
        ROWS(7) ROWS(8) ROWS(9) ROWS(10) ROWS(11) ROWS(12)
#endif
    }
}

#define PRODUCT(NAME, VECTORS, ADJACENT, ADD)                                                                          \
    __attribute__((noinline)) static void NAME(int rows, const real *a, size_t row, size_t step, size_t depth,         \
                                               const real *panel, real *c, size_t c_row)                               \
    {                                                                                                                  \
        multiply_rows(rows, VECTORS, ADJACENT, ADD, a, row, step, depth, panel, c, c_row);                             \
    }

PRODUCT(set_half, 1, 0, 0)
PRODUCT(set_full, 2, 0, 0)
PRODUCT(add_half, 1, 0, 1)
PRODUCT(add_full, 2, 0, 1)
PRODUCT(add_half_transposed, 1, 1, 1)
PRODUCT(add_full_transposed, 2, 1, 1)

typedef void (*product)(int, const real *, size_t, size_t, size_t, const real *, real *, size_t);

/* Any number of rows, in blocks of as equal a size as possible (13 rows as 5, 4, 4), since a block of one row is
 * slow. */
static inline void in_blocks(product p, size_t rows, const real *a, size_t row, size_t step, size_t depth,
                             const real *panel, real *c, size_t c_row)
{
    for (size_t blocks = (rows + BLOCK - 1) / BLOCK; blocks; blocks--) {
        const size_t height = (rows + blocks - 1) / blocks;
        p((int)height, a, row, step, depth, panel, c, c_row);
        rows -= height;
        a += height * row;
        c += height * c_row;
    }
}

/* C = A P. A's rows are `row` numbers apart. */
static inline void set_product(size_t rows, int vectors, const real *a, size_t row, size_t depth, const real *panel,
                               real *c, size_t c_row)
{
    in_blocks(vectors == 2 ? set_full : set_half, rows, a, row, 0, depth, panel, c, c_row);
}

/* C += A P */
static inline void add_product(size_t rows, int vectors, const real *a, size_t row, size_t depth, const real *panel,
                               real *c, size_t c_row)
{
    in_blocks(vectors == 2 ? add_full : add_half, rows, a, row, 0, depth, panel, c, c_row);
}

/* C (rows, columns) += A^T P, with A (depth, rows) and P (depth, columns); A's rows are `step` numbers apart. */
static inline void add_transposed(size_t rows, int vectors, const real *a, size_t step, size_t depth,
                                  const real *panel, real *c, size_t c_row)
{
    in_blocks(vectors == 2 ? add_full_transposed : add_half_transposed, rows, a, 1, step, depth, panel, c, c_row);
}

#endif

/* One recurrent layer in one direction over whole sequences, forward and backward: the two entry points of this
 * library.
 *
 * The scheme: rows of a batch do not depend on each other, so each thread runs all steps of its rows without a barrier.
 * The state of a few rows stays in the L1 cache, and the packed weights stay in the L2 cache. A row's input and bias
 * are stored beside its state, [h, 1, x]. So one product per gate gives the whole sum, and in the backward pass one
 * product gives the gradients of both weights and the bias.
 *
 * This file is compiled once for each kind of processor and number type; see build.py.
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include "backward.h"
#include "forward.h"
#include "pages.h"
#include "subnormals.h"
#include "threads.h"
#include "variant.h"

enum { OUT_OF_MEMORY = 1, LINE = 64 };

/* Shared by all threads of a pass. */
typedef struct {
    const layer *l;
    int threads;
    int64_t *rows; /* (B): sorted, so that a thread's rows are adjacent */
    size_t begin[MOST_THREADS + 1];
    real *panels, *input_panels;
    size_t at[MOST_GATES + 1];
    char *space; /* each thread's own memory */
    size_t space_size;
    size_t group; /* the most rows that a group has */
} pass;

static void *allocate(size_t bytes) { return aligned_alloc(LINE, round_up(bytes ? bytes : 1, LINE)); }

/* Starting a thread costs 20 us, and blocks of few rows leave the processor's multipliers idle. */
static int useful_threads(const layer *l)
{
    enum { ROWS_A_THREAD = 4, WORK_A_THREAD = 1000000 };
    const double work = (double)l->steps * l->batch * gates_of(l) * width_of(l) * depth_of(l);
    int64_t threads = l->threads < MOST_THREADS ? l->threads : MOST_THREADS;
    if (threads > l->batch / ROWS_A_THREAD)
        threads = l->batch / ROWS_A_THREAD;
    if (threads > work / WORK_A_THREAD)
        threads = (int64_t)(work / WORK_A_THREAD);
    return threads < 1 ? 1 : (int)threads;
}

/* Sorts rows by length, the longest first, with a stable counting sort. Without lengths their order is kept. */
static int sort_rows(const layer *l, int64_t *sorted)
{
    if (!l->lengths) {
        for (int64_t row = 0; row < l->batch; row++)
            sorted[row] = row;
        return 0;
    }
    int64_t *place = calloc((size_t)l->steps + 2, sizeof *place);
    if (!place)
        return OUT_OF_MEMORY;
    for (int64_t row = 0; row < l->batch; row++)
        place[l->steps - l->lengths[row] + 1]++;
    for (int64_t length = 0; length <= l->steps; length++)
        place[length + 1] += place[length];
    for (int64_t row = 0; row < l->batch; row++)
        sorted[place[l->steps - l->lengths[row]]++] = row;
    free(place);
    return 0;
}

/* Divides the rows among the threads. Each thread gets a contiguous piece. But if rows are sorted by length, threads
 * take them in turn, so that each gets long and short ones. */
static int divide_rows(pass *p)
{
    const layer *l = p->l;
    int64_t *sorted = allocate(l->batch * sizeof *sorted);
    p->rows = allocate(l->batch * sizeof *p->rows);
    if (!sorted || !p->rows || sort_rows(l, sorted)) {
        free(sorted);
        return OUT_OF_MEMORY;
    }
    size_t done = 0;
    for (int n = 0; n < p->threads; n++) {
        p->begin[n] = done;
        const size_t share = ((size_t)l->batch - n + p->threads - 1) / p->threads;
        for (size_t i = 0; i < share; i++, done++)
            p->rows[done] = sorted[l->lengths ? n + i * p->threads : done];
    }
    p->begin[p->threads] = done;
    free(sorted);
    return 0;
}

/* Runs a thread's rows, group after group. */
#define FOR_EACH_GROUP(p, number, g)                                                                                   \
    for (group g = next_group(p, number, NULL); g.count; g = next_group(p, number, &g))

static group next_group(const pass *p, int number, const group *last)
{
    const int64_t *begin = last ? last->rows + last->count : p->rows + p->begin[number];
    const size_t left = (size_t)(p->rows + p->begin[number + 1] - begin);
    return (group){begin, left ? group_size(left, p->group) : 0};
}

static void forward_rows(void *shared, int number)
{
    const pass *p = shared;
    forward_space w = {.panels = p->panels};
    memcpy(w.at, p->at, sizeof w.at);
    forward_carve(p->l, p->group, (real *)(p->space + number * p->space_size), &w);
    FOR_EACH_GROUP(p, number, g)
        forward_group(p->l, &g, &w);
}

static backward_space space_of(const pass *p, int number)
{
    backward_space w = {.hidden_panels = p->panels, .input_panels = p->input_panels};
    backward_carve(p->l, p->group, (real *)(p->space + number * p->space_size), &w);
    return w;
}

static void backward_rows(void *shared, int number)
{
    const pass *p = shared;
    const float_mode mode = flush_subnormals();
    backward_space w = space_of(p, number);
    memset(w.dw, 0, weights_size(p->l) * sizeof(real));
    FOR_EACH_GROUP(p, number, g)
        backward_group(p->l, &g, &w);
    restore_subnormals(mode);
}

/* Writes a gate's gradients unit by unit, summed over the threads. */
static void write_unit(const pass *p, int k, size_t unit)
{
    const layer *l = p->l;
    const gate one = GATES[l->cell][k];
    const size_t width = width_of(l), depth = depth_of(l), hidden = l->hidden, inputs = l->inputs;
    const real *dw = space_of(p, 0).dw + k * depth * width + unit;
    const real bias = dw[width * width];
    if (one.hidden >= 0) {
        const size_t row = one.hidden * hidden + unit;
        for (size_t j = 0; j < hidden; j++)
            l->grad_w_hh[row * hidden + j] = dw[j * width];
        if (l->grad_b_hh)
            l->grad_b_hh[row] = bias;
    }
    if (one.input >= 0) {
        const size_t row = one.input * hidden + unit;
        for (size_t j = 0; j < inputs; j++)
            l->grad_w_ih[row * inputs + j] = dw[(width + 1 + j) * width];
        if (l->grad_b_ih)
            l->grad_b_ih[row] = bias;
    }
}

/* Sums one share of the gradients over the threads; `write_units` then writes one share of the units. */
static void sum_over_threads(void *shared, int number)
{
    const pass *p = shared;
    const size_t size = weights_size(p->l), begin = size * number / p->threads, end = size * (number + 1) / p->threads;
    real *sum = space_of(p, 0).dw;
    for (int n = 1; n < p->threads; n++) {
        const real *part = space_of(p, n).dw;
        for (size_t i = begin; i < end; i++)
            sum[i] += part[i];
    }
}

static void write_units(void *shared, int number)
{
    const pass *p = shared;
    const size_t units = p->l->hidden;
    for (int k = 0; k < gates_of(p->l); k++)
        for (size_t unit = units * number / p->threads; unit < units * (number + 1) / p->threads; unit++)
            write_unit(p, k, unit);
}

static void release(pass *p)
{
    free(p->rows);
    free(p->panels);
    free(p->input_panels);
    free(p->space);
}

static int prepare(pass *p, const layer *l, size_t space)
{
    *p = (pass){.l = l, .threads = useful_threads(l), .group = most_rows(l)};
    p->space_size = round_up(space * sizeof(real), LINE);
    p->space = allocate(p->threads * p->space_size);
    return divide_rows(p) || !p->space ? OUT_OF_MEMORY : 0;
}

/* Whether enough rows of all steps share the packed weights. The larger the weights are, the longer packing takes. */
static int pays_to_pack(const layer *l)
{
    enum { KIB = 1024, FEW_ROWS = 8, SOME_ROWS = 32, MANY_ROWS = 128 };
    const size_t bytes = weights_bytes(l);
    return l->steps * l->batch > (bytes > 4096 * KIB ? MANY_ROWS : bytes > 512 * KIB ? SOME_ROWS : FEW_ROWS);
}

/* Returns 0, or 1 if there is not enough memory; in that case, nothing is written. */
int NAMED(forward)(const layer *l)
{
    pass p;
    int failed = prepare(&p, l, forward_size(l, most_rows(l)));
    const int packs = pays_to_pack(l);
    if (!failed && packs) {
        place_panels(l, p.at);
        p.panels = allocate(p.at[MOST_GATES] * sizeof(real));
        failed = p.panels ? 0 : OUT_OF_MEMORY;
    }
    if (!failed) {
        const size_t rows = l->steps * l->batch;
        prefer_large_pages(l->tape, rows * tape_vectors(l->cell) * width_of(l) * sizeof(real));
        prefer_large_pages(l->y, rows * l->hidden * sizeof(real));
        if (packs)
            pack_forward(l, p.at, p.panels);
        in_parallel(p.threads, forward_rows, &p);
    }
    release(&p);
    return failed;
}

int NAMED(backward)(const layer *l)
{
    pass p;
    const size_t depth = hidden_gates_of(l) * width_of(l);
    int failed = prepare(&p, l, backward_size(l, most_rows(l)));
    if (!failed) {
        p.panels = allocate(depth * width_of(l) * sizeof(real));
        p.input_panels = l->grad_x ? allocate(depth * round_up(l->inputs, LANES) * sizeof(real)) : NULL;
        failed = p.panels && (p.input_panels || !l->grad_x) ? 0 : OUT_OF_MEMORY;
    }
    if (!failed) {
        pack_backward(l, l->w_hh, l->hidden, 0, hidden_gates_of(l), 0, p.panels);
        if (l->grad_x) {
            prefer_large_pages(l->grad_x, l->steps * l->batch * l->inputs * sizeof(real));
            pack_backward(l, l->w_ih, l->inputs, first_input_gate(l), hidden_gates_of(l), 1, p.input_panels);
        }
        in_parallel(p.threads, backward_rows, &p);
        if (p.threads > 1)
            in_parallel(p.threads, sum_over_threads, &p);
        in_parallel(p.threads, write_units, &p);
    }
    release(&p);
    return failed;
}

/* Numbers in a vector; widths are padded to a multiple of it. */
int NAMED(lanes)(void) { return LANES; }

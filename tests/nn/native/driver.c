/* Runs every cell forward and backward on random numbers, twice at the same time, on several threads each; for
 * sanitizers, which find what a comparison of results can't. Prints a sum of all results. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer.h"

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)

int JOIN(forward, VARIANT)(const layer *l);
int JOIN(backward, VARIANT)(const layer *l);
void JOIN(draw_mask, VARIANT)(uint16_t *keep, int64_t count, int64_t limit, uint64_t seed, int threads);

static real *numbers(size_t count, unsigned *seed)
{
    real *all = malloc((count ? count : 1) * sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = (real)(rand_r(seed) % 2001 - 1000) / 2000;
    return all;
}

static double sum(const real *all, size_t count)
{
    double total = 0;
    for (size_t i = 0; i < count; i++)
        total += all[i];
    return total;
}

enum { I = 5, H = 29, HELD = 64, FEW = 8 }; /* FEW, a bit of `kind`: so few rows that weights are not packed */

static double run(int cell, int kind, unsigned seed)
{
    void *held[HELD];
    int count = 0;
    const int T = kind & FEW ? 2 : 9, B = kind & FEW ? 4 : 37;
    const size_t gates = cell <= RNN_RELU ? 1 : cell == LSTM ? 4 : 3, width = round_up(H, LANES);
#define NEW(size) (held[count++] = numbers(size, &seed))
    int64_t *lengths = held[count++] = malloc(B * sizeof *lengths);
    uint8_t *reset = held[count++] = malloc(T * B);
    uint16_t *mask = held[count++] = malloc(T * B * H * sizeof *mask);
    for (int b = 0; b < B; b++)
        lengths[b] = rand_r(&seed) % (T + 1);
    for (int i = 0; i < T * B; i++)
        reset[i] = rand_r(&seed) % 4 == 0;
    JOIN(draw_mask, VARIANT)(mask, T * B * H, 1 << 15, seed, 3);
    layer l = {.cell = cell, .steps = T, .batch = B, .inputs = I, .hidden = H, .reverse = kind & 1, .threads = 3};
    l.x = NEW(T * B * I), l.x_step = B * I, l.x_row = I;
    l.w_ih = NEW(gates * H * I), l.w_hh = NEW(gates * H * H), l.b_ih = NEW(gates * H), l.b_hh = NEW(gates * H);
    l.h_0 = NEW(B * H), l.c_0 = NEW(B * H);
    if (kind & 2)
        l.mask = mask, l.mask_step = B * H, l.mask_row = H, l.mask_scale = 2, l.lengths = lengths;
    if (kind & 4)
        l.reset = reset, l.reset_step = B, l.reset_row = 1;
    l.y = NEW(T * B * H), l.h_n = NEW(B * H), l.c_n = cell == LSTM ? NEW(B * H) : NULL;
    l.tape = NEW(T * B * tape_vectors(cell) * width);
    if (JOIN(forward, VARIANT)(&l))
        exit(2);
    l.grad_y = NEW(T * B * H), l.grad_y_step = B * H, l.grad_y_row = H, l.grad_h_n = NEW(B * H);
    l.grad_x = NEW(T * B * I), l.grad_w_ih = NEW(gates * H * I), l.grad_w_hh = NEW(gates * H * H);
    l.grad_b_ih = NEW(gates * H), l.grad_b_hh = NEW(gates * H), l.grad_h_0 = NEW(B * H);
    l.grad_c_0 = cell == LSTM ? NEW(B * H) : NULL;
    if (JOIN(backward, VARIANT)(&l))
        exit(2);
    const double total = sum(l.y, T * B * H) + sum(l.grad_x, T * B * I) + sum(l.grad_w_hh, gates * H * H);
    while (count)
        free(held[--count]);
    return total;
}

/* A mask so large that several threads draw it, and one of each small size. */
static double draw_masks(void)
{
    double total = 0;
    for (int64_t count = 1; count < 1 << 19; count = count < 300 ? count + 1 : 3 * count) {
        uint16_t *mask = malloc((size_t)count * sizeof *mask);
        JOIN(draw_mask, VARIANT)(mask, count, 1 << 15, (uint64_t)count << 32, 3);
        for (int64_t i = 0; i < count; i++)
            total += mask[i] != 0;
        free(mask);
    }
    return total;
}

static void *run_all(void *total)
{
    *(double *)total += draw_masks();
    for (int cell = RNN_TANH; cell <= GRU; cell++)
        for (int kind = 0; kind < 2 * FEW; kind++)
            *(double *)total += run(cell, kind, 7);
    return NULL;
}

int main(void)
{
    double totals[2] = {0, 0};
    pthread_t other;
    pthread_create(&other, NULL, run_all, &totals[0]);
    run_all(&totals[1]);
    pthread_join(other, NULL);
    printf("%.17g %.17g\n", totals[0], totals[1]);
    return totals[0] != totals[1];
}

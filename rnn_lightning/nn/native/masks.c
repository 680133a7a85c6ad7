/* Dropout masks from Threefry, a generator whose n-th output is a function of n and a key, with no state in between
 * (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"). So threads can share the work on
 * one mask without waiting for each other, and the mask does not depend on the number of threads or the vectors' width.
 *
 * This is Threefry4x32 with the authors' default of 20 rounds. It needs only additions, rotations and exclusive ors of
 * 32 bits.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pages.h"
#include "threads.h"
#include "variant.h"

enum {
    ROUNDS = 20,
    WORDS = 4,                   /* words of one output */
    PARITY = 0x1BD11BDA,         /* makes a fifth word of the key */
    COUNTERS = VECTOR_BYTES / 4, /* outputs that are computed side by side in vectors */
    RUN = 16,                    /* outputs whose words are stored together: as many as the widest vector holds */
    ENTRIES = RUN * WORDS * 2,   /* entries of the mask from one run */
    RUNS_A_THREAD = 512,         /* drawing this many takes longer than starting a thread */
    ONE = 0x3F80                 /* 1.0 in bfloat16 */
};

typedef uint32_t words __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef uint16_t halves __attribute__((vector_size(VECTOR_BYTES), aligned(2), may_alias));

static inline words all(uint32_t value) { return value - (words){0}; }

static inline void mix(words *a, words *b, int rotation)
{
    *a += *b;
    *b = (*b << rotation | *b >> (32 - rotation)) ^ *a;
}

/* One round; in odd rounds the second and the fourth word swap places. */
static inline void mix_pairs(words x[WORDS], int round)
{
    static const int ROTATIONS[8][2] = {{10, 26}, {11, 21}, {13, 27}, {23, 5}, {6, 20}, {17, 11}, {25, 10}, {18, 20}};
    const int second = round % 2 ? 3 : 1, fourth = 4 - second;
    mix(&x[0], &x[second], ROTATIONS[round % 8][0]);
    mix(&x[2], &x[fourth], ROTATIONS[round % 8][1]);
}

static inline void add_key(words x[WORDS], const uint32_t key[WORDS + 1], int times)
{
    for (int w = 0; w < WORDS; w++)
        x[w] += key[(w + times) % (WORDS + 1)];
    x[WORDS - 1] += (uint32_t)times;
}

/* Turns counters into random words. */
static inline void threefry(words x[WORDS], const uint32_t key[WORDS + 1])
{
    add_key(x, key, 0);
#pragma GCC unroll 20
    for (int round = 0; round < ROUNDS; round++) {
        mix_pairs(x, round);
        if (round % 4 == 3)
            add_key(x, key, round / 4 + 1);
    }
}

static inline void extend_key(const uint32_t key[WORDS], uint32_t extended[WORDS + 1])
{
    extended[WORDS] = PARITY;
    for (int w = 0; w < WORDS; w++) {
        extended[w] = key[w];
        extended[WORDS] ^= key[w];
    }
}

/* Draws the words of the outputs from `first` on: the first word of each output, then the second of each, and so on. */
static inline void random_run(uint64_t first, const uint32_t key[WORDS + 1], uint32_t out[RUN * WORDS])
{
    words lane = {0};
    for (int i = 0; i < COUNTERS; i++)
        lane[i] = (uint32_t)i;
    for (int part = 0; part < RUN; part += COUNTERS) {
        /* A run begins at a multiple of its length, so counting through it never carries into the second word. */
        words x[WORDS] = {lane + (uint32_t)(first + part), all((uint32_t)(first >> 32)), all(0), all(0)};
        threefry(x, key);
        for (int w = 0; w < WORDS; w++)
            *(words *)(out + w * RUN + part) = x[w];
    }
}

typedef struct {
    uint16_t *keep;
    int64_t count, limit;
    uint64_t seed;
    int shares;
} mask;

/* Draws the run that begins at the entry `at`: 1 where a random 16-bit number is below the limit, else 0. */
static inline void draw_run(const mask *m, int64_t at, const uint32_t key[WORDS + 1])
{
    uint32_t out[RUN * WORDS];
    random_run((uint64_t)at / (2 * WORDS), key, out);
    for (size_t part = 0; part < sizeof out; part += VECTOR_BYTES) {
        halves *random = (halves *)((char *)out + part);
        *random = (halves)(*random < (uint16_t)m->limit) & ONE;
    }
    const int64_t left = m->count - at;
    memcpy(m->keep + at, out, (size_t)(left < ENTRIES ? left : ENTRIES) * sizeof *m->keep);
}

static void draw_share(void *work, int share)
{
    const mask *m = work;
    uint32_t key[WORDS + 1];
    extend_key((uint32_t[WORDS]){(uint32_t)m->seed, (uint32_t)(m->seed >> 32)}, key);
    const int64_t runs = (m->count + ENTRIES - 1) / ENTRIES;
    for (int64_t n = runs * share / m->shares; n < runs * (share + 1) / m->shares; n++)
        draw_run(m, n * ENTRIES, key);
}

/* Writes `count` entries in bfloat16, each 1 with probability limit / 2^16 and else 0. */
void NAMED(draw_mask)(uint16_t *keep, int64_t count, int64_t limit, uint64_t seed, int threads)
{
    const int64_t most = count / (ENTRIES * RUNS_A_THREAD);
    mask m = {keep, count, limit, seed, threads < MOST_THREADS ? threads : MOST_THREADS};
    if (m.shares > most)
        m.shares = most < 1 ? 1 : (int)most;
    prefer_large_pages(keep, (size_t)count * sizeof *keep);
    in_parallel(m.shares, draw_share, &m);
}

/* Computes one output, for a test against published outputs. */
void NAMED(threefry)(const uint32_t counter[WORDS], const uint32_t key[WORDS], uint32_t out[WORDS])
{
    uint32_t extended[WORDS + 1];
    extend_key(key, extended);
    words x[WORDS] = {all(counter[0]), all(counter[1]), all(counter[2]), all(counter[3])};
    threefry(x, extended);
    for (int w = 0; w < WORDS; w++)
        out[w] = x[w][0];
}

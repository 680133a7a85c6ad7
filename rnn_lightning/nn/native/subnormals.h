/* Lets one thread treat subnormal numbers as zero for a while.
 *
 * A gradient that vanishes over hundreds of steps ends among the subnormal numbers (below 1.2e-38 in float32), with
 * which processors compute up to ten times as slowly. Next to the gradients of later steps they are nothing. So the
 * backward pass treats them as zero, and leaves each thread's mode as it was. The forward pass keeps them.
 */
#ifndef SUBNORMALS_H
#define SUBNORMALS_H

#include <stdint.h>

typedef uint64_t float_mode;

#if defined(__x86_64__)

static inline float_mode flush_subnormals(void)
{
    enum { FLUSH_RESULTS = 1 << 15, READ_AS_ZERO = 1 << 6 };
    const unsigned mode = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(mode | FLUSH_RESULTS | READ_AS_ZERO);
    return mode;
}

static inline void restore_subnormals(float_mode mode) { __builtin_ia32_ldmxcsr((unsigned)mode); }

#elif defined(__aarch64__)

static inline float_mode flush_subnormals(void)
{
    const float_mode FLUSH = 1 << 24;
    float_mode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | FLUSH));
    return mode;
}

static inline void restore_subnormals(float_mode mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }

#else

static inline float_mode flush_subnormals(void) { return 0; }

static inline void restore_subnormals(float_mode mode) { (void)mode; }

#endif

#endif

/* Which of the library's variants this processor can run, and which sources they were compiled from. */

#ifndef SOURCES
#define SOURCES "unknown"
#endif

const char *sources(void) { return SOURCES; }

#if defined(__x86_64__)

int supports_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}

int supports_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#endif

int supports_baseline(void) { return 1; }

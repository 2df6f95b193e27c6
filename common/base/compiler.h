/* Compiler attributes used across the tree, under names that say what they promise. */
#ifndef VS_BASE_COMPILER_H
#define VS_BASE_COMPILER_H

#define VS_MUST_CHECK __attribute__((warn_unused_result))
#define VS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define VS_NONNULL __attribute__((nonnull))
#define VS_COLD __attribute__((cold, noinline))
#define VS_PACKED __attribute__((packed))

#define vs_likely(x) __builtin_expect(!!(x), 1)
#define vs_unlikely(x) __builtin_expect(!!(x), 0)

/* What two threads write should be this far apart. */
#define VS_CACHE_LINE 64

#define VS_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define VS_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#define VS_MIN(a, b) ((a) < (b) ? (a) : (b))
#define VS_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif

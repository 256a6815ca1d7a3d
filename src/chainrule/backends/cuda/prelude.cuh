// What generated kernels stand on. Kernels and this file are CUDA C++ and, with threads defined by
// someone else (KERNEL is then defined already), C: the tests run them so on a CPU.

#ifndef KERNEL
#define KERNEL extern "C" __global__
#define DEVICE static __device__ __forceinline__
#define WARP 32

DEVICE float half_to_float(unsigned short x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
}

DEVICE unsigned short float_to_half(float x) {
    unsigned short y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}

DEVICE unsigned short double_to_half(double x) {
    unsigned short y;
    asm("cvt.rn.f16.f64 %0, %1;" : "=h"(y) : "d"(x));
    return y;
}

DEVICE int bits_of_float(float x) { return __float_as_int(x); }
DEVICE float float_of_bits(int x) { return __int_as_float(x); }
DEVICE long long bits_of_double(double x) { return __double_as_longlong(x); }
DEVICE double double_of_bits(long long x) { return __longlong_as_double(x); }
#endif

typedef signed char i8;
typedef unsigned char u8;
typedef short i16;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
typedef float f32;
typedef double f64;
typedef u16 f16;

#define SUM(a, b) ((a) + (b))
#define MAX(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))
#define MIN(a, b) ((a) < (b) || (a) != (a) ? (a) : (b))
#define ALL(a, b) ((a) && (b))
#define ANY(a, b) ((a) || (b))

// A number from each thread of a team, combined in an order that never changes; every thread of
// the team gets the result. A team is a warp, or all threads of the block.
#define REDUCTION(name, type, FOLD)                          \
    DEVICE type name(type x, int team) {                     \
        __shared__ type parts[32];                           \
        for (int apart = WARP / 2; apart > 0; apart /= 2) {  \
            type other = __shfl_xor_sync(~0u, x, apart);     \
            x = FOLD(x, other);                              \
        }                                                    \
        if (team > WARP) {                                   \
            __syncthreads();                                 \
            if (threadIdx.x % WARP == 0)                     \
                parts[threadIdx.x / WARP] = x;               \
            __syncthreads();                                 \
            x = parts[0];                                    \
            for (int warp = 1; warp < team / WARP; ++warp)   \
                x = FOLD(x, parts[warp]);                    \
        }                                                    \
        return x;                                            \
    }

#define REDUCTIONS(type)             \
    REDUCTION(sum_##type, type, SUM) \
    REDUCTION(max_##type, type, MAX) \
    REDUCTION(min_##type, type, MIN)

REDUCTIONS(f32)
REDUCTIONS(f64)
REDUCTIONS(i32)
REDUCTIONS(i64)
REDUCTIONS(u32)
REDUCTIONS(u64)
REDUCTION(all_i32, i32, ALL)
REDUCTION(any_i32, i32, ANY)

// Whether this block is the last of so many that come here; what the others wrote before is then
// to be seen. Every thread of the block must call it. The counter is left at zero.
DEVICE bool last_of(u32 *counter, u32 blocks) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(counter, 1u) == blocks - 1;
        if (last)
            *counter = 0;
    }
    __syncthreads();
    __threadfence();
    return last;
}

KERNEL void advance(i64 *step) { *step += 1; }

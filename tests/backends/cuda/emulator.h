/* CUDA's threads on one CPU, for kernels compiled as C.

Every thread of a block is a fiber that runs until it waits for others; blocks run one after the
other. `order` 1 turns both round; 2 scatters the blocks and lets each warp run as far as it can
before the next: a result that depends on who comes first shows. A thread that waits for one that
has ended is an error. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define KERNEL static
#define DEVICE static inline
#define WARP 32
#define __shared__ static

enum { MOST = 1024, STACK = 64 * 1024 };
typedef struct { unsigned x; } Three;
static Three threadIdx, blockIdx;
static ucontext_t scheduler, fibers[MOST];
static char *stacks;
static bool ended[MOST];
static int threads, alive, progress, diverged;
static struct { int arrived, turn; } block_wait, warp_wait[MOST / WARP];
static union { char bytes[16]; } exchanged[MOST];
static void (*entry)(void **);
static void **given;

static void pause_fiber(void) {
    int own = (int)threadIdx.x;
    swapcontext(&fibers[own], &scheduler);
    threadIdx.x = (unsigned)own;
}

static void meet(int *arrived, int *turn, int all) {
    int now = *turn;
    ++progress;
    if (++*arrived == all) {
        *arrived = 0;
        ++*turn;
        return;
    }
    while (*turn == now)
        pause_fiber();
}

static void __syncthreads(void) { meet(&block_wait.arrived, &block_wait.turn, threads); }

static void __syncwarp(void) {
    int warp = (int)threadIdx.x / WARP;
    meet(&warp_wait[warp].arrived, &warp_wait[warp].turn, WARP);
}

static void shuffle(void *value, size_t size, int apart) {
    int own = (int)threadIdx.x;
    memcpy(exchanged[own].bytes, value, size);
    __syncwarp();
    memcpy(value, exchanged[own ^ apart].bytes, size);
    __syncwarp();
}

#define __shfl_xor_sync(mask, x, apart)            \
    ({                                             \
        __typeof__(x) moved_ = (x);                \
        shuffle(&moved_, sizeof moved_, (apart));  \
        moved_;                                    \
    })
#define __threadfence() ((void)0)

static unsigned atomicAdd(unsigned *counter, unsigned more) {
    unsigned before = *counter;
    *counter += more;
    return before;
}

static float half_to_float(unsigned short x) {
    _Float16 y;
    memcpy(&y, &x, 2);
    return (float)y;
}

static unsigned short bits_of_half(_Float16 y) {
    unsigned short x;
    memcpy(&x, &y, 2);
    return x;
}

static unsigned short float_to_half(float x) { return bits_of_half((_Float16)x); }
static unsigned short double_to_half(double x) { return bits_of_half((_Float16)x); }

#define BITS(name, from, to)         \
    static to name(from x) {         \
        to y;                        \
        memcpy(&y, &x, sizeof y);    \
        return y;                    \
    }
BITS(bits_of_float, float, int)
BITS(float_of_bits, int, float)
BITS(bits_of_double, double, long long)
BITS(double_of_bits, long long, double)

static void begin_fiber(void) {
    int own = (int)threadIdx.x;
    entry(given);
    ended[own] = true;
    --alive;
    ++progress;
    swapcontext(&fibers[own], &scheduler);
}

static int gcd(int a, int b) { return b ? gcd(b, a % b) : a; }

/* Runs a kernel; 0, or 1 where threads waited for each other in vain. */
int emulate(void (*kernel)(void **), int blocks, int count, void **arguments, int order) {
    if (!stacks)
        stacks = malloc((size_t)MOST * STACK);
    entry = kernel;
    given = arguments;
    threads = count;
    int stride = blocks > 2 ? (int)(blocks * 0.618) | 1 : 1;
    while (blocks > 2 && gcd(stride, blocks) != 1)
        stride += 2;
    for (int b = 0; b < blocks; ++b) {
        long scattered = (long)b * stride % blocks;
        blockIdx.x = (unsigned)(order == 2 ? scattered : order ? blocks - 1 - b : b);
        memset(&block_wait, 0, sizeof block_wait);
        memset(warp_wait, 0, sizeof warp_wait);
        alive = count;
        for (int t = 0; t < count; ++t) {
            ended[t] = false;
            getcontext(&fibers[t]);
            fibers[t].uc_stack.ss_sp = stacks + (size_t)t * STACK;
            fibers[t].uc_stack.ss_size = STACK;
            makecontext(&fibers[t], begin_fiber, 0);
        }
        while (alive) {
            progress = 0;
            for (int w = 0; w < count; w += order == 2 ? WARP : count) {
                int before;
                do {
                    before = progress;
                    int size = order == 2 && count - w > WARP ? WARP : count - w;
                    for (int k = 0; k < size; ++k) {
                        int t = order == 1 ? count - 1 - k : w + k;
                        if (ended[t])
                            continue;
                        threadIdx.x = (unsigned)t;
                        swapcontext(&scheduler, &fibers[t]);
                    }
                } while (order == 2 && progress > before);
            }
            if (!progress)
                return 1;
        }
    }
    return 0;
}

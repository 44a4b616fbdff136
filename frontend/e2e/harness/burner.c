/* Burns CPU in functions of known shares: three quarters in `heavy_loop`. With an argument, only in `light_loop` until the minute ends. */
#include <time.h>

static volatile unsigned long sink;

/* Not a tail call, or the caller would not be on the stack. */
#define KEEP __asm__ volatile("" ::: "memory")

__attribute__((noinline)) static void burn(unsigned long n)
{
    for (unsigned long i = 0; i < n; i++)
        sink += i;
}

__attribute__((noinline)) static void light_loop(void) { burn(100000); KEEP; }
__attribute__((noinline)) static void heavy_loop(void) { burn(300000); KEEP; }

__attribute__((noinline)) static void work(int is_light)
{
    light_loop();
    if (!is_light)
        heavy_loop();
    KEEP;
}

int main(int argc, char **argv)
{
    time_t minute = time(NULL) / 60;
    (void)argv;
    for (;;)
        work(argc > 1 && time(NULL) / 60 == minute);
}

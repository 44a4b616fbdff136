/* Burns CPU in functions of known shares: 60, 30 and 10 %. With DEPTH, under that many frames of recursion. */
static volatile unsigned long sink;

/* Not a tail call, or the caller would not be on the stack. */
#define KEEP __asm__ volatile("" ::: "memory")

__attribute__((noinline)) static void burn(unsigned long n)
{
    for (unsigned long i = 0; i < n; i++)
        sink += i;
}

__attribute__((noinline)) static void sixty(void) { burn(60000); KEEP; }
__attribute__((noinline)) static void thirty(void) { burn(30000); KEEP; }
__attribute__((noinline)) static void ten(void) { burn(10000); KEEP; }

__attribute__((noinline)) static void round_of_all(void)
{
    sixty();
    thirty();
    ten();
    KEEP;
}

__attribute__((noinline)) static void deeper(int depth)
{
    if (depth > 0)
        deeper(depth - 1);
    else
        for (;;)
            round_of_all();
    KEEP;
}

int main(void)
{
#ifdef DEPTH
    deeper(DEPTH);
#endif
    for (;;)
        round_of_all();
}

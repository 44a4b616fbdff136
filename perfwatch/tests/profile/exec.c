/* Burns CPU in one function for one to two seconds, then runs the other program, which does the same, and so on. */
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;

__attribute__((noinline)) static void NAME(void)
{
    for (unsigned long i = 0; i < 100000; i++)
        sink += i;
    __asm__ volatile("" ::: "memory");
}

int main(int count, char **arguments)
{
    (void)count;
    time_t end = time(0) + 2;
    while (time(0) < end)
        NAME();
    execl(arguments[1], arguments[1], arguments[0], (char *)0);
    return 1;
}

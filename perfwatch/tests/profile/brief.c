/* Starts processes one after the other, each of which burns CPU in a function for 300 ms, and exits. */
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

__attribute__((noinline)) static void hurry(void)
{
    while (seconds() < 0.3)
        for (unsigned long i = 0; i < 1000000; i++)
            sink += i;
    __asm__ volatile("" ::: "memory");
}

int main(void)
{
    for (;;) {
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            hurry();
            _exit(0);
        }
        if (child < 0 || waitpid(child, 0, 0) < 0)
            return 1;
    }
}

// Threads of different names that wait for some seconds in known places. Prints, for each function, how many ns it waited, and then
// only sleeps.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define KEEP __asm__ volatile("" ::: "memory")

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int ends[2];
static long long until;

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void rest(long ms) {
  struct timespec t = {0, ms * 1000000};
  nanosleep(&t, 0);
  KEEP;
}

__attribute__((noinline)) static void nap(void) {
  rest(20);
  KEEP;
}

__attribute__((noinline)) static void await_lock(void) {
  pthread_mutex_lock(&mutex);
  KEEP;
}

__attribute__((noinline)) static void await_pipe(void) {
  char c;
  if (read(ends[0], &c, 1) != 1) exit(1);
  KEEP;
}

static void *sleeper(void *waited) {
  pthread_setname_np(pthread_self(), "pw-sleeper");
  while (now() < until) {
    long long begin = now();
    nap();
    *(long long *)waited += now() - begin;
  }
  return 0;
}

static void *locker(void *waited) {
  pthread_setname_np(pthread_self(), "pw-locker");
  while (now() < until) {
    long long begin = now();
    await_lock();
    *(long long *)waited += now() - begin;
    pthread_mutex_unlock(&mutex);
    rest(1);
  }
  return 0;
}

static void *piper(void *waited) {
  pthread_setname_np(pthread_self(), "pw-piper");
  while (now() < until) {
    long long begin = now();
    await_pipe();
    *(long long *)waited += now() - begin;
  }
  return 0;
}

// Holds the lock, and fills the pipe.
static void *holder(void *nothing) {
  (void)nothing;
  pthread_setname_np(pthread_self(), "pw-holder");
  while (now() < until + 100000000) {
    pthread_mutex_lock(&mutex);
    rest(30);
    pthread_mutex_unlock(&mutex);
    rest(2);
    if (write(ends[1], "x", 1) != 1) exit(1);
  }
  return 0;
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  until = now() + atoi(arguments[1]) * 1000000000LL;
  if (pipe(ends)) return 1;
  long long waited[3] = {0};
  pthread_t threads[4];
  void *(*bodies[4])(void *) = {sleeper, locker, piper, holder};
  for (int n = 0; n < 4; n++)
    if (pthread_create(&threads[n], 0, bodies[n], n < 3 ? &waited[n] : 0)) return 1;
  for (int n = 0; n < 4; n++) pthread_join(threads[n], 0);
  printf("nap %lld\nawait_lock %lld\nawait_pipe %lld\n", waited[0], waited[1], waited[2]);
  fflush(stdout);
  for (;;) pause();
}

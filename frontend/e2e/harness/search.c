// A search engine that works a little: after SIGUSR1, as if after an update, one of its functions is slow.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEP __attribute__((noinline))
#define GOODS (380 << 20)

static volatile sig_atomic_t is_slow;
static volatile unsigned long result;

static void update(int signal) {
  (void)signal;
  is_slow = 1;
}

static void spend(long rounds) {
  for (long n = 0; n < rounds * 100000; n++) result = result * 31 + 7;
}

STEP static void read_query(void) { spend(20); }
STEP static void match_words(void) { spend(60); }
STEP static void compare_prices(void) { spend(is_slow ? 150 : 12); }
STEP static void sort_by_price(void) {
  spend(14);
  compare_prices();
}
STEP static void rank_goods(void) {
  spend(30);
  sort_by_price();
}
STEP static void find_goods(void) {
  match_words();
  rank_goods();
}
STEP static void render_page(void) { spend(40); }
STEP static void answer(void) {
  read_query();
  find_goods();
  render_page();
}

int main(void) {
  char *goods = malloc(GOODS);
  if (!goods) return 1;
  memset(goods, 1, GOODS);
  signal(SIGUSR1, update);
  for (;;) {
    answer();
    struct timespec pause = {0, 120000000};
    nanosleep(&pause, 0);
  }
}

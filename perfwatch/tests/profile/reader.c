/* Reads a file from its disk, past the cache, in blocks of 16 MiB, for ever. Exits with 2 where that is refused. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK (16 << 20)

static char *block;

__attribute__((noinline)) static ssize_t await_disk(int file, off_t at)
{
    ssize_t read = pread(file, block, BLOCK, at);
    __asm__ volatile("" ::: "memory");
    return read;
}

int main(int count, char **arguments)
{
    int file = count > 1 ? open(arguments[1], O_RDONLY | O_DIRECT) : -1;
    if (file < 0)
        return 2;
    off_t length = lseek(file, 0, SEEK_END);
    if (posix_memalign((void **)&block, 4096, BLOCK))
        return 1;
    for (off_t at = 0;; at = (at + BLOCK) % length)
        if (await_disk(file, at) < 0)
            return errno == EINVAL ? 2 : 1;
}

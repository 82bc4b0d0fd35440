/* driver.c -- replays files through a fuzz target without libFuzzer: every file, and every truncation of short ones. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
run_bytes(const uint8_t *p, size_t len)
{
    /* An exact allocation, so that a read past the end is seen. */
    uint8_t *copy = malloc(len ? len : 1);

    memcpy(copy, p, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static void
run_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *f = fopen(path, "rb");

    if (!f)
        return;
    size_t len = fread(data, 1, sizeof data, f);
    fclose(f);
    run_bytes(data, len);
    for (size_t cut = 0; len <= 4096 && cut < len; cut++)
        run_bytes(data, cut);
}

int
main(int argc, char **argv)
{
    unsigned files = 0;

    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        struct dirent *e;

        while (dir && (e = readdir(dir))) {
            char path[4096];

            if (e->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            run_file(path);
            files++;
        }
        if (dir)
            closedir(dir);
    }
    printf("%u corpus files replayed\n", files);
    return files ? 0 : 1; /* a target without a corpus proves nothing */
}

/*
 * Stands in for libFuzzer where it is not linked: replays every file of the folders (or files) named
 * on the command line, then the empty input. Each file is copied to memory of its exact size, so that
 * the address sanitizer sees a read past its end. A folder without files is a mistake and fails.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (f == NULL || fstat(fileno(f), &st) != 0) {
        perror(path);
        if (f != NULL) {
            (void)fclose(f);
        }
        return -1;
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size == 0 ? 1 : size);
    int result = -1;
    if (data != NULL && fread(data, 1, size, f) == size) {
        (void)LLVMFuzzerTestOneInput(data, size);
        result = 0;
    } else {
        perror(path);
    }
    free(data);
    (void)fclose(f);
    return result;
}

/* Returns how many files were replayed, or -1. */
static int replay_folder(const char *folder)
{
    struct dirent **names = NULL;
    int n = scandir(folder, &names, NULL, alphasort);
    if (n < 0) {
        perror(folder);
        return -1;
    }
    int replayed = 0;
    for (int i = 0; i < n; i++) {
        char path[4096];
        int len = snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && replayed >= 0) {
            bool fits = len > 0 && (size_t)len < sizeof path;
            replayed = fits && replay_file(path) == 0 ? replayed + 1 : -1;
        }
        free(names[i]);
    }
    free(names);
    return replayed;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        bool is_folder = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
        int n = is_folder ? replay_folder(argv[i]) : replay_file(argv[i]) + 1;
        if (n <= 0) {
            (void)fprintf(stderr, "%s: nothing to replay, or it failed\n", argv[i]);
            return 1;
        }
        total += n;
    }
    (void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    (void)printf("replayed %d inputs\n", total);
    return 0;
}

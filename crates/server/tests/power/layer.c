/*
 * A disk that loses at a kill what was not synced, for a program that knows nothing of it.
 *
 * Preloaded into a process, this stands before the calls by which a file changes. A killed process
 * leaves behind what the system would still have written; what a power cut would have left can be
 * made from that and from what is kept here: before a range of a file is overwritten or cut off, its
 * bytes are appended to the file's journal, which is emptied when the file has been synced. Whoever
 * goes through the journal backwards gets the file as it was synced last (disk.rs).
 *
 * Invariants: a change is in the journal before it is in the file, so that the journal of a process
 * killed at any moment covers all that is not synced; a sync and a change never overlap, so that no
 * change slips out of the journal by a sync that did not cover it. A journal that cannot be written
 * ends the process: a change that is not in it would survive the cut.
 *
 * Environment: POWER_DATA, the folder whose files are meant, and POWER_JOURNALS, where the journals
 * are: one per file, named by its inode, which a rename does not change. As long as there is a file
 * "lies" in POWER_JOURNALS, syncs are answered without being made and empty no journal: a disk that
 * lies.
 *
 * What is no part of this: names (creating, renaming and removing a file count as durable at once),
 * and changes by other calls than those at the end of this file; the log's file is written by no
 * others, and the test that a disk that lies is found out fails if that changes.
 *
 * It is C because it has to take the place of C functions. Whoever builds Rust for Linux and glibc
 * has a C compiler: rustc links with it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How a record of a journal begins; the bytes that were there follow. All of the machine's order. */
struct record {
    /* Where the change begins, and how many bytes of the file it meant. */
    uint64_t offset, length;
    /* How long the file was. */
    uint64_t file_length;
    /* How many bytes follow: those of the range that the file had. */
    uint64_t kept;
};

/*
 * How long a sync takes at least, in nanoseconds. Folders for short-lived files are often in memory,
 * where a sync takes no time, and few kills would find anything that is not synced.
 */
#define SYNC_NS 2000000

/* One change or sync at a time. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void fail(const char *what) {
    dprintf(2, "power layer: cannot %s: %s\n", what, strerror(errno));
    _exit(70);
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    if (value == NULL) {
        errno = ENOENT;
        fail(name);
    }
    return value;
}

/* Whether the file behind fd is one of those that are meant; fills in what it is. */
static int is_meant(int fd, struct stat *file) {
    char link[64], path[PATH_MAX];
    const char *data = variable("POWER_DATA");
    size_t length = strlen(data);
    if (fstat(fd, file) != 0 || !S_ISREG(file->st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t found = readlink(link, path, sizeof path);
    return found > (ssize_t)length && memcmp(path, data, length) == 0 && path[length] == '/';
}

static int open_journal(const struct stat *file) {
    char path[PATH_MAX];
    const char *journals = variable("POWER_JOURNALS");
    snprintf(path, sizeof path, "%s/%llu", journals, (unsigned long long)file->st_ino);
    int journal = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0) fail("open a journal");
    return journal;
}

/* Reads or writes all of it by raw calls, which nobody stands before. */
static void read_all(int fd, char *bytes, size_t length, off_t offset) {
    while (length > 0) {
        long got = syscall(SYS_pread64, fd, bytes, length, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) fail("read what is to be overwritten");
        bytes += got, length -= (size_t)got, offset += got;
    }
}

static void append_all(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        long put = syscall(SYS_write, fd, bytes, length);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) fail("write a journal");
        bytes += put, length -= (size_t)put;
    }
}

/* Appends to the journal what a change of a range, or of the length, will make unreadable. */
static void keep(int fd, const struct stat *file, uint64_t offset, uint64_t length) {
    uint64_t size = (uint64_t)file->st_size, end = offset + length;
    uint64_t kept = offset >= size ? 0 : (end < size ? end : size) - offset;
    struct record head = {offset, length, size, kept};
    char *record = malloc(sizeof head + kept);
    if (record == NULL) fail("find memory");
    memcpy(record, &head, sizeof head);
    read_all(fd, record + sizeof head, kept, (off_t)offset);
    int journal = open_journal(file);
    append_all(journal, record, sizeof head + kept);
    close(journal);
    free(record);
}

static int is_lying(void) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/lies", variable("POWER_JOURNALS"));
    return access(path, F_OK) == 0;
}

static ssize_t change(int fd, const void *bytes, size_t length, off_t offset) {
    struct stat file;
    if (!is_meant(fd, &file)) return syscall(SYS_pwrite64, fd, bytes, length, offset);
    pthread_mutex_lock(&turn);
    /* Once more: the length may have changed while others had their turn. */
    if (fstat(fd, &file) != 0) fail("look at a file");
    keep(fd, &file, (uint64_t)offset, length);
    ssize_t put = syscall(SYS_pwrite64, fd, bytes, length, offset);
    int error = errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return put;
}

static int change_length(int fd, off_t length) {
    struct stat file;
    if (!is_meant(fd, &file)) return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&turn);
    if (fstat(fd, &file) != 0) fail("look at a file");
    uint64_t cut_off = length < file.st_size ? (uint64_t)(file.st_size - length) : 0;
    keep(fd, &file, (uint64_t)length, cut_off);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    int error = errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return done;
}

static int sync_file(int fd, long call) {
    struct stat file;
    if (!is_meant(fd, &file)) return (int)syscall(call, fd);
    pthread_mutex_lock(&turn);
    int done = 0, error = 0;
    if (!is_lying()) {
        struct timespec time = {0, SYNC_NS};
        nanosleep(&time, NULL);
        done = (int)syscall(call, fd);
        error = errno;
        if (done == 0) {
            int journal = open_journal(&file);
            if (syscall(SYS_ftruncate, journal, 0) != 0) fail("empty a journal");
            close(journal);
        }
    }
    pthread_mutex_unlock(&turn);
    errno = error;
    return done;
}

/* The calls that this stands before. */

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return change(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    return change(fd, bytes, length, offset);
}

int ftruncate(int fd, off_t length) { return change_length(fd, length); }

int ftruncate64(int fd, off64_t length) { return change_length(fd, length); }

int fdatasync(int fd) { return sync_file(fd, SYS_fdatasync); }

int fsync(int fd) { return sync_file(fd, SYS_fsync); }

/* Put before a process with LD_PRELOAD: notes, in the order in which they happen, all writes, syncs and changes of names
 * below one folder. `disk.rs` reads the notes, and says what a disk may hold when the power goes at any of them.
 *
 * A note is made within the call whose effect it is, so whoever is told of the effect by this process finds the note before
 * its own. A sync is noted and not carried out: it says what the disk has promised, and tests are quicker.
 * Notes are single appends, which the kernel does not mix.
 *
 * Absent: memory maps (SQLite maps its `-shm` alone, which no crash leaves), and calls that go past the C library: that
 * nothing is missing, the test finds by what the notes make of the folder, which is what is there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Above the numbers that programs of a test come to. */
enum { NOTES_FD = 700 };

static int notes = -1;
static char folder[PATH_MAX];
static size_t folder_len;

struct head {
  uint64_t inode;
  uint64_t offset;
  uint32_t name_len;
  uint32_t data_len;
  uint64_t kind;
};

__attribute__((constructor)) static void begin(void) {
  const char *at = getenv("POWER_FOLDER"), *to = getenv("POWER_NOTES");
  if (at == NULL || to == NULL || strlen(at) >= sizeof folder) return;
  int fd = syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
  if (fd < 0) abort();
  notes = fcntl(fd, F_DUPFD_CLOEXEC, NOTES_FD);
  syscall(SYS_close, fd);
  if (notes < 0) abort();
  strcpy(folder, at);
  folder_len = strlen(folder);
}

static void note(char kind, uint64_t inode, uint64_t offset, const char *name, const void *data, size_t len) {
  int saved = errno;
  struct head head = {inode, offset, strlen(name), len, kind};
  struct iovec parts[3] = {{&head, sizeof head}, {(void *)name, head.name_len}, {(void *)data, len}};
  ssize_t whole = sizeof head + head.name_len + len;
  if (syscall(SYS_writev, notes, parts, 3) != whole) abort();
  errno = saved;
}

/* Whether a path is in the folder; then it is the part behind it. */
static int below(const char *path, char *name) {
  if (strncmp(path, folder, folder_len) != 0) return 0;
  if (path[folder_len] == 0) return name[0] = 0, 1;
  if (path[folder_len] != '/') return 0;
  strcpy(name, path + folder_len + 1);
  return 1;
}

/* Whether a descriptor is a file or a folder in it that has a name. */
static int watched(int fd, struct stat *about, char *name) {
  if (notes < 0 || fd < 0) return 0;
  int saved = errno, found = 0;
  if (fstat(fd, about) == 0 && (S_ISREG(about->st_mode) || S_ISDIR(about->st_mode)) && about->st_nlink > 0) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len > 0) path[len] = 0, found = below(path, name);
  }
  errno = saved;
  return found;
}

/* Whether a path means something in it: with links of its folder followed, and its last part as it is. */
static int named(int dir, const char *path, char *name) {
  if (notes < 0 || path == NULL) return 0;
  int saved = errno, found = 0;
  char whole[PATH_MAX * 2], real[PATH_MAX];
  if (path[0] == '/' || dir == AT_FDCWD) {
    snprintf(whole, sizeof whole, "%s", path);
  } else {
    snprintf(whole, sizeof whole, "/proc/self/fd/%d/%s", dir, path);
  }
  size_t len = strlen(whole);
  while (len > 1 && whole[len - 1] == '/') whole[--len] = 0;
  char *slash = strrchr(whole, '/');
  const char *last = slash == NULL ? whole : slash + 1;
  if (slash == whole) {
    strcpy(real, "");
  } else {
    if (slash != NULL) *slash = 0;
    if (realpath(slash == NULL ? "." : whole, real) == NULL) goto done;
  }
  if (strlen(real) + strlen(last) + 2 < sizeof real) {
    strcat(strcat(real, "/"), last);
    found = below(real, name);
  }
done:
  errno = saved;
  return found;
}

static int opened(int dir, const char *path, int flags, mode_t mode) {
  char name[PATH_MAX];
  struct stat about;
  int makes = (flags & (O_CREAT | O_TRUNC)) && !(flags & O_PATH) && named(dir, path, name);
  int there = makes && fstatat(dir, path, &about, 0) == 0;
  int fd = syscall(SYS_openat, dir, path, flags, mode);
  if (fd >= 0 && makes && fstat(fd, &about) == 0 && S_ISREG(about.st_mode)) {
    if (!there) {
      note('c', about.st_ino, 0, name, "", 0);
    } else if (flags & O_TRUNC) {
      note('t', about.st_ino, 0, name, "", 0);
    }
  }
  return fd;
}

#define OPEN(function, dir, before)                                         \
  int function(before const char *path, int flags, ...) {                   \
    mode_t mode = 0;                                                        \
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {            \
      va_list more;                                                         \
      va_start(more, flags);                                                \
      mode = va_arg(more, mode_t);                                          \
      va_end(more);                                                         \
    }                                                                       \
    return opened(dir, path, flags, mode);                                  \
  }
#define COMMA ,
OPEN(open, AT_FDCWD, )
OPEN(open64, AT_FDCWD, )
OPEN(openat, dir, int dir COMMA)
OPEN(openat64, dir, int dir COMMA)

int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

ssize_t write(int fd, const void *data, size_t len) {
  char name[PATH_MAX];
  struct stat about;
  if (!watched(fd, &about, name)) return syscall(SYS_write, fd, data, len);
  ssize_t done = syscall(SYS_write, fd, data, len);
  /* Where it ended, also where it was an append. */
  if (done > 0) note('w', about.st_ino, lseek(fd, 0, SEEK_CUR) - done, name, data, done);
  return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  char name[PATH_MAX];
  struct stat about;
  if (!watched(fd, &about, name)) return syscall(SYS_writev, fd, parts, count);
  /* The caller writes the rest itself, as after any short write. */
  for (int at = 0; at < count; at++)
    if (parts[at].iov_len > 0) return write(fd, parts[at].iov_base, parts[at].iov_len);
  return 0;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t offset) {
  char name[PATH_MAX];
  struct stat about;
  ssize_t done = syscall(SYS_pwrite64, fd, data, len, offset);
  if (done > 0 && watched(fd, &about, name)) note('w', about.st_ino, offset, name, data, done);
  return done;
}
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) { return pwrite64(fd, data, len, offset); }

/* Their callers write by themselves then. */
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t len, unsigned flags) {
  char name[PATH_MAX];
  struct stat about;
  if (watched(to, &about, name)) return errno = EXDEV, -1;
  return syscall(SYS_copy_file_range, from, from_at, to, to_at, len, flags);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t len) {
  char name[PATH_MAX];
  struct stat about;
  if (watched(to, &about, name)) return errno = EINVAL, -1;
  return syscall(SYS_sendfile, to, from, at, len);
}
ssize_t sendfile(int to, int from, off_t *at, size_t len) { return sendfile64(to, from, at, len); }

int ftruncate64(int fd, off_t len) {
  char name[PATH_MAX];
  struct stat about;
  int failed = syscall(SYS_ftruncate, fd, len);
  if (!failed && watched(fd, &about, name)) note('t', about.st_ino, len, name, "", 0);
  return failed;
}
int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

static int synced(int fd, int call) {
  char name[PATH_MAX];
  struct stat about;
  if (!watched(fd, &about, name)) return syscall(call, fd);
  note(S_ISDIR(about.st_mode) ? 'd' : 's', about.st_ino, 0, name, "", 0);
  return 0;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int renamed(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  char old[PATH_MAX], new[PATH_MAX];
  int failed = syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
  if (failed) return failed;
  int was = named(from_dir, from, old), is = named(to_dir, to, new);
  if (was && is) {
    note('r', 0, 0, old, new, strlen(new));
  } else if (was || is) {
    abort();
  }
  return 0;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renamed(a, from, b, to, flags); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
  char old[PATH_MAX], new[PATH_MAX];
  int failed = syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
  if (!failed && named(from_dir, from, old) && named(to_dir, to, new)) note('l', 0, 0, old, new, strlen(new));
  return failed;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int dir, const char *path, int flags) {
  char name[PATH_MAX];
  struct stat about;
  /* Before: behind it another file may have the number. Of what is there a removal does not fail, but of a folder with files. */
  int there = notes >= 0 && fstatat(dir, path, &about, AT_SYMLINK_NOFOLLOW) == 0;
  if (there && !S_ISDIR(about.st_mode) && named(dir, path, name)) note('u', about.st_ino, 0, name, "", 0);
  int failed = syscall(SYS_unlinkat, dir, path, flags);
  if (!failed && there && S_ISDIR(about.st_mode) && named(dir, path, name)) note('u', about.st_ino, 0, name, "", 0);
  return failed;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int dir, const char *path, mode_t mode) {
  char name[PATH_MAX];
  struct stat about;
  int failed = syscall(SYS_mkdirat, dir, path, mode);
  if (!failed && named(dir, path, name) && fstatat(dir, path, &about, AT_SYMLINK_NOFOLLOW) == 0)
    note('m', about.st_ino, 0, name, "", 0);
  return failed;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

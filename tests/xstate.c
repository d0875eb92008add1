/* Lets a user-mode Linux kernel run on processors whose extended state is larger than it knows of.
 *
 * It keeps 2,696 octets of a process's registers (AVX-512 and protection keys are the last it knows), and the host takes
 * only the whole of its own standard format: 11,008 octets on a processor with AMX. What is set is filled up here with
 * the rest in its initial state, which nothing inside can have changed. Preloaded by tests/uml.py.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

enum { XSTATE_LEAF = 0xd, PRESENT = 512, FIRST_EXTENDED = 2, FEATURES = 63 };

static char whole[65536] __attribute__((aligned(64)));
static unsigned host_size; /* octets */

static long (*kernel)(int, pid_t, void *, void *);

static void look(void) {
  unsigned a, c, d;
  __cpuid_count(XSTATE_LEAF, 0, a, host_size, c, d);
  kernel = (long (*)(int, pid_t, void *, void *))dlsym(RTLD_NEXT, "ptrace");
}

/* The features whose state lies within the first octets. */
static uint64_t within(size_t octets) {
  uint64_t found = (1 << FIRST_EXTENDED) - 1;
  for (unsigned feature = FIRST_EXTENDED; feature < FEATURES; feature++) {
    unsigned size, offset, c, d;
    __cpuid_count(XSTATE_LEAF, feature, size, offset, c, d);
    if (size && size + offset <= octets) found |= 1ull << feature;
  }
  return found;
}

long ptrace(enum __ptrace_request request, ...) {
  static uint64_t known;
  va_list rest;
  va_start(rest, request);
  pid_t process = va_arg(rest, pid_t);
  void *address = va_arg(rest, void *), *data = va_arg(rest, void *);
  va_end(rest);
  if (!kernel) look();
  const struct iovec *part = data;
  if (request != PTRACE_SETREGSET || (uintptr_t)address != NT_X86_XSTATE || part->iov_len >= host_size)
    return kernel(request, process, address, data);
  if (!known) known = within(part->iov_len); /* asked for once: a virtual machine leaves to its host for each cpuid */
  memcpy(whole, part->iov_base, part->iov_len);
  uint64_t present;
  memcpy(&present, whole + PRESENT, sizeof present);
  present &= known;
  memcpy(whole + PRESENT, &present, sizeof present);
  struct iovec all = {whole, host_size};
  return kernel(request, process, address, &all);
}

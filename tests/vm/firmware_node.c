/* Preloaded in the virtual machine. libcamera names a USB camera by the firmware node of its host controller; the kernel's
   virtual one (vhci_hcd) has none, so its file is found in a place of ours. Nothing else is changed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *redirected(const char *path) {
  return path && strstr(path, "vhci_hcd.0/firmware_node/path") ? "/run/firmware_node" : path;
}

int stat(const char *path, struct stat *into) {
  int (*real)(const char *, struct stat *) = dlsym(RTLD_NEXT, "stat");
  return real(redirected(path), into);
}

int stat64(const char *path, struct stat64 *into) {
  int (*real)(const char *, struct stat64 *) = dlsym(RTLD_NEXT, "stat64");
  return real(redirected(path), into);
}

FILE *fopen(const char *path, const char *mode) {
  FILE *(*real)(const char *, const char *) = dlsym(RTLD_NEXT, "fopen");
  return real(redirected(path), mode);
}

FILE *fopen64(const char *path, const char *mode) {
  FILE *(*real)(const char *, const char *) = dlsym(RTLD_NEXT, "fopen64");
  return real(redirected(path), mode);
}

// Work for the bench of learning: load getppid CALLS | threads THREADS ROUNDS | tasks NUMBER.
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void must(int held, const char *what) {
	if (!held) {
		perror(what);
		exit(1);
	}
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long done;

// Nine calls a round, and what the lock needs.
static void *mixed(void *rounds) {
	char bytes[64];
	struct stat status;
	for (long left = (long)rounds; left > 0; left--) {
		int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
		must(fd >= 0, "open");
		must(fstat(fd, &status) == 0, "fstat");
		must(read(fd, bytes, sizeof bytes) == sizeof bytes, "read");
		must(write(fd, bytes, sizeof bytes) == sizeof bytes, "write");
		must(lseek(fd, 0, SEEK_SET) == 0, "lseek");
		void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(page != MAP_FAILED, "mmap");
		must(munmap(page, 4096) == 0, "munmap");
		must(close(fd) == 0, "close");
		syscall(SYS_getppid);
		pthread_mutex_lock(&lock);
		done++;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void *asleep(void *nothing) {
	for (;;) pause();
	return nothing;
}

static void start(pthread_t *thread, void *(*work)(void *), void *with) {
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 * 1024);
	// A guard page would be a second mapping, and mappings are limited.
	pthread_attr_setguardsize(&small, 0);
	must(pthread_create(thread, &small, work, with) == 0, "pthread_create");
}

int main(int argc, char **argv) {
	const char *work = argc > 2 ? argv[1] : "";
	long number = argc > 2 ? atol(argv[2]) : 0;
	if (strcmp(work, "getppid") == 0) {
		while (number-- > 0) syscall(SYS_getppid);
	} else if (strcmp(work, "threads") == 0 && argc > 3) {
		pthread_t threads[number];
		for (long i = 0; i < number; i++) start(&threads[i], mixed, (void *)atol(argv[3]));
		for (long i = 0; i < number; i++) pthread_join(threads[i], NULL);
		must(done == number * atol(argv[3]), "threads");
	} else if (strcmp(work, "tasks") == 0) {
		// This one is a task too.
		for (long i = 1; i < number; i++) {
			pthread_t thread;
			start(&thread, asleep, NULL);
		}
		puts("ready");
		fflush(stdout);
		// Until whoever started us closes the other end.
		char byte;
		while (read(0, &byte, 1) > 0) {}
	} else {
		fprintf(stderr, "load: getppid CALLS | threads THREADS ROUNDS | tasks NUMBER\n");
		return 2;
	}
	return 0;
}

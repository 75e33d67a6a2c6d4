// static-c FROM TO: counts the words of the text file FROM in several threads and writes them, sorted, to TO. TO is
// written beside and renamed. SIGUSR1 says how far it is, SIGTERM ends it and leaves nothing behind.
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4 };
struct part {
	const char *text;
	size_t length, words, longest;
};
static atomic_size_t done;
static char scratch[4096];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t total;

static void say(int number)
{
	(void)number;
	char line[64];
	int n = snprintf(line, sizeof line, "%zu bytes\n", atomic_load(&done));
	if (write(2, line, n) != n)
		_exit(4);
}

static void leave(int number)
{
	unlink(scratch);
	_exit(128 + number);
}

static void *count(void *arg)
{
	struct part *part = arg;
	size_t length = 0;
	for (size_t i = 0; i <= part->length; i++) {
		if (i < part->length && !isspace((unsigned char)part->text[i])) {
			length++;
			continue;
		}
		part->words += length > 0;
		if (length > part->longest)
			part->longest = length;
		length = 0;
		if (i % 65536 == 0)
			atomic_fetch_add(&done, 65536);
	}
	pthread_mutex_lock(&lock);
	total += part->words;
	// So that the others have to wait at times.
	nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static int fails(const char *what)
{
	fprintf(stderr, "static-c: %s: %s\n", what, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fputs("usage: static-c FROM TO\n", stderr);
		return 2;
	}
	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = say, .sa_flags = SA_RESTART }, NULL);
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = leave }, NULL);
	puts("reading");
	fflush(stdout);
	struct stat status;
	int fd = open(argv[1], O_RDONLY);
	if (fd < 0 || fstat(fd, &status))
		return fails(argv[1]);
	char *text = status.st_size ? mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : "";
	if (text == MAP_FAILED)
		return fails(argv[1]);
	struct part parts[THREADS] = { 0 };
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++) {
		parts[i].text = text + status.st_size / THREADS * i;
		parts[i].length = i == THREADS - 1 ? status.st_size - status.st_size / THREADS * i : status.st_size / THREADS;
		if (pthread_create(&threads[i], NULL, count, &parts[i]))
			return fails("a thread");
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	if (status.st_size)
		munmap(text, status.st_size);
	close(fd);
	snprintf(scratch, sizeof scratch, "%s.XXXXXX", argv[2]);
	int out = mkstemp(scratch);
	FILE *to = out < 0 ? NULL : fdopen(out, "w");
	if (!to)
		return fails(scratch);
	char when[64];
	time_t now = time(NULL);
	struct tm local;
	strftime(when, sizeof when, "%F %T", localtime_r(&now, &local));
	fprintf(to, "%s %zu words\n", when, total);
	if (fflush(to) || fsync(out) || fclose(to) || rename(scratch, argv[2])) {
		int error = errno;
		unlink(scratch);
		errno = error;
		return fails(argv[2]);
	}
	printf("%zu words\n", total);
	return 0;
}

// Reads numbers from standard input, sorts them, writes them to standard output: what a static program needs that only
// computes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(void)
{
	double *numbers = NULL, number;
	size_t count = 0, room = 0;
	int got;
	while ((got = scanf("%lf", &number)) == 1) {
		if (count == room) {
			// Small at first, so from brk; then from mmap, which grows by mremap.
			room = room ? 2 * room : 16;
			double *more = realloc(numbers, room * sizeof *numbers);
			if (!more) {
				fputs("minimal: out of memory\n", stderr);
				return 2;
			}
			numbers = more;
		}
		numbers[count++] = number;
	}
	if (got != EOF || ferror(stdin)) {
		fprintf(stderr, "minimal: number %zu is none\n", count + 1);
		return 1;
	}
	qsort(numbers, count, sizeof *numbers, by_value);
	for (size_t i = 0; i < count; i++)
		printf("%g\n", numbers[i]);
	free(numbers);
	if (fflush(stdout)) {
		fputs("minimal: cannot write to standard output\n", stderr);
		return 3;
	}
	return 0;
}

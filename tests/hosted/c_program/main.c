/* Raw threads as threads of a C program, whatever its C library: `main full` or `main partial`, as
 * they are to be here. Prints each check; ends with 1 at the first that fails. */
#define _GNU_SOURCE
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int body(void *);
int raw_run(int threads, body *, void *argument);
int raw_call(body *, void *argument);
int raw_call_masked(body *, void *argument);
int raw_support(void);
void raw_trim(void);
bool raw_rust(void);

#define CHECK(what)                                                                     \
	do {                                                                            \
		if (!(what)) {                                                          \
			fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__,     \
				__LINE__, #what, errno);                                \
			_exit(1);                                                       \
		}                                                                       \
	} while (0)

enum { THREADS = 8, ROUNDS = 200 };

/* Thread-locals are fresh in every thread, and its own. */
static _Thread_local int initialized = 7;
static _Thread_local char zeroes[3000];

static int locals(void *main_local)
{
	CHECK(&initialized != main_local);
	CHECK(initialized == 7 && zeroes[0] == 0 && zeroes[2999] == 0);
	CHECK(errno == 0);
	initialized = errno = 99;
	memset(zeroes, 1, sizeof zeroes);
	usleep(10);
	return initialized == 99;
}

static void check_locals(void)
{
	for (int round = 0; round < ROUNDS; round++)
		CHECK(raw_run(THREADS, locals, &initialized) == THREADS);
	CHECK(initialized == 7);
}

/* What identifies a thread. */
static int identity(void *arg)
{
	int here;
	pthread_attr_t attr;
	void *low;
	size_t len;
	(void)arg;
	CHECK(syscall(SYS_gettid) != getpid());
	CHECK(pthread_getattr_np(pthread_self(), &attr) == 0);
	CHECK(pthread_attr_getstack(&attr, &low, &len) == 0);
	CHECK((char *)&here > (char *)low && (char *)&here < (char *)low + len);
	pthread_attr_destroy(&attr);
	return 1;
}

/* Memory from one thread, freed by another. */
static _Atomic(char *) passed[64];

static int allocate(void *arg)
{
	(void)arg;
	unsigned seed = (unsigned)syscall(SYS_gettid);
	for (int i = 0; i < 5000; i++) {
		size_t size = 1 + rand_r(&seed) % 4000;
		char *block = malloc(size);
		CHECK(block);
		memset(block, i, size);
		free(atomic_exchange(&passed[rand_r(&seed) % 64], block));
	}
	return 1;
}

/* Streams lock themselves recursively, by the thread's id. */
static int write_lines(void *stream)
{
	FILE *file = stream;
	for (int i = 0; i < ROUNDS; i++) {
		flockfile(file);
		fputs("one ", file);
		CHECK(ftrylockfile(file) == 0);
		fprintf(file, "%s ", "two");
		funlockfile(file);
		fputs("three\n", file);
		funlockfile(file);
	}
	return 1;
}

static void check_stdio(void)
{
	char line[64];
	int lines = 0;
	FILE *file = tmpfile();
	CHECK(file);
	CHECK(raw_run(THREADS, write_lines, file) == THREADS);
	rewind(file);
	for (; fgets(line, sizeof line, file); lines++)
		CHECK(!strcmp(line, "one two three\n"));
	CHECK(lines == THREADS * ROUNDS);
	fclose(file);
}

/* Mutexes that know their owner. */
static pthread_mutex_t recursive, checked, robust;
static int counted;

static void init(pthread_mutex_t *mutex, int type, int robustness)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, type);
	pthread_mutexattr_setrobust(&attr, robustness);
	CHECK(pthread_mutex_init(mutex, &attr) == 0);
}

static int use_mutexes(void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000; i++) {
		CHECK(pthread_mutex_lock(&recursive) == 0);
		CHECK(pthread_mutex_lock(&recursive) == 0);
		counted++;
		CHECK(pthread_mutex_unlock(&recursive) == 0);
		CHECK(pthread_mutex_unlock(&recursive) == 0);
	}
	CHECK(pthread_mutex_lock(&checked) == 0);
	CHECK(pthread_mutex_lock(&checked) == EDEADLK);
	CHECK(pthread_mutex_unlock(&checked) == 0);
	return 1;
}

static int die_owning(void *arg)
{
	(void)arg;
	return pthread_mutex_lock(&robust) == 0;
}

static int unlock_of_another(void *arg)
{
	(void)arg;
	return pthread_mutex_unlock(&checked);
}

static void check_mutexes(bool full)
{
	init(&recursive, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED);
	init(&checked, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED);
	CHECK(raw_run(THREADS, use_mutexes, 0) == THREADS);
	CHECK(counted == THREADS * 1000);
	CHECK(pthread_mutex_lock(&checked) == 0);
	CHECK(raw_call(unlock_of_another, 0) == EPERM);
	CHECK(pthread_mutex_unlock(&checked) == 0);
	/* musl keeps robust mutexes of one process by its own end of a thread, which threads with
	 * partial support skip: they are not promised. More than once: the TCB of the first to end is the one
	 * that dies next. */
	for (int round = 0; full && round < 20; round++) {
		init(&robust, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
		CHECK(raw_call(die_owning, 0) == 1);
		CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD);
		CHECK(pthread_mutex_consistent(&robust) == 0);
		CHECK(pthread_mutex_unlock(&robust) == 0);
		CHECK(raw_call(use_mutexes, 0) == 1);
	}
}

/* Destructors of keys run, once for each thread that has a value. */
static pthread_key_t key;
static atomic_int destroyed;

static void destroy(void *value)
{
	destroyed++;
	free(value);
}

static int use_key(void *arg)
{
	(void)arg;
	CHECK(pthread_getspecific(key) == NULL);
	return pthread_setspecific(key, malloc(100)) == 0;
}

static void check_keys(void)
{
	CHECK(pthread_key_create(&key, destroy) == 0);
	for (int round = 0; round < ROUNDS; round++)
		CHECK(raw_run(THREADS, use_key, 0) == THREADS);
	CHECK(destroyed == THREADS * ROUNDS);
}

/* setegid from a thread reaches the others, and later ones, and nothing hangs. */
static pthread_barrier_t all_here;

static long own_egid(void)
{
	return syscall(SYS_getegid);
}

static int set_among_others(void *arg)
{
	(void)arg;
	int first = pthread_barrier_wait(&all_here) == PTHREAD_BARRIER_SERIAL_THREAD;
	if (first)
		CHECK(setegid(2) == 0);
	pthread_barrier_wait(&all_here);
	return own_egid() == 2;
}

static int set_alone(void *arg)
{
	(void)arg;
	CHECK(setegid(3) == 0);
	return own_egid() == 3;
}

static int has_egid(void *arg)
{
	return own_egid() == *(int *)arg;
}

/* A pthread changes the ids beside a thread that masks all signals: libc's own must reach it. */
static void *change(void *arg)
{
	CHECK(setegid(*(int *)arg) == 0);
	return 0;
}

static int is_reached_masked(void *arg)
{
	pthread_t thread;
	CHECK(pthread_create(&thread, 0, change, arg) == 0);
	CHECK(pthread_join(thread, 0) == 0);
	return own_egid() == *(int *)arg;
}

static void check_ids(void)
{
	int three = 3, group = getegid();
	if (geteuid() != 0) {
		printf("SKIP: setegid needs a right\n");
		return;
	}
	CHECK(pthread_barrier_init(&all_here, 0, THREADS) == 0);
	for (int round = 0; round < 100; round++) {
		CHECK(raw_run(THREADS, set_among_others, 0) == THREADS);
		CHECK(own_egid() == 2);
		CHECK(raw_call(set_alone, 0) == 1);
		CHECK(own_egid() == 3);
		CHECK(raw_run(THREADS, has_egid, &three) == THREADS);
	}
	for (int round = 0; round < 20; round++) {
		int other = 4 + round % 2;
		CHECK(raw_call_masked(is_reached_masked, &other) == 1);
		CHECK(own_egid() == other);
	}
	CHECK(setegid(group) == 0);
}

/* libc's own threads beside and inside raw ones. */
static sem_t ping, pong;

static void *post(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		sem_post(&ping);
		sem_wait(&pong);
	}
	return arg;
}

static int make_pthread(void *arg)
{
	pthread_t thread;
	void *result;
	CHECK(pthread_create(&thread, 0, post, arg) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(sem_wait(&ping) == 0);
		sem_post(&pong);
	}
	CHECK(pthread_join(thread, &result) == 0);
	return result == arg;
}

/* Processes, from a raw thread. */
static int child_spawns(void *arg)
{
	(void)arg;
	return locals(0);
}

static int make_processes(void *arg)
{
	int status;
	(void)arg;
	CHECK(system("exit 3") == 3 << 8);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		alarm(60);
		free(malloc(10000));
		for (int i = 0; i < 20; i++)
			CHECK(raw_run(4, child_spawns, 0) == 4);
		_exit(42);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	return 1;
}

/* A locale that a thread chose ends with it. */
static int use_locale(void *arg)
{
	(void)arg;
	CHECK(uselocale((locale_t)0) == LC_GLOBAL_LOCALE);
	locale_t own = newlocale(LC_ALL_MASK, "C", 0);
	CHECK(own && uselocale(own) == LC_GLOBAL_LOCALE);
	return 1;
}

/* A stack that is too small for what the thread does ends the process, and says so. */
static int recurse(void *arg)
{
	volatile char frame[4096];
	memset((void *)frame, 0, sizeof frame);
	return arg ? recurse((void *)frame) + frame[17] : 0;
}

static void check_overflow(void)
{
	int status, out[2];
	char text[512] = "";
	CHECK(pipe(out) == 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(60);
		dup2(out[1], 2);
		raw_call(recurse, &out);
		_exit(0);
	}
	close(out[1]);
	for (ssize_t len = 0, got; (got = read(out[0], text + len, sizeof text - 1 - len)) > 0;)
		len += got;
	close(out[0]);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	CHECK(strstr(text, "has overflowed its stack"));
}

/* 10,000 threads, one after the other and eight at a time, leave nothing behind. */
static int nothing(void *arg)
{
	free(malloc(2000));
	(void)arg;
	return 1;
}

static long field(const char *file, const char *name)
{
	char line[256];
	long value = name ? -1 : 0;
	FILE *status = fopen(file, "r");
	CHECK(status);
	while (fgets(line, sizeof line, status))
		if (!name)
			value++;
		else if (!strncmp(line, name, strlen(name)))
			value = strtol(line + strlen(name), 0, 10);
	fclose(status);
	return value;
}

static void check_leaks(void)
{
	long threads = 0, maps = 0, kib = 0;
	/* What is kept for reuse is there after the first half. */
	for (int half = 0; half < 2; half++) {
		for (int i = 0; i < 2500; i++)
			CHECK(raw_call(nothing, 0) == 1);
		for (int i = 0; i < 2500 / THREADS; i++)
			CHECK(raw_run(THREADS, nothing, 0) == THREADS);
		if (half == 0) {
			threads = field("/proc/self/status", "Threads:");
			maps = field("/proc/self/maps", 0);
			kib = field("/proc/self/status", "VmRSS:");
		}
	}
	/* The kernel lists a thread a moment longer than a join waits. */
	while (field("/proc/self/status", "Threads:") > threads)
		sched_yield();
	/* Threads that libc makes may end late on a busy machine: a spawn takes another stack then. */
	CHECK(field("/proc/self/maps", 0) <= maps + 4 * THREADS);
	CHECK(field("/proc/self/status", "VmRSS:") < kib + 1024);
	raw_trim();
	CHECK(raw_run(THREADS, nothing, 0) == THREADS);
}

static void did(const char *what)
{
	printf("ok: %s\n", what);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	alarm(60);
	CHECK(argc == 2);
	bool full = !strcmp(argv[1], "full");
	CHECK(raw_support() == full);
	CHECK(raw_rust());
	did("results, names, sets, locks, programs");
	check_locals();
	did("thread-locals and errno");
	CHECK(raw_run(THREADS, identity, 0) == THREADS);
	did("identity");
	CHECK(raw_run(THREADS, allocate, 0) == THREADS);
	did("malloc");
	check_stdio();
	did("stdio");
	check_mutexes(full);
	did("mutexes");
	check_keys();
	did("keys");
	check_ids();
	did("setegid from and beside threads");
	for (int i = 0; i < 20; i++)
		CHECK(raw_call(make_pthread, &key) == 1);
	did("pthreads inside");
	CHECK(raw_call(make_processes, 0) == 1);
	did("processes");
	for (int i = 0; i < 20; i++)
		CHECK(raw_call(use_locale, 0) == 1);
	did("locale");
	check_overflow();
	did("stack overflow");
	check_leaks();
	did("10,000 threads");
	return 0;
}

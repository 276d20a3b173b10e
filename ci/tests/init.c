/* The first process of a machine that runs tests: mounts what they look at, runs each line of
 * /tests by the shell's rules for words (blanks), prints how each ended, powers off. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static void run(char *line)
{
	char *words[64] = {strtok(line, " \n")};
	int count = 0, status = 0;
	while (words[count] && count < 62)
		words[++count] = strtok(NULL, " \n");
	if (!count)
		return;
	printf("RUN %s\n", words[0]);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		execv(words[0], words);
		_exit(127);
	}
	/* Orphans of the tests are ours to bury. */
	for (pid_t ended; (ended = wait(&status)) != pid && ended > 0;)
		;
	printf("ENDED %s %s %d\n", words[0], WIFEXITED(status) ? "exit" : "signal",
	       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	fflush(stdout);
}

int main(void)
{
	struct utsname name;
	char line[4096];
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mkdir("/tmp", 01777);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mount("tmp", "/tmp", "tmpfs", 0, NULL);
	mount("cgroup", "/sys/fs/cgroup", "cgroup2", 0, NULL);
	/* The console is there only now if the archive has no /dev/console. */
	int console = open("/dev/console", O_RDWR);
	for (int fd = 0; fd < 3 && console >= 0; fd++)
		dup2(console, fd);
	if (console > 2)
		close(console);
	setenv("PATH", "/bin", 1);
	uname(&name);
	printf("LINUX %s\n", name.release);
	FILE *tests = fopen("/tests", "re");
	while (tests && fgets(line, sizeof line, tests))
		run(line);
	printf("DONE\n");
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}

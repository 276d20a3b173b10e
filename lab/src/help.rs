//! What each command is for, in the words of `lab help`.

/// A command: its name, how it is called, a summary on one line, and the details.
pub(crate) struct Help {
    pub(crate) name: &'static str,
    usage: &'static str,
    summary: &'static str,
    details: &'static str,
}

/// The commands that there are, in the order of `lab help`.
pub(crate) const COMMANDS: &[Help] = &[
    Help {
        name: "tour",
        usage: "lab tour [--json]",
        summary: "every way to make a task, made for real: predicted beside observed",
        details: "\
One row for each way to make a thread or a process. Each is made for real in this run, and tries
to change what may be its maker's too; the lab then looks at the maker through the kernel.
`predicted` follows from the flags alone, `observed` from what came of the changes.

  memory    the child writes into a buffer: does its maker read it there?
  fds       the child opens a descriptor: is it open for its maker?
  cwd       the child goes to another directory: has its maker moved?
  handlers  the child ignores a signal: does its maker ignore it now?
  group     does the kernel find the child in its maker's thread group (same getpid)?
  undo      is a semaphore set back when the child ends (own list), or not (shared list)?
  wait      which wait finds the child at its end: a plain one, one with __WCLONE, none?
  maker     does the call return while the child runs, or does its maker sleep?

The exit status is 1 if a cell was not observed as predicted, else 3 if an experiment broke off. A row
that needs a right you lack says so and does not count.",
    },
    Help {
        name: "explain",
        usage: "lab explain FLAGS [--json]",
        summary: "what flags mean: shared or not, accepted or not, and who uses them",
        details: "\
Says what each flag does, what the new task shares with its maker, whether the kernel accepts the
set (and by which rule it does not), what each field of clone3's structure holds and what it is in
clone(2), and which known system makes such tasks. Nothing is made.

The exit status is 0, also for a set that the kernel refuses, and 2 for flags that the lab cannot
read.",
    },
    Help {
        name: "probe",
        usage: "lab probe FLAGS [--json]",
        summary: "make one task of these flags and prove what it shares",
        details: "\
Makes a task of these flags and looks at memory, descriptors, locks, directories, signals, thread
group, parent, waits, semaphores, timers, clocks, thread pointer, registrations and namespaces; with
the proof of each. A set that the kernel refuses is compared with the rule that predicts it.

The exit status is 1 if something was not observed as predicted, or if the kernel did not answer as
predicted; a set that is refused as predicted, or for want of a right, ends with 0. It is 3 if the
experiment did not finish.",
    },
    Help {
        name: "ask",
        usage: "lab ask [N | WORD]... [--list] [--json]",
        summary: "questions that learners ask, each answered by an experiment",
        details: "\
Runs the experiment of each question, or of those with these numbers, or that have all of these
words in them (lab ask vfork), and shows what it saw. --list shows the questions and runs nothing.

  ✓  seen, and as the answer says          ·  seen; the answer does not depend on it
  ✗  seen, and against the answer          -  not shown here: a right or a kernel feature is missing
  ?  the experiment did not finish in time, or broke off: that refutes nothing

The answer follows only if everything was seen. The exit status is 1 if something was refuted,
else 3 if an experiment did not finish, else 0.",
    },
    Help {
        name: "myths",
        usage: "lab myths [N | WORD]... [--list] [--json]",
        summary: "what one may have read, each claim confirmed or refuted by an experiment",
        details: "\
Runs the experiment on each claim, or on those with these numbers, or that have all of these words
in them, and says then whether the claim is true, half true or false, and what holds. Marks and
exit status are those of lab ask: status 1 means that an experiment contradicts what the lab says
of the claim, not that the claim is false.",
    },
    Help {
        name: "trace",
        usage: "lab trace [-o FILE] [--json] -- COMMAND [ARGUMENTS]\n\
                lab trace [-o FILE] [--json] --attach PID",
        summary: "run a program and see every thread and process it makes",
        details: "\
Runs the command under ptrace, or attaches to a process that runs, follows what it makes, and shows
every fork, vfork, clone and clone3: the maker, the flags, the usual maker of such tasks, what came
of it, and how long the call took. Calls of 32-bit programs and of x32 are decoded too. Equal lines
in a row are counted (x 48 more). At the end: a tree of what became a thread and what a process, with
names, command lines, and how each ended; and a count, which says how many tasks were made by calls
that could not be seen.

  -o FILE       write to FILE, not to stderr
  --json        write one JSON document at the end: tasks (maker: its index), refused calls, counts
  --attach PID  trace a process that runs; Ctrl-C detaches from it

While a command is traced, Ctrl-C and Ctrl-\\ are left to it; stopping and continuing work as
without the lab. Other signals that a process sends to the lab, such as SIGTERM, are passed on to
the command.

A seccomp filter stops the program at those four calls alone: each stops its caller twice and the new
task once, other system calls do not stop. A program that only makes 2,000 threads took 2.9 times as
long under the lab as alone (medians of 7 rounds in turns, two processors, 2026-11-26), and 10.7
times as long where every system call stops: that is so with --attach, where filters are refused,
and for a task that installs a filter of its own, which may refuse calls before the lab's sees them.

Where the lab changes what a program does, it says so at the end: seccomp's strict mode fails under
its filter, and set-user-ID programs run with their caller's ids unless the lab has CAP_SYS_PTRACE.
A program under the lab cannot be a tracer itself, since a task has one.

The exit status is the program's, or 128 and the number of the signal that ended it; 127 for a
command that is not there, 126 for one that cannot be run, 1 where tracing is not permitted, 0 after
detaching.",
    },
    Help {
        name: "explore",
        usage: "lab explore --html FILE|-",
        summary: "write a web page on which to tick flags and see what comes of them",
        details: "\
Writes one self-contained page (- is standard output): tick flags, see the kernel's answer and what
maker and child share, take three first steps, compare two sets, and copy the command that proves
it, or code for C and for rawthread. The tables are the library's own. The address of the page holds
what was chosen. The page works from disk and without a network, on a phone, and by keyboard.",
    },
    Help {
        name: "bench",
        usage: "lab bench [--rounds N] [--size SIZES] [--json | --csv | --svg]",
        summary: "what a task costs: threads of rawthread, std and pthreads, fork, vfork, clone",
        details: "\
Times tasks that do nothing. One at a time on one processor: a bare clone, rawthread::spawn,
rawthread::warm, pthread_create, std::thread::spawn, fork, vfork (clone VM|VFORK on a stack of its
own), clone VM, and posix_spawn of /bin/true, exec included. Then 64 threads at once on all
processors. The contenders take turns, so that what disturbs one disturbs all. bare clone is
the one of `cargo bench`: one clone and one wait, without result, guard or thread-locals; no thread
can cost less.
Numbers are worth as much as the machine is quiet.

  --rounds N    rounds of 64 threads or 8 processes of every contender, 1 to 10000 (100)
  --size SIZES  bytes of memory that the parent has written to, such as 1M,1G: once for each (0)
  --json, --csv, --svg  write that to standard output, in place of the plot",
    },
];

/// The page of one command.
pub(crate) fn page(name: &str) -> Option<String> {
    let help = COMMANDS.iter().find(|help| help.name == name)?;
    let mut text = format!("{}\n\n{}\n", help.usage, help.details);
    if help.usage.contains("FLAGS") {
        text += &format!("\n{}\n", crate::clone_spec::FORMS);
    }
    Some(text)
}

/// The page of all commands.
pub(crate) fn overview() -> String {
    let mut text = String::from(
        "See for yourself what makes a thread, and what makes a process, on Linux.\n\n",
    );
    for help in COMMANDS {
        text += &format!("  lab {:<9}{}\n", help.name, help.summary);
    }
    text += "\n  lab help COMMAND  says more. Without a command, the lab gives the tour. In a checkout of the\n  \
         repository \"lab\" is typed as: cargo run --release --\n\n\
         Exit status: 0, or 1 if something was not as predicted or nothing could be written, 2 for a\n\
         command line that the lab cannot read, 3 if an experiment did not finish.\n\
         lab trace ends as the program it traced.\n";
    text
}

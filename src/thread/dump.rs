//! A report of every live thread of the crate, for a process that hangs.

use core::fmt::{self, Write};

use super::list::{ThreadInfo, ThreadState, threads};
use crate::sys::{Errno, task, task_file};

/// Writes a report of the main thread and every live thread of this crate to `out`: name, tid, state,
/// processor time, stack, and where in the kernel it waits.
///
/// ```text
/// process 4711: the main thread and 2 threads of rawthread
/// tid 4711 "main": sleeping; in futex_wait_queue; system call 202 0x7ffe... sp 0x7ffe... pc 0x7f12...
/// tid 4712 "reader": sleeping; cpu 0.002 s; stack 12 of 2554 KiB; in pipe_read; system call 0 0x5 ...
/// tid 4713 (no name): running; cpu 8.310 s; stack 96 of 2554 KiB
/// ```
///
/// Of the stack it says how much was ever touched, and how much there is: 2554 KiB where 2 MiB were asked for, since
/// sizes are rounded up to one of few, and the thread's control block lies there, too.
///
/// For each thread that waits it has what the kernel knows (proc(5)): the function that it sleeps in
/// (`wchan`), and number and arguments of its system call, with its stack pointer and program counter
/// (`syscall`). A thread that waits for another's lock shows by `futex` and the lock's
/// address, the first argument. `addr2line` and `/proc/PID/maps` say which function a program counter is in;
/// `gdb -p` or `eu-stack -p` show whole stacks of these tids, from outside.
///
/// There is no backtrace of user code, because none can be had soundly from inside: another
/// thread's frames change while they are read, unless it is stopped, and stopping it at a point
/// where its stack can be unwound takes a signal handler in it. The unwinder takes locks and memory,
/// and a handler that interrupts a holder of one of these deadlocks, which a hung process is
/// likely to do.
///
/// Takes no lock and no memory of its own: what `out` does it does. Costs up to 14 system calls a
/// thread. A thread that ends meanwhile is left out or reported as ended.
///
/// # Errors
/// Those of `out`.
///
/// `out` is a `core::fmt::Write`, such as a `String`, since there is no other in a program without std. To write to a
/// file or to stderr without allocating, pass the text on:
///
/// ```
/// use std::fmt;
/// use std::io::{self, Write};
///
/// /// Writes text to an `io::Write`, and keeps its error.
/// struct Text<W>(W, io::Result<()>);
///
/// impl<W: Write> fmt::Write for Text<W> {
///     fn write_str(&mut self, text: &str) -> fmt::Result {
///         self.1 = self.0.write_all(text.as_bytes());
///         self.1.is_ok().then_some(()).ok_or(fmt::Error)
///     }
/// }
///
/// let mut report = Text(io::stderr(), Ok(()));
/// let _ = rawthread::dump(&mut report);
/// report.1?;
/// # Ok::<(), io::Error>(())
/// ```
///
/// Into a `String`:
///
/// ```
/// let reader = rawthread::Builder::new().name("reader".into()).spawn(rawthread::park)?;
/// let mut report = String::new();
/// rawthread::dump(&mut report).unwrap();
/// assert!(report.contains("\"reader\""));
/// # reader.thread().unpark();
/// # reader.join().unwrap();
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn dump(out: &mut impl Write) -> fmt::Result {
    let pid = task::pid();
    let count = threads().count();
    let plural = if count == 1 { "" } else { "s" };
    writeln!(
        out,
        "process {pid}: the main thread and {count} thread{plural} of rawthread"
    )?;
    // The main thread stays as long as the process, if only as a zombie.
    write!(out, "tid {pid} \"main\": ")?;
    match task_file::read(pid, "stat", &mut [0; 128]).map(ThreadState::parse) {
        Ok(Some(state)) => write!(out, "{state}")?,
        _ => out.write_str("state unknown")?,
    }
    write_place(out, |name, buffer| task_file::read(pid, name, buffer))?;
    writeln!(out)?;
    for thread in threads() {
        write_thread(out, &thread)?;
    }
    Ok(())
}

fn write_thread(out: &mut impl Write, thread: &ThreadInfo) -> fmt::Result {
    write!(out, "tid {} ", thread.tid())?;
    match thread.name() {
        Some(name) => write!(out, "{name:?}")?,
        None if thread.is_idle_worker() => out.write_str("(idle worker)")?,
        None => out.write_str("(no name)")?,
    }
    match thread.state() {
        Ok(state) => write!(out, ": {state}")?,
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return writeln!(out, ": ended"),
        Err(_) => out.write_str(": state unknown")?,
    }
    if let Ok(time) = thread.cpu_time() {
        write!(
            out,
            "; cpu {}.{:03} s",
            time.as_secs(),
            time.subsec_millis()
        )?;
    }
    if let Ok(stack) = thread.stack() {
        let (used, size) = (stack.high_water / 1024, stack.size / 1024);
        write!(out, "; stack {used} of {size} KiB")?;
    }
    write_place(out, |name, buffer| {
        // The bytes lie in the buffer: how many is what is told.
        let read = |tid| task_file::read(tid, name, buffer).map(<[u8]>::len);
        let len = thread.with_pinned_tid(read)?;
        Ok(&buffer[..len])
    })?;
    writeln!(out)
}

/// Where in the kernel a thread is.
fn write_place<R>(out: &mut impl Write, read: R) -> fmt::Result
where
    R: for<'a> Fn(&str, &'a mut [u8]) -> Result<&'a [u8], Errno>,
{
    let mut buffer = [0; 192];
    // "0": it is in none, or the kernel does not show it.
    if let Some(wchan) = text(read("wchan", &mut buffer)).filter(|wchan| *wchan != "0") {
        write!(out, "; in {wchan}")?;
    }
    let Some(call) = text(read("syscall", &mut buffer)) else {
        return Ok(());
    };
    // Number, six arguments, stack pointer, program counter; or "running"; or, of a thread that waits
    // elsewhere than in a call, -1 and the last two.
    let mut words = call.split_ascii_whitespace();
    match words.next() {
        None | Some("running") => return Ok(()),
        Some("-1") => {}
        Some(number) => {
            write!(out, "; system call {number}")?;
            for argument in words.by_ref().take(6) {
                write!(out, " {argument}")?;
            }
        }
    }
    if let (Some(sp), Some(pc)) = (words.next(), words.next()) {
        write!(out, "; sp {sp} pc {pc}")?;
    }
    Ok(())
}

fn text(read: Result<&[u8], Errno>) -> Option<&str> {
    let text = core::str::from_utf8(read.ok()?).ok()?.trim_ascii();
    (!text.is_empty()).then_some(text)
}

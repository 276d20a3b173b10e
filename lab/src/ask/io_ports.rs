//! Whether a fork child inherits the permission to use I/O ports, which x86 alone has.
#![allow(unsafe_code, reason = "asks for an I/O port, and traces a child")]

use std::ffi::{c_int, c_ulong};

use super::log::{ExperimentLog, name_of};
use super::support::{self, errno_of};

/// The port that a PC's power-on test wrote its progress to. It is neither read nor written here.
const PORT: usize = 0x80;
/// `NT_386_IOPERM` of `linux/elf.h`: a bit for each port, which is 0 where the port is permitted.
const PORTS_REGSET: usize = 0x201;

type Ioperm = unsafe extern "C" fn(c_ulong, c_ulong, c_int) -> c_int;

/// ioperm(2), where the machine's libc has it.
fn find_ioperm() -> Option<Ioperm> {
    // SAFETY: looks a name up; what is found has that function's signature.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"ioperm".as_ptr());
        (!found.is_null()).then(|| std::mem::transmute::<*mut libc::c_void, Ioperm>(found))
    }
}

/// Whether a fork child that has run `before_looking` is permitted to use the port. The kernel says so:
/// the child stops, and its bits are read as its tracer's.
fn child_is_permitted(before_looking: impl FnOnce()) -> Result<bool, String> {
    let child = support::fork_child(|| {
        before_looking();
        // SAFETY: stops this child for its parent.
        unsafe {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            libc::raise(libc::SIGSTOP)
        }
    });
    let mut child = child.map_err(|error| error.to_string())?;
    let mut ports = [0u8; 65536 / 8];
    let mut vector = libc::iovec {
        iov_base: ports.as_mut_ptr().cast(),
        iov_len: ports.len(),
    };
    let mut status = 0;
    // SAFETY: the kernel writes a status, and at most as many bytes as `ports` has.
    let read = unsafe {
        libc::waitpid(child.pid(), &mut status, libc::WUNTRACED);
        let vector = &raw mut vector;
        errno_of(libc::ptrace(libc::PTRACE_GETREGSET, child.pid(), PORTS_REGSET, vector) as i32)
    };
    let _ = child.kill();
    let _ = child.wait();
    match read {
        0 if vector.iov_len > PORT / 8 => Ok(ports[PORT / 8] & (1 << (PORT % 8)) == 0),
        // The child has no bits: no port was ever permitted.
        0 | libc::ENXIO | libc::ENODEV => Ok(false),
        errno => Err(format!("its tracer gets {}", name_of(errno))),
    }
}

pub(super) fn inherited(log: &mut ExperimentLog) {
    let Some(ioperm) = find_ioperm() else {
        return log.note("ioperm: this machine has no I/O ports, or its libc no such function");
    };
    let permit = |turn_on: c_int| {
        // SAFETY: changes what this process, an experiment's own, may do; it uses no port.
        errno_of(unsafe { ioperm(PORT as c_ulong, 1, turn_on) })
    };
    let before = child_is_permitted(|| ());
    match permit(1) {
        0 => {}
        libc::ENOSYS => return log.note("ioperm: this kernel was built without it (ENOSYS)"),
        errno => return log.note(format!("ioperm: {}", name_of(errno))),
    }
    let first = child_is_permitted(|| {
        permit(0);
    });
    let second = child_is_permitted(|| ());
    permit(0);
    match (before, first, second) {
        (Ok(before), Ok(first), Ok(second)) => log.check(
            !before && !first && second,
            format!(
                "inherited, as a copy: ioperm permits port {PORT:#x} here: a child made before {} it; of \
                 those made since, one that gave it up {} it, the next {} it",
                has(before),
                has(first),
                has(second),
            ),
        ),
        (Err(why), ..) | (_, Err(why), _) | (.., Err(why)) => {
            log.note(format!("ioperm: not seen, for {why}"));
        }
    }
}

fn has(it: bool) -> &'static str {
    if it { "has" } else { "lacks" }
}

//! How the child stands to its maker and to the kernel: its group, its parent, its signals.
#![allow(unsafe_code, reason = "system calls that look at other tasks")]

use std::sync::atomic::Ordering;
use std::thread::sleep;

use super::recorder::{NAP, Recorder};
use crate::probe::fixture::{ChildField, Fixture};
use crate::probe::plan::{SpawnMethod, signal_word};
use crate::probe::proc;
use crate::probe::property::{NAMESPACES, Property};
use crate::syscall;

impl Recorder {
    /// Back from the call, or asleep in it: one of the two is so by now or about to be.
    pub(super) fn maker(&mut self, fixture: &Fixture) {
        let call = format!("self/task/{}/syscall", fixture.maker_tid);
        loop {
            if fixture.maker_returned.load(Ordering::Acquire) {
                let proof = "the call returned while the child was alive";
                return self.record(Property::Maker, "runs on", proof);
            }
            let text = proc::read(fixture.proc, &call).unwrap_or_default();
            let number = text.split(' ').next().and_then(|word| word.parse().ok());
            let asleep = proc::stat(fixture.proc, fixture.maker_tid, 3).as_deref() == Some("D");
            if matches!(number, Some(libc::SYS_clone | libc::SYS_clone3)) && asleep {
                let proof = format!("asleep in system call {}", number.unwrap_or(0));
                return self.record(Property::Maker, "sleeps", proof);
            }
            sleep(NAP);
        }
    }

    pub(super) fn identity(&mut self, fixture: &Fixture, tid: i32) {
        let maker = syscall::getpid();
        // SAFETY: signal 0 only asks whether that thread is in that group.
        let in_group = unsafe {
            syscall::syscall(libc::SYS_tgkill, [maker as usize, tid as usize, 0, 0, 0, 0])
        }
        .is_ok();
        let tgid = proc::status(fixture.proc, tid, "Tgid").unwrap_or_default();
        if in_group {
            let proof = format!("tgkill({maker}, {tid}) finds it; its tgid is {tgid}");
            self.record(Property::Group, "joined", proof);
        } else {
            let proof = format!("tgkill({maker}, {tid}) finds nothing; its tgid is {tgid}");
            self.record(Property::Group, "own", proof);
        }

        let parent = proc::status(fixture.proc, tid, "PPid");
        // SAFETY: no arguments.
        let grandparent = unsafe { libc::getppid() };
        match parent.and_then(|text| text.parse::<i32>().ok()) {
            Some(parent) if parent == maker => {
                self.record(
                    Property::Parent,
                    "maker",
                    format!("its PPid is {parent}, the maker"),
                );
            }
            Some(parent) if parent == grandparent => {
                let proof = format!("its PPid is {parent}, the maker's own parent");
                self.record(Property::Parent, "maker's", proof);
            }
            Some(parent) => {
                self.record(Property::Parent, "another", format!("its PPid is {parent}"))
            }
            None => self.unavailable(Property::Parent, "/proc does not show it"),
        }

        match proc::stat(fixture.proc, tid, 38).and_then(|text| text.parse::<i32>().ok()) {
            Some(signal) => {
                let proof = format!("field 38 of its /proc/{tid}/stat is {signal}");
                self.record(Property::ExitSignal, signal_word(signal), proof);
            }
            None => self.unavailable(Property::ExitSignal, "/proc does not show it"),
        }
    }

    pub(super) fn mask_and_pending(&mut self, fixture: &Fixture) {
        let masks = proc::read(
            fixture.proc,
            &format!("self/task/{}/status", fixture.maker_tid),
        )
        .and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        });
        let inherited = fixture.fields.get(ChildField::Mask) as u64 == fixture.mask;
        let (word, proof) = match (inherited, masks) {
            (_, None) => return self.unavailable(Property::Mask, "/proc does not show it"),
            (true, Some(mask)) if mask == fixture.mask => (
                "copied",
                "the child began with the maker's, then filled its own; the maker's stayed".into(),
            ),
            (true, Some(_)) => (
                "shared",
                String::from("the child's change reached the maker"),
            ),
            (false, Some(_)) => {
                let (child, maker) = (fixture.fields.get(ChildField::Mask), fixture.mask);
                (
                    "new",
                    format!("the child began with {child:#x}, the maker with {maker:#x}"),
                )
            }
        };
        self.record(Property::Mask, word, proof);
        match fixture.fields.get(ChildField::Pending) {
            0 => {
                let proof = "a signal waits for the maker's process, none for the child";
                self.record(Property::Pending, "own", proof);
            }
            _ => {
                let proof = "the signal that waits for the maker's process waits for the child too";
                self.record(Property::Pending, "shared", proof);
            }
        }
    }

    /// What the kernel keeps for a task, and gives to no child unasked.
    pub(super) fn registrations(&mut self, fixture: &Fixture) {
        // A libc registers its own list and word in each thread, and in the child of its fork.
        let by_libc = !matches!(
            fixture.plan.method,
            SpawnMethod::Process | SpawnMethod::Clone
        );
        let libcs = "libc has registered its own";
        for (property, field, call) in [
            (
                Property::RobustList,
                ChildField::RobustList,
                "get_robust_list",
            ),
            (
                Property::ClearedWord,
                ChildField::ClearedWord,
                "PR_GET_TID_ADDRESS",
            ),
        ] {
            match fixture.fields.get(field) {
                _ if by_libc => self.unavailable(property, libcs),
                0 => self.record(property, "none", format!("{call} in the child: null")),
                errno @ -4095..0 => self.unavailable(property, format!("errno {}", -errno)),
                address => self.record(
                    property,
                    "given",
                    format!("{call} in the child: {address:#x}"),
                ),
            }
        }
        match fixture.fields.get(ChildField::DeathSignal) {
            0 => {
                let proof = "the maker has one (SIGKILL), the child has not";
                self.record(Property::DeathSignal, "none", proof);
            }
            signal => self.record(
                Property::DeathSignal,
                "copied",
                format!("PR_GET_PDEATHSIG in the child: {signal}"),
            ),
        }
        match fixture.fields.get(ChildField::Timer) {
            0 => {
                let proof = "one runs for the maker, none for the child";
                self.record(Property::Timer, "none", proof);
            }
            seconds => {
                let proof = format!("the maker's runs for the child too: {seconds} s left");
                self.record(Property::Timer, "shared", proof);
            }
        }
    }

    /// Timers and the CPU clock, which belong to the process.
    pub(super) fn clocks(&mut self, fixture: &Fixture) {
        match fixture.fields.get(ChildField::PosixTimer) {
            _ if fixture.posix_timer < 0 => {
                self.unavailable(Property::PosixTimer, "this kernel has no POSIX timers");
            }
            0 => {
                let proof = "timer_getoverrun of the maker's timer succeeds in the child";
                self.record(Property::PosixTimer, "shared", proof);
            }
            errno if errno == -i64::from(libc::EINVAL) => {
                let proof = "the maker has one, which is EINVAL for the child";
                self.record(Property::PosixTimer, "none", proof);
            }
            errno => self.unavailable(Property::PosixTimer, format!("errno {}", -errno)),
        }
        let (there, here) = (fixture.fields.get(ChildField::CpuClock), fixture.cpu_time);
        if there < 0 || here < 0 {
            self.unavailable(Property::CpuClock, "this kernel has no such clock");
        } else {
            // A clock of the child's own would have to show what only its maker has used.
            let word = if there >= here { "shared" } else { "own" };
            let proof = format!("it showed {here} µs to the maker, then {there} µs to the child");
            self.record(Property::CpuClock, word, proof);
        }
    }

    pub(super) fn namespaces(&mut self, fixture: &Fixture, tid: i32) {
        for (property, name) in NAMESPACES {
            let there = proc::link(fixture.proc, &format!("{tid}/ns/{name}"));
            let here = proc::link(fixture.proc, &format!("self/ns/{name}"));
            match (there, here) {
                (Some(there), Some(here)) if there == here => {
                    self.record(property, "shared", there);
                }
                (Some(there), Some(here)) => {
                    self.record(property, "new", format!("{there}, the maker's is {here}"));
                }
                _ => self.unavailable(property, "/proc does not show it"),
            }
        }
    }

    pub(super) fn waits(&mut self, tid: i32) {
        let found = |options: i32| {
            let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | options;
            // SAFETY: `siginfo_t` is plain data, and the kernel fills it.
            unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                libc::waitid(libc::P_PID, tid as u32, &mut info, options) == 0
            }
        };
        let (plain, clone, all) = (found(0), found(libc::__WCLONE), found(libc::__WALL));
        let word = match (plain, clone, all) {
            (true, false, true) => "wait",
            (false, true, true) => "__WCLONE",
            (false, false, false) => "none",
            _ => "odd",
        };
        let yes = |found| if found { "yes" } else { "ECHILD" };
        let proof = format!(
            "plain wait: {}, __WCLONE: {}, __WALL: {}",
            yes(plain),
            yes(clone),
            yes(all)
        );
        self.record(Property::Wait, word, proof);
    }
}

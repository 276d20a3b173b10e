//! How the child stands to its maker and to the kernel: its group, its parent, its signals.
#![allow(unsafe_code, reason = "system calls that look at other tasks")]

use std::sync::atomic::Ordering;
use std::thread::sleep;

use rawthread::flags::signal_name;

use super::{Facts, NAP};
use crate::probe::aspect::NAMESPACES;
use crate::probe::scene::{Note, Scene};
use crate::probe::{Aspect, Way, proc};
use crate::raw;

impl Facts {
    /// Back from the call, or asleep in it: one of the two is so by now or about to be.
    pub(super) fn maker(&mut self, scene: &Scene) {
        let call = format!("self/task/{}/syscall", scene.maker_tid);
        loop {
            if scene.maker_returned.load(Ordering::Acquire) {
                let proof = "the call returned while the child was alive";
                return self.saw(Aspect::Maker, "runs on", proof);
            }
            let text = proc::read(scene.proc, &call).unwrap_or_default();
            let number = text.split(' ').next().and_then(|word| word.parse().ok());
            let asleep = proc::stat(scene.proc, scene.maker_tid, 3).as_deref() == Some("D");
            if matches!(number, Some(libc::SYS_clone | libc::SYS_clone3)) && asleep {
                let proof = format!("asleep in system call {}", number.unwrap_or(0));
                return self.saw(Aspect::Maker, "sleeps", proof);
            }
            sleep(NAP);
        }
    }

    pub(super) fn identity(&mut self, scene: &Scene, tid: i32) {
        let maker = raw::getpid();
        // SAFETY: signal 0 only asks whether that thread is in that group.
        let in_group =
            unsafe { raw::call(libc::SYS_tgkill, [maker as usize, tid as usize, 0, 0, 0, 0]) }
                .is_ok();
        let tgid = proc::status(scene.proc, tid, "Tgid").unwrap_or_default();
        if in_group {
            let proof = format!("tgkill({maker}, {tid}) finds it; its tgid is {tgid}");
            self.saw(Aspect::Group, "joined", proof);
        } else {
            let proof = format!("tgkill({maker}, {tid}) finds nothing; its tgid is {tgid}");
            self.saw(Aspect::Group, "own", proof);
        }

        let parent = proc::status(scene.proc, tid, "PPid");
        // SAFETY: no arguments.
        let grandparent = unsafe { libc::getppid() };
        match parent.and_then(|text| text.parse::<i32>().ok()) {
            Some(parent) if parent == maker => {
                self.saw(
                    Aspect::Parent,
                    "maker",
                    format!("its PPid is {parent}, the maker"),
                );
            }
            Some(parent) if parent == grandparent => {
                let proof = format!("its PPid is {parent}, the maker's own parent");
                self.saw(Aspect::Parent, "maker's", proof);
            }
            Some(parent) => self.saw(Aspect::Parent, "another", format!("its PPid is {parent}")),
            None => self.could_not_see(Aspect::Parent, "/proc does not tell it"),
        }

        match proc::stat(scene.proc, tid, 38).and_then(|text| text.parse::<i32>().ok()) {
            Some(signal) => {
                let proof = format!("field 38 of its /proc/{tid}/stat is {signal}");
                self.saw(Aspect::ExitSignal, signal_word(signal), proof);
            }
            None => self.could_not_see(Aspect::ExitSignal, "/proc does not tell it"),
        }
    }

    pub(super) fn mask_and_pending(&mut self, scene: &Scene) {
        let masks = proc::read(scene.proc, &format!("self/task/{}/status", scene.maker_tid))
            .and_then(|text| {
                let line = text.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
                u64::from_str_radix(line.trim(), 16).ok()
            });
        let inherited = scene.notes.get(Note::Mask) as u64 == scene.mask;
        let (word, proof) = match (inherited, masks) {
            (_, None) => return self.could_not_see(Aspect::Mask, "/proc does not tell it"),
            (true, Some(mask)) if mask == scene.mask => (
                "copied",
                "the child began with the maker's, then filled its own; the maker's stayed".into(),
            ),
            (true, Some(_)) => (
                "shared",
                String::from("the child's change reached the maker"),
            ),
            (false, Some(_)) => {
                let (child, maker) = (scene.notes.get(Note::Mask), scene.mask);
                (
                    "new",
                    format!("the child began with {child:#x}, the maker with {maker:#x}"),
                )
            }
        };
        self.saw(Aspect::Mask, word, proof);
        match scene.notes.get(Note::Pending) {
            0 => {
                let proof = "a signal waits for the maker's process, none for the child";
                self.saw(Aspect::Pending, "own", proof);
            }
            _ => {
                let proof = "the signal that waits for the maker's process waits for the child too";
                self.saw(Aspect::Pending, "shared", proof);
            }
        }
    }

    /// What the kernel keeps for a task, and gives to no child unasked.
    pub(super) fn registrations(&mut self, scene: &Scene) {
        // A libc registers its own list and word in each thread, and in the child of its fork.
        let by_libc = !matches!(scene.plan.way, Way::Process | Way::Clone);
        let libcs = "libc has registered its own";
        for (aspect, note, call) in [
            (Aspect::RobustList, Note::RobustList, "get_robust_list"),
            (Aspect::ClearedWord, Note::ClearedWord, "PR_GET_TID_ADDRESS"),
        ] {
            match scene.notes.get(note) {
                _ if by_libc => self.could_not_see(aspect, libcs),
                0 => self.saw(aspect, "none", format!("{call} in the child: null")),
                errno @ -4095..0 => self.could_not_see(aspect, format!("errno {}", -errno)),
                address => self.saw(
                    aspect,
                    "given",
                    format!("{call} in the child: {address:#x}"),
                ),
            }
        }
        match scene.notes.get(Note::DeathSignal) {
            0 => {
                let proof = "the maker has one (SIGKILL), the child has not";
                self.saw(Aspect::DeathSignal, "none", proof);
            }
            signal => self.saw(
                Aspect::DeathSignal,
                "copied",
                format!("PR_GET_PDEATHSIG in the child: {signal}"),
            ),
        }
        match scene.notes.get(Note::Timer) {
            0 => {
                let proof = "one runs for the maker, none for the child";
                self.saw(Aspect::Timer, "none", proof);
            }
            seconds => {
                let proof = format!("the maker's runs for the child too: {seconds} s left");
                self.saw(Aspect::Timer, "shared", proof);
            }
        }
    }

    pub(super) fn namespaces(&mut self, scene: &Scene, tid: i32) {
        for (aspect, name) in NAMESPACES {
            let there = proc::link(scene.proc, &format!("{tid}/ns/{name}"));
            let here = proc::link(scene.proc, &format!("self/ns/{name}"));
            match (there, here) {
                (Some(there), Some(here)) if there == here => {
                    self.saw(aspect, "shared", there);
                }
                (Some(there), Some(here)) => {
                    self.saw(aspect, "new", format!("{there}, the maker's is {here}"));
                }
                _ => self.could_not_see(aspect, "/proc does not tell it"),
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
            (false, false, false) => "nobody",
            _ => "odd",
        };
        let yes = |found| if found { "yes" } else { "ECHILD" };
        let proof = format!(
            "plain wait: {}, __WCLONE: {}, __WALL: {}",
            yes(plain),
            yes(clone),
            yes(all)
        );
        self.saw(Aspect::Wait, word, proof);
    }
}

/// "SIGCHLD", "none" for 0 and for a thread, else the number.
pub(crate) fn signal_word(signal: i32) -> String {
    match signal {
        ..=0 => "none".into(),
        signal => match signal_name(signal as u32) {
            Some(name) => format!("SIG{name}"),
            None => format!("signal {signal}"),
        },
    }
}

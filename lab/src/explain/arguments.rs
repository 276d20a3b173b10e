//! The fields of clone3's `struct clone_args`, and what each is in clone(2).

use rawthread::flags::CloneFlags;

/// A field of `struct clone_args`.
pub(super) struct Field {
    pub(super) name: &'static str,
    /// The flags that make the kernel read it; empty: it is always read.
    read_with: CloneFlags,
    /// What it is in clone(2).
    pub(super) in_clone: &'static str,
}

/// All fields, in the order of the structure.
pub(super) const FIELDS: [Field; 11] = [
    Field {
        name: "flags",
        read_with: CloneFlags::empty(),
        in_clone: "the flags argument, without its low byte and without bits above 31",
    },
    Field {
        name: "pidfd",
        read_with: CloneFlags::PIDFD,
        in_clone: "the parent_tid argument, so PIDFD and PARENT_SETTID exclude each other there",
    },
    Field {
        name: "child_tid",
        read_with: CloneFlags::CHILD_SETTID.union(CloneFlags::CHILD_CLEARTID),
        in_clone: "the child_tid argument",
    },
    Field {
        name: "parent_tid",
        read_with: CloneFlags::PARENT_SETTID,
        in_clone: "the parent_tid argument",
    },
    Field {
        name: "exit_signal",
        read_with: CloneFlags::empty(),
        in_clone: "the low byte of the flags argument",
    },
    Field {
        name: "stack",
        read_with: CloneFlags::empty(),
        in_clone: "the stack argument, which is the upper end there; here it is the lowest byte",
    },
    Field {
        name: "stack_size",
        read_with: CloneFlags::empty(),
        in_clone: "nothing: clone takes the upper end",
    },
    Field {
        name: "tls",
        read_with: CloneFlags::SETTLS,
        in_clone: "the tls argument",
    },
    Field {
        name: "set_tid",
        read_with: CloneFlags::empty(),
        in_clone: "nothing: clone cannot choose pids (Linux 5.5)",
    },
    Field {
        name: "set_tid_size",
        read_with: CloneFlags::empty(),
        in_clone: "nothing (Linux 5.5)",
    },
    Field {
        name: "cgroup",
        read_with: CloneFlags::INTO_CGROUP,
        in_clone: "nothing: clone has no bit for INTO_CGROUP (Linux 5.7)",
    },
];

impl Field {
    /// What the field holds for this set of flags.
    pub(super) fn value(&self, flags: CloneFlags, exit_signal: &str) -> String {
        match self.name {
            "flags" => format!("{:#x}", flags.bits()),
            "exit_signal" => exit_signal.to_owned(),
            "stack" | "stack_size" if flags.contains(CloneFlags::VM) => {
                "the child's own stack: it shares memory".to_owned()
            }
            "stack" | "stack_size" => "0: the child's copy of its maker's stack".to_owned(),
            "set_tid" | "set_tid_size" => "0, unless pids are chosen".to_owned(),
            _ if flags.intersects(self.read_with) => {
                format!("read, for {}", flags.intersection(self.read_with))
            }
            _ => "not read".to_owned(),
        }
    }
}

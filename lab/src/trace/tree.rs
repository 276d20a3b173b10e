//! The tree of what became a thread and what a process.

use super::tracer::Task;
use super::{classify, kind};
use crate::style::{Style, Styler};

/// Draws who made whom, and counts.
pub(super) fn draw(tasks: &[Task], styler: Styler) -> String {
    let mut text = String::new();
    branch(tasks, 0, "", "", styler, &mut text);
    let count = |what| {
        let made = tasks.iter().filter_map(|task| task.made);
        made.filter(|(_, request)| kind(request.flags) == what)
            .count()
    };
    let plural = |number, one: &str, many: &str| {
        format!("{number} {}", if number == 1 { one } else { many })
    };
    text + &format!(
        "\n{} and {} made. Times include the tracer's stops.\n",
        plural(count("thread"), "thread", "threads"),
        plural(count("process"), "process", "processes")
    )
}

fn branch(
    tasks: &[Task],
    index: usize,
    stem: &str,
    below: &str,
    styler: Styler,
    text: &mut String,
) {
    let task = &tasks[index];
    let (what, style, log) = match task.made {
        None => ("process", Style::Own, "the command".to_owned()),
        Some((_, request)) => {
            let what = kind(request.flags);
            let style = if what == "thread" {
                Style::Shared
            } else {
                Style::Own
            };
            (what, style, classify(request))
        }
    };
    let name = format!("{what} {}", task.tid);
    // The first name of a made task is its maker's.
    let became = match &task.programs[..] {
        [name] if task.made.is_none() => format!(": {name}"),
        [_, later @ ..] if !later.is_empty() => format!(", became {}", later.join(", then ")),
        _ => String::new(),
    };
    *text += &format!("{stem}{} {log}{became}\n", styler.apply(style, &name));
    let children: Vec<_> = (0..tasks.len())
        .filter(|&child| tasks[child].made.is_some_and(|(maker, _)| maker == index))
        .collect();
    for (place, &child) in children.iter().enumerate() {
        let last = place + 1 == children.len();
        let (joint, under) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        branch(
            tasks,
            child,
            &format!("{below}{joint}"),
            &format!("{below}{under}"),
            styler,
            text,
        );
    }
}

#[cfg(test)]
mod tests {
    use rawthread::flags::CloneFlags;

    use super::super::tracee::CloneRequest;
    use super::*;

    #[test]
    fn who_made_whom_is_drawn() {
        let request = |bits, exit_signal| CloneRequest {
            call: "clone",
            flags: CloneFlags::from_bits_retain(bits),
            exit_signal,
        };
        let task = |tid, made, programs: &[&str]| Task {
            tid,
            made,
            programs: programs.iter().map(|&name| name.to_owned()).collect(),
        };
        let tasks = [
            task(1, None, &["sh"]),
            task(2, Some((0, request(0, 17))), &["sh", "ls"]),
            task(3, Some((1, request(0x3d_0f00, 0))), &["ls"]),
            task(4, Some((0, request(0x300, 17))), &["sh"]),
        ];
        let tree = draw(&tasks, Styler::plain());
        let expected = "\
process 1 the command: sh
├─ process 2 fork, became ls
│  └─ thread 3 pthread_create
└─ process 4 shares memory

1 thread and 2 processes made. Times include the tracer's stops.
";
        assert_eq!(tree, expected);
    }
}

//! The tree of what became a thread and what a process.

use std::collections::HashMap;

use super::classify;
use super::lines::kind_style;
use super::task::{End, Origin, Task};
use super::tracer::TraceLog;
use crate::probe::signal_word;
use crate::style::Styler;

/// How deep the tree is drawn: a program may make a chain of thousands.
const DEPTH: usize = 24;
/// How much of a command line is shown, in characters.
const COMMAND_LINE: usize = 100;

/// How many tasks of each sort there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) threads: usize,
    pub(super) processes: usize,
    /// Of these: made by calls whose beginning was not seen, or whose arguments were not.
    pub(super) unseen: usize,
    /// Of these: made with `CLONE_UNTRACED`.
    pub(super) untraced: usize,
}

impl Counts {
    /// Counts what was made.
    pub(super) fn of(tasks: &[Task]) -> Self {
        let mut counts = Self::default();
        for task in tasks.iter().filter(|task| task.is_new()) {
            if task.is_thread {
                counts.threads += 1;
            } else {
                counts.processes += 1;
            }
            let seen = task.request().is_some_and(|request| request.readable);
            counts.unseen += usize::from(!seen);
            counts.untraced += usize::from(!task.traced);
        }
        counts
    }
}

/// Draws which task made which, and counts.
pub(super) fn draw(log: &TraceLog, styler: Styler) -> String {
    let TraceLog { tasks, refused, .. } = log;
    let mut text = Forest::new(tasks).draw(styler);
    let counts = Counts::of(tasks);
    let plural = |number, one: &str, many: &str| {
        format!("{number} {}", if number == 1 { one } else { many })
    };
    text += &format!(
        "\n{} and {} made",
        plural(counts.threads, "thread", "threads"),
        plural(counts.processes, "process", "processes")
    );
    if !refused.is_empty() {
        text += &format!(", {} refused", plural(refused.len(), "request", "requests"));
    }
    text += ". Times include the tracer's stops.\n";
    if counts.unseen > 0 {
        text += &format!(
            "Of {} the call was not seen or its arguments could not be read.\n",
            plural(counts.unseen, "task", "tasks")
        );
    }
    if counts.untraced > 0 {
        text += &format!(
            "{} made with CLONE_UNTRACED: what such tasks made is not known, and not counted.\n",
            plural(counts.untraced, "task was", "tasks were")
        );
    }
    for note in &log.notes {
        text += &format!("{}\n", note.text());
    }
    text
}

/// Equal subtrees in a row of siblings.
struct Branch {
    /// Indices of their roots.
    tasks: Vec<usize>,
}

/// The tasks with their children, equal ones together.
struct Forest<'a> {
    tasks: &'a [Task],
    children: Vec<Vec<Branch>>,
    /// Tasks below each.
    below: Vec<usize>,
}

impl<'a> Forest<'a> {
    fn new(tasks: &'a [Task]) -> Self {
        let mut all: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
        for (index, task) in tasks.iter().enumerate() {
            if let Some(maker) = task.maker {
                all[maker].push(index);
            }
        }
        // A task is made after its maker: backwards, children come before their makers.
        let mut shapes: HashMap<(String, Vec<(usize, usize)>), usize> = HashMap::new();
        let mut shape_of = vec![0; tasks.len()];
        let mut below = vec![0; tasks.len()];
        let mut children: Vec<Vec<Branch>> = Vec::with_capacity(tasks.len());
        for index in (0..tasks.len()).rev() {
            let mut branches: Vec<Branch> = Vec::new();
            let mut row: Vec<(usize, usize)> = Vec::new();
            for &child in &all[index] {
                below[index] += 1 + below[child];
                match (row.last_mut(), branches.last_mut()) {
                    (Some((shape, count)), Some(branch)) if *shape == shape_of[child] => {
                        *count += 1;
                        branch.tasks.push(child);
                    }
                    _ => {
                        row.push((shape_of[child], 1));
                        branches.push(Branch { tasks: vec![child] });
                    }
                }
            }
            let next = shapes.len();
            let key = (label(&tasks[index]), row);
            shape_of[index] = *shapes.entry(key).or_insert(next);
            children.push(branches);
        }
        children.reverse();
        Self {
            tasks,
            children,
            below,
        }
    }

    fn draw(&self, styler: Styler) -> String {
        let mut text = String::new();
        // What is still to be drawn, the next last: the task, the equal ones, the text before it,
        // the text before its children, and the depth.
        let mut stack: Vec<(usize, &[usize], String, String, usize)> = Vec::new();
        if !self.tasks.is_empty() {
            stack.push((0, &[], String::new(), String::new(), 0));
        }
        while let Some((index, equal, stem, before, depth)) = stack.pop() {
            let task = &self.tasks[index];
            let name = match equal {
                [] | [_] => format!("{} {}", task.kind(), task.tid),
                [first, .., last] => format!(
                    "{} {}..{} x {}",
                    task.kind(),
                    self.tasks[*first].tid,
                    self.tasks[*last].tid,
                    equal.len()
                ),
            };
            let name = styler.apply(kind_style(task), &name);
            text += &format!("{stem}{name} {}\n", label(task));
            if depth == DEPTH && self.below[index] > 0 {
                text += &format!("{before}└─ ... {} tasks below\n", self.below[index]);
                continue;
            }
            let branches = &self.children[index];
            for (place, branch) in branches.iter().enumerate().rev() {
                let (joint, under) = if place + 1 == branches.len() {
                    ("└─ ", "   ")
                } else {
                    ("├─ ", "│  ")
                };
                stack.push((
                    branch.tasks[0],
                    &branch.tasks,
                    format!("{before}{joint}"),
                    format!("{before}{under}"),
                    depth + 1,
                ));
            }
        }
        text
    }
}

/// A task's line, after its number.
fn label(task: &Task) -> String {
    let mut text = classify::origin(task);
    if !task.traced {
        text += ", not traced (the number is what its maker sees)";
    }
    let mut programs = task.programs.iter();
    // The first program of a made task is its maker's.
    if task.maker.is_some() {
        programs.next();
    }
    let programs: Vec<_> = programs
        .map(|program| shortened(&program.command_line))
        .collect();
    if !programs.is_empty() {
        let programs = programs.join(", then ");
        text += &match task.origin {
            Origin::Command | Origin::Attached => format!(": {programs}"),
            _ => format!(", became {programs}"),
        };
    }
    if let Some(name) = task.own_name() {
        text += &format!(", named \"{}\"", name.escape_debug());
    }
    text + &match task.end {
        Some(End::Exited(status)) => format!("; exit {status}"),
        Some(End::Killed(signal)) => format!("; killed by {}", signal_word(signal)),
        Some(End::Exec) => "; went on as its process, by exec".into(),
        Some(End::Detached) => "; still running".into(),
        None => String::new(),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(COMMAND_LINE) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rawthread::flags::CloneFlags;

    use super::super::task::{CloneRequest, Program};
    use super::*;

    fn draw(tasks: &[Task]) -> String {
        super::draw(&TraceLog::of(tasks.to_vec()), Styler::plain())
    }

    fn task(tid: i32, made: Option<(usize, u64, u32)>, programs: &[&str]) -> Task {
        let request = |bits, exit_signal| CloneRequest {
            call: "clone",
            machine: None,
            flags: CloneFlags::from_bits_retain(bits),
            exit_signal,
            own_stack: false,
            readable: true,
        };
        let program = |line: &&str| Program {
            name: line.split(' ').next().unwrap_or_default().to_owned(),
            command_line: (*line).to_owned(),
        };
        Task {
            tid,
            maker: made.map(|(maker, ..)| maker),
            origin: made.map_or(Origin::Command, |(_, bits, signal)| Origin::Made {
                request: request(bits, signal),
                took: Some(Duration::ZERO),
            }),
            is_thread: made.is_some_and(|(_, bits, _)| bits & 0x1_0000 != 0),
            traced: true,
            filtered: false,
            programs: programs.iter().map(program).collect(),
            name: None,
            end: Some(End::Exited(0)),
        }
    }

    #[test]
    fn makers_and_what_they_made_are_drawn() {
        let mut tasks = [
            task(1, None, &["sh -c x"]),
            task(2, Some((0, 0, 17)), &["sh", "ls -l /"]),
            task(3, Some((1, 0x3d_0f00, 0)), &["ls"]),
            task(4, Some((0, 0x300, 17)), &["sh"]),
            task(5, Some((0, 0x3d_0f00, 0)), &["sh"]),
            task(6, Some((0, 0x3d_0f00, 0)), &["sh"]),
        ];
        tasks[2].name = Some("lister".into());
        tasks[3].end = Some(End::Killed(9));
        let tree = draw(&tasks);
        let expected = "\
process 1 the command: sh -c x; exit 0
├─ process 2 fork, became ls -l /; exit 0
│  └─ thread 3 pthread_create (NPTL), named \"lister\"; exit 0
├─ process 4 shares memory; killed by SIGKILL
└─ thread 5..6 x 2 pthread_create (NPTL); exit 0

3 threads and 2 processes made. Times include the tracer's stops.
";
        assert_eq!(tree, expected);
    }

    #[test]
    fn a_chain_of_thousands_is_drawn_to_a_depth() {
        let mut tasks = vec![task(1, None, &["sh"])];
        for tid in 2..10_000 {
            tasks.push(task(tid, Some((tid as usize - 2, 0x3d_0f00, 0)), &["sh"]));
        }
        let tree = draw(&tasks);
        assert!(tree.lines().count() < 40, "{tree}");
        assert!(tree.contains("... 9974 tasks below"), "{tree}");
        assert!(tree.contains("9998 threads"), "{tree}");
    }

    #[test]
    fn what_was_not_seen_is_said() {
        let mut tasks = [
            task(1, None, &["sh"]),
            task(2, Some((0, 0, 17)), &["sh"]),
            task(3, Some((0, 0, 17)), &["sh"]),
        ];
        tasks[1].origin = Origin::Unseen;
        tasks[2].traced = false;
        tasks[2].end = None;
        let tree = draw(&tasks);
        assert!(tree.contains("Of 1 task the call was not seen"), "{tree}");
        assert!(
            tree.contains("1 task was made with CLONE_UNTRACED"),
            "{tree}"
        );
    }
}

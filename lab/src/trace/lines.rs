//! One line for each call, as it happens; equal ones in a row are counted.

use std::time::Duration;

use super::classify::classify;
use super::task::{CloneRequest, Origin, Task};
use super::tracer::TraceEvent;
use crate::probe::signal_word;
use crate::style::{Style, Styler};

/// Widths of the columns: maker, call, result.
const MAKER: usize = 24;
const CALL: usize = 16;
const RESULT: usize = 48;

/// What makes two lines equal but for tid and time.
type Key = (usize, Option<CloneRequest>, &'static str);

/// Writes the lines.
pub(super) struct Lines {
    styler: Styler,
    last: Option<Key>,
    /// How many followed the line that was written last, and how long the shortest and the longest
    /// took.
    repeats: Option<(usize, Duration, Duration)>,
}

impl Lines {
    pub(super) fn new(styler: Styler) -> Self {
        Self {
            styler,
            last: None,
            repeats: None,
        }
    }

    /// The names of the columns.
    pub(super) fn header(&self) -> String {
        let title = |text, width| self.styler.pad(Style::Title, text, width);
        format!(
            "{}{}{}{}\n",
            title("maker", MAKER),
            title("call", CALL),
            title("made, and the usual maker of such", RESULT),
            self.styler.apply(Style::Title, "call took"),
        )
    }

    /// What is to be written for an event: nothing yet, if it repeats the one before.
    pub(super) fn event(&mut self, tasks: &[Task], event: TraceEvent) -> String {
        let (maker, request, outcome, took) = match event {
            TraceEvent::Refused(refusal) => {
                let error = std::io::Error::from_raw_os_error(refusal.errno).to_string();
                let outcome = (Style::Bad, error);
                (Some(refusal.maker), Some(refusal.request), outcome, None)
            }
            TraceEvent::Made(index) => {
                let task = &tasks[index];
                let style = kind_style(task);
                let (class, took) = match task.origin {
                    Origin::Made { request, took } => (classify(request), took),
                    _ => ("the call was not seen".to_owned(), None),
                };
                let outcome = (style, format!("{} {}, {class}", task.kind(), task.tid));
                (task.maker, task.request(), outcome, took)
            }
        };
        let kind = match event {
            TraceEvent::Made(index) => tasks[index].kind(),
            TraceEvent::Refused(_) => "refused",
        };
        let key = (maker.unwrap_or(0), request, kind);
        if let (true, TraceEvent::Made(_), Some(took)) = (self.last == Some(key), event, took) {
            let (count, shortest, longest) = self.repeats.unwrap_or((0, took, took));
            self.repeats = Some((count + 1, shortest.min(took), longest.max(took)));
            return String::new();
        }
        let mut text = self.flush();
        self.last = Some(key);
        let maker = maker.map_or_else(String::new, |maker| {
            format!("{} {}", tasks[maker].tid, tasks[maker].program())
        });
        let styler = self.styler;
        text += &styler.pad(Style::Title, &maker, MAKER);
        text += &styler.pad(Style::Plain, &request.map_or("?".into(), call), CALL);
        text += &styler.pad(outcome.0, &outcome.1, RESULT);
        text += &took.map_or_else(String::new, |took| format!("{:>6} µs", took.as_micros()));
        text.truncate(text.trim_end().len());
        if let Some(request) = request {
            let flags = styler.apply(Style::Quiet, &describe(request));
            text += &format!("\n    {flags}");
        }
        text + "\n"
    }

    /// What is to be written about repeats, before anything else is.
    pub(super) fn flush(&mut self) -> String {
        let Some((count, shortest, longest)) = self.repeats.take() else {
            return String::new();
        };
        let (shortest, longest) = (shortest.as_micros(), longest.as_micros());
        let line = if shortest == longest {
            format!("    x {count} more: {longest} µs")
        } else {
            format!("    x {count} more: {shortest} to {longest} µs")
        };
        self.styler.apply(Style::Quiet, &line) + "\n"
    }
}

pub(super) fn kind_style(task: &Task) -> Style {
    if task.is_thread {
        Style::Shared
    } else {
        Style::Own
    }
}

/// The call, with the machine if that is not the lab's.
fn call(request: CloneRequest) -> String {
    match request.machine {
        None => request.call.into(),
        Some(machine) => format!("{} ({machine})", request.call),
    }
}

/// The request in a few words.
fn describe(request: CloneRequest) -> String {
    if !request.readable {
        return "the arguments could not be read".into();
    }
    let flags = match request.flags {
        flags if flags.is_empty() => "no flags".to_owned(),
        flags => flags.to_string().replace("CLONE_", ""),
    };
    match request.exit_signal {
        0 => flags,
        signal => format!("{flags}, {}", signal_word(signal as i32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::task::clone_request as request;

    #[test]
    fn requests_are_written_short() {
        assert_eq!(describe(request(0x4100, 17)), "VM|VFORK, SIGCHLD");
        assert_eq!(describe(request(0, 0)), "no flags");
        let i386 = CloneRequest {
            machine: Some("i386"),
            ..request(0, 17)
        };
        assert_eq!(call(i386), "clone (i386)");
    }

    #[test]
    fn equal_lines_are_counted() {
        let task = |tid, maker, flags| Task {
            tid,
            maker,
            origin: Origin::Made {
                request: request(flags, 0),
                took: Some(Duration::from_micros(tid as u64)),
            },
            is_thread: true,
            traced: true,
            filtered: false,
            programs: Vec::new(),
            name: None,
            end: None,
        };
        let tasks: Vec<_> = [0x3d_0f00, 0x3d_0f00, 0x3d_0f00, 0x5_0f00]
            .into_iter()
            .enumerate()
            .map(|(index, flags)| task(index as i32 + 10, Some(0), flags))
            .collect();
        let mut lines = Lines::new(Styler::plain());
        let mut text = String::new();
        for index in 0..4 {
            text += &lines.event(&tasks, TraceEvent::Made(index));
        }
        text += &lines.flush();
        let shown: Vec<_> = text.lines().map(str::trim_start).collect();
        assert_eq!(shown.len(), 5, "{text}");
        assert!(shown[0].ends_with("10 µs"), "{text}");
        assert_eq!(shown[2], "x 2 more: 11 to 12 µs");
        assert!(shown[3].contains("Go runtime thread"), "{text}");
    }
}

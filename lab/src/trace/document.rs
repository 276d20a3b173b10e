//! The trace as JSON.

use super::classify;
use super::task::{CloneRequest, End, Origin, Task};
use super::tracer::{Outcome, TraceLog};
use super::tree::Counts;
use crate::json::Json;
use crate::probe::signal_word;

pub(super) fn to_json(log: &TraceLog, outcome: Outcome) -> Json {
    let counts = Counts::of(&log.tasks);
    let number = |number: usize| Json::from(number as u64);
    let end = match outcome {
        Outcome::Ended(status) => Some(End::from_status(status)),
        Outcome::NotRun(_) => None,
        Outcome::Detached => Some(End::Detached),
    };
    let mut fields = vec![
        ("tasks", Json::list(log.tasks.iter().map(task))),
        (
            "refused",
            Json::list(log.refused.iter().map(|refusal| {
                let error = std::io::Error::from_raw_os_error(refusal.errno);
                let mut fields = vec![("maker", number(refusal.maker))];
                fields.extend(request(Some(refusal.request)));
                fields.push(("errno", Json::from(refusal.errno as u64)));
                fields.push(("error", Json::text(error.to_string())));
                Json::Object(fields)
            })),
        ),
        ("threads", number(counts.threads)),
        ("processes", number(counts.processes)),
        ("calls_not_seen", number(counts.unseen)),
        ("untraced", number(counts.untraced)),
        (
            "notes",
            Json::list(log.notes.iter().map(|note| Json::text(note.text()))),
        ),
    ];
    fields.extend(ending(end));
    Json::Object(fields)
}

fn task(task: &Task) -> Json {
    let maker = |maker: usize| Json::from(maker as u64);
    let took = match task.origin {
        Origin::Made {
            took: Some(took), ..
        } => Json::from(took.as_micros() as u64),
        _ => Json::Null,
    };
    let programs = task.programs.iter().map(|program| {
        Json::Object(vec![
            ("name", Json::text(&program.name)),
            ("command_line", Json::text(&program.command_line)),
        ])
    });
    let mut fields = vec![
        ("tid", Json::from(task.tid as u64)),
        ("kind", Json::text(task.kind())),
        ("maker", task.maker.map_or(Json::Null, maker)),
        ("origin", Json::text(classify::origin(task))),
        ("took_us", took),
        ("traced", Json::Bool(task.traced)),
        ("programs", Json::list(programs)),
        ("name", Json::maybe(task.name.as_deref())),
    ];
    fields.extend(request(task.request()));
    fields.extend(ending(task.end));
    Json::Object(fields)
}

fn request(request: Option<CloneRequest>) -> Vec<(&'static str, Json)> {
    let readable = request.filter(|request| request.readable);
    vec![
        ("call", Json::maybe(request.map(|request| request.call))),
        (
            "machine",
            Json::maybe(request.and_then(|request| request.machine)),
        ),
        (
            "flags",
            readable.map_or(Json::Null, |request| Json::text(request.flags.to_string())),
        ),
        (
            "exit_signal",
            readable.map_or(Json::Null, |request| {
                Json::from(u64::from(request.exit_signal))
            }),
        ),
    ]
}

fn ending(end: Option<End>) -> [(&'static str, Json); 2] {
    let (status, signal) = match end {
        Some(End::Exited(status)) => (Json::from(status as u64), Json::Null),
        Some(End::Killed(signal)) => (Json::Null, Json::text(signal_word(signal))),
        _ => (Json::Null, Json::Null),
    };
    [("exit_status", status), ("killed_by", signal)]
}

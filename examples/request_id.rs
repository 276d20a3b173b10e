//! A request id that follows a request into every thread that works on it, by one spawn hook.
//!
//! `cargo run --release --example request_id`
//!
//! No spawn below passes the id on, and every line of the log has it. Tracing spans, locales and the
//! like follow in the same way.

use std::cell::Cell;

thread_local!(static REQUEST: Cell<Option<u64>> = const { Cell::new(None) });

fn log(text: &str) {
    let name = rawthread::current().name().unwrap_or("?").to_owned();
    match REQUEST.get() {
        Some(request) => println!("[request {request}] {name}: {text}"),
        None => println!("[no request] {name}: {text}"),
    }
}

fn named(name: &str) -> rawthread::Builder {
    rawthread::Builder::new().name(name.into())
}

fn serve(request: u64) {
    REQUEST.set(Some(request));
    log("begins");
    rawthread::scope(|s| {
        let parts = ["prices", "stock"].map(|part| {
            named(part).spawn_scoped(s, move || {
                log("asked for");
                // A thread of a thread has it, too; so has a task of the pool.
                rawthread::warm::spawn(move || (REQUEST.get(), part))
                    .join()
                    .unwrap()
            })
        });
        for part in parts {
            let (seen, part) = part.expect("a thread").join().unwrap();
            assert_eq!(seen, Some(request));
            log(&format!("{part} found"));
        }
    });
}

fn main() {
    // Once, in the thread from which the others come.
    rawthread::add_spawn_hook(|_| {
        let request = REQUEST.get(); // in the spawner
        move || REQUEST.set(request) // in the new thread, before its closure
    });

    let servers: Vec<_> = [17, 42]
        .map(|request| {
            named("server")
                .spawn(move || serve(request))
                .expect("a thread")
        })
        .into();
    for server in servers {
        server.join().unwrap();
    }

    // A housekeeper does nothing for the thread that made it.
    REQUEST.set(Some(1));
    let housekeeper = named("housekeeper").no_hooks().spawn(|| log("sweeps"));
    housekeeper.expect("a thread").join().unwrap();
}

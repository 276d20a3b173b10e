//! A server with a thread per connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier};

use threadpool::ThreadPool;

use crate::work::{self, Batch, Prepare, Work};

const CLIENTS: u32 = 4;
const CONNECTIONS: u32 = 25;

/// Four clients connect over loopback, send a line, read the answer and close, again and again. The
/// server gives each connection to a thread.
pub(crate) fn connections() -> Work {
    Work {
        name: "thread per connection over loopback",
        unit: "per connection",
        units: CLIENTS * CONNECTIONS,
        warm_up: 1,
        batches: 4,
        processes: 1,
        contenders: vec![
            server(work::RAWTHREAD, || {
                Box::new(|stream| drop(rawthread::spawn(move || serve(stream))))
            }),
            server(work::STD, || {
                Box::new(|stream| drop(std::thread::spawn(move || serve(stream))))
            }),
            server(work::WARM, || {
                Box::new(|stream| drop(rawthread::warm::spawn(move || serve(stream))))
            }),
            server(work::RAYON, || {
                Box::new(|stream| rayon::spawn(move || serve(stream)))
            }),
            server(work::THREADPOOL, || {
                let pool = ThreadPool::new(CLIENTS as usize);
                Box::new(move |stream| pool.execute(move || serve(stream)))
            }),
        ],
    }
}

type Handle = Box<dyn Fn(TcpStream) + Send>;

const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nyes";

fn serve(mut stream: TcpStream) {
    let mut request = [0; 256];
    let read = stream.read(&mut request).expect("a request");
    assert!(request[..read].ends_with(b"\r\n\r\n"));
    stream.write_all(ANSWER).expect("an answer sent");
}

fn ask(server: SocketAddr) {
    let mut stream = TcpStream::connect(server).expect("a connection");
    let request = b"GET / HTTP/1.0\r\n\r\n";
    stream.write_all(request).expect("a request sent");
    let mut answer = Vec::with_capacity(256);
    stream.read_to_end(&mut answer).expect("an answer");
    assert_eq!(answer, ANSWER);
}

/// A server and its clients, which are std's threads for all contenders and stay alive.
fn server(name: &'static str, make: fn() -> Handle) -> (&'static str, Prepare) {
    let prepare = move || -> Batch {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let address = listener.local_addr().expect("a bound socket");
        let handle = make();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                handle(stream.expect("a connection"));
            }
        });
        let barrier = Arc::new(Barrier::new(CLIENTS as usize + 1));
        for _ in 0..CLIENTS {
            let barrier = barrier.clone();
            std::thread::spawn(move || {
                loop {
                    barrier.wait();
                    (0..CONNECTIONS).for_each(|_| ask(address));
                    barrier.wait();
                }
            });
        }
        Box::new(move || {
            barrier.wait();
            barrier.wait();
        })
    };
    (name, Box::new(prepare))
}

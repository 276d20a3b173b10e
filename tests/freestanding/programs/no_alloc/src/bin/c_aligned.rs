//! C's thread-locals, aligned beyond a page.
#![no_std]
#![no_main]

rawthread::entry!(main);

unsafe extern "C" {
    safe fn c_check_and_spoil() -> i32;
}

fn main() -> i32 {
    assert_eq!(c_check_and_spoil(), 0, "main");
    for _ in 0..2 {
        let live = [(); 3].map(|()| rawthread::spawn(|| c_check_and_spoil()));
        for thread in live {
            assert_eq!(thread.join().unwrap(), 0);
        }
    }
    rawthread::start::print(format_args!("aligned\n"));
    0
}

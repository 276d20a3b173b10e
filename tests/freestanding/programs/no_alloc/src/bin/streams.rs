//! Standard streams that are closed, and pipes without a reader.
#![no_std]
#![no_main]

use rawthread::process::Builder;
use rawthread::start::{self, Stream, eprint, print, write};

rawthread::entry!(main);

fn main() -> i32 {
    match start::args()
        .nth(1)
        .map_or(&b""[..], |case| case.to_bytes())
    {
        // The reader has exited.
        b"pipe" => {
            let lost = write(Stream::Stdout, b"lost\n").unwrap_err();
            print(format_args!("lost too\n"));
            eprint(format_args!("errno {:?}\n", lost.raw_os_error()));
        }
        // No descriptor of ours takes a stream's number.
        b"closed" => {
            // SAFETY: the child does nothing.
            let mut child = unsafe { Builder::new().spawn(|| 0) }.unwrap();
            let number = child.raw_pidfd();
            assert!(number.is_none_or(|number| number > 2), "{number:?}");
            print(format_args!("closed\n"));
            eprint(format_args!("closed\n"));
            assert_eq!(child.wait().unwrap().code(), Some(0));
            return if number.is_some() { 7 } else { 8 };
        }
        _ => return 1,
    }
    0
}

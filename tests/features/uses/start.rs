//! What the feature `start` adds.

pub fn write(text: &str) -> Result<(), rawthread::Error> {
    rawthread::start::write(rawthread::start::Stream::Stdout, text.as_bytes())
}

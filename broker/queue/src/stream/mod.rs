//! What a stream is on the node that leads it: a log that many read. Nobody
//! holds a message; a reader has a place in the log and room for so many more.
//! What is kept of the log is decided by its size and its age alone.
//!
//! Memory: a reader is one struct and at most [`Window::messages`] numbers,
//! whatever the length of the log.
//!
//! [`Window::messages`]: crate::Window::messages

mod readers;
mod retention;

pub use readers::{Readers, Turn};
pub use retention::{Retention, Span};

//! The policy file: reading and checking it, explaining what it does to a
//! queue, and keeping the cluster's policies what the file says.

mod explain;
mod file;
mod watch;

pub use explain::explain;
pub use file::{PolicyFileError, parse, read, warnings};
pub use watch::{apply, memory, watch};

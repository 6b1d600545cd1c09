//! Encryption to clients and, for links, to other brokers: TLS 1.2 and 1.3 by
//! rustls.
//!
//! - `server.rs` the listener's side: certificates that are read again when they
//!   change, and whom they are asked of
//! - `login.rs` which user a client's certificate stands for (EXTERNAL)
//! - `pem.rs` reading the files of both sides

mod login;
pub mod pem;
mod server;

pub use server::{Secured, Server};

//! `warren salvage`: what is in a log that was put aside, because another node
//! took its queue over without having everything (docs/REPLICATION.md, §5.2).

use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use warren_replication::record;

use super::{CliError, output};

/// Which file.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file in the folder `aside` of a node's data folder.
    file: PathBuf,
}

/// A message, one a line.
#[derive(Serialize)]
struct Salvaged {
    offset: u64,
    /// When it was taken, milliseconds since 1970.
    time: u64,
    exchange: String,
    routing_key: String,
    /// The body, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let failed = |error: String| CliError::Usage(format!("{}: {error}", args.file.display()));
    let entries = warren_store::read_aside(&args.file).map_err(|error| failed(error.to_string()))?;
    for entry in entries {
        record::check(&entry).map_err(|error| failed(error.to_string()))?;
        let time = record::time(&entry).map_err(|error| failed(error.to_string()))?;
        for (offset, message) in record::messages(&entry).map_err(|error| failed(error.to_string()))? {
            let text = String::from_utf8(message.body.to_vec()).ok();
            let line = Salvaged {
                offset: offset.0,
                time,
                exchange: String::from_utf8_lossy(&message.exchange).into_owned(),
                routing_key: String::from_utf8_lossy(&message.routing_key).into_owned(),
                body_base64: text.is_none().then(|| STANDARD.encode(&message.body)),
                body: text,
            };
            output::say(&serde_json::to_string(&line).map_err(|error| CliError::Output(error.into()))?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

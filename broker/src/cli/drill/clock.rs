//! Wall clocks of nodes' own, by libfaketime: the machine's is left alone. Other
//! clocks, such as the one that leases go by, are the kernel's as ever.

use std::fs;
use std::path::{Path, PathBuf};

/// Where distributions put the library, below a folder by architecture.
const LIBRARIES: &str = "/usr/lib";
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
/// The file in a node's folder that says what its clock shows.
const CLOCK: &str = "clock";

fn library() -> Option<PathBuf> {
    let folders = fs::read_dir(LIBRARIES).ok()?;
    let mut found = folders.flatten().map(|folder| folder.path().join(LIBRARY));
    found.find(|path| path.exists())
}

/// Whether nodes can have clocks of their own.
///
/// # Errors
/// Why not, as a sentence.
pub(super) fn able() -> Result<(), String> {
    library().map(drop).ok_or_else(|| "a clock of a node's own takes libfaketime, which is not installed".to_owned())
}

/// The command that a node is started by, to have a clock of its own.
pub(super) fn prefix(folder: &Path) -> Result<Vec<String>, String> {
    able()?;
    let library = library().unwrap_or_default();
    let clock = folder.join(CLOCK);
    if !clock.exists() {
        set(folder, 0)?;
    }
    Ok(vec![
        "env".to_owned(),
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME_TIMESTAMP_FILE={}", clock.display()),
        // Seconds until a jump is seen.
        "FAKETIME_CACHE_DURATION=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ])
}

/// Puts the node's clock so many seconds ahead of the true time, or behind it.
pub(super) fn set(folder: &Path, seconds: i64) -> Result<(), String> {
    let clock = folder.join(CLOCK);
    fs::write(&clock, format!("{seconds:+}\n")).map_err(|error| format!("{}: {error}", clock.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_says_how_far_it_is_off() {
        let folder = tempfile::tempdir().unwrap();
        for (seconds, said) in [(3600, "+3600\n"), (-60, "-60\n"), (0, "+0\n")] {
            set(folder.path(), seconds).unwrap();
            assert_eq!(fs::read_to_string(folder.path().join(CLOCK)).unwrap(), said);
        }
    }
}

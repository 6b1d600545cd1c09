//! What drills do to a node's disk.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The file that takes all the room there is.
const BALLAST: &str = "ballast";
/// How much of a write-ahead log is torn off.
const TORN: u64 = 1000;

/// Runs a program to its end.
pub(super) fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let said = |what: String| format!("{program} {}: {what}", args.join(" "));
    match Command::new(program).args(args).output() {
        Err(error) => Err(said(error.to_string())),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(said(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// Gives a folder a disk of its own, of this size.
pub(super) fn mount(folder: &Path, size: u64) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", &folder.to_string_lossy()])
}

/// Takes it away; if it cannot, the removal of the folder says so.
pub(super) fn unmount(folder: &Path) {
    let _ = run("umount", &[&folder.to_string_lossy()]);
}

/// Removes everything in it: a replaced disk.
pub(super) fn wipe(folder: &Path) -> Result<(), String> {
    fs::remove_dir_all(folder).map_err(|error| format!("cannot remove {}: {error}", folder.display()))
}

/// Cuts the end off the newest write-ahead log.
pub(super) fn tear(folder: &Path) -> Result<(), String> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut logs = Vec::new();
    find_logs(folder, &mut logs).map_err(|error| failed(folder, error))?;
    let newest = logs.into_iter().filter(|(_, length)| *length > 0).max();
    let Some((log, length)) = newest else { return Err(format!("{} has no write-ahead log", folder.display())) };
    let file = OpenOptions::new().write(true).open(&log).map_err(|error| failed(&log, error))?;
    file.set_len(length.saturating_sub(TORN)).map_err(|error| failed(&log, error))
}

/// RocksDB numbers its logs, so the newest has the greatest name.
fn find_logs(folder: &Path, logs: &mut Vec<(PathBuf, u64)>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, meta) = (entry.path(), entry.metadata()?);
        if meta.is_dir() {
            find_logs(&path, logs)?;
        } else if path.extension().is_some_and(|extension| extension == "log") {
            logs.push((path, meta.len()));
        }
    }
    Ok(())
}

/// Fills the disk that the folder is on: one that the drill has made.
pub(super) fn fill(folder: &Path) -> Result<(), String> {
    let path = folder.join(BALLAST);
    let mut file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let block = vec![0_u8; 64 * 1024];
    loop {
        match file.write(&block) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
    }
}

/// Makes room again.
pub(super) fn free(folder: &Path) -> Result<(), String> {
    let path = folder.join(BALLAST);
    fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_log_that_holds_something_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("db")).unwrap();
        for (name, length) in [("000004.log", 3000), ("000009.log", 2500), ("000011.log", 0), ("LOG", 9000)] {
            fs::write(folder.path().join("db").join(name), vec![7; length]).unwrap();
        }
        tear(folder.path()).unwrap();
        let length = |name: &str| fs::metadata(folder.path().join("db").join(name)).unwrap().len();
        assert_eq!((length("000004.log"), length("000009.log"), length("LOG")), (3000, 1500, 9000));
    }
}

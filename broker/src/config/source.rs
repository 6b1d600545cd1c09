//! Where in a TOML file a key stands: every complaint about a configuration or
//! policy file names file, line and column.

use std::fmt;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Key};

/// A TOML file as it was read.
#[derive(Clone, Debug)]
pub struct SourceFile {
    path: PathBuf,
    document: Document<String>,
}

/// A place in a file; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which file.
    pub file: PathBuf,
    /// Which line.
    pub line: usize,
    /// Which column, in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// Why a file could not be taken at all.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It could not be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not TOML.
    #[error("{place}: not valid TOML: {reason}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        reason: String,
    },
}

impl SourceFile {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// If it cannot be read or is not TOML.
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| SourceError::Unreadable { path: path.to_owned(), error })?;
        Self::parse(path, text)
    }

    /// Parses what was read from a file.
    ///
    /// # Errors
    /// If it is not TOML.
    pub fn parse(path: &Path, text: String) -> Result<Self, SourceError> {
        match Document::parse(text.clone()) {
            Ok(document) => Ok(Self { path: path.to_owned(), document }),
            Err(error) => Err(SourceError::Syntax {
                place: place(path, &text, error.span().map_or(0, |span| span.start)),
                reason: error.message().trim().replace('\n', "; "),
            }),
        }
    }

    /// The file's path, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says.
    #[must_use]
    pub fn text(&self) -> &str {
        self.document.raw()
    }

    /// Where a key stands, or the nearest table around it that the file has.
    /// Path elements are keys, or indices into arrays as decimal numbers.
    #[must_use]
    pub fn locate(&self, path: &[String]) -> Place {
        place(&self.path, self.text(), self.walk(path).0)
    }

    /// Whether the file sets a key.
    #[must_use]
    pub fn sets(&self, path: &[String]) -> bool {
        self.walk(path).1
    }

    /// Follows a path as far as it goes: the byte offset of the last key or
    /// element found, and whether that was the whole path.
    fn walk(&self, path: &[String]) -> (usize, bool) {
        let mut item = self.document.as_item();
        let mut offset = 0;
        for element in path {
            let (next, key) = match item.as_table_like() {
                Some(table) => (table.get(element), table.key(element).and_then(Key::span)),
                None => (element.parse::<usize>().ok().and_then(|index| item.get(index)), None),
            };
            let Some(next) = next else { return (offset, false) };
            offset = key.or_else(|| next.span()).map_or(offset, |span| span.start);
            item = next;
        }
        (offset, true)
    }
}

/// Line and column of a byte offset.
fn place(file: &Path, text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    Place {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# a comment
[amqp]
listen = "127.0.0.1:5672"

[[policy]]
name = "a"
mirror = { replicas = 3, nodes = [
    "x",
    "y",
] }

[[policy]]
name = "b"
"#;

    fn at(path: &[&str]) -> (usize, usize) {
        let source = SourceFile::parse(Path::new("f.toml"), TEXT.to_owned()).unwrap();
        let place = source.locate(&path.iter().map(ToString::to_string).collect::<Vec<_>>());
        (place.line, place.column)
    }

    #[test]
    fn keys_are_found_in_tables_arrays_and_inline_tables() {
        assert_eq!(at(&["amqp", "listen"]), (3, 1));
        assert_eq!(at(&["policy", "1", "name"]), (13, 1));
        assert_eq!(at(&["policy", "0", "mirror", "replicas"]), (7, 12));
        assert_eq!(at(&["policy", "0", "mirror", "nodes", "1"]), (9, 5));
    }

    #[test]
    fn a_missing_key_is_where_its_table_is() {
        assert_eq!(at(&["amqp", "nothing"]).0, 2);
        assert_eq!(at(&["policy", "1", "pattern"]).0, 12);
        assert_eq!(at(&["nothing"]), (1, 1));
    }

    #[test]
    fn bad_syntax_names_its_line() {
        let error = SourceFile::parse(Path::new("f.toml"), "[a]\nb = = 1\n".to_owned()).unwrap_err();
        assert!(error.to_string().starts_with("f.toml:2:"), "{error}");
    }
}

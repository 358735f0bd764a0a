//! Files of objects: YAML or JSON, many to a file, a directory of them.

use std::path::Path;

use serde_json::Value;

/// Largest file of policies, in bytes.
const FILE_MAX: u64 = 4 << 20;
/// Most files in the directory of policies.
const FILES_MAX: usize = 1000;

/// Why the objects cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("cannot read {path}")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is larger than {FILE_MAX} bytes")]
    FileTooLarge { path: String },
    #[error("{path} has more than {FILES_MAX} files")]
    TooManyFiles { path: String },
    #[error("{path} is not YAML: {reason}")]
    Yaml { path: String, reason: String },
    #[error("{origin}: {kind} {name:?}: {reason}")]
    Object {
        origin: String,
        kind: String,
        name: String,
        reason: String,
    },
}

/// An object and the file that it came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Origin {
    pub(crate) file: String,
    pub(crate) object: Value,
}

/// The objects of all YAML and JSON files in `dir`, in the order of their names. A missing directory is an
/// empty one.
///
/// # Errors
/// [`StoreError`] naming the file.
pub(crate) fn read_directory(dir: &Path) -> Result<Vec<Origin>, StoreError> {
    let shown = |path: &Path| path.display().to_string();
    let read_error = |path: &Path, source| StoreError::Read {
        path: shown(path),
        source,
    };
    let mut files = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(read_error(dir, error)),
    };
    for entry in entries {
        let path = entry.map_err(|error| read_error(dir, error))?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(path);
        }
    }
    if files.len() > FILES_MAX {
        return Err(StoreError::TooManyFiles { path: shown(dir) });
    }
    files.sort();
    let mut documents = Vec::new();
    for path in files {
        let size = std::fs::metadata(&path)
            .map_err(|error| read_error(&path, error))?
            .len();
        if size > FILE_MAX {
            return Err(StoreError::FileTooLarge { path: shown(&path) });
        }
        let text = std::fs::read_to_string(&path).map_err(|error| read_error(&path, error))?;
        documents.extend(parse(&shown(&path), &text)?);
    }
    Ok(documents)
}

/// The objects of a multi-document YAML (or JSON) text; lists are taken apart.
///
/// # Errors
/// [`StoreError::Yaml`].
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Origin>, StoreError> {
    let values: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| StoreError::Yaml {
            path: file.to_owned(),
            reason: error.to_string(),
        })?;
    let mut documents = Vec::new();
    for value in values {
        match value.get("items").and_then(Value::as_array) {
            Some(items) if text_of(&value, "kind").ends_with("List") => {
                documents.extend(items.iter().map(|item| Origin {
                    file: file.to_owned(),
                    object: item.clone(),
                }));
            }
            _ if value.is_null() => {}
            _ => documents.push(Origin {
                file: file.to_owned(),
                object: value,
            }),
        }
    }
    Ok(documents)
}

fn text_of<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn files_may_hold_many_documents_and_lists() {
        let text = "kind: A\n---\n---\nkind: List\nitems: [{kind: B}, {kind: C}]\n";
        let kinds: Vec<String> = parse("f", text)
            .expect("YAML")
            .iter()
            .map(|origin| {
                origin.object["kind"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        assert_eq!(kinds, ["A", "B", "C"]);
        assert!(parse("f", "a: [").is_err());
        assert!(parse("f", "a: 1\na: 2").is_err());
    }
}

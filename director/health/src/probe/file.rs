//! A file on the director says how a server is.

use std::path::PathBuf;

use tokio::io::AsyncReadExt as _;

use super::agent::word;
use super::{Outcome, Stage, describe};

/// More than a line of words is not read.
const LIMIT: u64 = 1024;

/// The file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
}

/// An empty file passes. A missing one fails: whoever says something by a file must be able to take it back.
pub(super) async fn probe(spec: &File, stage: &mut Stage) -> Outcome {
    *stage = Stage("reading the file");
    let read = async {
        let mut text = Vec::new();
        // A pipe nobody writes to would keep a thread waiting for ever.
        if !tokio::fs::metadata(&spec.path).await?.is_file() {
            return Err(std::io::Error::other("it is not a regular file"));
        }
        tokio::fs::File::open(&spec.path).await?.take(LIMIT).read_to_end(&mut text).await?;
        Ok(text)
    };
    match read.await {
        Ok(text) => match String::from_utf8_lossy(&text).trim() {
            "" => Outcome::Pass("the file is there".into()),
            words => word("the file", words),
        },
        Err(error) => Outcome::Fail(format!("{}: {}", spec.path.display(), describe(&error)).into()),
    }
}

//! What Postgres has said since this process came.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use crate::error::{Result, file_error};
use crate::lock::supervisor_lives;
use crate::place::ClusterHome;

const BYTES_MAX: u64 = 16 * 1024 * 1024;
const LINES_SHOWN: usize = 12;

/// Postgres's log, from the moment this process came.
pub struct Log {
    pub path: PathBuf,
    begin: u64,
}

impl Log {
    pub fn open_at_end(place: &ClusterHome) -> Result<Self> {
        let path = place.folder.join("postgres.log");
        let mut begin = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if begin > BYTES_MAX && !supervisor_lives(place)? {
            let old = path.with_extension("log.1");
            std::fs::rename(&path, &old).map_err(file_error("rename", &path))?;
            begin = 0;
        }
        Ok(Self { path, begin })
    }

    fn text(&self) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.begin))?;
            file.take(BYTES_MAX).read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("(unreadable: {error})"),
        }
    }

    pub fn failed_starts(&self) -> usize {
        self.text().matches("tollgate: postgres ended").count()
    }

    pub fn last_lines(&self) -> String {
        let mut lines = VecDeque::new();
        for line in self.text().lines() {
            if lines.len() == LINES_SHOWN {
                lines.pop_front();
            }
            lines.push_back(format!("  {line}\n"));
        }
        lines.into_iter().collect()
    }
}
